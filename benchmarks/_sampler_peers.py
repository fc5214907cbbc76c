"""Peers of the samplers: azula, diffusers, k-diffusion, torchdiffeq, flow_matching.

Fixed-step peers move y = x / alpha from one rho = sigma / alpha to a lower one, with
the exact denoiser and equal steps of log rho. Each adapter says which clock its package
takes; none of them changes the method.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from _measure import peer

# y at the high rho and evaluations to y at the low one.
Solver = Callable[[np.ndarray, int], np.ndarray]


class Law(NamedTuple):
    """A mixture of isotropic Gaussians, in float32."""

    means: np.ndarray
    variances: np.ndarray
    weights: np.ndarray


def fixed_step_runs(law: Law, high: float, low: float) -> dict[str, Solver]:
    """Every peer that is there, from rho = `high` to `low`."""
    if (torch := peer("torch")) is None:
        return {}
    torch.set_num_threads(1)
    denoise = _denoiser(torch, law)
    levels = lambda steps: np.geomspace(high, low, steps + 1)
    found = {
        **_azula(denoise, high, low),
        **_diffusers(denoise, levels),
        **_k_diffusion(denoise, levels),
    }
    return {name: _without_gradients(torch, run) for name, run in found.items()}


def _without_gradients(torch, run: Callable) -> Solver:
    def solver(y: np.ndarray, evaluations: int) -> np.ndarray:
        with torch.no_grad():
            return run(torch.from_numpy(y), evaluations).numpy()

    return solver


def _denoiser(torch, law: Law) -> Callable:
    """E[x0 | y] where y = x0 + rho z, for components of one variance."""
    means, weights = torch.from_numpy(law.means), torch.from_numpy(law.weights)
    variance = float(law.variances[0])

    def denoise(y, rho: float):
        total = variance + rho**2
        bias = torch.log(weights) - (means**2).sum(1) / (2 * total)
        mean = torch.softmax(torch.addmm(bias, y, means.T / total), 1) @ means
        gain = variance / total
        return torch.add(gain * y, mean, alpha=1 - gain)

    return denoise


def _azula(denoise: Callable, high: float, low: float) -> dict[str, Callable]:
    """Its time is ours to choose: log rho, which it divides evenly; alpha = 1."""
    torch, parts, samplers = (
        peer("torch"),
        peer("azula.denoise"),
        peer("azula.sample"),
    )
    if parts is None or samplers is None:
        return {}

    class Exact(parts.Denoiser):
        schedule = staticmethod(lambda t: (torch.ones_like(t), torch.exp(t)))

        def forward(self, x_t, t, **kwargs):
            return parts.DiracPosterior(denoise(x_t, float(torch.exp(t))))

    def run(kind, cost: int = 1, **options) -> Callable:
        def solve(y, evaluations):
            ends = {"start": float(np.log(high)), "stop": float(np.log(low))}
            # Times in float64, as every peer has them.
            grid = {"steps": evaluations // cost, "dtype": torch.float64}
            sampler = kind(Exact(), silent=True, **ends, **grid, **options)
            return sampler(y)

        return solve

    return {
        "azula DDIM": run(samplers.DDIMSampler),
        "azula Heun": run(samplers.HeunSampler, 2),
        "azula zAB 3": run(samplers.zABSampler, order=3),
        "azula zEAB 3": run(samplers.zEABSampler, order=3),
        "azula xEAB 2": run(samplers.xEABSampler, order=2),
        "azula xEAB 3": run(samplers.xEABSampler, order=3),
        "azula REAB 3": run(samplers.REABSampler, order=3),
    }


def _diffusers(denoise: Callable, levels: Callable) -> dict[str, Callable]:
    """Variance preserving; its own grids end twice at the last rho, so ours is set."""
    torch, package = peer("torch"), peer("diffusers")
    if package is None:
        return {}
    # Nothing is made easier at the end: the grid stops above rho = 0.
    common = {
        "prediction_type": "sample",
        "final_sigmas_type": "sigma_min",
        "lower_order_final": False,
    }

    def run(kind: str, **options) -> Callable:
        def solve(y, evaluations):
            scheduler = getattr(package, kind)(**common, **options)
            scheduler.set_timesteps(evaluations)
            grid = levels(evaluations)
            scheduler.sigmas = torch.from_numpy(grid)
            scheduler.timesteps = torch.arange(evaluations).flip(0)
            x = y / float(np.hypot(1, grid[0]))
            for rho, t in zip(grid[:-1], scheduler.timesteps, strict=True):
                clean = denoise(x * float(np.hypot(1, rho)), float(rho))
                x = scheduler.step(clean, t, x, return_dict=False)[0]
            return x.float() * float(np.hypot(1, grid[-1]))

        return solve

    dpm, unipc = "DPMSolverMultistepScheduler", "UniPCMultistepScheduler"
    return {
        "diffusers DPM-Solver++ 2M": run(dpm, solver_order=2),
        "diffusers DPM-Solver++ 3M": run(dpm, solver_order=3),
        "diffusers UniPC 3": run(unipc, solver_order=3),
    }


def _k_diffusion(denoise: Callable, levels: Callable) -> dict[str, Callable]:
    """Works in y and rho, as we call it."""
    torch, sampling = peer("torch"), peer("k_diffusion.sampling")
    if sampling is None:
        return {}
    model = lambda y, rho, **_: denoise(y, float(rho[0]))

    def run(kind: str, cost: int = 1) -> Callable:
        def solve(y, evaluations):
            grid = torch.from_numpy(levels(evaluations // cost)).float()
            return getattr(sampling, kind)(model, y, grid, disable=True)

        return solve

    return {
        "k-diffusion DPM-Solver++ 2M": run("sample_dpmpp_2m"),
        "k-diffusion Heun": run("sample_heun", 2),
    }


class Adaptive(NamedTuple):
    """Ends of adaptive solves; evaluations and rejected steps of each, or of all."""

    x: np.ndarray
    evaluations: np.ndarray
    rejected: np.ndarray | None


def diffrax_adaptive(
    velocity: Callable, start: float, end: float, tolerance: float
) -> dict[str, Callable[[np.ndarray], Adaptive]]:
    """Tsit5 as its documentation writes it; `velocity(x, t)` of points (..., 1)."""
    if (diffrax := peer("diffrax")) is None:
        return {}

    def solve(x, **options):
        found = diffrax.diffeqsolve(
            diffrax.ODETerm(lambda t, y, _: velocity(y, t)),
            diffrax.Tsit5(),
            start,
            end,
            None,
            x,
            stepsize_controller=diffrax.PIDController(tolerance, tolerance, **options),
            max_steps=100_000,
        )
        stats = found.stats
        # Six a step, its first stage being the last one of the step before.
        tried, rejected = stats["num_steps"], stats["num_rejected_steps"]
        return Adaptive(found.ys[0], 1 + 6 * tried, rejected)

    largest = lambda y: jnp.max(jnp.abs(y))
    return {
        "diffrax, vmap": jax.jit(jax.vmap(solve)),
        "diffrax, one state": jax.jit(solve),
        "diffrax, one state, largest error": jax.jit(lambda x: solve(x, norm=largest)),
    }


def torchdiffeq_adaptive(
    velocity: Callable, start: float, end: float, tolerance: float
) -> dict[str, Callable[[np.ndarray], Adaptive]]:
    """dopri5 on one state; `velocity(torch, x, t)`. Rejected steps are not reported."""
    torch, package = peer("torch"), peer("torchdiffeq")
    if torch is None or package is None:
        return {}
    torch.set_num_threads(1)

    def run(x: np.ndarray, **options) -> Adaptive:
        count = 0

        def field(t, x):
            nonlocal count
            count += 1
            return velocity(torch, x, t)

        times = torch.tensor([start, end], dtype=torch.float64)
        # Else it steps past the end, where sigma^2 < 0, and interpolates back.
        options["step_t"] = times[-1:]
        with torch.no_grad():
            x, bounds = torch.from_numpy(x), {"rtol": tolerance, "atol": tolerance}
            ends = package.odeint(
                field, x, times, method="dopri5", options=options, **bounds
            )
        return Adaptive(ends[-1].numpy(), np.array(count), None)

    largest = lambda x: x.abs().max()
    return {
        "torchdiffeq dopri5, one state": run,
        "torchdiffeq dopri5, largest error": lambda x: run(x, norm=largest),
    }


class LogDensities(NamedTuple):
    """Log-densities and what they took."""

    value: np.ndarray
    evaluations: np.ndarray


def diffrax_likelihood(
    velocity: Callable, tolerance: float, exact: bool
) -> dict[str, Callable[[np.ndarray], LogDensities]]:
    """As its tutorial on continuous flows writes it; u from 0 (data) to 1 (noise)."""
    if (diffrax := peer("diffrax")) is None:
        return {}

    def one(x, sign):
        def field(u, state, _):
            v, pull = jax.vjp(lambda y: velocity(y, u), state[0])
            if exact:
                return v, jnp.trace(jax.vmap(pull)(jnp.eye(x.size))[0])
            return v, pull(sign)[0] @ sign

        found = diffrax.diffeqsolve(
            diffrax.ODETerm(field),
            diffrax.Tsit5(),
            0.0,
            1.0,
            None,
            (x, jnp.zeros(())),
            stepsize_controller=diffrax.PIDController(tolerance, tolerance),
        )
        end, spread = found.ys[0][0], found.ys[1][0]
        noise = -0.5 * (end @ end + x.size * jnp.log(2 * jnp.pi))
        return LogDensities(noise + spread, 1 + 6 * found.stats["num_steps"])

    @jax.jit
    def run(xs):
        signs = jax.random.rademacher(jax.random.key(2), xs.shape, xs.dtype)
        return jax.vmap(one)(xs, signs)

    return {"diffrax by hand": run}


def flow_matching_likelihood(
    law: Law, tolerance: float, exact: bool
) -> dict[str, Callable[[np.ndarray], LogDensities]]:
    """Its solver with dopri5; it counts u = 0 noise, 1 data, and flows to the data."""
    torch, package = peer("torch"), peer("flow_matching.solver")
    if torch is None or package is None:
        return {}
    torch.set_num_threads(1)
    variances, logs = law.variances, torch.from_numpy(np.log(law.weights))
    seen = Law(torch.from_numpy(law.means), variances, logs)
    softmax = lambda logits: torch.softmax(logits, -1)

    def run(xs: np.ndarray) -> LogDensities:
        count = 0

        def model(x, t):
            nonlocal count
            count += 1
            return -interpolant_velocity(softmax, seen, x, 1 - t)

        torch.manual_seed(0)
        size = xs.shape[1] * np.log(2 * np.pi)
        value = package.ODESolver(velocity_model=model).compute_likelihood(
            x_1=torch.from_numpy(xs.copy()),
            log_p0=lambda x: -0.5 * (x.square().sum(1) + size),
            step_size=None,
            method="dopri5",
            atol=tolerance,
            rtol=tolerance,
            exact_divergence=exact,
        )[1]
        return LogDensities(value.detach().numpy(), np.array(count))

    return {"flow_matching": run}


def interpolant_velocity(softmax: Callable, law: Law, x, u):
    """dx/du = E[z - x0 | x] of x = (1 - u) x0 + u z, for jax or torch; any u in [0, 1].

    `law` holds arrays of that package, its weights as logarithms; one variance.
    """
    means, variance, alpha = law.means, float(law.variances[0]), 1 - u
    total = alpha**2 * variance + u**2
    # |x|^2 falls out of the softmax.
    bias = law.weights - alpha**2 * (means**2).sum(1) / (2 * total)
    mean = softmax(x @ (alpha / total * means.T) + bias) @ means
    return (u - alpha * variance) / total * (x - alpha * mean) - mean
