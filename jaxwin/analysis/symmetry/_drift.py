"""Named drifts of the backward dynamics: each has critical times of its own."""

from typing import TypeAlias

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxwin._checks import check_one_of, is_concrete
from jaxwin._numerics import as_float
from jaxwin._typing import ScalarLike, TimesLike
from jaxwin.processes import AbstractProcess

NAMES = ("reverse_sde", "flow", "density")


class Drift(eqx.Module):
    """The drift -grad u of a backward dynamics, u a potential.

    For a process dx = f x dt + g dW, the family that all end in p0 runs backward with

        u / g^2 = pull (f / g^2) |x|^2 / 2 - push log p_t(x),

        reverse SDE       pull 1, push 1
        probability flow  pull 1, push 1/2
        eta family        pull 1, push (1 + eta^2) / 2
        density           pull 0, push 1     (Langevin at a fixed noise: modes of p_t)

    References:
        Raya & Ambrogioni (2023), arXiv:2305.19693, section 3 (the reverse SDE).
        Song et al. (2021), arXiv:2011.13456, appendix D (the flow).
    """

    pull: Float[Array, ""]
    push: Float[Array, ""]
    name: str = eqx.field(static=True)

    def unnamed(self) -> "Drift":
        """The same without its name: all drifts then share one program."""
        return Drift(self.pull, self.push, "")

    def gain(
        self, sigma: Float[Array, "..."], ratio: Float[Array, "..."]
    ) -> Float[Array, "..."]:
        """Gain kappa = 1 / (1 + sigma^2 (f / g^2) pull / push).

        The drift vanishes where x = kappa alpha E[x0 | x]. On variance-preserving
        clocks 2 / (1 + alpha^2) for the reverse SDE, 1 / alpha^2 for the flow; 1 for
        the density. `ratio` is f / g^2.
        """
        return 1 / (1 + sigma**2 * ratio * (self.pull / self.push).astype(sigma.dtype))


DriftLike: TypeAlias = Drift | str


def named_drift(
    name: DriftLike = "reverse_sde", *, eta: ScalarLike | None = None
) -> Drift:
    """A drift by its name.

    Args:
        name: "reverse_sde", "flow", "density", or "eta" with `eta`; a `Drift` is
            handed through.
        eta: Noise of the eta family, >= 0: 0 is the flow, 1 the reverse SDE.

    Raises:
        BadInput: An unknown name.
        ValueError: `eta` is missing, negative, or given without "eta".
    """
    if isinstance(name, Drift):
        return name
    check_one_of(name, (*NAMES, "eta"), "drift")
    if (eta is None) == (name == "eta"):
        raise ValueError("`eta` goes with the drift 'eta', and with no other.")
    if eta is None:
        pull, push = float(name != "density"), 0.5 if name == "flow" else 1.0
        return Drift(jnp.asarray(pull), jnp.asarray(push), name)
    if is_concrete(eta) and not eta >= 0:
        raise ValueError(f"`eta` is {eta}; it must be >= 0.")
    push = (1 + jnp.asarray(eta) ** 2) / 2
    return Drift(jnp.ones_like(push), push, name)


def drift_ratio(process: AbstractProcess, t: TimesLike) -> Float[Array, "..."]:
    """Ratio f / g^2 of a process: -1/2 on variance-preserving clocks, 0 on exploding.

    Not defined at a noisy end with alpha = 0 and a clean end at which the clock stands
    still.
    """
    t = as_float(t)
    return process.drift_coefficient(t) / process.diffusion_sq(t)
