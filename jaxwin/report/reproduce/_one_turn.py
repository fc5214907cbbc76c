"""U-turns that change the class: means over rule tables, and one to be looked at."""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float

from jaxwin._typing import Key, ScalarLike
from jaxwin.analysis import hierarchy
from jaxwin.channels import AbstractChannel
from jaxwin.io import field
from jaxwin.report._hierarchy_sizes import CHANNELS
from jaxwin.report._measuring import Measuring
from jaxwin.report.reproduce._rhm import Stage, averaged, draw, tree
from jaxwin.targets import RandomHierarchy

SHOWN = tree(16, 4, 2, 5)
# Of these draws the first that has lost its class.
DRAWS, CHANNEL, NOISE = 32, "masking", 0.45

ALONG, LEVELS = ("noise",), ("noise", "level")
MEASURED = "kept", "class_changed"


class Recomposed(eqx.Module):
    """P(symbol of a level unchanged | the class changed), means over rule tables.

    Levels 1 ... L; errors as of `averaged`. independent: of two independent trees with
    different roots, exact for each table. count: turns of all tables.
    """

    count: int = eqx.field(static=True)
    tables: int = eqx.field(static=True)
    noise: Float[np.ndarray, " t"] = field(ALONG, "noise of the channel")
    kept: Float[np.ndarray, "t l"] = field(LEVELS, "probability")
    kept_stderr: Float[np.ndarray, "t l"] = field(LEVELS, "probability")
    kept_sampling_stderr: Float[np.ndarray, "t l"] = field(LEVELS, "probability")
    independent: Float[np.ndarray, " l"] = field(("level",), "probability")
    independent_stderr: Float[np.ndarray, " l"] = field(("level",), "probability")
    class_changed: Float[np.ndarray, " t"] = field(ALONG, "probability")
    class_changed_stderr: Float[np.ndarray, " t"] = field(ALONG, "probability")
    class_changed_sampling_stderr: Float[np.ndarray, " t"] = field(ALONG, "probability")

    def to_json(self) -> dict[str, Any]:
        """All of it by name."""
        names = "noise", "independent", "independent_stderr"
        ends = "", "_stderr", "_sampling_stderr"
        every = *names, *(name + end for name in MEASURED for end in ends)
        return {name: getattr(self, name).tolist() for name in every}


def turned(
    stage: Stage, channel: str, noises: Any, measuring: Measuring
) -> hierarchy.Recomposition:
    """U-turns of one law that change its class."""
    name, law, key = stage
    options = measuring.options(name, key)
    turns = options.pop("num_replicas")
    return hierarchy.recomposition(
        law, CHANNELS[channel], noises, num_turns=turns, **options
    )


def recomposed(
    stages: Sequence[Stage], channel: str, noises: Any, measuring: Measuring
) -> Recomposed:
    """The mean over several tables."""
    tables = [turned(stage, channel, noises, measuring) for stage in stages]
    independent = np.stack([one.independent for one in tables])
    return Recomposed(
        count=sum(one.count for one in tables),
        tables=len(tables),
        noise=tables[0].noise,
        independent=independent.mean(axis=0),
        independent_stderr=independent.std(axis=0, ddof=1) / np.sqrt(len(tables)),
        **averaged(tables, MEASURED),
    )


@eqx.filter_jit
def _turns(
    law: RandomHierarchy, channel: AbstractChannel, noise: ScalarLike, keys: Array
) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
    """Trees, and exact draws of whole trees given what is seen of their leaves."""

    def turn(key: Key) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
        tree_key, noise_key, back = jr.split(key, 3)
        before = law.sample_tree(tree_key)
        drawn = channel.draw_noise(law, noise_key)
        logits = channel.word_logits(law, before[-1], drawn, noise)
        return before, law.posterior_tree(back, logits.T)

    return jax.lax.map(turn, keys)


def one_turn(seed: int) -> tuple[int, list[np.ndarray], list[np.ndarray]]:
    """The first U-turn of a key that lost its class: its number, from 1, and trees."""
    law_key, key = jr.split(jr.key(seed))
    channel, noise = CHANNELS[CHANNEL], jnp.asarray(NOISE)
    found = _turns(draw(SHOWN, law_key), channel, noise, jr.split(key, DRAWS))
    before, after = ([np.asarray(level) for level in trees] for trees in found)
    lost = before[0][:, 0] != after[0][:, 0]
    assert lost.any(), "no class was lost"
    i = int(np.argmax(lost))
    return i + 1, [level[i] for level in before], [level[i] for level in after]
