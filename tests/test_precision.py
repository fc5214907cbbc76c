"""Every contraction of a target carries precision HIGHEST, on any backend.

CPU ignores lower precisions, so no figure here would show it; jaxprs do.
"""

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from batteries import some
from jax.extend import core
from test_targets import BY_NAME, CASES, Case

from jaxwin.processes import OrnsteinUhlenbeck
from jaxwin.samplers import HeunFlow, reduce_scheme, sample, sample_block
from jaxwin.scores import ExactScore
from jaxwin.targets import (
    Empirical,
    GaussianMixture,
    OneHot,
    ProductMixture,
    Spins,
    factors,
    reduce,
)

OU = OrnsteinUhlenbeck()
HIGHEST = jax.lax.Precision.HIGHEST
# What only a law with labels has.
LABELLED = {
    "label_log_posterior",
    "log_label_prior",
    "sample_labelled",
    "restrict",
    "soft_labels",
    "soft_labels_at",
}


def equations(jaxpr: Any) -> Iterator[Any]:
    """All equations, those inside scans, loops, branches and calls too."""
    jaxpr = jaxpr.jaxpr if isinstance(jaxpr, core.ClosedJaxpr) else jaxpr
    for equation in jaxpr.eqns:
        yield equation
        for value in jax.tree.leaves(
            list(equation.params.values()),
            is_leaf=lambda v: isinstance(v, core.Jaxpr | core.ClosedJaxpr),
        ):
            if isinstance(value, core.Jaxpr | core.ClosedJaxpr):
                yield from equations(value)


def contractions(function: Any, *args: Any) -> list[Any]:
    """Precisions of all contractions in the jaxpr of `function`."""
    found = equations(jax.make_jaxpr(function)(*args))
    names = "dot_general", "conv_general_dilated", "ragged_dot_general"
    return [e.params["precision"] for e in found if e.primitive.name in names]


def check(function: Any, *args: Any) -> int:
    """Contractions in `function`; all must carry HIGHEST."""
    precisions = contractions(function, *args)
    assert all(p in (HIGHEST, (HIGHEST, HIGHEST)) for p in precisions), precisions
    return len(precisions)


def calls(case: Case) -> dict[str, tuple]:
    """Arguments for every public method of the case's target."""
    d, labels = case.dimension, len(case.law.mask)
    x, level = jnp.ones(d), (jnp.array(0.5), jnp.array(0.5))
    levels = jnp.full(3, 0.5), jnp.full(3, 0.5)
    key, xs, index = jr.key(0), jnp.ones((2, d)), jnp.array(0)
    target = case.build()
    z = jnp.ones((target.posterior_draws, d))
    table: dict[str, tuple] = {
        "log_density": (x, *level),
        "score": (x, *level),
        "score_many": (xs, *level),
        "denoise": (x, *level),
        "score_jacobian": (x, *level),
        "jacobian_product": (x, x, *level),
        "posterior_covariance": (x, *level),
        "local": (x, *level),
        "label_log_posterior": (x, *level),
        "log_label_prior": (),
        "sample": (key,),
        "sample_labelled": (key,),
        "posterior_sample": (key, x, *level),
        "posterior_draw": (key, z, x, *level),
        "restrict": (jnp.ones(labels, bool),),
        "moments": (),
        "soft_labels": (key, *levels),
        "soft_labels_at": (x, x, *levels),
    }
    if not case.labelled:
        table = {k: args for k, args in table.items() if k not in LABELLED}
    if isinstance(target, Empirical):
        table |= {
            "many": (xs, *level),
            "nearest": (x, *level),
            "partial": (x, *level, x),
            "finish": (target.partial(x, *level, x), x, *level, x),
            "draw_index": (key,),
            "own_partial": (index, x, *level),
            "own_log_ratio": (index, x, *level),
            "own_many": (jnp.zeros(2, int), xs, *levels),
            "draw_own": (key,),
            "log_label_masses_of_others": (index, x, *levels),
        }
    if isinstance(target, Spins | OneHot):
        word = jnp.zeros(target.law.num_sites, int)
        table |= {"point": (word,), "site_logits": (x, *level)}
    return table


def public_methods(target: Any) -> set[str]:
    kind = type(target)
    return {
        name
        for name in dir(kind)
        if not name.startswith("_")
        and callable(getattr(kind, name))
        and not isinstance(kind.__dict__.get(name), classmethod)
    }


PLANE = [case.name for case in CASES if case.dimension > 1]
SOME = "isotropic", "diagonal", "low rank", "full", "empirical kernel", "hypersphere"
# Derivatives go the same way through laws of other numbers.
NUMBERS = "restricted", "zero-mean", "singular", "beside", "grouped", "point mass"
KINDS = [name for name in PLANE if not any(word in name for word in NUMBERS)]


