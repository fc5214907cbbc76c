"""Information of noised hierarchies against SNR, and where each level is lost."""

import math
import types
from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import scipy.interpolate
from jaxtyping import Array, Float

from jaxwin.analysis import Crossing, hierarchy, unstack
from jaxwin.channels import Gaussian
from jaxwin.io import field
from jaxwin.plots import level_name
from jaxwin.report._hierarchy_grid import ou_times
from jaxwin.report._hierarchy_result import to_snr
from jaxwin.report._measuring import Measuring
from jaxwin.report.reproduce._rhm import Stage, averaged
from jaxwin.targets import RandomHierarchy
from jaxwin.targets.random_hierarchy import log_number_of_trees

# The integral over SNR is taken over ln(1 + g / STEP): linear at first, then in logs.
STEP = 0.25
ALONG, LEVELS, SQUARES = ("snr",), ("snr", "level"), "one-hots squared"
SHOWN = "word", "squared_error", "integral", "nodes", "share"


class Told(eqx.Module):
    """What one-hots seen through Gaussian noise tell, by increasing SNR g.

    word: I(x0; x). squared_error: of the posterior mean. integral: half the integral of
    the squared error over the SNR from none, which is I(x0; x) too; its error is a
    bound, as if all noises erred alike. entropy: of the word. share: the information of
    a level's nodes about themselves, over their entropy; root first. Means over rule
    tables, errors as of `averaged`. count: draws of all tables.
    """

    count: int = eqx.field(static=True)
    tables: int = eqx.field(static=True)
    entropy: float = field((), "nats")
    snr: Float[np.ndarray, " g"] = field(ALONG, "abar / (1 - abar)")
    word: Float[np.ndarray, " g"] = field(ALONG, "nats")
    word_stderr: Float[np.ndarray, " g"] = field(ALONG, "nats")
    word_sampling_stderr: Float[np.ndarray, " g"] = field(ALONG, "nats")
    squared_error: Float[np.ndarray, " g"] = field(ALONG, SQUARES)
    squared_error_stderr: Float[np.ndarray, " g"] = field(ALONG, SQUARES)
    squared_error_sampling_stderr: Float[np.ndarray, " g"] = field(ALONG, SQUARES)
    integral: Float[np.ndarray, " g"] = field(ALONG, "nats")
    integral_stderr: Float[np.ndarray, " g"] = field(ALONG, "nats")
    integral_sampling_stderr: Float[np.ndarray, " g"] = field(ALONG, "nats")
    nodes: Float[np.ndarray, "g l"] = field(LEVELS, "nats")
    nodes_stderr: Float[np.ndarray, "g l"] = field(LEVELS, "nats")
    nodes_sampling_stderr: Float[np.ndarray, "g l"] = field(LEVELS, "nats")
    share: Float[np.ndarray, "g l"] = field(LEVELS, "")
    share_stderr: Float[np.ndarray, "g l"] = field(LEVELS, "")
    share_sampling_stderr: Float[np.ndarray, "g l"] = field(LEVELS, "")

    @property
    def largest_z(self) -> float:
        """Of the two forms of I(x0; x) of the same tables, in (too large) errors."""
        error = np.hypot(self.word_sampling_stderr, self.integral_sampling_stderr)
        return float(np.max(np.abs(self.word - self.integral) / error))

    def to_json(self) -> dict[str, Any]:
        """All of it by name, and `largest_z`."""
        told: dict[str, Any] = {"entropy": self.entropy, "largest_z": self.largest_z}
        told["snr"] = self.snr.tolist()
        for name in SHOWN:
            for end in ("", "_stderr", "_sampling_stderr"):
                told[name + end] = getattr(self, name + end).tolist()
        return told


