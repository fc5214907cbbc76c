"""When samples are copies of data points: every prediction beside the measurement."""

from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float

from jaxwin._checks import BadInput
from jaxwin.analysis import Crossing, collapse, sweep
from jaxwin.analysis.information import DenoisingInformation, from_mmse
from jaxwin.datasets import Data, from_arrays
from jaxwin.io import field
from jaxwin.plots import Series, beside, collapse as collapse_figure
from jaxwin.processes import OrnsteinUhlenbeck
from jaxwin.report._measuring import Measuring
from jaxwin.report._prepare import Prepared, prepare
from jaxwin.report._study import Study
from jaxwin.report._table import times_table
from jaxwin.targets import Empirical, GaussianMixture

if TYPE_CHECKING:
    import matplotlib.figure

# Points of a mixture, where a number is not given.
POINTS = 1000
# Noised paths: at most so many, fewer where n d is large (work in products), at so many
# times between the own weights below.
PATHS, FEWEST, WORK, PATH_TIMES = 4096, 256, 1e11, 100
SETTLED, FREE = 0.999, 0.002
# Share of paths without a change of neighbour in the mean time of the last one.
MOST_WITHOUT = 0.02
# Spacing of log-SNRs for I-MMSE, and how far they reach beyond the spectrum's ends.
SPACING, BELOW, ABOVE = 0.25, 3.0, 3.0


class Collapse(eqx.Module):
    """Collapse onto n points by every route; OU times.

    curve: measured, with `t_gauss` by the spectrum. t_leading: isotropic clusters at
    leading order in d. t_information: log n = I(t) of the mixture, by quadrature.
    denoising: the same by I-MMSE of the mixture's exact denoiser. These three are of a
    mixture, and None where it has another form, or for data. t_onset: where data points
    become traps. own_weight_law, excess_law: the finite-size law at the curve's times.
    last_neighbour: where reverse paths choose their point. `t_gauss`, `t_onset` and
    the finite-size law (unless `clusters`) are of a Gaussian of the same covariance.
    """

    curve: collapse.CollapseCurve
    t_leading: Crossing | None
    t_information: Crossing | None
    denoising: DenoisingInformation | None
    t_onset: Crossing
    last_neighbour: collapse.LastNeighbour
    name: str = eqx.field(static=True)
    # Whether the finite-size law is that of two equal clusters.
    clusters: bool = eqx.field(static=True)
    dimension: int = eqx.field(static=True)
    noise: Float[np.ndarray, " t"] = field(("noise",), "OU time")
    own_weight_law: Float[np.ndarray, " t"] = field(
        ("noise",), "probability", "by the Gaussian law of log-weights"
    )
    excess_law: Float[np.ndarray, " t"] = field(
        ("noise",), "nats", "by the Gaussian law of log-weights"
    )


def collapse_of(
    source: GaussianMixture | Data,
    *,
    num_points: int | None = None,
    name: str = "mixture",
    classes: Any = None,
    normalize: str | None = None,
    pca: int | None = None,
    shape: Any = None,
    **measuring: Any,
) -> Study:
    """When does an exact backward run onto n points become a copy of one of them?

    Args:
        source: A data set, or a mixture from which points are drawn.
        num_points: Points to draw: without replacement from data (all if left out),
            from a mixture 1,000 if left out.
        name: Of a mixture, for titles.
        classes: Of a data set, as in `diagnose`; so are the next three.
        normalize: See `classes`.
        pca: See `classes`.
        shape: See `classes`.
        measuring: Fields of `Measuring`.

    Raises:
        BadInput: What cannot be studied; one line that says what to do.
    """
    options = Measuring(**measuring)
    law = None
    if not isinstance(source, Data):
        count = POINTS if num_points is None else num_points
        law, source = source, _drawn(source, count, name, options.seed)
        num_points, normalize = None, "none"
    selection = classes, num_points, normalize, pca, shape
    prepared = prepare(source, *selection, options.seed, options.least)
    options.begin()
    return _study(_measured(prepared, law, options))


def _drawn(law: GaussianMixture, count: int, name: str, seed: int) -> Data:
    if count < 2:
        raise BadInput(f"`points` is {count}; collapse onto one of several needs 2.")
    points = jax.vmap(law.sample)(jr.split(jr.key(seed), count))
    return from_arrays(np.asarray(points), name=name)


