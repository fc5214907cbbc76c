"""A discrete law as one-hot points: coordinate (i, a) is 1 where site i is symbol a."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from jaxwin.targets._base import Moments
from jaxwin.targets._discrete import AbstractDiscreteLaw, psd_root
from jaxwin.targets._discrete_target import AbstractDiscreteTarget

# A dense covariance of more coordinates does not fit.
MOST_COORDINATES = 8192


class OneHot(AbstractDiscreteTarget):
    r"""The one-hot points of the words of a discrete law, site after site.

    E[x0 | x] are the posterior marginals of the symbols; see `AbstractDiscreteTarget`.

    Args:
        law: Any discrete law.

    References:
        arXiv:2402.16991, section on diffusion of the Random Hierarchy Model.
    """

    law: AbstractDiscreteLaw

    @property
    def vectors(self) -> Float[np.ndarray, "q w"]:
        """Unit vectors."""
        return np.eye(self.law.num_symbols)

    def moments(self) -> Moments:
        """Mean and covariance: marginals, and how they respond to evidence.

        Raises:
            ValueError: More than 8192 coordinates; ask the law for `moments(values)`.
        """
        if self.dimension > MOST_COORDINATES:
            raise ValueError(
                f"a covariance of {self.dimension} coordinates does not fit; take "
                f"`law.moments(values)`, one coordinate a site."
            )
        n, q = self.law.num_sites, self.law.num_symbols
        nothing = jnp.zeros(n * q, self.law.log_label_prior().dtype)
        mean = lambda logits: self.law.marginals(logits.reshape(n, q)).reshape(-1)
        covariance = jax.jacfwd(mean)(nothing)
        zero = jnp.zeros((), nothing.dtype)
        return Moments(mean(nothing), psd_root(covariance), zero)
