"""Every time of a diagnosis on the clocks that people use."""

import jax.numpy as jnp

from jaxwin.analysis import Crossing
from jaxwin.processes import (
    EDM,
    AbstractProcess,
    DiscreteDDPM,
    LinearInterpolant,
    OrnsteinUhlenbeck,
    convert,
)


def named_clocks() -> dict[str, AbstractProcess]:
    """Clocks of the report: what they are called, and the process."""
    return {
        "ou": OrnsteinUhlenbeck(),
        "ddpm_linear": DiscreteDDPM(1000, "linear"),
        "ddpm_cosine": DiscreteDDPM(1000, "cosine"),
        "edm_sigma": EDM(),
        "flow_u": LinearInterpolant(),
    }


def on_clock(crossing: Crossing, clock: AbstractProcess) -> dict:
    """A time on a clock as `{value, stderr, low, high, found, inside}`.

    `inside` is false where the clock never has that log-SNR; the value is then null.
    """
    ou = OrnsteinUhlenbeck()
    read = lambda time: convert(jnp.asarray(time), ou, clock)[0]
    inside = bool(crossing.found) and bool(convert(crossing.time, ou, clock)[1])
    entry = crossing.read_on(read).to_json()
    if not inside:
        entry |= {"value": None, "stderr": None}
    return entry | {"inside": inside}
