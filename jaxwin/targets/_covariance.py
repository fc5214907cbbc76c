"""Covariances of mixture components, always used through functions f(Sigma_k).

A noised Gaussian needs (alpha^2 Sigma_k + sigma^2 I)^p at every noise level, and each
is a function of the eigenvalues of Sigma_k: one decomposition at construction serves
all levels. `values` below are f at the eigenvalues that `spectrum` lists.
"""

import abc
from typing import TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxwin._checks import is_concrete

Self = TypeVar("Self", bound="AbstractCovariance")


class AbstractCovariance(eqx.Module):
    """Covariances Sigma_1 ... Sigma_K of one kind."""

    @abc.abstractmethod
    def spectrum(self) -> tuple[Float[Array, "k m"], Float[Array, "1 m"]]:
        """Eigenvalues of each Sigma_k, and how often each column occurs."""

    @abc.abstractmethod
    def apply(
        self, values: Float[Array, "k m"], vectors: Float[Array, "k d"]
    ) -> Float[Array, "k d"]:
        """Products f(Sigma_k) v_k."""

    @abc.abstractmethod
    def bilinear(
        self,
        values: Float[Array, "k m"],
        a: Float[Array, "k d"],
        b: Float[Array, "k d"],
    ) -> Float[Array, " k"]:
        """Forms a_k^T f(Sigma_k) b_k."""

    @abc.abstractmethod
    def form_change(
        self,
        noised: Float[Array, "k m"],
        gap: Float[Array, "k m"],
        a: Float[Array, "k d"],
        r: Int[Array, ""],
    ) -> Float[Array, " k"]:
        """Changes a^T (C_k^{-1} - C_r^{-1}) a; `a` has equal rows.

        Differences are taken before sums: both forms are of size d, and float32 would
        lose the digits in which close components differ. `noised` are the eigenvalues
        of C_k = alpha^2 Sigma_k + sigma^2 I, and `gap` is noised - noised[r].
        """

    @abc.abstractmethod
    def dense_sum(self, values: Float[Array, "k m"]) -> Float[Array, "d d"]:
        """The matrix sum_k f_k(Sigma_k)."""

    @abc.abstractmethod
    def factor(
        self, weights: Float[Array, " k"]
    ) -> tuple[Float[Array, "d r"], Float[Array, ""]]:
        """A (d, r) matrix F and a number v with sum_k w_k Sigma_k = F F^T + v I."""

    @abc.abstractmethod
    def component(self: Self, k: Int[Array, ""]) -> Self:
        """The covariance of component `k` alone."""


class Isotropic(AbstractCovariance):
    """Sigma_k = v_k I; one entry is a variance that all `count` components share."""

    variances: Float[Array, " s"]
    dimension: int = eqx.field(static=True)
    count: int = eqx.field(static=True)

    def spectrum(self) -> tuple[Array, Array]:
        dtype = self.variances.dtype
        each = jnp.broadcast_to(self.variances[:, None], (self.count, 1))
        return each, jnp.full((1, 1), self.dimension, dtype)

    def component(self, k: Int[Array, ""]) -> "Isotropic":
        shared = self.variances.size == 1
        own = self.variances if shared else self.variances[k][None]
        return Isotropic(own, self.dimension, 1)

    def apply(self, values: Array, vectors: Array) -> Array:
        return values * vectors

    def bilinear(self, values: Array, a: Array, b: Array) -> Array:
        return values[:, 0] * jnp.sum(a * b, axis=1)

    def form_change(self, noised: Array, gap: Array, a: Array, r: Array) -> Array:
        return self.bilinear(-gap / noised / noised[r][None], a, a)

    def dense_sum(self, values: Array) -> Array:
        return values.sum() * jnp.eye(self.dimension, dtype=values.dtype)

    def factor(self, weights: Array) -> tuple[Array, Array]:
        empty = jnp.zeros((self.dimension, 0), weights.dtype)
        return empty, jnp.sum(weights * self.spectrum()[0][:, 0])


