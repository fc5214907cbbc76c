"""The advice on the clocks of samplers: schedule.json, ready for diffusers.

Nothing here imports diffusers: an entry is the name of a scheduler, the configuration
it assumes, and the list to hand to its `set_timesteps`. Entries were checked against
diffusers 0.42.1, and a test hands each to the real class.
"""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from jaxwin.analysis import Crossing
from jaxwin.processes import DiscreteDDPM
from jaxwin.report._advice import Advice

# Tables of 1000 steps: name here, and configuration in diffusers.
TABLES: dict[str, dict[str, Any]] = {
    "linear": {"beta_schedule": "linear", "beta_start": 1e-4, "beta_end": 0.02},
    "scaled_linear": {
        "beta_schedule": "scaled_linear",
        "beta_start": 0.00085,
        "beta_end": 0.012,
    },
    "cosine": {"beta_schedule": "squaredcos_cap_v2"},
}
NUM_TRAIN = 1000

# Schedulers whose `set_timesteps` takes whole timesteps of the table. Distilled
# models (LCM, TCD, consistency models) take a list too, but know no timesteps
# other than their own.
WITH_TIMESTEPS: dict[str, dict[str, Any]] = {
    "DDPMScheduler": {},
    "DDPMParallelScheduler": {},
    "EulerDiscreteScheduler": {},
    "HeunDiscreteScheduler": {},
    "DPMSolverMultistepScheduler": {},
    "DPMSolverSinglestepScheduler": {"lower_order_final": True},
}

EDM_RHO = 7.0

# DDIMScheduler takes no list of timesteps: its step, written out. `loop` is an entry
# of `ddim_loop`, `model(x, t)` predicts the noise, x is noise at the first timestep.
DDIM_LOOP = """\
def ddim(model, x, loop):
    levels = zip(
        loop["timesteps"], loop["alphas_cumprod"], loop["previous_alphas_cumprod"]
    )
    for t, now, then in levels:
        noise = model(x, t)
        clean = (x - (1 - now) ** 0.5 * noise) / now**0.5
        x = then**0.5 * clean + (1 - then) ** 0.5 * noise
    return x
"""


def schedule(advice: Advice) -> dict[str, Any]:
    """The advice as plain numbers on every clock, at equal log-SNR.

    `late_start`, `guidance_interval` and `grid`: OU time, log-SNR, EDM sigma, flow u
    (u = 1 is noise) and timesteps of the three tables. `clipped` says that a noise
    lies beyond a table's ends and stands at its end; noises of one timestep are merged,
    so that a list may be shorter than the grid. All of it is in units of the data as
    diagnosed: a model of other units has its noises scaled alike.

    `diffusers`: one entry for each scheduler that takes a list of its own, with
    `argument` and `values` for `set_timesteps` ("tensor": hand over a torch tensor). A
    run along it begins with noise of its first value.
    `ddim_loop`: for each table what `DDIM_LOOP` runs along.
    """
    log_snr = np.asarray(advice.grid.log_snr, np.float64)
    tables = {name: DiscreteDDPM(NUM_TRAIN, name) for name in TABLES}
    steps = {name: _timesteps(table, log_snr) for name, table in tables.items()}
    return {
        "late_start": _moment(advice.late_start, tables, at_least=True),
        "guidance_interval": {
            "low": _moment(advice.guidance_low, tables),
            "high": _moment(advice.guidance_high, tables),
        },
        "grid": _clocks(log_snr) | {"ddpm_timesteps": steps},
        "rules": {
            "late_start": advice.late_start_rule,
            "guidance_interval": advice.guidance_rule,
            "grid": advice.grid_rule,
        },
        "diffusers": _entries(log_snr, steps),
        "ddim_loop": {
            name: _loop(table, steps[name]["timesteps"])
            for name, table in tables.items()
        },
    }


