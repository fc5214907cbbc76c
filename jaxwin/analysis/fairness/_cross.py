"""Where groups of the data end after a U-turn through a model, beside exact Bayes.

    A_gh(T) = P(x' in h | x0 in g),    x0 of the data, x' back by the model

from label posteriors at the noise level: r of the data, q of the model,

    A_gh = E_data[r_g q_h] / w_g  (h not g),    A_gg = 1 - sum of these.

With q = r this is w_g A_gh = w_h A_hg to rounding, in every tier. The share of h after
the U-turn is then w_h + E[q_h - r_h]: what is measured is the difference alone.
"""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Int

from jaxwin._checks import BadInput, check_one_of
from jaxwin._typing import Key, Point
from jaxwin.analysis.fairness._line import LinePair, on_a_line
from jaxwin.analysis.fairness._partition import Partition
from jaxwin.channels import AbstractObserved
from jaxwin.execution import run

# Noised points a run, and at once: the 128 blocks that the bootstrap wants.
REPLICAS, BLOCK = 8192, 64
METHODS = "quadrature", "sampled"


class Curves(NamedTuple):
    """Destinations of every destination, (t, h, h), and what errors come from.

    blocks: independent values whose mean, weighted by counts, is the curve; None where
    it is known by quadrature, to `stderr`.
    """

    mean: Float[np.ndarray, "t h h"]
    stderr: Float[np.ndarray, "t h h"]
    blocks: Float[np.ndarray, "b t h h"] | None
    counts: Int[np.ndarray, " b"] | None

    def combined(self, weights: Float[np.ndarray, " g"]) -> "Curves":
        """The rows averaged by weights, as a single row."""
        row = lambda a: np.einsum("g,...gh->...h", weights, a)[..., None, :]
        if self.blocks is None or self.counts is None:
            return Curves(row(self.mean), row(self.stderr), None, None)
        return measured(row(self.mean), row(self.blocks), self.counts)

    def minus(self, other: "Curves") -> "Curves":
        """The difference of two curves of the same draws."""
        if self.blocks is None or other.blocks is None or self.counts is None:
            error = np.maximum(self.stderr, other.stderr)
            return Curves(self.mean - other.mean, error, None, None)
        return measured(self.mean - other.mean, self.blocks - other.blocks, self.counts)


class Crossed(NamedTuple):
    """U-turns of the data through a model, and through the data's own law."""

    model: Curves
    null: Curves
    replicas: int
    method: str
    line: LinePair | None = None


def measured(
    mean: Float[np.ndarray, "..."],
    blocks: Float[np.ndarray, "b ..."],
    counts: Int[np.ndarray, " b"],
) -> Curves:
    """Curves with the standard errors that their blocks show."""
    share = (counts / counts.sum()).reshape(-1, *[1] * mean.ndim)
    spread = np.sum(share * (blocks - mean[None]) ** 2, axis=0)
    return Curves(mean, np.sqrt(spread / (counts.size - 1)), blocks, counts)


def cross(
    data: AbstractObserved,
    model: AbstractObserved | None,
    groups: Partition,
    noises: Float[np.ndarray, " t"],
    *,
    num_replicas: int = REPLICAS,
    key: Key | None = None,
    block_size: int = BLOCK,
    method: str | None = None,
    **options: Any,
) -> Crossed:
    """Both tables of destinations, by quadrature where the laws allow it.

    Raises:
        BadInput: An unknown method, or quadrature of laws that do not allow it.
    """
    if method is not None:
        check_one_of(method, METHODS, "method")
    line = None if method == "sampled" else on_a_line(data, model)
    if line is not None:
        tables, error = line.tables(jnp.asarray(groups.masks), jnp.asarray(noises))
        exact = [_flips(table, groups.weight) for table in tables]
        model_table, null = (
            Curves(table, np.full_like(table, error), None, None) for table in exact
        )
        return Crossed(model_table, null, 0, "quadrature on the line", line)
    if method == "quadrature":
        raise BadInput(
            "`method` is 'quadrature', which needs mixtures of Gaussians, seen through "
            "one Gaussian channel, that differ along one line; leave it out to sample."
        )
    key = jr.key(0) if key is None else key
    replica = _Turn(data, model, groups, jnp.asarray(noises))
    fixed: dict[str, Any] = {"watch": lambda found: found["model"]}
    found = run(replica, num_replicas, key, block_size=block_size, **fixed | options)
    rows = lambda name: _rows(found, name, groups, data.has_exact_labels)
    ways = [_way(data), _way(data if model is None else model)]
    method = " against ".join(dict.fromkeys(ways[::-1]))
    return Crossed(rows("model"), rows("null"), found.count, method)


class _Turn(eqx.Module):
    """One noised point of the data, at all noises, and what both ways back say."""

    data: AbstractObserved
    model: AbstractObserved | None
    groups: Partition
    noises: Float[Array, " t"]

    def __call__(self, key: Key, replica: Int[Array, ""]) -> dict[str, Array]:
        """Weights of the start (t, h), and of start and destination (t, h, h)."""
        keys = jr.split(jr.fold_in(key, replica), 3)
        start_key, noise_key, back_key = keys
        x0, label = self.data.start(start_key)

        def at(noise: Array) -> dict[str, Array]:
            y = self.data.observe(noise_key, x0, noise)
            own = self._ends(self.data, back_key, y, noise)
            theirs = own
            if self.model is not None:
                theirs = self._ends(self.model, back_key, y, noise)
            start = own
            if not self.data.has_exact_labels:
                one_hot = jax.nn.one_hot(label, len(self.groups.masks[0]))
                start = self.groups.of(one_hot.astype(own.dtype))
            outer = lambda ends: start[:, None] * ends[None]
            return {"start": start, "model": outer(theirs), "null": outer(own)}

        return jax.lax.map(at, self.noises)

    def _ends(
        self, way: AbstractObserved, key: Key, y: Point, noise: Array
    ) -> Float[Array, " h"]:
        """Probabilities of the destinations: exact ones, or those of one way back."""
        if way.has_exact_labels:
            return self.groups.of(jnp.exp(way.label_log_posterior(y, noise)))
        return self.groups.of(way.label_probabilities(way.resample(key, y, noise)))


def _rows(found: Any, name: str, groups: Partition, exact: bool) -> Curves:
    counts = np.asarray(found.block_counts)
    blocks = np.asarray(found.block_means[name], np.float64)
    if exact:
        values = _flips(blocks, groups.weight)
        mean = _flips(np.asarray(found.mean[name], np.float64), groups.weight)
        return measured(mean, values, counts)
    # Averages over the draws of each group; blocks enter by the ratio's linear part.
    drawn = np.asarray(found.mean["start"], np.float64)
    empty = np.flatnonzero(drawn[0] == 0)
    if empty.size:
        raise BadInput(
            f"group {groups.names[empty[0]]!r} was never drawn; raise `num_replicas`."
        )
    mean = found.mean[name] / drawn[..., None]
    moved = blocks - mean[None] * np.asarray(found.block_means["start"])[..., None]
    return measured(mean, mean[None] + moved / drawn[None, ..., None], counts)


def _flips(joint: Float[np.ndarray, "..."], weight: Float[np.ndarray, " h"]):
    """A from E[r_g q_h]: what does not leave its group stays."""
    rows = joint / weight[:, None]
    own = np.eye(weight.size, dtype=bool)
    rows = np.where(own, 0, rows)
    return rows + own * (1 - rows.sum(axis=-1))[..., None]


def _way(observed: AbstractObserved) -> str:
    if observed.has_exact_labels:
        return "exact label posteriors at the noise level"
    return "simulated U-turns"
