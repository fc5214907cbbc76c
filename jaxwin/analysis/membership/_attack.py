"""The membership attack by reconstruction, and the window in which it works."""

from typing import Any, Literal

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from jaxwin._checks import BadInput
from jaxwin._typing import AnyArray
from jaxwin.analysis._crossing import Crossing, exact, not_reached, read_off
from jaxwin.analysis.membership._measure import METHODS, Reconstructed, reconstruct
from jaxwin.analysis.membership._points import checked_noises, checked_points
from jaxwin.analysis.membership._roc import (
    RATES,
    Placements,
    placements,
    true_positive_rates,
)
from jaxwin.analysis.membership._windows import (
    ReturnWindows,
    check_window,
    read_windows,
)
from jaxwin.channels import AbstractObserved
from jaxwin.io import field, to_json

CHANCE = 0.5
# Members whose own windows are read where nothing else is said.
WINDOWS = 16


class AttackWindow(eqx.Module):
    """Noises between which an attack works, around the best one.

    `answer`: "window"; "from the first noise", "to the last noise" or "everywhere"
    where an end was not reached; "no window" where the level is not exceeded.
    """

    start: Crossing
    end: Crossing
    answer: Literal[
        "window", "from the first noise", "to the last noise", "everywhere", "no window"
    ] = eqx.field(static=True)


class Attack(eqx.Module):
    """The attack "low E|X' - x|^2 means member", at every noise.

    auc = P(member below non-member) + P(tie) / 2, 1/2 for a guess; its interval is
    DeLong's. true_positive: share of members below the quantile of non-members at each
    false-positive rate. `reversed_order`: noises at which members lie significantly
    higher (the interval of the AUC is below 1/2): outside the window the statistic may
    say the opposite. best: the noise of the largest AUC; of equal ones that of the
    largest distance of the two means in their spread.

    `detectable`: where the lower end of the AUC's interval exceeds 1/2, a statement of
    so many points. `window`: where the AUC exceeds 3/4, half-way from chance, with the
    interval of a bootstrap of whole curves. `members`: windows of single members.

    Intervals are over fresh members and non-members, given the model and the draws of
    the noise, which all points share.
    """

    best: float = eqx.field(static=True)
    best_auc: float = eqx.field(static=True)
    detectable: AttackWindow
    window: AttackWindow
    members: ReturnWindows
    num_members: int = eqx.field(static=True)
    num_others: int = eqx.field(static=True)
    count: int = eqx.field(static=True)
    method: str = eqx.field(static=True)
    noise: Float[np.ndarray, " t"] = field(("noise",), "time of the channel")
    auc: Float[np.ndarray, " t"] = field(("noise",), "probability")
    auc_stderr: Float[np.ndarray, " t"] = field(("noise",), "probability")
    auc_low: Float[np.ndarray, " t"] = field(("noise",), "probability")
    auc_high: Float[np.ndarray, " t"] = field(("noise",), "probability")
    false_positive: Float[np.ndarray, " f"] = field(("false_positive",), "probability")
    true_positive: Float[np.ndarray, "t f"] = field(
        ("noise", "false_positive"), "probability"
    )
    true_positive_low: Float[np.ndarray, "t f"] = field(
        ("noise", "false_positive"), "probability"
    )
    true_positive_high: Float[np.ndarray, "t f"] = field(
        ("noise", "false_positive"), "probability"
    )
    member_distance: Float[np.ndarray, " t"] = field(("noise",), "data units^2")
    other_distance: Float[np.ndarray, " t"] = field(("noise",), "data units^2")
    member_returned: Float[np.ndarray, " t"] = field(
        ("noise",), "probability", "mean over members", nullable=True
    )
    reversed_order: Bool[np.ndarray, " t"] = field(("noise",), "")

    def to_json(self) -> dict[str, Any]:
        """Curves as lists, times as `{value, stderr, low, high, found}`."""
        return to_json(self)


