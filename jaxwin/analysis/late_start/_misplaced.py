"""What a late start misplaces: class weights after exact continuation."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import ArrayLike, Float

from jaxwin._checks import check_curve
from jaxwin._typing import Key
from jaxwin.analysis._crossing import Crossing, read_off
from jaxwin.analysis.late_start._given import block_stderr, given_weights, noise_floor
from jaxwin.io import field
from jaxwin.processes import AbstractProcess, OrnsteinUhlenbeck
from jaxwin.targets import AbstractLabelledTarget

# The share of the class weight that a late start may misplace.
LEVEL = 0.01
METHOD = "exact soft labels at Gaussian draws (exact continuation, no backward run)"


class LateStart(eqx.Module):
    """Class weight misplaced by a Gaussian start at each noise.

    misplaced = (1/2) sum_c |E p(c | x) - w_c|, x from the Gaussian with the exact
    moments of p_t. `start`: the noise above which at most `level` is misplaced; where
    it is not found, `always` says whether that holds at every noise (else at none).

    Noise in the averages pushes |.| upwards, never down: by at most `floor`, which a
    start that misplaces nothing would show.
    """

    start: Crossing
    always: bool = eqx.field(static=True)
    level: float = eqx.field(static=True)
    count: int = eqx.field(static=True)
    method: str = eqx.field(static=True)
    noise: Float[np.ndarray, " t"] = field(("noise",), "time of the process")
    misplaced: Float[np.ndarray, " t"] = field(("noise",), "probability")
    stderr: Float[np.ndarray, " t"] = field(("noise",), "probability")
    floor: Float[np.ndarray, " t"] = field(("noise",), "probability", "of noise alone")
    weight: Float[np.ndarray, "t c"] = field(
        ("noise", "class"), "probability", "E p(c | x), what each class is given"
    )


def misplaced(
    law: AbstractLabelledTarget,
    times: ArrayLike,
    *,
    process: AbstractProcess | None = None,
    num_replicas: int = 8192,
    key: Key | None = None,
    level: float = LEVEL,
    block_size: int = 64,
    **options: Any,
) -> LateStart:
    """Measure what a late start misplaces, along a clock.

    A run that begins at x and is continued by the exact reverse process ends in class
    c with probability p(c | x): no run is needed. One replica is one draw of the
    Gaussian and one noise, which serve all times. Linear and quadratic functions of
    the leading coordinates of x, whose averages are known, take away most of the
    spread; their factors are fitted on the other blocks, so that no bias enters.

    Args:
        law: The data; its exact moments give the Gaussian.
        times: Times of `process`, increasing, sigma > 0.
        process: The clock; OU if left out.
        num_replicas: Draws.
        key: Random key; `jax.random.key(0)` if left out.
        level: The share that may be misplaced.
        block_size: Replicas at once; the defaults give the 128 blocks that the
            bootstrap of `start` wants.
        options: Handed on to `execution.run`; `until_stderr` looks at the plain
            averages E p(c | x), after 32 blocks.

    Raises:
        ValueError: Fewer than 4 times, or times not increasing.

    References:
        Raya & Ambrogioni (2023), arXiv:2305.19693 (Gaussian late start).
    """
    process = OrnsteinUhlenbeck() if process is None else process
    key = jr.key(0) if key is None else key
    times = np.asarray(times)
    check_curve(times, "times")
    found = given_weights(
        law, process, times, num_replicas, key, block_size=block_size, **options
    )
    weight, counts = found.weight, found.counts
    excess = weight - np.exp(np.asarray(law.log_label_prior()))
    # Blocks enter |.| by its linear part: their average is then the curve itself.
    blocks = np.sum(np.sign(excess) * (found.blocks - weight + excess), axis=2) / 2
    curve = np.sum(np.abs(excess), axis=1) / 2
    coordinate = -np.asarray(process.log_snr(jnp.asarray(times)))
    clock = lambda places: process.time(-places)
    # Where the noisy end misplaces too much there is no start: nothing reaches 2.
    reached = 2.0 if curve[-1] > level else level
    return LateStart(
        start=read_off(coordinate, curve, blocks, counts, reached, clock),
        always=bool(np.all(curve <= level)),
        level=level,
        count=int(counts.sum()),
        method=METHOD,
        noise=times,
        misplaced=curve,
        stderr=block_stderr(blocks, curve, found.share),
        floor=noise_floor(found),
        weight=weight,
    )
