"""Destinations of the probability flow on a line, exactly."""

from collections.abc import Callable

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from jaxwin._checks import is_concrete
from jaxwin.analysis.fairness._partition import Partition
from jaxwin.analysis.windows._flow import flow_matrix
from jaxwin.channels import Gaussian, Observed
from jaxwin.processes import AbstractProcess
from jaxwin.targets import GaussianMixture, reduce


class FlowLine(eqx.Module):
    """A mixture on a line, and the weights of labels in the model whose flow it is."""

    law: GaussianMixture
    weights: Float[Array, " c"]
    process: AbstractProcess

    def table(
        self, masks: Bool[Array, "h c"], noise: Float[Array, ""]
    ) -> Float[Array, "h h"]:
        """Destinations of groups at one noise."""
        levels = self.process.levels(noise, self.law.means.dtype)
        of_label = flow_matrix(self.law, *levels, weights=self.weights)
        prior = jnp.exp(self.law.log_label_prior())
        rows = masks.astype(prior.dtype)
        product = lambda a, b: jnp.matmul(a, b, precision="highest")
        joint = product(rows * prior[None], product(of_label, rows.T))
        return joint / product(rows, prior)[:, None]

    def tables(
        self, groups: Partition, noises: Float[np.ndarray, " t"]
    ) -> Float[np.ndarray, "t h h"]:
        """Destinations of groups at every noise."""
        masks = jnp.asarray(groups.masks)
        found = [_one(self, masks, noise) for noise in jnp.asarray(noises)]
        return np.asarray(jnp.stack(found), np.float64)

    def curve(
        self, groups: Partition, pick: Float[np.ndarray, "h h"], null: bool
    ) -> Callable[[float], float]:
        """sum_gh pick_gh A_gh as a function of the noise, any number of times."""
        del null  # exact Bayes has no flow
        masks = jnp.asarray(groups.masks)
        at = lambda noise: _one(self, masks, jnp.asarray(noise))
        return lambda noise: float(np.sum(pick * np.asarray(at(noise), np.float64)))


def flow_on_a_line(data: Observed, model: Observed) -> FlowLine | None:
    """The flow of a model of the data's components on a line, with its own weights."""
    law, other, channel = data.law, model.law, data.channel
    if not isinstance(law, GaussianMixture) or not isinstance(channel, Gaussian):
        return None
    if not isinstance(other, GaussianMixture):
        return None
    if not is_concrete(law, other) or not _same_components(law, other):
        return None
    if law.dimension > 1:
        reduction = reduce(law)
        if reduction is None or reduction.target.dimension > 1:
            return None
        law = reduction.target
    return FlowLine(law, jnp.exp(other.log_label_prior()), channel.process)


def _same_components(law: GaussianMixture, other: GaussianMixture) -> bool:
    """Whether two mixtures differ in the weights of their labels only."""
    shares = lambda law: law.log_weights - law.log_label_prior()[law.labels]
    parts = lambda law: (law.means, law.covariance, law.labels)
    if not eqx.tree_equal(parts(law), parts(other)):
        return False
    apart = np.asarray(jnp.exp(shares(law)) - jnp.exp(shares(other)))
    return bool(np.all(np.abs(apart) <= 1e-12))


@eqx.filter_jit
def _one(line: FlowLine, masks: Array, noise: Array) -> Array:
    return line.table(masks, noise)
