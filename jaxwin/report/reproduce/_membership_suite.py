"""Was a point in the training data? Reconstruction on a line, an attack in 20 d."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float

from jaxwin.analysis import collapse, membership, unstack
from jaxwin.channels import Gaussian, Observed
from jaxwin.plots import Series, beside
from jaxwin.report._measuring import Measuring
from jaxwin.report._study import Study
from jaxwin.report._table import add_row
from jaxwin.report.reproduce._comparison import (
    OU_TIME,
    Comparison,
    compare,
    comparison_table,
    drawn,
    suite_study,
)
from jaxwin.report.reproduce._entry import Entry
from jaxwin.targets import Empirical

TRAINING = np.array([[-2.0], [0.5], [3.0]])
CANDIDATES = np.array([[0.5], [1.0]])
BANDWIDTHS = (0.0, 0.5, 1.0)
TIMES = np.array([0.05, 0.1, 0.2, 0.3, 0.5, 1.0])
FINE = np.linspace(0.02, 1.2, 60)
# The attack: so many points, the first half members; noises, draws of the noise.
POINTS, DIMENSION, WIDE = 400, 20, 1.0
ATTACK_TIMES = np.array([0.1, 0.2, 0.3, 0.4442, 0.6, 0.8, 1.0, 1.5, 2.0])
DRAWS = 400
MEMBER, OTHER, RETURN = "R, member", "R, other", "return"


def model(bandwidth: float) -> Observed:
    """Point masses, or a kernel density, at the three training points."""
    return Observed(Empirical(TRAINING, bandwidth=bandwidth), Gaussian())


def known(times: Float[np.ndarray, " t"]) -> Mapping[str, Any]:
    """By quadrature over the noise."""
    table = {}
    for bandwidth in BANDWIDTHS:
        found = membership.statistic(
            model(bandwidth), CANDIDATES, times, method="quadrature"
        )
        table |= _columns(bandwidth, found.distance, found.returned)
    return table


def measure(measuring: Measuring) -> Comparison:
    """Draws of the noise, with closed forms for what is left."""
    sampled: dict[str, Any] = {}
    for bandwidth, key in zip(BANDWIDTHS, measuring.keys(3), strict=True):
        found = membership.statistic(
            model(bandwidth),
            CANDIDATES,
            TIMES,
            method="streamed",
            **_draws(measuring.options(f"h = {bandwidth:g}", key)),
        )
        values = _columns(bandwidth, found.distance, found.returned)
        errors = _columns(bandwidth, found.stderr, found.returned_stderr)
        sampled |= {name: (values[name], errors[name]) for name in values}
    method = "draws of the noise, responsibilities in closed form"
    return compare(TIMES, FINE, known, sampled, measuring.count, method)


def _draws(options: dict[str, Any]) -> dict[str, Any]:
    """Replicas are draws of the noise here."""
    return {"num_draws": options.pop("num_replicas"), "block_size": 64} | options


def _columns(bandwidth: float, distance: Any, returned: Any) -> dict[str, Any]:
    of = lambda name: f"{name}, h = {bandwidth:g}"
    return {
        of(MEMBER): distance[:, 0],
        of(OTHER): distance[:, 1],
        of(RETURN): returned[:, 0],
    }


def attacks(measuring: Measuring) -> dict[str, membership.Attack]:
    """Members against others of one law, by point masses and by wide kernels."""
    points = np.random.default_rng(0).standard_normal((POINTS, DIMENSION))
    members, others = points[: POINTS // 2], points[POINTS // 2 :]
    found = {}
    keys = measuring.keys(5)[3:]
    for bandwidth, key in zip((0.0, WIDE), keys, strict=True):
        options = measuring.options(f"attack, h = {bandwidth:g}", key)
        options |= {"num_draws": DRAWS, "until_stderr": None}
        del options["num_replicas"]
        seen = Observed(Empirical(members, bandwidth=bandwidth), Gaussian())
        found[f"h = {bandwidth:g}"] = membership.attack(
            seen, members, others, ATTACK_TIMES, **options
        )
    return found


def collapse_time() -> float:
    """Leading order of the time at which the members' law collapses onto them."""
    rate = np.log(POINTS // 2) / DIMENSION
    return float(collapse.leading_time(rate, 1.0))


def _study(measuring: Measuring) -> Study:
    curves, found = measure(measuring), attacks(measuring)
    time = collapse_time()
    table = comparison_table(
        f"U-turns of 0.5 (member) and 1.0 (no member); {curves.count:,} draws",
        "T",
        curves,
        f"Below: {POINTS // 2} members and as many others in {DIMENSION} dimensions, "
        f"{DRAWS} draws; collapse at T = {time:.6f}.",
        [f"{name}, h = 0" for name in (MEMBER, OTHER, RETURN)],
    )
    table.add_section()
    add_row(table, "T", "R member / other", "AUC", "TPR at 1 %", "return")
    attack = found["h = 0"]
    for i, noise in enumerate(attack.noise):
        add_row(
            table,
            f"{noise:g}",
            f"{attack.member_distance[i]:.3f} / {attack.other_distance[i]:.3f}",
            f"{attack.auc[i]:.3f}",
            f"{attack.true_positive[i, 0]:.3f}",
            f"{attack.member_returned[i]:.4f}",
        )
    each = lambda one: np.clip(
        np.maximum(one.auc_high - one.auc, one.auc - one.auc_low) / 1.96, 0, None
    )
    return suite_study(
        ENTRY.name,
        {
            "comparison": curves,
            **{f"attack_{k}": v for k, v in enumerate(found.values())},
        },
        {
            "collapse_time": time,
            "attacks": {name: _told(one) for name, one in found.items()},
        },
        {
            "line": drawn(
                curves,
                OU_TIME,
                "R, squared distance to the end",
                [
                    f"{name}, h = {h:g}"
                    for h in BANDWIDTHS[:2]
                    for name in (MEMBER, OTHER)
                ],
            ),
            "attack": beside(
                [
                    Series(name, (one.noise, one.auc, each(one)))
                    for name, one in found.items()
                ],
                OU_TIME,
                "AUC of the attack",
                marks=[("collapse", time)],
                levels=[("chance", 0.5)],
                ylim=(0.45, 1.08),
            ),
        },
        table,
    )


def _told(attack: membership.Attack) -> dict[str, Any]:
    """Keys of the summary: curves by noise, the window, the best noise."""
    rows = zip(
        attack.noise,
        attack.member_distance,
        attack.other_distance,
        attack.auc,
        attack.auc_low,
        attack.auc_high,
        attack.true_positive[:, 0],
        attack.member_returned,
        strict=True,
    )
    names = (
        "noise",
        "R_member",
        "R_other",
        "auc",
        "auc_low",
        "auc_high",
        "tpr_at_1_percent",
        "return",
    )
    middles = [each for each in unstack(attack.members.middle) if bool(each.found)]
    times = [float(each.time) for each in middles]
    return {
        "points": [dict(zip(names, map(float, row), strict=True)) for row in rows],
        "best_T": attack.best,
        "best_auc": attack.best_auc,
        "window": attack.window.answer,
        "window_end": attack.window.end.to_json(),
        "median_return_half": float(np.median(times)) if times else None,
    }


ENTRY = Entry(
    name="critical-windows-membership",
    title="Membership by U-turns: reconstruction on a line, an attack in 20 dimensions",
    source="arXiv:2403.01633 for the idea; the numbers are derived",
    published="none available",
    make=_study,
)
