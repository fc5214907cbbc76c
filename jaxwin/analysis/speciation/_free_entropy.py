"""The log-likelihood ratio of two Gaussian classes, and where it tells them apart.

L = log P_a(x) - log P_b(x) for x ~ P_a is the difference of free entropies of the two
classes at a noised point. Classes are told apart as long as its mean is beyond its
standard deviation: t_rs is where E[L] = sd(L).
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxwin._checks import check, is_concrete, not_negative, positive
from jaxwin._numerics import as_float
from jaxwin._typing import Index, ScalarLike
from jaxwin.analysis._crossing import Crossing, exact
from jaxwin.analysis._root import bracketed_root
from jaxwin.analysis.speciation._differences import log_excess
from jaxwin.analysis.speciation._general_times import GeneralClassTimes
from jaxwin.targets import GaussianMixture, reduce

# log-SNR scanned for crossings: from below the weak-signal one, by steps, up to where
# squares of the signal reach the end of float32.
BELOW, ABOVE, SCANNED = 4.0, 41.0, 91


class FreeEntropy(NamedTuple):
    """Mean E[L], the Kullback-Leibler divergence, and variance of L under class a."""

    mean: Float[Array, ""]
    variance: Float[Array, ""]


def free_entropy(
    law: GaussianMixture,
    first: Index,
    second: Index,
    alpha: ScalarLike,
    sigma: ScalarLike,
) -> FreeEntropy:
    """Mean and variance of L = log P_a(x) - log P_b(x), x ~ P_a, in closed form.

    With C = alpha^2 Sigma + sigma^2 I, d = alpha (m_a - m_b) and A = C_b^-1 - C_a^-1,

        E[L]   = (tr(A C_a) - log det(C_b^-1 C_a) + d . C_b^-1 d) / 2,
        Var[L] = tr(A C_a A C_a) / 2 + d . C_b^-1 C_a C_b^-1 d.

    O(d) where covariances are isotropic or diagonal; else O(d^3) once a pair.

    Args:
        law: A mixture; its components are the classes here, whatever their labels.
        first: Component a, which x is from.
        second: Component b.
        alpha: Amplitude of the signal.
        sigma: Standard deviation of the noise, > 0.

    References:
        Derived: L is a quadratic form of a Gaussian. Where covariances are one, E = 2
        r^2 and Var = 4 r^2 (Biroli et al., arXiv:2402.18491, section 2, has r).
    """
    check(sigma, positive, "sigma", "positive; without noise L may be infinite")
    check(alpha, not_negative, "alpha", "finite and >= 0")
    for name, component in (("first", first), ("second", second)):
        inside = lambda k: (k >= 0) & (k < len(law.means))
        check(component, inside, name, f"a component, 0 to {len(law.means) - 1}")
    snr = (as_float(alpha) / as_float(sigma)) ** 2
    pair = _pair(law, jnp.asarray(first), jnp.asarray(second))
    return pair.at(snr.astype(law.means.dtype))


def gaussian_general_times(law: GaussianMixture) -> GeneralClassTimes:
    """General-class times of all pairs of single-component classes, in closed form.

    Where E[L] = sd(L), the noisiest such OU time; differentiable by the implicit
    function theorem. Two equal covariances give r = 1: log(d mu^2) / 2 for unit
    variance, the source's t_S, with phi = 0.7752. Not found where classes never were
    that far apart.

    Args:
        law: A mixture of Gaussians; classes of several components are left out, for
            them `measured_general_times` is. One that `reduce`s is reduced.

    Raises:
        ValueError: Fewer than two classes have a single component and weight.

    References:
        Shared theory, speciation 3.3 (mean = sd); moments of L derived, `free_entropy`.
    """
    classes, components = _single(law)
    if _axes(law) is not None and is_concrete(law):
        reduced = reduce(law)
        law = law if reduced is None else reduced.target
    sides = np.stack(np.triu_indices(len(classes), 1), axis=1)
    found = _times(law, components[np.concatenate([sides, sides[:, ::-1]])])
    by_pair = lambda leaf: jnp.moveaxis(leaf.reshape(2, len(sides)), 0, 1)
    return GeneralClassTimes(classes[sides], jax.tree.map(by_pair, found))


def weak_signal_time(
    mean_gap: ScalarLike = 0.0,
    covariance_gap: Float[Array, "d d"] | ScalarLike = 0.0,
) -> Crossing:
    """Asymptotic general-class time of two classes in large dimension, in OU time.

    For weak signals E[L] = |Dm|^2 s^2 / 2 + |DC|_F^2 s^4 / 4 and Var[L] = 2 E[L], with
    s = e^{-t}: E[L] = 2 gives

        t_rs = log(|Dm|^2 / 4) / 2              classes of different means,
        t_rs = log(|DC|_F / (2 sqrt 2)) / 2     of different covariances alone,

    and the root of the quadratic between the two. None where that is no time.

    Args:
        mean_gap: Norm |Dm| of the difference of the means, 2 mu sqrt(d) for +-m.
        covariance_gap: Frobenius norm of the difference of the covariances, or the
            difference itself: sqrt(N) |v_1 - v_2| where they are isotropic.

    References:
        Shared theory, speciation 3.3; derived by expanding `free_entropy` in s.
    """
    check(mean_gap, not_negative, "mean_gap", "a norm, finite and >= 0")
    gap = as_float(covariance_gap)
    if gap.ndim == 0:
        check(gap, not_negative, "covariance_gap", "a norm, finite and >= 0")
    mean_sq = as_float(mean_gap).astype(gap.dtype) ** 2
    return _half_log_inverse(_weak_snr(mean_sq, jnp.sum(gap**2)))


def _half_log_inverse(snr: Array) -> Crossing:
    found = snr < 1
    return exact(-0.5 * jnp.log(jnp.where(found, snr, 1)), found)


def _weak_snr(mean_sq: Array, covariance_sq: Array) -> Array:
    """The s^2 with |Dm|^2 s^2 / 2 + |DC|^2 s^4 / 4 = 2; infinite without a gap."""
    root_of = mean_sq**2 / 4 + 2 * covariance_sq
    some = root_of > 0
    # sqrt of a safe value: a masked branch must not send NaN into a gradient.
    total = mean_sq / 2 + jnp.sqrt(jnp.where(some, root_of, 1))
    return jnp.where(some, 4 / total, jnp.inf)


class _Along(eqx.Module):
    """Two classes in common axes: eigenvalues, how often each counts, and |Dm|^2."""

    gap: Float[Array, " m"]
    other: Float[Array, " m"]
    count: Float[Array, " m"]
    shift_sq: Float[Array, " m"]

    def at(self, snr: Array) -> FreeEntropy:
        noised = 1 + snr * self.other
        x, square = snr * self.gap / noised, snr * self.shift_sq / noised
        mean = jnp.sum(self.count * log_excess(x) + square) / 2
        return FreeEntropy(
            mean, jnp.sum(self.count * x**2 / 2) + jnp.sum(square * (1 + x))
        )

    def weak_snr(self) -> Array:
        return _weak_snr(jnp.sum(self.shift_sq), jnp.sum(self.count * self.gap**2))


class _Across(eqx.Module):
    """Two classes without common axes, in the axes of the second where it has any.

    own, other: eigenvalues, and how often each counts. matrix: covariance of the
    second, None in its own axes.
    """

    gap: Float[Array, "d d"]
    shift: Float[Array, " d"]
    own: tuple[Array, Array]
    other: tuple[Array, Array]
    matrix: Float[Array, "d d"] | None

    def at(self, snr: Array) -> FreeEntropy:
        x, y = self._whitened(snr)
        log_det = lambda values, count: jnp.sum(count * jnp.log1p(snr * values))
        change = log_det(*self.own) - log_det(*self.other)
        mean = (jnp.trace(x) - change + jnp.sum(y**2)) / 2
        turned = jnp.matmul(x, y, precision="highest")
        return FreeEntropy(mean, jnp.sum(x**2) / 2 + jnp.sum(y * (y + turned)))

    def weak_snr(self) -> Array:
        return _weak_snr(jnp.sum(self.shift**2), jnp.sum(self.gap**2))

    def _whitened(self, snr: Array) -> tuple[Array, Array]:
        """C_b^{-1/2} C_a C_b^{-1/2} - I, from the difference, and C_b^{-1/2} d."""
        if self.matrix is None:
            scale = jnp.sqrt(snr / (1 + snr * self.other[0]))
            return scale[:, None] * self.gap * scale[None], scale * self.shift
        eye = jnp.eye(self.shift.size, dtype=self.shift.dtype)
        root = jnp.linalg.cholesky(snr * self.matrix + eye)
        solve = lambda b: jax.scipy.linalg.solve_triangular(root, b, lower=True)
        return solve(solve(snr * self.gap).T), solve(jnp.sqrt(snr) * self.shift)


def _axes(law: GaussianMixture) -> Array | None:
    """Axes of each covariance; None where all are isotropic or diagonal."""
    return getattr(law.covariance, "basis", None)


def _pair(law: GaussianMixture, a: Array, b: Array) -> _Along | _Across:
    shift = law.means[a] - law.means[b]
    axes = _axes(law)
    if axes is not None:
        return _across(law, shift, axes[b], a, b)
    values, count = law.covariance.spectrum()
    # Isotropic: one eigenvalue, d times, and the whole shift along with it.
    square = shift**2 if values.shape[1] == shift.size else jnp.sum(shift**2)[None]
    return _Along(values[a] - values[b], values[b], count[0], square)


def _across(
    law: GaussianMixture, shift: Array, axes: Array, a: Array, b: Array
) -> _Across:
    def side(k: Array) -> tuple[tuple[Array, Array], Array]:
        part = law.covariance.component(k)
        values, count = part.spectrum()
        return (values[0], count[0]), part.dense_sum(values)

    (own, first), (other, second) = side(a), side(b)
    gap = first - second
    if axes.shape[0] != axes.shape[1]:
        return _Across(gap, shift, own, other, second)
    turn = lambda m: jnp.matmul(axes.T, m, precision="highest")
    return _Across(turn(turn(gap).T), turn(shift), own, other, None)


def _single(law: GaussianMixture) -> tuple[Int[np.ndarray, " c"], Int[Array, " c"]]:
    """Classes with one component of positive weight, and these components."""
    if law.num_labels == len(law.means) and not is_concrete(law.log_weights):
        # No label twice, and inside a trace all count as present.
        return np.arange(law.num_labels), jnp.argsort(law.labels)
    if not is_concrete((law.labels, law.log_weights)):
        raise ValueError(
            "`law` has traced labels, some of several components; build it outside "
            "jit, or give every component a class of its own."
        )
    present = np.flatnonzero(np.asarray(law.log_weights) > -np.inf)
    classes, first, sizes = np.unique(
        np.asarray(law.labels)[present], return_index=True, return_counts=True
    )
    alone = sizes == 1
    if alone.sum() < 2:
        raise ValueError(
            f"`law` has {alone.sum()} classes of a single component; it must have at "
            f"least 2: use `measured_general_times` for classes of any kind."
        )
    return classes[alone], jnp.asarray(present[first[alone]])


@eqx.filter_jit
def _times(law: GaussianMixture, pairs: Int[Array, "p 2"]) -> Crossing:
    return jax.lax.map(lambda ab: _time(_pair(law, ab[0], ab[1])), pairs)


def _time(pair: _Along | _Across) -> Crossing:
    weak = jax.lax.stop_gradient(pair.weak_snr())
    some = jnp.isfinite(weak)
    lowest = jnp.log(jnp.where(some, weak, 1)) - BELOW
    steps = jnp.linspace(0, BELOW + ABOVE, SCANNED, dtype=weak.dtype)
    grid = lowest + steps

    def excess(log_snr: Array, pair: _Along | _Across) -> Array:
        found = pair.at(jnp.exp(log_snr))
        # Linear in the log-SNR where signals are weak: E[L] = Var[L] / 2 there.
        return jnp.log(found.mean) - jnp.log(found.variance) / 2

    curve = jax.lax.map(lambda log_snr: excess(log_snr, pair), grid)
    rises = (curve[:-1] < 0) & (curve[1:] >= 0)
    found = some & jnp.any(rises)
    first = jnp.argmax(rises)
    # Where nothing crosses, solve something that does: a masked branch stays finite.
    middle = lowest + steps[first] + 0.5 * steps[1]
    safe = lambda log_snr, pair: jnp.where(
        found, excess(log_snr, pair), log_snr - middle
    )
    root = bracketed_root(safe, grid[first], grid[first + 1], pair)
    # e^{2t} = 1 + 1 / snr.
    return exact(0.5 * jnp.log1p(jnp.exp(-root)), found)