class Diagonal(AbstractCovariance):
    """Sigma_k = diag(v_k)."""

    variances: Float[Array, "k d"]

    def spectrum(self) -> tuple[Array, Array]:
        return self.variances, jnp.ones_like(self.variances[:1])

    def component(self, k: Int[Array, ""]) -> "Diagonal":
        return jax.tree.map(lambda leaf: leaf[k][None], self)

    def apply(self, values: Array, vectors: Array) -> Array:
        return values * vectors

    def bilinear(self, values: Array, a: Array, b: Array) -> Array:
        return jnp.sum(values * a * b, axis=1)

    def form_change(self, noised: Array, gap: Array, a: Array, r: Array) -> Array:
        return self.bilinear(-gap / noised / noised[r][None], a, a)

    def dense_sum(self, values: Array) -> Array:
        return jnp.diag(values.sum(axis=0))

    def factor(self, weights: Array) -> tuple[Array, Array]:
        total = jnp.sum(weights[:, None] * self.variances, axis=0)
        above = total - total.min()
        # The slope of a square root at zero is infinite, that of the variances is not.
        some = above > 0
        root = jnp.where(some, jnp.sqrt(jnp.where(some, above, 1)), 0)
        return jnp.diag(root), total.min()


class LowRank(AbstractCovariance):
    """Sigma_k = U_k diag(spikes_k) U_k^T + floor_k (I - U_k U_k^T), U_k orthonormal."""

    basis: Float[Array, "k d r"]
    spikes: Float[Array, "k r"]
    floor: Float[Array, " k"]

    def spectrum(self) -> tuple[Array, Array]:
        _, dimension, rank = self.basis.shape
        count = jnp.ones((1, rank + 1), self.floor.dtype)
        count = count.at[0, -1].set(dimension - rank)
        return jnp.concatenate([self.spikes, self.floor[:, None]], axis=1), count

    def component(self, k: Int[Array, ""]) -> "LowRank":
        return jax.tree.map(lambda leaf: leaf[k][None], self)

    def apply(self, values: Array, vectors: Array) -> Array:
        inside, outside = self._split(vectors)
        lifted = self._lift(values[:, :-1] * inside)
        return lifted + values[:, -1:] * outside

    def bilinear(self, values: Array, a: Array, b: Array) -> Array:
        a_in, a_out = self._split(a)
        b_in, b_out = self._split(b)
        inside = jnp.sum(values[:, :-1] * a_in * b_in, axis=1)
        return inside + values[:, -1] * jnp.sum(a_out * b_out, axis=1)

    def form_change(self, noised: Array, gap: Array, a: Array, r: Array) -> Array:
        inside, outside = self._split(a)
        spikes = inside**2 / noised[:, :-1]
        # |out_k|^2 - |out_r|^2, in which out_k - out_r has the size of the factors.
        apart = jnp.sum((outside - outside[r][None]) * (outside + outside[r][None]), 1)
        floor, change = noised[:, -1], -gap[:, -1] / noised[:, -1] / noised[r, -1]
        along = jnp.sum(spikes - spikes[r][None], axis=1)
        return along + apart / floor + change * jnp.sum(outside[r] ** 2)

    def dense_sum(self, values: Array) -> Array:
        scaled = self.basis * (values[:, None, :-1] - values[:, None, -1:])
        dense = jnp.einsum("kir,kjr->ij", scaled, self.basis, precision="highest")
        return dense + values[:, -1].sum() * jnp.eye(dense.shape[0], dtype=dense.dtype)

    def factor(self, weights: Array) -> tuple[Array, Array]:
        above = jnp.clip(self.spikes - self.floor[:, None], 0)
        columns = self.basis * jnp.sqrt(weights[:, None] * above)[:, None, :]
        flat = jnp.moveaxis(columns, 0, 1).reshape(columns.shape[1], -1)
        return flat, jnp.sum(weights * self.floor)

    def _split(self, vectors: Array) -> tuple[Array, Array]:
        """Coordinates in the basis, and what lies outside its span."""
        inside = jnp.einsum("kd,kdr->kr", vectors, self.basis, precision="highest")
        return inside, vectors - self._lift(inside)

    def _lift(self, inside: Array) -> Array:
        return jnp.einsum("kr,kdr->kd", inside, self.basis, precision="highest")


