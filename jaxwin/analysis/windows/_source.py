"""What is noised: a law on a clock, or anything observed; and how it is drawn."""

from typing import Protocol, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Int

from jaxwin._checks import BadInput
from jaxwin._numerics import segment_logsumexp
from jaxwin._typing import Key
from jaxwin.analysis.windows._directions import Directions, directions, seen
from jaxwin.channels import AbstractObserved, Gaussian, Observed
from jaxwin.processes import AbstractProcess, OrnsteinUhlenbeck
from jaxwin.targets import AbstractLabelledTarget, GaussianMixture, reduce

Source = AbstractObserved | AbstractLabelledTarget


@runtime_checkable
class Drawn(Protocol):
    """What gives a draw's label and its exact label posterior at every noise."""

    def soft_labels(
        self, key: Key, noises: Float[Array, " t"]
    ) -> tuple[Int[Array, ""], Float[Array, "t c"]]:
        """As `AbstractObserved.soft_labels`."""
        ...


class Whitened(eqx.Module):
    """Components N(c_k, I) of a mixture of one covariance, at each of some noises.

    With y = c_k + z, log p(j | y) = log w_j - |c_j - c_k|^2 / 2 + (c_j - c_k) . z + ...
    in r <= K - 1 dimensions, whatever d and whatever the covariance. One z serves all
    noises.
    """

    log_weights: Float[Array, " k"]
    labels: Int[Array, " k"]
    centres: Float[Array, "t k r"]
    num_labels: int = eqx.field(static=True)

    def soft_labels(
        self, key: Key, noises: Float[Array, " t"]
    ) -> tuple[Int[Array, ""], Float[Array, "t c"]]:
        """A draw's label, and its log posterior at the noises it was made for."""
        del noises
        choice_key, normal_key = jr.split(key)
        own = jr.categorical(choice_key, self.log_weights)
        z = jr.normal(normal_key, self.centres.shape[2:], self.centres.dtype)
        apart = self.centres - self.centres[:, own][:, None]
        along = jnp.matmul(apart, z, precision="highest")
        log_p = self.log_weights[None] + along - 0.5 * jnp.sum(apart**2, axis=2)
        log_p = jax.nn.log_softmax(log_p, axis=1)
        group = lambda row: segment_logsumexp(row, self.labels, self.num_labels)
        return self.labels[own], jax.vmap(group)(log_p)


def as_observed(source: Source, process: AbstractProcess | None) -> AbstractObserved:
    """The source seen through its channel; a law on `process`, OU if left out.

    Raises:
        BadInput: A process is given for what has its own channel.
    """
    if isinstance(source, AbstractLabelledTarget):
        return Observed(source, Gaussian(process or OrnsteinUhlenbeck()))
    if process is not None:
        raise BadInput(
            "`process` is given, but `source` is observed through a channel of its "
            "own: leave one of them out."
        )
    return source


def law_and_clock(
    observed: AbstractObserved,
) -> tuple[AbstractLabelledTarget, AbstractProcess] | None:
    """The law and the process of what is seen through Gaussian noise."""
    if isinstance(observed, Observed) and isinstance(observed.channel, Gaussian):
        return observed.law, observed.channel.process
    return None


def drawn(observed: AbstractObserved, noise: Float[np.ndarray, " t"]) -> Drawn:
    """Draws of the same labels in as few numbers as the law allows.

    A mixture of one covariance is drawn in the directions of its means, one that
    reduces (`targets.reduce`) in those in which it is not Gaussian.
    """
    given = law_and_clock(observed)
    if given is None:
        return observed
    law, clock = given
    if not isinstance(law, GaussianMixture):
        return observed
    alphas, sigmas = clock.levels(jnp.asarray(noise), law.means.dtype)
    within = directions(law)
    # At no noise point masses have limits, which only the law knows.
    lowest = np.min(law.covariance.spectrum()[0]), np.min(sigmas)
    if within.one_covariance and max(lowest) > 0:
        return _whitened(law, within, alphas, sigmas)
    reduction = reduce(law)
    if reduction is None:
        return observed
    return Observed(reduction.target, Gaussian(clock))


@eqx.filter_jit
def _whitened(
    law: GaussianMixture, within: Directions, alphas: Array, sigmas: Array
) -> Whitened:
    found = jax.lax.map(lambda level: seen(law, within, *level), (alphas, sigmas))
    return Whitened(
        found.log_weights[0], found.labels[0], found.centres, law.num_labels
    )
