"""Clone agreement phi(t) by simulation: pairs of backward runs that part at t."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, ArrayLike, Float, PyTree

from jaxwin._checks import check_curve
from jaxwin._typing import Key, Point, ScalarLike
from jaxwin.analysis._crossing import read_off
from jaxwin.analysis.speciation._clone_agreement import LEVEL, CloneAgreement
from jaxwin.channels import Gaussian
from jaxwin.execution import run
from jaxwin.processes import AbstractProcess, uniform
from jaxwin.samplers import (
    AbstractStep,
    ExactTransition,
    FromLaw,
    labels,
    reduce_scheme,
    sample_block,
    trajectory,
)
from jaxwin.scores import AbstractScore, ExactScore
from jaxwin.targets import (
    AbstractLabelledTarget,
    AbstractTarget,
    GaussianMixture,
    reduce as reduce_law,
)

Classify = Callable[[Any, Point, ScalarLike], Float[Array, " c"]]
Grid = Callable[[AbstractProcess, ScalarLike, ScalarLike, int], Float[Array, " t"]]

# Floats of state of a batch of pairs, which fit a cache, and pairs in a batch.
STATE, FEWEST, MOST = 2**17, 128, 1024
# Blocks of pairs for the bootstrap of the crossing.
BLOCKS = 128


def simulated_agreement(
    step: AbstractStep,
    score: AbstractScore,
    branches: ArrayLike,
    num_pairs: int,
    key: Key,
    *,
    num_steps: int = 4,
    end: ScalarLike | None = None,
    shared: bool = False,
    start_time: ScalarLike = 10.0,
    grid: Grid = uniform,
    start: Callable[[Key], Point] | None = None,
    draw: Callable[[Key], Point] | None = None,
    classify: Classify = labels,
    hard: bool = False,
    reduce: bool = True,
    level: float = LEVEL,
    batch_size: int | None = None,
    **options: Any,
) -> CloneAgreement:
    """Measure phi(t) by pairs of clones, run back from each branch time t to the end.

    Both clones of a pair begin at one point and have independent noise. With p and p'
    the class probabilities of their two ends,

        phi(t) = E sum_c p_c p'_c.

    Class probabilities are a martingale of exact reverse runs: with `classify` left out
    phi is that of `clone_agreement` for any `end`, up to the error of the scheme. With
    `hard` the class of an end is its likeliest (for two clusters at +-m the sign of
    m . x, as published; a tie counts in equal shares), which differs from it where
    classes overlap at the end.

    All branch times are one axis of one compiled program and share their random
    numbers: errors along the curve are correlated, and the crossing's interval comes
    from a bootstrap of whole curves. Laws of equal shapes, also after the reduction,
    share the compilation.

    Args:
        step: How to move from one time to the next. `ExactTransition` has no error on
            any grid: one step would do, a few more show it.
        score: The score, which knows its process.
        branches: At least 4 times of the process, increasing, all above `end`.
        num_pairs: Pairs at every time, at least 2.
        key: Root key. The index of a clone is folded into its key.
        num_steps: Steps after each branch; with `shared`, of the whole run.
        end: Where runs end; the clean end of the clock if left out.
        shared: Run the scheme itself from `start_time` to the branch, one run for all
            branches, which are moved to the nearest time of its grid (`noise` of the
            result says where). Otherwise the point at the branch is drawn from the
            exact law there, or is noised data (`draw`).
        start_time: Where shared runs begin.
        grid: Times of a run, `grid(process, start, end, steps)`.
        start: `start(key)`, a point at `start_time`; the exact law there if left out.
            Not reduced.
        draw: `draw(key)`, a clean point, noised to each branch time; the score then
            needs no law, such as a learned one. A point of the score's law if left out.
            Not reduced.
        classify: `classify(score, x, t)`, class probabilities of an endpoint; the label
            posterior under the score's law if left out. One of your own takes points in
            full dimension: nothing is reduced.
        hard: See above.
        reduce: Whether to run in the few directions where a mixture is not Gaussian,
            where that is exact (`samplers.reduce_scheme`).
        level: Where to read the crossing.
        batch_size: Pairs at once, even. Left out, 2^17 floats of state, and 128 to 1024
            pairs.
        options: Handed on to `execution.run`, whose replicas are batches here.

    Raises:
        ValueError: Fewer than 4 branches, or branches that do not increase or do not
            lie above `end` (after moving to the grid); fewer than 2 pairs; a score
            without a law and neither `draw` nor `start`, one without a labelled law and
            no `classify`; `draw` beside `start` or `shared`.
        FloatingPointError: The scheme diverged.

    References:
        Biroli et al., arXiv:2402.18491, section 2 and supplement (clones, 1000 steps of
        Euler-Maruyama from T = 10, sign of m . x; measured by the kernel of that
        scheme, its phi is at most 0.0005 too low at d = 256).
    """
    if num_pairs < 2:
        raise ValueError(f"`num_pairs` is {num_pairs}; errors need at least 2.")
    if draw is not None and (shared or start is not None):
        raise ValueError(
            "`draw` is a clean point, noised to each branch; shared runs begin "
            "once, at `start_time`: leave out `draw`, or `shared` and `start`."
        )
    if start is not None and not shared:
        raise ValueError(
            "`start` is a point at `start_time`, where only shared runs begin; set "
            "`shared=True`, or leave it out."
        )
    drawn = start is not None or draw is not None
    if not drawn and not isinstance(_target(score), AbstractTarget):
        raise ValueError(
            "`score` has no law to draw points from; give `draw(key)`, a clean point, "
            "or `shared=True` and `start(key)`, a point at `start_time`."
        )
    if classify is labels and not isinstance(_target(score), AbstractLabelledTarget):
        raise ValueError(
            "`classify` is left out, and `score` has no law with labels; give class "
            "probabilities `classify(score, x, t)` of an endpoint."
        )
    process, noises = score.process, np.asarray(branches)
    check_curve(noises, "branches")
    end = process.domain[0] if end is None else end
    trunk, where = None, ()
    if shared:
        trunk = grid(process, start_time, end, num_steps)
        nearest = np.abs(noises[:, None] - np.asarray(trunk)[None]).argmin(axis=1)
        noises = np.asarray(trunk)[nearest]
        where = tuple(int(i) for i in nearest[::-1])
        check_curve(noises, "branches, moved to the grid,")
        if where[-1] == num_steps:
            raise ValueError(
                f"`branches` begin at the end of the grid, {float(end):g}; clones need "
                f"a step of their own: begin later, or take more steps."
            )
        # A clone rests until its branch: all have steps of the same number.
        grids = jnp.minimum(trunk[None], jnp.asarray(noises)[:, None])
    else:
        grids = jnp.stack([grid(process, t, end, num_steps) for t in noises])
    full, saving = score, 1.0
    if reduce and not drawn and classify is labels:
        times = grids[-1] if trunk is None else trunk
        step, score, saving = _reduced(step, score, times)
    size = batch_size
    if size is None:
        point = start or draw or FromLaw(_target(score), process, end)
        dimension = jax.eval_shape(point, key).size
        size = min(max(STATE // dimension, FEWEST), MOST)
    # Two batches at least, which `run` asks for.
    size = max(2, min(size, -(-num_pairs // 2))) // 2 * 2
    pairs = _Pairs(step, score, grids, trunk, start, draw, classify, where, hard, size)
    batches = max(2, -(-num_pairs // size))
    options = {"watch": lambda found: found["agree"].mean(axis=-2)} | options
    estimate = run(pairs, batches, key, block_size=1, **options)
    agree = estimate.block_means["agree"].reshape(-1, noises.size)[:num_pairs]
    count = len(agree)
    phi, coordinate = (
        agree.mean(axis=0),
        -np.asarray(process.log_snr(jnp.asarray(noises))),
    )
    edges = np.linspace(0, count, min(BLOCKS, count) + 1).astype(int)
    counts = np.diff(edges)
    means = np.add.reduceat(agree, edges[:-1]) / counts[:, None]
    clock = lambda coordinate: process.time(-jnp.asarray(coordinate))
    path = (
        f"{num_steps} steps from {float(start_time):g}, shared to the branch"
        if shared
        else f"{num_steps} steps from "
        + ("the exact law" if draw is None else "noised data")
        + " at the branch"
    )
    return CloneAgreement(
        noise=noises,
        phi=phi,
        stderr=agree.std(axis=0, ddof=1) / np.sqrt(count),
        crossing=read_off(coordinate, phi, means, counts, level, clock),
        pairs=None,
        chance=_chance(full, classify, draw is None, estimate.mean["share"]),
        level=level,
        count=count,
        method=f"pairs of simulated clones: {type(step).__name__}, {path}, "
        + ("likeliest class" if hard else "class probabilities")
        + " of the ends"
        + (", exact reduction" if saving > 1 else ""),
    )


class _Pairs(eqx.Module):
    """A batch of pairs of clones: whether they agree, at every branch.

    `where`: place of each branch in the trunk's grid, noisiest first.
    """

    step: AbstractStep
    score: AbstractScore
    grids: Float[Array, "b t"]
    trunk: Float[Array, " n"] | None
    start: Callable[[Key], Point] | None
    draw: Callable[[Key], Point] | None
    classify: Classify
    where: tuple[int, ...] = eqx.field(static=True)
    hard: bool = eqx.field(static=True)
    size: int = eqx.field(static=True)

    def begin(self, key: Key, t: ScalarLike) -> Point:
        """Where a run begins, at time t."""
        if self.start is not None:
            return self.start(key)
        if self.draw is None:
            return FromLaw(_target(self.score), self.score.process, t)(key)
        # The keys of `FromLaw`: drawing from the law is the same path by either door.
        clean_key, noise_key = jr.split(key)
        return Gaussian(self.score.process).corrupt(noise_key, self.draw(clean_key), t)

    def __call__(self, key: Key, batch: Array) -> PyTree[Array]:
        """Agreement (pairs, branches) of a batch, and mean class probabilities."""
        start_key, path_key = jr.split(key)
        replicas = batch * self.size + jnp.arange(self.size, dtype=batch.dtype)
        keys = jax.vmap(lambda r: jr.fold_in(start_key, r))(replicas)
        begin = lambda t: jax.vmap(lambda key: self.begin(key, t))(keys)
        if self.trunk is None:
            agree, share = jax.lax.map(
                lambda times: self._ends(
                    self.step, begin(times[0]), times, path_key, replicas
                ),
                self.grids,
            )
            return {"agree": agree.T, "share": share.mean(axis=0)}
        times = self.trunk

        def shared(x: Point, replica: Array) -> Float[Array, "b d"]:
            path = self.step, self.score, x, times, path_key, replica
            return trajectory(*path, at=self.where)[::-1]

        points = jax.vmap(shared, out_axes=1)(begin(times[0]), replicas)
        rest = _Resting(self.step)
        agree, share = jax.lax.map(
            lambda now: self._ends(rest, now[0], now[1], path_key, replicas),
            (points, self.grids),
        )
        return {"agree": agree.T, "share": share.mean(axis=0)}

    def _ends(
        self,
        step: AbstractStep,
        xs: Float[Array, "p d"],
        times: Float[Array, " t"],
        key: Key,
        replicas: Array,
    ) -> tuple[Float[Array, " p"], Float[Array, " c"]]:
        """Agreement of the ends of both clones, and their mean class probabilities."""

        def clone(index: Array) -> Float[Array, "p c"]:
            own = jr.fold_in(key, index)
            ends = sample_block(step, self.score, xs, times, own, replicas[0])
            of_end = lambda x: self.classify(self.score, x, times[-1])
            return jax.vmap(of_end)(ends)

        p = jax.vmap(clone)(jnp.arange(2, dtype=jnp.int32))
        if self.hard:
            best = (p == p.max(axis=-1, keepdims=True)).astype(p.dtype)
            p = best / best.sum(axis=-1, keepdims=True)
        return jnp.sum(p[0] * p[1], axis=-1), p.mean(axis=(0, 1))


class _Resting(AbstractStep):
    """A step that does not move where its grid stands still.

    Noise is addressed by the number of a step: it is that of `samplers.clones`.
    """

    inner: AbstractStep

    @property
    def draws(self) -> int:
        return self.inner.draws

    @property
    def rises(self) -> bool:
        return True

    def evaluations(self, num_steps: int) -> int:
        return self.inner.evaluations(num_steps)

    def init(self, score, x, t):
        return self.inner.init(score, x, t)

    def step(self, score, x, t, s, z, key, mem):
        move = lambda: self.inner.step(score, x, t, s, z, key, mem)
        return jax.lax.cond(s < t, move, lambda: (x, mem))


def _target(score: AbstractScore) -> Any:
    return getattr(score, "target", None)


def _reduced(
    step: AbstractStep, score: AbstractScore, times: Float[Array, " t"]
) -> tuple[AbstractStep, AbstractScore, float]:
    """Step and score inside the subspace where the law is not Gaussian, and d / r."""
    scheme = reduce_scheme(step, score, times)
    if scheme is not None:
        return step, scheme.score, scheme.saving
    law = _target(score)
    exact = isinstance(step, ExactTransition) and eqx.tree_equal(step.target, law)
    if not (exact and isinstance(law, GaussianMixture)):
        return step, score, 1.0
    # An exact transition is not linear in the score: it draws. But what is orthogonal
    # to the subspace is independent of what is inside, at every pair of times.
    found = reduce_law(law)
    if found is None:
        return step, score, 1.0
    inner = ExactScore(found.target, score.process)
    return ExactTransition(found.target), inner, law.dimension / found.basis.shape[1]


def _chance(
    score: AbstractScore,
    classify: Classify,
    of_law: bool,
    share: Float[np.ndarray, " c"],
) -> float:
    """Agreement of two independent ends: by the law's weights, or those measured."""
    law = _target(score)
    if classify is labels and of_law and isinstance(law, AbstractLabelledTarget):
        return float(jnp.sum(jnp.exp(2 * law.log_label_prior())))
    return float(np.sum(share**2))
