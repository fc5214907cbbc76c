"""Two mixtures seen on one line: averages over one of what the other says."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from jaxwin._checks import is_concrete
from jaxwin.analysis.fairness._partition import Partition
from jaxwin.analysis.windows._directions import Directions, directions
from jaxwin.analysis.windows._expectation import expectation
from jaxwin.channels import AbstractObserved, Gaussian, Observed
from jaxwin.processes import AbstractProcess
from jaxwin.targets import GaussianMixture
from jaxwin.targets._covariance import AbstractCovariance, Isotropic

LEAST = 1e-12


class LinePair(eqx.Module):
    """Data and model as one mixture of twice the labels, those of the data first.

    With s its label posterior, E_data f(r, q) = E[2 s_data f(s | data, s | model)], the
    conditional posteriors being those of the two laws.
    """

    law: GaussianMixture
    within: Directions
    process: AbstractProcess
    paired: bool = eqx.field(static=True)

    def joint(
        self, masks: Bool[Array, "h c"], noise: Float[Array, ""]
    ) -> tuple[Float[Array, "h h"], Float[Array, "h h"], Float[Array, ""]]:
        """E_data[r_g q_h], E_data[r_g r_h], and how far weights are off."""
        levels = self.process.levels(noise, self.law.means.dtype)
        places = expectation(self.law, *levels, within=self.within)
        count = masks.shape[1]
        log_p = places.log_posterior
        start, scale = jnp.exp(log_p[:, :count]), 2.0 if self.paired else 1.0
        own = jax.nn.softmax(log_p[:, :count], axis=1)
        theirs = jax.nn.softmax(log_p[:, count:], axis=1) if self.paired else own
        group = lambda p: jnp.matmul(p, masks.T.astype(p.dtype), precision="highest")
        weighted = group(scale * places.weight[:, None] * start).T
        average = lambda p: jnp.matmul(weighted, group(p), precision="highest")
        prior = group(scale * jnp.exp(self.law.log_label_prior()[None, :count]))[0]
        error = jnp.max(jnp.abs(weighted.sum(axis=1) - prior))
        return average(theirs), average(own), error

    def tables(
        self, masks: Bool[Array, "h c"], noises: Float[Array, " t"]
    ) -> tuple[tuple[np.ndarray, np.ndarray], float]:
        """E_data[r_g q_h] and E_data[r_g r_h] at every noise, and their error.

        The error is that of the rule on the weights of the groups, which are known.
        """
        # One by one: roots between the noises then need no program of their own.
        found = [_one(self, masks, noise) for noise in noises]
        model, null, errors = (
            np.asarray(jnp.stack(parts), np.float64)
            for parts in zip(*found, strict=True)
        )
        return (model, null), max(float(np.max(errors)), LEAST)

    def curve(
        self, groups: Partition, pick: Float[np.ndarray, "h h"], null: bool
    ) -> Callable[[float], float]:
        """sum_gh pick_gh A_gh as a function of the noise, any number of times.

        A is that of the model, or of exact Bayes where `null`.
        """
        own = np.diag(pick)
        slopes = (pick - own[:, None]) / groups.weight[:, None]
        rise = np.where(np.eye(own.size, dtype=bool), 0.0, slopes)
        masks = jnp.asarray(groups.masks)

        def at(noise: float) -> float:
            table = _one(self, masks, jnp.asarray(noise))[int(null)]
            return float(own.sum() + np.sum(rise * np.asarray(table, np.float64)))

        return at


@eqx.filter_jit
def _one(pair: LinePair, masks: Array, noise: Array) -> tuple[Array, ...]:
    return pair.joint(masks, noise)


def on_a_line(
    data: AbstractObserved, model: AbstractObserved | None
) -> LinePair | None:
    """The pair, where both are mixtures that differ along one line on one channel."""
    laws, channels = [], []
    for way in (data,) if model is None else (data, model):
        if not isinstance(way, Observed) or not isinstance(way.channel, Gaussian):
            return None
        if not isinstance(way.law, GaussianMixture) or not is_concrete(way.law):
            return None
        laws.append(way.law)
        channels.append(way.channel)
    law = _joined(laws)
    if law is None or not eqx.tree_equal(*channels[:1], *channels):
        return None
    within = directions(law)
    if within.dimension > 1:
        return None
    return LinePair(law, within, channels[0].process, len(laws) > 1)


def _joined(laws: list[GaussianMixture]) -> GaussianMixture | None:
    """One mixture, each law with its own labels and an equal share of the weight."""
    if len(laws) == 1:
        return laws[0]
    first, second = laws
    covariance = _both(first.covariance, second.covariance)
    fit = first.dimension == second.dimension
    fit &= first.means.dtype == second.means.dtype
    if covariance is None or not fit:
        return None
    join = lambda a, b: jnp.concatenate([a, b])
    log_weights = join(first.log_weights, second.log_weights) - np.log(2)
    labels = join(first.labels, second.labels + first.num_labels)
    count = first.num_labels + second.num_labels
    means = join(first.means, second.means)
    return GaussianMixture(means, covariance, log_weights, labels, count)


def _both(a: AbstractCovariance, b: AbstractCovariance) -> AbstractCovariance | None:
    if isinstance(a, Isotropic) and isinstance(b, Isotropic):
        each = [np.asarray(c.spectrum()[0][:, 0]) for c in (a, b)]
        variances = np.concatenate(each)
        if np.all(variances == variances[0]):
            variances = variances[:1]
        return Isotropic(jnp.asarray(variances), a.dimension, sum(map(len, each)))
    shapes = [[leaf.shape[1:] for leaf in jax.tree.leaves(c)] for c in (a, b)]
    if type(a) is not type(b) or isinstance(a, Isotropic) or shapes[0] != shapes[1]:
        return None
    return jax.tree.map(lambda x, y: jnp.concatenate([x, y]), a, b)