class Windows(eqx.Module):
    """Where each level is lost, root first, on the axis of SNR.

    early, half, late: SNRs at which 3/4, 1/2, 1/4 are left of the excess of P(symbol
    unchanged) over chance. before: share of a level's entropy that is told at `late`,
    before the window on the way from noise to data; gained: what is told between.
    """

    curves: hierarchy.DisorderAverage
    early: Crossing = field(("level",), "SNR")
    half: Crossing = field(("level",), "SNR")
    late: Crossing = field(("level",), "SNR")
    before: Float[np.ndarray, " l"] = field(("level",), "", nullable=True)
    gained: Float[np.ndarray, " l"] = field(("level",), "", nullable=True)

    def to_json(self) -> list[dict[str, Any]]:
        """A level after the other."""
        depth = self.before.size - 1
        number = lambda value: float(value) if np.isfinite(value) else None
        ends = zip(*map(unstack, (self.early, self.half, self.late)), strict=True)
        return [
            {
                "level": level,
                "name": level_name(level, depth),
                "early": early.to_json(),
                "half": half.to_json(),
                "late": late.to_json(),
                "before": number(self.before[level]),
                "gained": number(self.gained[level]),
            }
            for level, (early, half, late) in enumerate(ends)
        ]


def told(
    stages: Sequence[Stage], snrs: Float[np.ndarray, " g"], measuring: Measuring
) -> Told:
    """Information at increasing SNRs, by exact posteriors of sampled observations."""
    tables = [_told(stage, snrs, measuring) for stage in stages]
    return Told(
        count=sum(one.count for one in tables),
        tables=len(tables),
        # Words are as many as trees, and as likely each; in all tables alike.
        entropy=log_number_of_trees(stages[0][1]),
        snr=snrs,
        **averaged(tables, SHOWN),
    )


def _told(
    stage: Stage, snrs: Float[np.ndarray, " g"], measuring: Measuring
) -> types.SimpleNamespace:
    """What is shown of one table, with errors of sampling."""
    name, law, key = stage
    options = measuring.options(f"information, {name}", key)
    draws = options.pop("num_replicas")
    noises = ou_times(-np.log(snrs[::-1]))
    found = hierarchy.hierarchy_information(
        law, Gaussian(), noises, num_draws=draws, **options
    )
    # Increasing in SNR from here on.
    names = [one + end for one in SHOWN[:2] + SHOWN[3:4] for end in ("", "_stderr")]
    seen = {one: np.asarray(getattr(found, one), float)[::-1] for one in names}
    prior = [np.asarray(one, float) for one in _prior(law)]
    with np.errstate(divide="ignore", invalid="ignore"):
        each = [-np.sum(np.where(p > 0, p * np.log(p), 0), axis=1) for p in prior]
    entropies = np.array([one.mean() for one in each])
    nothing_seen = float(np.sum(1 - np.sum(prior[-1] ** 2, axis=1)))
    error = seen["squared_error_stderr"]
    return types.SimpleNamespace(
        count=found.count,
        **seen,
        integral=half_integral(snrs, seen["squared_error"], nothing_seen),
        integral_stderr=half_integral(snrs, error, 0.0),
        share=seen["nodes"] / entropies,
        share_stderr=seen["nodes_stderr"] / entropies,
    )


@eqx.filter_jit
def _prior(law: RandomHierarchy) -> Sequence[Array]:
    """Marginals by level where nothing is seen."""
    nothing = jnp.zeros((law.num_sites, law.num_symbols), law.log_weights.dtype)
    return law.beliefs(nothing).marginals


def half_integral(
    snrs: Float[np.ndarray, " g"], values: Float[np.ndarray, " g"], first: float
) -> Float[np.ndarray, " g"]:
    """Half the integral over SNR from 0, where the value is `first`, to each SNR."""
    snr, value = np.append(0, snrs), np.append(first, values)
    place = np.log1p(snr / STEP)
    # d g = (g + STEP) d ln(1 + g / STEP).
    spline = scipy.interpolate.CubicSpline(place, value * (snr + STEP))
    return 0.5 * spline.antiderivative()(place)[1:]


def windows(tables: Sequence[hierarchy.LevelCurves], seen: Told) -> Windows:
    """Where the levels are lost, and what is told of them there."""
    curves = hierarchy.average(tables)
    early, half, late = map(to_snr, (curves.early, curves.half, curves.late))

    def at(ends: Crossing) -> np.ndarray:
        places = [math.log(float(one.time)) for one in unstack(ends)]
        pairs = zip(places, seen.share.T, strict=True)
        return np.array([np.interp(x, np.log(seen.snr), share) for x, share in pairs])

    before, after = at(late), at(early)
    return Windows(
        curves=curves,
        early=early,
        half=half,
        late=late,
        before=before,
        gained=after - before,
    )