@pytest.mark.long
@pytest.mark.parametrize("name", some(PLANE, SOME))
def test_every_public_method_contracts_at_highest_precision(name):
    case = BY_NAME[name]
    target, table = case.build(), calls(case)
    # Labels are concrete, and contract nothing; only a line can be cut (below).
    apart = {"with_labels", "quadrature_cuts"}
    assert public_methods(target) - apart == set(table), "list in `calls`"
    total = 0
    for method, args in table.items():
        call = lambda law, *args, method=method: getattr(law, method)(*args)
        total += check(call, target, *args)
    assert total > 0


def test_cutting_a_line_contracts_at_highest_precision():
    law = ProductMixture([factors.quartic(m, 1.0, 1.0) for m in (3.0, -3.0)])
    check(lambda law, *level: law.quadrature_cuts(*level), law, 0.5, 0.5)


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("name", KINDS)
def test_derivatives_and_batches_contract_at_highest_precision(name):
    case = BY_NAME[name]
    target, table = case.build(), calls(case)
    x, *level = table["log_density"]
    total = 0
    for method in ("score", "denoise"):
        call = lambda y, method=method: getattr(target, method)(y, *level)
        total += check(jax.jit(jax.vmap(jax.jacfwd(call))), x[None])
        total += check(jax.vmap(jax.jacrev(call)), x[None])
    total += check(jax.grad(lambda y: target.log_density(y, *level)), x)
    total += check(jax.jit(jax.vmap(target.sample)), jr.split(jr.key(0), 2))
    assert total > 0


def test_moments_and_reduction_contract_at_highest_precision():
    for name in ("isotropic", "low rank", "empirical kernel"):
        moments = BY_NAME[name].build().moments()
        assert check(lambda m: m.covariance(), moments) > 0
        assert check(lambda m: m.leading(2), moments) > 0
    reduction = reduce(GaussianMixture.isotropic(np.eye(3)[:2], 1.0))
    assert reduction is not None
    y, z, level = jnp.ones(1), jnp.ones(3), jnp.array(0.5)
    assert check(lambda r: r.project(z, level), reduction) > 0
    assert check(lambda r: r.lift(y, z, level, level), reduction) > 0


def test_drivers_and_reduced_schemes_contract_at_highest_precision():
    score = ExactScore(GaussianMixture.isotropic(np.eye(3)[:2], 1.0), OU)
    step, times, key = HeunFlow(), jnp.array([1.0, 0.5]), jr.key(0)
    y, z, level = jnp.ones(1), jnp.ones(3), jnp.array(0.5)
    assert check(lambda s: sample(step, s, z, times, key), score) > 0
    assert check(lambda s: sample_block(step, s, jnp.ones((2, 3)), times, key), score)
    scheme = reduce_scheme(step, score, times)
    assert scheme is not None
    assert check(lambda s: s.inside(z), scheme) > 0
    assert check(lambda s: s.lift(y, z, z), scheme) > 0
    assert check(lambda s: s.lift_from_law(y, z, level, level), scheme) > 0


PLANTED = jnp.ones((3, 3))
HIDING_PLACES = {
    "plain": lambda f: f,
    "jit": jax.jit,
    "vmap": lambda f: lambda x: jax.vmap(f)(x[None]),
    "gradient": lambda f: jax.grad(lambda x: f(x).sum()),
    "scan": lambda f: lambda x: jax.lax.scan(lambda c, _: (f(c), None), x, None, 2)[0],
    "while": lambda f: lambda x: jax.lax.while_loop(lambda c: c[0] < 0, f, x),
    "condition": lambda f: lambda x: jax.lax.cond(x[0] > 0, f, lambda c: c, x),
    "checkpoint": jax.checkpoint,
    "jit of scan of jit": lambda f: jax.jit(lambda x: jax.lax.map(jax.jit(f), x[None])),
}


@pytest.mark.parametrize("place", HIDING_PLACES)
def test_a_planted_low_precision_is_caught(place):
    hide = HIDING_PLACES[place]
    low = hide(lambda x: jnp.matmul(x, PLANTED))
    half = hide(lambda x: jnp.matmul(x, PLANTED, precision=("highest", "high")))
    fine = hide(lambda x: jnp.matmul(x, PLANTED, precision="highest"))
    for planted in (low, half):
        with pytest.raises(AssertionError):
            check(planted, jnp.ones(3))
    assert check(fine, jnp.ones(3)) > 0
