"""Peers of the stepper: diffrax, torch, azula, and C for the random numbers alone."""

import ctypes
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from _measure import peer

Runs = dict[str, Callable]


def diffrax_runs(score: Callable, start: float, span: float, steps: int) -> Runs:
    """Euler-Maruyama and Heun, mapped over particles or batched as one state.

    `score(x, t)` of an OU process takes a batch; time runs back from `start`.
    """
    diffrax, lineax = peer("diffrax"), peer("lineax")
    if diffrax is None or lineax is None:
        return {}
    drift = lambda s, x, _: x + 2 * score(x, start - s)
    flow = lambda s, x, _: x + score(x, start - s)

    def noise(s, x, _):
        return lineax.DiagonalLinearOperator(jnp.full(x.shape, 2.0**0.5, x.dtype))

    def solve(terms, solver, x):
        return diffrax.diffeqsolve(
            terms,
            solver,
            jnp.float32(0),
            jnp.float32(span),
            jnp.float32(span / steps),
            x,
            stepsize_controller=diffrax.ConstantStepSize(),
            max_steps=steps + 2,
            adjoint=diffrax.DirectAdjoint(),
        ).ys

    def noisy(drift, path):
        control = diffrax.ControlTerm(noise, path)
        return diffrax.MultiTerm(diffrax.ODETerm(drift), control)

    @jax.jit
    def tree(xs):
        def one(x, key):
            step = span / steps
            path = diffrax.VirtualBrownianTree(0.0, span, step / 2, x.shape, key)
            single = lambda s, x, args: drift(s, x[None], args)[0]
            return solve(noisy(single, path), diffrax.Euler(), x)

        return jax.vmap(one)(xs, jr.split(jr.key(0), len(xs)))

    @jax.jit
    def unsafe(xs):
        path = diffrax.UnsafeBrownianPath(xs.shape, jr.key(0))
        return solve(noisy(drift, path), diffrax.Euler(), xs)

    @jax.jit
    def heun(xs):
        return solve(diffrax.ODETerm(flow), diffrax.Heun(), xs)

    return {"tree": tree, "unsafe": unsafe, "heun": heun}


def torch_runs(means: np.ndarray, variance: float, times: np.ndarray) -> Runs:
    """Loops of a mixture of equal weights on OU time, in place on whole arrays."""
    torch = peer("torch")
    if torch is None:
        return {}
    torch.set_num_threads(1)
    means = torch.from_numpy(means)

    def score(x, t):
        alpha, v = (
            float(np.exp(-t)),
            float(np.exp(-2 * t) * variance - np.expm1(-2 * t)),
        )
        bias = -(alpha**2) / (2 * v) * (means**2).sum(1)
        weights = torch.softmax(torch.addmm(bias, x, (alpha / v) * means.T), 1)
        return torch.addmm(x, weights, alpha * means, beta=-1).div_(v)

    @torch.no_grad()
    def euler_maruyama(x):
        x, z = x.clone(), torch.empty_like(x)
        for t, s in zip(times[:-1], times[1:], strict=True):
            h = t - s
            drift = score(x, t)
            z.normal_()
            x.mul_(1 + h).add_(drift, alpha=2 * h).add_(z, alpha=(2 * h) ** 0.5)
        return x

    @torch.no_grad()
    def heun(x):
        x = x.clone()
        for t, s in zip(times[:-1], times[1:], strict=True):
            h = t - s
            first = score(x, t).add_(x)
            moved = torch.add(x, first, alpha=h)
            second = score(moved, s).add_(moved)
            x.add_(first, alpha=h / 2).add_(second, alpha=h / 2)
        return x

    as_torch = lambda run: lambda x: run(torch.from_numpy(x))
    return {"em": as_torch(euler_maruyama), "heun": as_torch(heun)}


def azula_runs(means: np.ndarray, variance: float, times: np.ndarray) -> Runs:
    """Its ancestral and Heun samplers on OU time, with the exact denoiser."""
    torch, denoise = peer("torch"), peer("azula.denoise")
    samplers = peer("azula.sample")
    if torch is None or denoise is None or samplers is None:
        return {}
    torch.set_num_threads(1)
    means = torch.from_numpy(means)

    def ou(t):
        return torch.exp(-t), torch.sqrt(-torch.expm1(-2 * t))

    class Exact(denoise.Denoiser):
        schedule = staticmethod(ou)

        def forward(self, x_t, t, **kwargs):
            alpha, sigma = (float(level) for level in ou(t))
            v = alpha**2 * variance + sigma**2
            bias = -(alpha**2) / (2 * v) * (means**2).sum(1)
            logits = torch.addmm(bias, x_t, (alpha / v) * means.T)
            mean = torch.softmax(logits, 1) @ means
            gain = alpha * variance / v
            return denoise.DiracPosterior((1 - alpha * gain) * mean + gain * x_t)

    options = {
        "start": float(times[0]),
        "stop": float(times[-1]),
        "steps": len(times) - 1,
        "silent": True,
    }
    ancestral = samplers.DDPMSampler(Exact(), **options)
    heun = samplers.HeunSampler(Exact(), **options)
    return {
        "ddpm": lambda x: ancestral(torch.from_numpy(x)),
        "heun": lambda x: heun(torch.from_numpy(x)),
    }


C_SOURCE = r"""
#include <math.h>
#include <stdint.h>
#define R(r) a += b; b = (b << r) | (b >> (32 - r)); b ^= a;
void normals(uint32_t k0, uint32_t k1, uint32_t step, int n, float *even, float *odd) {
  uint32_t k2 = k0 ^ k1 ^ 0x1BD11BDA;
  for (int i = 0; i < n; i++) {
    uint32_t a = i + k0, b = step + k1;
    R(13) R(15) R(26) R(6) a += k1; b += k2 + 1;
    R(17) R(29) R(16) R(24) a += k2; b += k0 + 2;
    R(13) R(15) R(26) R(6) a += k0; b += k1 + 3;
    R(17) R(29) R(16) R(24) a += k1; b += k2 + 4;
    R(13) R(15) R(26) R(6) a += k2; b += k0 + 5;
    float r = sqrtf(-2 * logf(((float)(a >> 1) + 0.5f) * 0x1p-31f));
    float q = (float)(int32_t)b * 0x1p-30f, axis = rintf(q);
    float t = (q - axis) * 1.5707963f, u = t * t;
    float c = 1 + u * (-0.5f + u * (1 / 24.f + u * (-1 / 720.f + u / 40320)));
    float s = -1 / 6.f + u * (1 / 120.f + u * (-1 / 5040.f + u / 362880));
    s = t * (1 + u * s);
    int k = (int)axis;
    float along = (k & 1) ? s : c, across = (k & 1) ? c : s;
    even[i] = r * (((k + 1) & 2) ? -along : along);
    odd[i] = r * ((k & 2) ? -across : across);
  }
}
"""


def c_normals() -> Callable[[], None] | None:
    """128 Ki normals at a time by compiled C, the limit of random numbers."""
    folder = tempfile.mkdtemp()
    source, library = Path(folder) / "n.c", Path(folder) / "n.so"
    source.write_text(C_SOURCE)
    flags = ["-O3", "-march=native", "-ffast-math", "-shared", "-fPIC"]
    try:
        command = ["gcc", *flags, "-o", str(library), str(source), "-lm"]
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    function = ctypes.CDLL(str(library)).normals
    half = np.empty((2, 65536), np.float32)
    even, odd = (a.ctypes.data_as(ctypes.c_void_p) for a in half)

    def run() -> None:
        for step in range(64):
            function(1, 2, step, 65536, even, odd)

    return run
