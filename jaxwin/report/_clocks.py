"""Every time of a diagnosis on the clocks that people use."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from jaxwin.analysis import Crossing, unstack
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


def on_clock(times: Sequence[Crossing], clock: AbstractProcess) -> list[dict]:
    """Times on a clock, each as `{value, stderr, low, high, found, inside}`.

    `inside` is false where the clock never has that log-SNR; the value is then null.
    """
    ou = OrnsteinUhlenbeck()
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *times)
    moved = stacked.read_on(lambda time: convert(time, ou, clock)[0])
    reached = stacked.found & convert(stacked.time, ou, clock)[1]
    entries = []
    for crossing, inside in zip(unstack(moved), np.asarray(reached), strict=True):
        entry = crossing.to_json()
        if not inside:
            entry |= {"value": None, "stderr": None}
        entries.append(entry | {"inside": bool(inside)})
    return entries