def _moment(
    crossing: Crossing | None, tables: dict[str, DiscreteDDPM], at_least: bool = False
) -> dict[str, Any] | None:
    """One noise on every clock; None where there is none.

    `at_least` asks for timesteps of no less noise, where the table has them.
    """
    if crossing is None or not bool(crossing.found):
        return None
    time = np.asarray(crossing.time, np.float64)[None]
    # The log-SNR of an OU time, -log(e^{2t} - 1).
    log_snr = -2 * time - np.log(-np.expm1(-2 * time))
    steps = {}
    for name, table in tables.items():
        found = _timesteps(table, log_snr)
        step = found["timesteps"][0]
        if at_least and float(table.log_snr(float(step))) > log_snr[0]:
            step = min(step + 1, NUM_TRAIN - 1)
        steps[name] = {"timestep": step, "clipped": found["clipped"]}
    single = {name: values[0] for name, values in _clocks(log_snr).items()}
    return single | {"ddpm_timestep": steps}


def _clocks(log_snr: Float[np.ndarray, " t"]) -> dict[str, list[float]]:
    noise = np.exp(-log_snr / 2)
    return {
        "ou_time": (np.log1p(noise**2) / 2).tolist(),
        "log_snr": log_snr.tolist(),
        "edm_sigma": noise.tolist(),
        "flow_u": (noise / (1 + noise)).tolist(),
    }


def _timesteps(table: DiscreteDDPM, log_snr: Float[np.ndarray, " t"]) -> dict[str, Any]:
    """Timesteps of the nearest log-SNR, strictly decreasing."""
    levels = np.asarray(table.log_snr(jnp.arange(NUM_TRAIN, dtype=float)), np.float64)
    nearest = np.argmin(np.abs(levels[:, None] - log_snr), axis=0)
    # Half a step beyond an end still rounds to it.
    half = np.abs(np.diff(levels)[[0, -1]]) / 2
    beyond = (log_snr > levels[0] + half[0]) | (log_snr < levels[-1] - half[1])
    return {
        "timesteps": np.unique(nearest)[::-1].tolist(),
        "clipped": bool(np.any(beyond)),
    }


def _entries(
    log_snr: Float[np.ndarray, " t"], steps: dict[str, dict[str, Any]]
) -> list[dict[str, Any]]:
    noises = np.exp(-log_snr / 2)
    by_table = [
        {
            "scheduler": scheduler,
            "table": name,
            "config": {"num_train_timesteps": NUM_TRAIN} | config | own,
            "argument": "timesteps",
            "values": steps[name]["timesteps"],
            "tensor": False,
            "clipped": steps[name]["clipped"],
        }
        for scheduler, own in WITH_TIMESTEPS.items()
        for name, config in TABLES.items()
    ]
    # `sigmas` of EDMEulerScheduler are shares of its ramp, not noises. The ramp begins
    # at the first noise: its pipelines start at `sigma_max`, whatever is handed over.
    roots = noises ** (1 / EDM_RHO)
    ends = {"sigma_min": float(noises[-1]), "sigma_max": float(noises[0])}
    edm = {
        "scheduler": "EDMEulerScheduler",
        "table": None,
        "config": ends | {"rho": EDM_RHO},
        "argument": "sigmas",
        "values": ((roots[0] - roots) / (roots[0] - roots[-1])).tolist(),
        "tensor": True,
        "clipped": False,
    }
    flow = {
        "scheduler": "FlowMatchEulerDiscreteScheduler",
        "table": None,
        # Another shift would move the list that is handed over.
        "config": {"shift": 1.0, "use_dynamic_shifting": False},
        "argument": "sigmas",
        "values": (noises / (1 + noises)).tolist(),
        "tensor": False,
        "clipped": False,
    }
    return [*by_table, edm, flow]


def _loop(table: DiscreteDDPM, timesteps: list[int]) -> dict[str, list]:
    """Each timestep with the one before it, -1 for the clean point, and both abar."""
    abar = np.exp(np.asarray(table.log_alpha_bars, np.float64))
    previous = [*timesteps[1:], -1]
    # Entry 0 belongs to index -1.
    at = lambda indices: abar[np.asarray(indices) + 1].tolist()
    return {
        "timesteps": timesteps,
        "previous_timesteps": previous,
        "alphas_cumprod": at(timesteps),
        "previous_alphas_cumprod": at(previous),
    }