class Full(AbstractCovariance):
    """Sigma_k = U_k diag(eigenvalues_k) U_k^T, decomposed once: O(d^2) a point."""

    basis: Float[Array, "k d d"]
    eigenvalues: Float[Array, "k d"]

    def spectrum(self) -> tuple[Array, Array]:
        return self.eigenvalues, jnp.ones_like(self.eigenvalues[:1])

    def component(self, k: Int[Array, ""]) -> "Full":
        return jax.tree.map(lambda leaf: leaf[k][None], self)

    def apply(self, values: Array, vectors: Array) -> Array:
        inside = values * self._rotate(vectors)
        return jnp.einsum("kr,kdr->kd", inside, self.basis, precision="highest")

    def bilinear(self, values: Array, a: Array, b: Array) -> Array:
        return jnp.sum(values * self._rotate(a) * self._rotate(b), axis=1)

    def form_change(self, noised: Array, gap: Array, a: Array, r: Array) -> Array:
        # |a|^2 / level is common to all: taken out of each form before its sum.
        level = jnp.mean(noised[r])
        terms = (level - noised) / noised / level * self._rotate(a) ** 2
        return jnp.sum(terms - terms[r][None], axis=1)

    def dense_sum(self, values: Array) -> Array:
        scaled = self.basis * values[:, None, :]
        return jnp.einsum("kir,kjr->ij", scaled, self.basis, precision="highest")

    def factor(self, weights: Array) -> tuple[Array, Array]:
        columns = self.basis * jnp.sqrt(weights[:, None] * self.eigenvalues)[:, None, :]
        flat = jnp.moveaxis(columns, 0, 1).reshape(columns.shape[1], -1)
        return flat, jnp.zeros((), flat.dtype)

    def turned(
        self, clean: Float[Array, "k d"], noise: Float[Array, " d"]
    ) -> tuple[Float[Array, "k d"], Float[Array, "k d"]]:
        """Vectors of each component, and one for all, in the axes of each Sigma_k."""
        both = jnp.stack([clean, jnp.broadcast_to(noise, clean.shape)])
        turned = jnp.einsum("vkd,kdr->vkr", both, self.basis, precision="highest")
        return turned[0], turned[1]

    def _rotate(self, vectors: Array) -> Array:
        return jnp.einsum("kd,kdr->kr", vectors, self.basis, precision="highest")


def decompose(matrices: Float[Array, "k d d"]) -> tuple[Array, Array]:
    """Eigenvalues and eigenvectors; float64 on the host unless traced.

    Float32 decompositions err by eps of the largest eigenvalue, which drowns small
    ones; rounded float64 ones err by eps of each. What float64 cannot tell from zero
    is zero, so that limits sigma -> 0 see a singular covariance.
    """
    if not is_concrete(matrices):
        return tuple(jnp.linalg.eigh(matrices))
    values, basis = np.linalg.eigh(np.asarray(matrices, np.float64))
    values = _without_rounding(values)
    return jnp.asarray(values, matrices.dtype), jnp.asarray(basis, matrices.dtype)


def decompose_factors(factors: Float[Array, "k d r"]) -> tuple[Array, Array]:
    """Left singular vectors and singular values, as in `decompose`."""
    if not is_concrete(factors):
        return tuple(jnp.linalg.svd(factors, full_matrices=False)[:2])
    basis, values, _ = np.linalg.svd(np.asarray(factors, np.float64), False)
    values = _without_rounding(values)
    return jnp.asarray(basis, factors.dtype), jnp.asarray(values, factors.dtype)


def _without_rounding(values: np.ndarray) -> np.ndarray:
    size = np.abs(values).max(axis=1, keepdims=True)
    rounding = 8 * values.shape[1] * np.finfo(np.float64).eps * size
    return np.where(np.abs(values) > rounding, values, 0.0)