def _measured(
    prepared: Prepared, law: GaussianMixture | None, measuring: Measuring
) -> Collapse:
    data, axes = prepared.law, prepared.axes
    n, dimension = data.num_points, len(axes.spectrum.directions)
    sweep_key, path_key, loss_key = measuring.keys(3)
    found = sweep(
        data,
        prepared.times,
        features=prepared.features,
        **measuring.options("collapse", sweep_key),
    )
    eigenvalues = axes.eigenvalues[: data.dimension] * (1 - 1 / n)
    if law is not None:
        # Not the spectrum of the points, which few of them spread.
        eigenvalues = np.asarray(law.moments().leading(dimension)[0])
    curve = collapse.read(found, eigenvalues)
    spread = jnp.asarray(eigenvalues)
    expected = _finite_size(law, spread, n, jnp.asarray(found.noise))
    return Collapse(
        curve=curve,
        t_leading=None if law is None else _leading(law, n),
        t_information=None if law is None else _quadrature(law, n),
        denoising=(
            None
            if law is None
            else _by_denoising(law, eigenvalues, n, measuring, loss_key)
        ),
        t_onset=collapse.gaussian_onset_time(spread, float(n)),
        last_neighbour=_last_neighbour(data, curve, measuring, path_key),
        noise=found.noise,
        own_weight_law=np.asarray(expected.own_weight),
        excess_law=np.asarray(expected.excess),
        clusters=law is not None and _two_equal_clusters(law) is not None,
        name=prepared.normal.name,
        dimension=dimension,
    )


def _finite_size(
    law: GaussianMixture | None,
    eigenvalues: Float[Array, " d"],
    n: int,
    times: Float[Array, " t"],
) -> collapse.FiniteSize:
    """The law of log-weights of two equal clusters, or of a Gaussian."""
    clusters = None if law is None else _two_equal_clusters(law)
    if clusters is None:
        of_gaussian = collapse.gaussian_finite_size
        return jax.vmap(lambda t: of_gaussian(eigenvalues, float(n), t))(times)
    of_clusters = collapse.two_cluster_finite_size
    return jax.vmap(lambda t: of_clusters(*clusters, float(n), t))(times)


def _two_equal_clusters(law: GaussianMixture) -> tuple[float, float, float] | None:
    """|m|^2, standard deviation and d of two equal isotropic clusters at c +- m."""
    variances = np.asarray(law.covariance.spectrum()[0])
    weights = np.exp(np.asarray(law.log_weights))
    if len(weights) != 2 or np.ptp(weights) > 1e-9 or np.ptp(variances) > 0:
        return None
    apart = np.asarray(law.means[0] - law.means[1], np.float64)
    width = float(np.sqrt(variances.flat[0]))
    return float(apart @ apart) / 4, width, float(law.dimension)


def _leading(law: GaussianMixture, n: int) -> Crossing | None:
    """Isotropic components of one variance: t_C at leading order in d."""
    variances = np.asarray(law.covariance.spectrum()[0])
    if np.ptp(variances) > 0 or not variances.flat[0] > 0:
        return None
    rate = np.log(n) / law.dimension
    time = collapse.leading_time(rate, float(np.sqrt(variances.flat[0])))
    return Crossing(time, jnp.zeros_like(time), time, time, jnp.asarray(True))


def _quadrature(law: GaussianMixture, n: int) -> Crossing | None:
    """Log n = I(t), for mixtures that are not Gaussian along one line only."""
    try:
        return collapse.mixture_time(law, n)
    except ValueError:
        return None


def _by_denoising(
    law: GaussianMixture,
    eigenvalues: Float[np.ndarray, " d"],
    n: int,
    measuring: Measuring,
    key: jax.Array,
) -> DenoisingInformation | None:
    """I-MMSE from where nothing is known to beyond the collapse of a Gaussian."""
    guess = collapse.gaussian_time(jnp.asarray(eigenvalues), n)
    if not bool(guess.found):
        return None
    low = -np.log(eigenvalues.max()) - BELOW
    high = float(OrnsteinUhlenbeck().log_snr(guess.time)) + ABOVE
    levels = np.linspace(low, high, int(np.ceil((high - low) / SPACING)) + 1)
    options = measuring.options("denoising", key)
    # Errors here are of another kind than those of curves of probabilities.
    options["until_stderr"], options["num_replicas"] = None, measuring.count
    return from_mmse(law, levels, float(n), eigenvalues=eigenvalues, **options)


def _last_neighbour(
    data: Empirical, curve: collapse.CollapseCurve, measuring: Measuring, key: jax.Array
) -> collapse.LastNeighbour:
    own = curve.own_weight
    low = curve.noise[max(np.flatnonzero(own > SETTLED), default=0)]
    free = np.flatnonzero(own < FREE)
    high = curve.noise[free[0] if free.size else -1]
    if not high > low:  # the own weight is small from the first time on
        low, high = curve.noise[[0, -1]]
    times = np.geomspace(low, high, PATH_TIMES)
    work = data.num_points * data.dimension * times.size
    count = int(np.clip(WORK / work, FEWEST, min(PATHS, measuring.count)))
    options = measuring.options("last neighbour", key)
    options["until_stderr"], options["num_replicas"] = None, count
    options["num_paths"] = options.pop("num_replicas")
    return collapse.last_neighbour(data, times, seed=measuring.seed, **options)


