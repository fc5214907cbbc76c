"""Clocks on which a backward dynamics runs, and those on which it is the same."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxwin._checks import check_one_of
from jaxwin.analysis import Crossing
from jaxwin.processes import (
    AbstractProcess,
    Cosine,
    OrnsteinUhlenbeck,
    VariancePreserving,
    convert,
)
from jaxwin.report._clocks import named_clocks

# How the summary calls each clock, in words.
WORDS = {
    "ou": "OU time",
    "vp": "VP time",
    "cosine": "cosine time",
    "ddpm_linear": "DDPM i",
    "ddpm_cosine": "DDPM cosine i",
    "edm_sigma": "EDM σ",
    "flow_u": "flow u",
}
# Signal-to-noise ratios at which families are told apart.
LOOKS = np.array([4.0, 0.0, -4.0])


def clocks_of_drifts() -> dict[str, AbstractProcess]:
    """Clocks by name: those of the report, and two continuous ones."""
    more = {"vp": VariancePreserving(), "cosine": Cosine()}
    found = named_clocks() | more
    return {name: found[name] for name in WORDS}


def clock_named(name: str) -> AbstractProcess:
    """A clock by its name.

    Raises:
        BadInput: There is none of that name.
    """
    check_one_of(name, tuple(WORDS), "clock")
    return clocks_of_drifts()[name]


def same_dynamics(process: AbstractProcess, drift: str) -> dict[str, AbstractProcess]:
    """Clocks on which the drift has the same critical log-SNRs.

    Modes of the density are a matter of the log-SNR alone, other drifts also of f / g^2
    at it: those of all variance-preserving clocks are the same, and so are those of all
    exploding ones.
    """
    kind = _kind(process)
    return {
        name: clock
        for name, clock in clocks_of_drifts().items()
        if drift == "density" or _kind(clock) == kind
    }


def read_on(
    time: Crossing, process: AbstractProcess, clock: AbstractProcess
) -> Crossing | None:
    """A time of `process` on another clock; None where that never has its log-SNR."""
    if bool(time.found) and not bool(convert(time.time, process, clock)[1]):
        return None
    # Entries of a stacked result are numbers of NumPy.
    time = jax.tree.map(jnp.asarray, time)
    return time.read_on(lambda t: convert(t, process, clock)[0])


def _kind(process: AbstractProcess) -> str:
    """What f / g^2 is a function of the log-SNR by."""
    times = process.time(jnp.asarray(LOOKS))
    alpha, sigma = map(np.asarray, process.levels(times))
    if np.allclose(alpha**2 + sigma**2, 1, atol=1e-5):
        return "preserving"
    return "exploding" if np.allclose(alpha, 1) else type(process).__name__


def on_ou(time: Crossing, process: AbstractProcess) -> Crossing:
    """A time on the clock of the tables, which has every log-SNR."""
    found = read_on(time, process, OrnsteinUhlenbeck())
    assert found is not None
    return found
