"""A discrete law of two symbols as points of R^n with coordinates -1 and +1."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from jaxwin.targets._base import Moments
from jaxwin.targets._discrete import AbstractDiscreteLaw
from jaxwin.targets._discrete_target import AbstractDiscreteTarget


class Spins(AbstractDiscreteTarget):
    r"""The points x0 = a of a discrete law of two symbols, spins a_i = -1 and +1.

    Site i is in the field h_i = alpha x_i / sigma^2; see `AbstractDiscreteTarget`.

    Args:
        law: A discrete law with two symbols; symbol 0 is spin -1, symbol 1 is spin +1.

    Raises:
        ValueError: The law has another number of symbols.

    References:
        Biroli & Mezard, arXiv:2306.03518 (Curie-Weiss); exact for any law.
    """

    law: AbstractDiscreteLaw

    def __check_init__(self):
        if self.law.num_symbols != 2:
            raise ValueError(
                f"`law` has {self.law.num_symbols} symbols; spins have two: wrap a law "
                f"of two symbols, or take `OneHot`."
            )

    @property
    def vectors(self) -> Float[np.ndarray, "q w"]:
        """Spins -1 and +1."""
        return np.array([[-1.0], [1.0]])

    def moments(self) -> Moments:
        """Mean and covariance of the spins."""
        dtype = self.law.log_label_prior().dtype
        return self.law.moments(jnp.array([-1, 1], dtype))
