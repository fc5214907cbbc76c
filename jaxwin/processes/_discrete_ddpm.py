import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxwin._checks import check_one_of
from jaxwin._typing import AnyArray, ScalarLike, TimesLike
from jaxwin.processes._base import AbstractVariancePreserving
from jaxwin.processes._fields import as_float, like

SCHEDULES = ("linear", "cosine", "scaled_linear")
SPACINGS = ("linspace", "leading", "trailing")


class DiscreteDDPM(AbstractVariancePreserving):
    """The table of a discrete sampler as a process of its own; time is the index.

        abar_i = prod_{j <= i} (1 - beta_j),    alpha = sqrt(abar),    i = 0 ... N - 1.

    Indices are 0-based and -1 is clean: index i is reached by i + 1 noising steps.
    Between whole indices log abar is linear, so f and g^2 are constant on each
    (i - 1, i], and at a whole index i they are those of (i - 1, i] (at -1 those of
    (-1, 0]): g^2 = -2f = -log(1 - beta_i). `time` meets whole indices only to rounding.

    Schedules (the betas do not scale with the number of steps):

        linear:         beta = linspace(1e-4, 0.02, N)
        scaled_linear:  beta = linspace(sqrt(0.00085), sqrt(0.012), N)^2
        cosine:         beta_i = min(1 - F((i + 1)/N)/F(i/N), 0.999),
                        F(s) = cos^2((pi/2) (s + 0.008)/1.008)

    Args:
        num_steps: N, >= 1.
        schedule: Which table.
        betas: A table of one's own instead, all in (0, 1); then neither is read. That
            of the Random Hierarchy Model's code is `linspace(1e-3, 0.1, 200)`.

    Attributes:
        log_alpha_bars: log abar at the indices -1, 0, ..., N - 1.
        log_steps: log(1 - beta_i), i = 0 ... N - 1.
        timesteps: Index in the original table of each index of this one.

    Raises:
        ValueError: Unknown schedule, or `num_steps` < 1, or betas outside of (0, 1).

    References:
        Ho, Jain, Abbeel (2020), arXiv:2006.11239, equation 4 and section 4 (linear).
        Nichol, Dhariwal (2021), arXiv:2102.09672, equation 17 (cosine).
        Rombach et al. (2022), arXiv:2112.10752, released code (scaled_linear).
        Sclocchi, Favero, Wyart (2024), arXiv:2402.16991, released code (hierarchies).
    """

    log_alpha_bars: Float[Array, " n_plus_1"]
    # Beside the sums: their differences have lost digits in float32.
    log_steps: Float[Array, " n"]
    timesteps: Int[Array, " n"]

    def __init__(
        self,
        num_steps: int = 1000,
        schedule: str = "linear",
        *,
        betas: AnyArray | None = None,
    ):
        check_one_of(schedule, SCHEDULES, "schedule")
        if num_steps < 1:
            raise ValueError(f"`num_steps` is {num_steps}; it must be at least 1.")
        # On the host in float64, whatever the precision of the arrays.
        if betas is None:
            table = _betas(num_steps, schedule)
        else:
            table = np.asarray(betas, float)
            one = table.ndim == 1 and table.size > 0
            if not (one and np.all((table > 0) & (table < 1))):
                raise ValueError(
                    f"`betas` of shape {table.shape} must be a list of numbers in "
                    f"(0, 1), one for each noising step."
                )
        log_steps = np.log1p(-table)
        self.log_steps = jnp.asarray(log_steps)
        self.log_alpha_bars = jnp.asarray(np.append(0.0, np.cumsum(log_steps)))
        self.timesteps = jnp.arange(table.size)

    @property
    def num_steps(self) -> int:
        """Number N of noising steps."""
        return self.log_steps.size

    @property
    def domain(self) -> tuple[ScalarLike, ScalarLike]:
        """Index from -1 (clean) to N - 1."""
        return -1.0, float(self.num_steps - 1)

    def respaced(
        self,
        num_steps: int,
        spacing: str = "leading",
    ) -> "DiscreteDDPM":
        """The coarser table that visits `num_steps` of the indices of this one.

        Its own time is its own index -1, 0, ..., num_steps - 1, its abar are those of
        the chosen indices, which are kept in `timesteps` (rising). With N indices here
        and n asked for, as diffusers chooses them (`steps_offset` = 0):

            linspace:  round(linspace(0, N - 1, n)), both ends included
            leading:   0, r, 2r, ..., (n - 1) r with r = N // n; the last is left out
            trailing:  round(N, N - N/n, N - 2N/n, ...) - 1, the last included

        Raises:
            ValueError: Unknown spacing, or not 1 <= num_steps <= N.

        References:
            Nichol, Dhariwal (2021), arXiv:2102.09672, section 4 (respacing).
            Lin et al. (2024), arXiv:2305.08891, table 2 (the three spacings).
        """
        check_one_of(spacing, SPACINGS, "spacing")
        if not 1 <= num_steps <= self.num_steps:
            raise ValueError(
                f"`num_steps` is {num_steps}; it must lie between 1 and the "
                f"{self.num_steps} steps of this table."
            )
        chosen = _chosen(self.num_steps, num_steps, spacing)
        nodes = jnp.append(
            self.log_alpha_bars[:1], self.log_alpha_bars[1:][chosen], axis=0
        )
        return eqx.tree_at(
            lambda table: (table.log_alpha_bars, table.log_steps, table.timesteps),
            self,
            (nodes, jnp.diff(nodes), self.timesteps[chosen]),
        )

    def log_alpha(self, t: TimesLike) -> Float[Array, "..."]:
        """Half of log abar, linear between whole indices and exact there."""
        t = as_float(t)
        k = self._interval(t)
        below, above = self._nodes(k, t)
        step, part = like(self.log_steps[k], t), t + 1 - k.astype(t.dtype)
        near = part < 0.5
        return 0.5 * jnp.where(near, below + part * step, above - (1 - part) * step)

    def time_of_log_alpha(self, log_alpha: TimesLike) -> Float[Array, "..."]:
        """Index at which log abar = 2 log alpha, within its interval by proportion."""
        value = 2 * as_float(log_alpha)
        falling = -like(self.log_alpha_bars, value)
        k = jnp.searchsorted(falling[1:], -value).clip(0, self.num_steps - 1)
        below, above = self._nodes(k, value)
        step = like(self.log_steps[k], value)
        near = below - value < value - above
        last = k.astype(value.dtype)
        # From the nearer node: exact at both ends of the interval.
        part = jnp.where(near, value - below, value - above) / step
        return jnp.where(near, last - 1 + part, last + part)

    def drift_coefficient(self, t: TimesLike) -> Float[Array, "..."]:
        """Drift f = log(1 - beta_i)/2 on (i - 1, i], per index."""
        t = as_float(t)
        return 0.5 * like(self.log_steps[self._interval(t)], t)

    def alpha_rate(self, t: TimesLike) -> Float[Array, "..."]:
        """Rate d alpha/di = f alpha, from the left at whole indices."""
        return self.drift_coefficient(t) * self.alpha(t)

    def _interval(self, t: Float[Array, "..."]) -> Int[Array, "..."]:
        """The i of the interval (i - 1, i] that holds t."""
        last = jnp.clip(jnp.ceil(t), 0, self.num_steps - 1)
        return last.astype(jnp.int32)

    def _nodes(
        self, k: Int[Array, "..."], t: Float[Array, "..."]
    ) -> tuple[Float[Array, "..."], Float[Array, "..."]]:
        """Values of log abar at k - 1 and at k."""
        return like(self.log_alpha_bars[k], t), like(self.log_alpha_bars[k + 1], t)


def _betas(num_steps: int, schedule: str) -> np.ndarray:
    if schedule == "linear":
        return np.linspace(1e-4, 0.02, num_steps)
    if schedule == "scaled_linear":
        return np.linspace(np.sqrt(0.00085), np.sqrt(0.012), num_steps) ** 2
    # 1 - cos^2(b)/cos^2(a), without the cancellation.
    angle = 0.5 * np.pi * (np.arange(num_steps + 1) / num_steps + 0.008) / 1.008
    a, b = angle[:-1], angle[1:]
    return np.minimum(np.sin(b - a) * np.sin(a + b) / np.cos(a) ** 2, 0.999)


def _chosen(available: int, wanted: int, spacing: str) -> np.ndarray:
    """Rising indices of the table that a respaced one visits."""
    if spacing == "linspace":
        return np.linspace(0, available - 1, wanted).round().astype(int)
    if spacing == "leading":
        return np.arange(wanted) * (available // wanted)
    # Ties round as they come out of `arange`, which may hold one entry too many.
    falling = np.arange(available, 0, -available / wanted)[:wanted]
    return falling.round().astype(int)[::-1] - 1
