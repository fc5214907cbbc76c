"""Which points a model was made from, as far as U-turns tell."""

from typing import TYPE_CHECKING, Any

import equinox as eqx
import numpy as np

from jaxwin._checks import BadInput
from jaxwin.analysis import Crossing, membership, unstack
from jaxwin.channels import Gaussian, Observed
from jaxwin.datasets import Data, normalize as in_units
from jaxwin.plots import Series, beside
from jaxwin.report._measuring import Measuring
from jaxwin.report._prepare import noise_times
from jaxwin.targets import Empirical, likely_bandwidth

if TYPE_CHECKING:
    import matplotlib.figure

# Noises of the curve. Points of each kind that are attacked, and noised draws a point,
# at most; fewer where a full run would take more work, in products, than that.
NUM_TIMES, MOST_ATTACKED, MOST_DRAWS, WORK = 32, 1000, 256, 1e13
LEAST_ATTACKED, LEAST_DRAWS = 200, 8
ENDS = "early", "middle", "late"


class Membership(eqx.Module):
    """An attack by reconstruction after U-turns on a kernel density of the members."""

    attack: membership.Attack
    bandwidth: float = eqx.field(static=True)
    model_points: int = eqx.field(static=True)


def check_together(members: object, candidates: object) -> None:
    """Raise BadInput where one is given without the other."""
    if (members is None) != (candidates is None):
        raise BadInput(
            "`members` and `candidates` go together: the training set and points that "
            "were not in it; give both or none."
        )


def check_both(members: Data | None, candidates: Data | None) -> None:
    """Raise BadInput where one is given without the other, or they do not match."""
    check_together(members, candidates)
    if members is None or candidates is None:
        return
    if candidates.points.shape[1] != members.points.shape[1]:
        raise BadInput(
            f"`candidates` have {candidates.points.shape[1]} numbers a point and "
            f"`members` {members.points.shape[1]}; they must be of one kind."
        )


def membership_of(
    members: Data,
    candidates: Data,
    *,
    normalize: str | None = None,
    bandwidth: float | None = None,
    measuring: Measuring,
) -> Membership:
    """Tell members from candidates by what a kernel density of the members gives back.

    Args:
        members: The training set.
        candidates: Points of the same kind that were not trained on.
        normalize: Units of both, those of the members.
        bandwidth: Of the kernel; the likeliest of left-out members if None.
        measuring: How; `quick` takes a fourth of the draws.

    Raises:
        BadInput: Too few points, or points in both sets.
    """
    own = in_units(members, normalize)
    points = own.points
    others = np.asarray(candidates.points, points.dtype) * own.scale - (
        own.scale * own.center
    )
    h = likely_bandwidth(points) if bandwidth is None else bandwidth
    model = Observed(Empirical(points, bandwidth=h), Gaussian())
    (key,) = measuring.keys(1)
    options = measuring.options("membership", key)
    # Distances have no errors that could be asked for beforehand.
    del options["num_replicas"], options["until_stderr"]
    attacked, draws = _size(*points.shape)
    options["num_draws"] = max(draws * measuring.count // measuring.full, 2)
    draw = np.random.default_rng(measuring.seed)
    some = lambda rows: rows[np.sort(draw.permutation(len(rows))[:attacked])]
    found = membership.attack(
        model,
        some(points),
        some(others),
        noise_times(points, measuring.seed, NUM_TIMES),
        **options,
    )
    return Membership(found, float(h), len(points))


def _size(num_points: int, dimension: int) -> tuple[int, int]:
    """Points of each kind, and draws for each."""
    turns = WORK / (2 * NUM_TIMES * num_points * dimension)
    attacked = int(np.clip(turns / LEAST_DRAWS, LEAST_ATTACKED, MOST_ATTACKED))
    return attacked, int(np.clip(turns / attacked, LEAST_DRAWS, MOST_DRAWS))


def membership_summary(found: Membership) -> dict[str, Any]:
    """Documented keys of `summary.json`, under `membership`.

    auc: the largest, at `best` OU time, with its interval. window: where the AUC is
    above 3/4; detectable: where its interval is above 1/2. true_positive: by
    false-positive rate, at the best time, with intervals. own_windows: of some members,
    where the probability of coming back to the very point is 95, 50 and 5 % of the way
    from chance to certainty.
    """
    attack = found.attack
    best = int(np.argmin(np.abs(attack.noise - attack.best)))
    rates = zip(
        attack.false_positive,
        attack.true_positive[best],
        attack.true_positive_low[best],
        attack.true_positive_high[best],
        strict=True,
    )
    window = lambda w: {
        "answer": w.answer,
        "start": w.start.to_json(),
        "end": w.end.to_json(),
    }
    return {
        "model": f"kernel density of {found.model_points} members",
        "bandwidth": found.bandwidth,
        "members": attack.num_members,
        "candidates": attack.num_others,
        "best": attack.best,
        "auc": {
            "value": float(attack.auc[best]),
            "low": float(attack.auc_low[best]),
            "high": float(attack.auc_high[best]),
        },
        "window": window(attack.window),
        "detectable": window(attack.detectable),
        "true_positive": {
            f"{rate:g}": {"value": float(t), "low": float(low), "high": float(high)}
            for rate, t, low, high in rates
        },
        "own_windows": [
            {name: time.to_json() for name, time in zip(ENDS, times, strict=True)}
            for times in zip(
                *(unstack(getattr(attack.members, name)) for name in ENDS), strict=True
            )
        ],
        "method": attack.method,
    }


def membership_rows(found: Membership) -> list[tuple[str, Crossing]]:
    """The attack's own window, for the table, without ends that were not reached."""
    window, detectable = found.attack.window, found.attack.detectable
    if window.answer == "no window":
        return [("AUC > 3/4", window.end)]
    ends = [
        ("AUC > 3/4 from", window.start),
        ("AUC > 3/4 to", window.end),
        ("members told to", detectable.end),
    ]
    return [(name, time) for name, time in ends if bool(time.found)]


def membership_figures(found: Membership) -> "dict[str, matplotlib.figure.Figure]":
    """AUC against noise, and the rates of the best attack."""
    attack = found.attack
    best = int(np.argmin(np.abs(attack.noise - attack.best)))
    rates = attack.false_positive
    shown = attack.true_positive[best]
    error = (attack.true_positive_high[best] - attack.true_positive_low[best]) / 3.92
    chance = Series("chance", predicted=(rates, rates))
    half = Series("chance", predicted=(attack.noise, np.full_like(attack.noise, 0.5)))
    at_best = Series(f"T = {attack.best:.3g}", (rates, shown, error))
    return {
        "membership_auc": beside(
            [Series("AUC", (attack.noise, attack.auc, attack.auc_stderr)), half],
            "OU time of the U-turn (more noise →)",
            "member below non-member",
            kinds=False,
        ),
        "membership_rates": beside(
            [at_best, chance],
            "false positives",
            "true positives",
            logarithmic=True,
            kinds=False,
        ),
    }
