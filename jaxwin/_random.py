"""The one noise function: Gaussians addressed by key, replica, step, draw, coordinate.

    key'   = threefry(root, (step, draw))
    w, w'  = threefry(key', (replica // 2, coordinate)),  for replicas 2p and 2p + 1
    radius = sqrt(-2 log((w + 1/2) / 2^32)),  angle = 2 pi w' / 2^32
    even replica: radius cos(angle);  odd replica: radius sin(angle)

The address alone decides a number: not the batch, the device, or what was drawn before.
float64 transforms the same 32-bit words, so both precisions follow one path. Uniforms
of 32 bits reach 6.7 standard deviations.

References:
    Salmon et al. (2011), Parallel random numbers: as easy as 1, 2, 3 (threefry).
    Box & Muller (1958).
"""

from typing import TypeAlias

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Complex, DTypeLike, Float, UInt32

from jaxwin._typing import Index, Key

Words: TypeAlias = tuple[UInt32[Array, "..."], UInt32[Array, "..."]]

ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
PARITY = np.uint32(0x1BD11BDA)
# No run has so many steps: discrete choices have a key of their own.
CHOICES = 0xFFFFFFFF


def threefry(key: Words, counter: Words) -> Words:
    """Threefry-2x32 of 20 rounds: the bits of JAX's primitive, in plain operations.

    The primitive is a rolled loop on whole arrays on a CPU; these operations fuse into
    their surroundings.
    """
    keys = (*key, key[0] ^ key[1] ^ PARITY)
    x, y = counter[0] + keys[0], counter[1] + keys[1]
    for group in range(5):
        for r in ROTATIONS[group % 2]:
            x = x + y
            y = ((y << np.uint32(r)) | (y >> np.uint32(32 - r))) ^ x
        x = x + keys[(group + 1) % 3]
        y = y + keys[(group + 2) % 3] + np.uint32(group + 1)
    return x, y


def pair_uniforms(
    key: Key, pair: Index, step: Index, draws: int, dimension: int, dtype: DTypeLike
) -> Complex[Array, "draws d"]:
    """What replicas 2 pair and 2 pair + 1 draw from: w + i w', w' as a signed integer.

    One complex array, since XLA makes two arrays by two fusions on a CPU, each with all
    the rounds.
    """
    draw, coordinate = _counter(draws)[:, None], _counter(dimension)[None]
    step_key = threefry(_root(key), (_word(step), draw))
    shape = (draws, dimension)
    first, second = (jnp.broadcast_to(c, shape) for c in (_word(pair), coordinate))
    w, w_prime = threefry(step_key, (first, second))
    return jax.lax.complex(w.astype(dtype), w_prime.astype(jnp.int32).astype(dtype))


def pair_normals(
    uniforms: Complex[Array, "*b d"],
) -> tuple[Float[Array, "*b d"], Float[Array, "*b d"]]:
    """Gaussians of the even and of the odd replica of a pair.

    Keep them as two arrays: stacked, XLA computes everything twice, out of vector code,
    on a CPU.
    """
    uniform = (uniforms.real + 0.5) * 2.0**-32
    radius = jnp.sqrt(-2 * jnp.log(uniform))
    cosine, sine = _circle(uniforms.imag * 2.0**-30)
    return radius * cosine, radius * sine


def normals(
    key: Key,
    replica: Index,
    step: Index,
    draws: int,
    dimension: int,
    dtype: DTypeLike = float,
) -> Float[Array, "draws d"]:
    """Gaussians of one replica at one step."""
    replica = jnp.asarray(replica)
    uniforms = pair_uniforms(key, replica // 2, step, draws, dimension, dtype)
    even, odd = pair_normals(uniforms)
    return jnp.where(replica % 2 == 0, even, odd)


def choice_key(key: Key, replica: Index, step: Index) -> Key:
    """Key for the discrete choices of one replica at one step."""
    last = jnp.uint32(CHOICES)
    words = threefry(_root(key), (last, last))
    root = jr.wrap_key_data(jnp.stack(words), impl="threefry2x32")
    return jr.fold_in(jr.fold_in(root, replica), step)


def _root(key: Key) -> Words:
    """Two words of a key; those of a threefry key are its own."""
    data = jr.key_data(key)
    if data.shape != (2,):
        data = jr.bits(key, (2,), jnp.uint32)
    return data[0], data[1]


def _word(value: Index) -> UInt32[Array, ""]:
    return jnp.asarray(value).astype(jnp.uint32)


def _counter(size: int) -> UInt32[Array, " size"]:
    return jnp.arange(size, dtype=jnp.uint32)


def _circle(
    quarters: Float[Array, "*b d"],
) -> tuple[Float[Array, "*b d"], Float[Array, "*b d"]]:
    """Cosine and sine of quarter turns in [-2, 2]: nearest axis, then Taylor's series.

    On [-pi/4, pi/4] five terms err by 3e-8 and nine by 1e-17; `jnp.cos` is 15 times
    slower on a CPU.
    """
    axis = jnp.round(quarters)
    angle = (quarters - axis) * (np.pi / 2)
    square = angle**2
    cosine, sine = jnp.ones_like(angle), jnp.ones_like(angle)
    terms = 5 if angle.dtype == jnp.float32 else 9
    for n in range(terms - 1, 0, -1):
        cosine = 1 - square * (1 / ((2 * n - 1) * (2 * n))) * cosine
        sine = 1 - square * (1 / (2 * n * (2 * n + 1))) * sine
    sine, turns = angle * sine, axis.astype(jnp.int32)
    odd = turns & 1 == 1
    along, across = jnp.where(odd, sine, cosine), jnp.where(odd, cosine, sine)
    left, below = (turns + 1) & 2 == 2, turns & 2 == 2
    return jnp.where(left, -along, along), jnp.where(below, -across, across)