def attack(
    model: AbstractObserved,
    members: AnyArray,
    candidates: AnyArray,
    noises: AnyArray,
    *,
    num_windows: int = WINDOWS,
    **options: Any,
) -> Attack:
    """Tell training points from other points of the same law by U-turns.

    Args:
        model: As in `statistic`.
        members: (m, d) training points.
        candidates: (k, d) points that were not used for training.
        noises: At least 4 levels of the channel, increasing, sigma > 0.
        num_windows: Members whose own windows are read, the first ones.
        options: Those of `statistic`.

    Raises:
        BadInput: Fewer than 2 members or candidates, points of another dimension or not
            finite, a point in both sets, noises that do not increase or fewer than 4.

    References:
        DeLong, DeLong & Clarke-Pearson, Biometrics 44 (1988) 837; membership by what is
        reproduced: Li & Chen, arXiv:2403.01633, section 1.
    """
    own = checked_points(model, members, "members", least=2)
    others = checked_points(model, candidates, "candidates", least=2)
    _check_apart(own, others)
    levels = checked_noises(model, noises)
    check_window(levels)
    found = reconstruct(model, np.concatenate([own, others]), levels, **options)
    distance = np.asarray(found.mean["distance"], np.float64)
    of_members, of_others = distance[:, : len(own)], distance[:, len(own) :]
    placed = placements(of_members, of_others)
    low, high = placed.interval()
    best = _best(placed.auc, of_members, of_others)
    rates = true_positive_rates(of_members, of_others)
    return Attack(
        noise=levels,
        auc=placed.auc,
        auc_stderr=placed.stderr,
        auc_low=low,
        auc_high=high,
        false_positive=RATES,
        true_positive=rates[0],
        true_positive_low=rates[1],
        true_positive_high=rates[2],
        member_distance=of_members.mean(axis=1),
        other_distance=of_others.mean(axis=1),
        member_returned=_mean_returned(found, len(own)),
        reversed_order=high < CHANCE,
        best=float(levels[best]),
        best_auc=float(placed.auc[best]),
        detectable=_detectable(levels, low, best),
        window=_half_way(model, levels, placed),
        members=read_windows(model, levels, found, min(num_windows, len(own))),
        num_members=len(own),
        num_others=len(others),
        count=found.count,
        method=METHODS[found.tier],
    )


def _check_apart(own: np.ndarray, others: np.ndarray) -> None:
    rows = {(row + 0.0).tobytes() for row in own}
    both = [i for i, row in enumerate(others) if (row + 0.0).tobytes() in rows]
    if both:
        raise BadInput(
            f"`candidates` holds in row {both[0]} a point of `members`; a point that "
            f"was used for training cannot stand for those that were not."
        )


def _best(auc: np.ndarray, of_members: np.ndarray, of_others: np.ndarray) -> int:
    spread = np.sqrt(of_members.var(axis=1) + of_others.var(axis=1))
    apart = of_others.mean(axis=1) - of_members.mean(axis=1)
    ratio = apart / np.where(spread > 0, spread, 1)
    return int(np.lexsort((ratio, auc))[-1])


def _mean_returned(found: Reconstructed, count: int) -> Float[np.ndarray, " t"]:
    """Mean over the members that are training points; NaN if none is."""
    known = ~np.isnan(found.chance[:count])
    returned = found.mean["returned"][:, :count][:, known]
    if not known.any():
        return np.full(len(returned), np.nan)
    return returned.mean(axis=1)


def _detectable(noises: np.ndarray, low: np.ndarray, best: int) -> AttackWindow:
    """Where the lower end of the interval leaves chance, on both sides of the best."""
    above = low > CHANCE
    if not above[best]:
        return AttackWindow(not_reached(noises), not_reached(noises), "no window")
    below = np.flatnonzero(~above)
    after = min(below[below > best], default=noises.size)
    before = max(below[below < best], default=-1)
    part = slice(max(before, 0), after + 1)
    # Only what lies between: the ends beyond it belong to other windows.
    held = np.where(np.arange(noises.size) < max(before, 0), -np.inf, low)
    held = np.where(np.arange(noises.size) > after, -np.inf, held)
    start, end = not_reached(noises), not_reached(noises)
    if before >= 0:
        start = _between(noises[part], held[part], first=True)
    if after < noises.size:
        end = _between(noises[part], held[part], first=False)
    return AttackWindow(start, end, _answer(start, end))


def _between(noises: np.ndarray, low: np.ndarray, first: bool) -> Crossing:
    """The first or the last place at chance, on the line between two noises."""
    i = 0 if first else noises.size - 2
    share = (CHANCE - low[i]) / (low[i + 1] - low[i])
    return exact(jnp.asarray(noises[i] + share * (noises[i + 1] - noises[i])))


def _half_way(
    model: AbstractObserved, noises: np.ndarray, placed: Placements
) -> AttackWindow:
    """Where the AUC itself passes half-way from chance to certainty."""
    level, auc = (1 + CHANCE) / 2, placed.auc
    if not np.any(auc > level):
        return AttackWindow(not_reached(noises), not_reached(noises), "no window")
    at = np.asarray(model.coordinate(jnp.asarray(noises)), np.float64)
    blocks = placed.blocks()
    counts = np.ones(len(blocks), int)
    start, end = not_reached(noises), not_reached(noises)
    if not auc[-1] > level:
        end = read_off(at, auc, blocks, counts, level, model.noise_at)
    if not auc[0] > level:
        clock = lambda place: model.noise_at(-place)
        turned = -at[::-1], auc[::-1], blocks[:, ::-1]
        start = read_off(*turned, counts, level, clock)
        ends = start.high, start.low
        start = Crossing(start.time, start.stderr, *ends, start.found)
    return AttackWindow(start, end, _answer(start, end))


def _answer(start: Crossing, end: Crossing) -> Any:
    if bool(start.found) and bool(end.found):
        return "window"
    if bool(end.found):
        return "from the first noise"
    return "to the last noise" if bool(start.found) else "everywhere"