def _routes(found: Collapse) -> dict[str, Crossing]:
    """Every route to the collapse time, by its key in the summary."""
    curve, last = found.curve, found.last_neighbour
    number = lambda value: jnp.asarray(value, float)
    low, high = last.mean - 1.96 * last.mean_stderr, last.mean + 1.96 * last.mean_stderr
    if last.never > MOST_WITHOUT:
        low, high = last.noise[0], last.noise[-1]
    routes = {
        "t_leading": found.t_leading,
        "t_information": found.t_information,
        "t_mmse": None if found.denoising is None else found.denoising.collapse,
        "t_gauss": curve.t_gauss,
        "t_log2": curve.t_log2,
        "t_half": curve.t_half,
        "t_rest": curve.t_rest,
        "t_last_neighbour": Crossing(
            number(last.mean),
            number(last.mean_stderr),
            number(low),
            number(high),
            # Paths without a change count as its last time: a few, or it is no mean.
            jnp.asarray(float(last.never) <= MOST_WITHOUT),
        ),
        "t_onset": found.t_onset,
    }
    return {key: time for key, time in routes.items() if time is not None}


WORDS = {
    "t_leading": "leading order in d",
    "t_information": "log n = I, quadrature",
    "t_mmse": "log n = I, I-MMSE",
    "t_gauss": "log n = I of a Gaussian",
    "t_log2": "excess entropy = log 2",
    "t_half": "own weight ½",
    "t_rest": "E log(rest / own) = 0",
    "t_last_neighbour": "last change of neighbour",
    "t_onset": "traps, of a Gaussian",
}


def _study(found: Collapse) -> Study:
    routes, curve, last = _routes(found), found.curve, found.last_neighbour
    n = curve.num_points
    summary: dict[str, Any] = {
        "name": found.name,
        "n": n,
        "d": found.dimension,
        "rate": float(np.log(n)) / found.dimension,
        **{key: None for key in WORDS},
        **{key: time.to_json() for key, time in routes.items()},
        "last_neighbour": {
            "mean": float(last.mean),
            "mean_stderr": float(last.mean_stderr),
            "deviation": float(last.deviation),
            "median": float(last.median),
            "never": float(last.never),
            "paths": last.count,
            "grid": [float(last.noise[0]), float(last.noise[-1]), last.noise.size],
        },
        "method": curve.method,
    }
    rows = [(WORDS[key], time) for key, time in routes.items()]
    return Study(
        command="collapse",
        title=found.name,
        results=found,
        summary=summary,
        figures=_figures(found),
        table=times_table(
            f"{found.name}: collapse onto n = {n:,} points, d = {found.dimension:,}",
            [rows],
            f"The last change is quoted for {last.noise.size} log-spaced times from "
            f"{last.noise[0]:.3g} to {last.noise[-1]:.3g}.",
        ),
        largest_error=float(curve.own_weight_stderr.max()),
        count=curve.count,
        kept=8 * curve.noise.size,
    )


def _figures(found: Collapse) -> "dict[str, matplotlib.figure.Figure]":
    curve = found.curve
    unit = float(np.log(curve.num_points))
    shown = curve.excess < 0.995 * unit
    end = float(curve.noise[shown][-1]) if shown.any() else float(curve.noise[-1])
    of = "two clusters" if found.clusters else "a Gaussian"
    law = beside(
        [
            Series(
                f"own weight (law of {of})",
                (curve.noise, curve.own_weight, curve.own_weight_stderr),
                (found.noise, found.own_weight_law),
            ),
            Series(
                f"excess / log n (law of {of})",
                (curve.noise, curve.excess / unit, curve.excess_stderr / unit),
                (found.noise, found.excess_law / unit),
            ),
        ],
        "OU time",
        "own weight; excess / log n",
        xlim=(0.0, end),
        ylim=(-0.02, 1.02),
    )
    last = found.last_neighbour
    cumulative = np.cumsum(last.share)
    changes = beside(
        [
            Series("last change", predicted=(last.noise, cumulative)),
            Series("own weight", predicted=(curve.noise, curve.own_weight)),
        ],
        "OU time",
        "share of paths; own weight",
        marks=[("mean", float(last.mean))],
        xlim=(0.0, float(last.noise[-1])),
    )
    return {
        "collapse": collapse_figure(curve),
        "finite_size": law,
        "last_neighbour": changes,
    }
