"""Sparse combinations of orthonormal atoms: features that decouple, and that do not."""

import functools
import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from jaxwin._checks import BadInput, check, fraction, positive
from jaxwin._numerics import as_float
from jaxwin._typing import AnyArray, ScalarLike
from jaxwin.analysis.speciation._agreement import disagreement
from jaxwin.targets import GaussianMixture

# Supports that are listed one by one: components of the mixture.
MOST_SUPPORTS = 2**14
ORTHONORMAL = 1e-6


class SparseDictionary(eqx.Module):
    """Mixture of N(sum_{k in S} c_k a_k, I) over supports S of orthonormal atoms a_k.

    The feature k is whether atom k is in the support. Of `independent` supports, each
    atom is in with probability p_k: coordinates along atoms are independent, the U-turn
    confusion is the Kronecker product of those of single atoms, and each has the window
    of two components at distance c_k. Of supports of `fixed_size` all are equally
    likely: to put one atom in is to take another out, so that what is to be told apart
    is no larger than what is to be told together, and the theorem's interval is empty;
    the confusion has a window all the same.

    Definition ours; the sparse dictionary of Li & Chen, arXiv:2403.01633, in spirit.
    """

    coefficients: Float[Array, " m"]
    atoms: Float[Array, "m d"]
    # Row by row the atoms of a support; with the law below one component each.
    supports: Bool[np.ndarray, "k m"]
    log_weights: Float[Array, " k"]
    # Of independent supports; None where the size is fixed.
    probabilities: Float[Array, " m"] | None

    @classmethod
    def independent(
        cls,
        coefficients: AnyArray,
        probabilities: AnyArray = 0.5,
        atoms: AnyArray | None = None,
    ) -> "SparseDictionary":
        """Atoms that are in the support independently of each other.

        Args:
            coefficients: (m,) c_k > 0.
            probabilities: p_k in (0, 1), one for all or (m,).
            atoms: (m, d) orthonormal rows; the axes of m dimensions if left out.

        Raises:
            BadInput: Atoms that are not orthonormal, or more than 14 of them.
            ValueError: A coefficient or a probability out of range.
        """
        coefficients, atoms = _checked(coefficients, atoms)
        each = as_float(probabilities).astype(coefficients.dtype)
        check(each, fraction, "probabilities", "in (0, 1); leave out such an atom")
        each = jnp.broadcast_to(each, coefficients.shape)
        count = coefficients.size
        _check_count(2**count)
        # Binary numbers, the first atom slowest: as a Kronecker product counts.
        supports = np.array(list(itertools.product([False, True], repeat=count)))
        inside = jnp.where(supports, jnp.log(each)[None], jnp.log1p(-each)[None])
        return cls(coefficients, atoms, supports, jnp.sum(inside, axis=1), each)

    @classmethod
    def fixed_size(
        cls, coefficients: AnyArray, size: int, atoms: AnyArray | None = None
    ) -> "SparseDictionary":
        """Supports of `size` atoms, all equally likely.

        Args:
            coefficients: (m,) c_k > 0.
            size: Atoms in each support, 1 to m - 1.
            atoms: (m, d) orthonormal rows; the axes of m dimensions if left out.

        Raises:
            BadInput: Atoms that are not orthonormal, a size out of range, or more than
                2^14 supports.
            ValueError: A coefficient out of range.
        """
        coefficients, atoms = _checked(coefficients, atoms)
        count = coefficients.size
        if not 1 <= size < count:
            raise BadInput(
                f"`size` is {size}; it must lie between 1 and {count - 1} of the "
                f"{count} atoms."
            )
        every = itertools.combinations(range(count), size)
        chosen = list(itertools.islice(every, MOST_SUPPORTS + 1))
        _check_count(len(chosen))
        supports = np.zeros((len(chosen), count), bool)
        np.put_along_axis(supports, np.array(chosen), True, axis=1)
        log_weights = jnp.full(len(chosen), -np.log(len(chosen)), coefficients.dtype)
        return cls(coefficients, atoms, supports, log_weights, None)

    def law(self, atom: int | None = None) -> GaussianMixture:
        """The mixture; its labels are supports, or the presence of one atom."""
        inside = jnp.where(self.supports, self.coefficients[None], 0)
        means = jnp.matmul(inside, self.atoms, precision="highest")
        labels = None if atom is None else self.supports[:, atom].astype(int)
        weights = jnp.exp(self.log_weights)
        return GaussianMixture.isotropic(means, 1.0, weights, labels=labels)

    def containing(self, atom: int) -> Bool[np.ndarray, " k"]:
        """The supports that hold an atom, as a set of the labels of `law()`."""
        return self.supports[:, atom]

    def presence_confusion(
        self, alpha: ScalarLike, sigma: ScalarLike
    ) -> Float[Array, "m 2 2"]:
        """Confusion of each atom's absence (0) and presence (1), independent supports.

            A_01 = (1 - phi) / (2 (1 - p)),  A_10 = (1 - phi) / (2 p),

        phi the clone agreement of two components at distance c_k.

        Raises:
            BadInput: Supports of a fixed size: atoms are not independent.
        """
        if self.probabilities is None:
            raise BadInput(
                "`presence_confusion` needs independent supports; of a fixed size "
                "take `windows.confusion` of `law(atom)`."
            )
        return jax.vmap(functools.partial(_presence, alpha=alpha, sigma=sigma))(
            self.coefficients, self.probabilities
        )

    def confusion(self, alpha: ScalarLike, sigma: ScalarLike) -> Float[Array, "k k"]:
        """Confusion of all supports, the Kronecker product over independent atoms.

        Raises:
            BadInput: As `presence_confusion`.
        """
        return functools.reduce(jnp.kron, self.presence_confusion(alpha, sigma))


def _presence(
    coefficient: Array, probability: Array, alpha: ScalarLike, sigma: ScalarLike
) -> Float[Array, "2 2"]:
    width = jnp.sqrt(as_float(alpha) ** 2 + as_float(sigma) ** 2)
    flow = disagreement(alpha * coefficient / width / 2, probability) / 2
    gained, lost = flow / (1 - probability), flow / probability
    return jnp.stack([jnp.stack([1 - gained, gained]), jnp.stack([lost, 1 - lost])])


def _checked(
    coefficients: AnyArray, atoms: AnyArray | None
) -> tuple[Float[Array, " m"], Float[Array, "m d"]]:
    coefficients = as_float(coefficients)
    check(coefficients, positive, "coefficients", "finite and > 0")
    if coefficients.ndim != 1 or coefficients.size == 0:
        raise BadInput(
            f"`coefficients` has shape {coefficients.shape}; it must be a list, one "
            f"number an atom."
        )
    count = coefficients.size
    if atoms is None:
        return coefficients, jnp.eye(count, dtype=coefficients.dtype)
    atoms = as_float(atoms).astype(coefficients.dtype)
    if atoms.ndim != 2 or len(atoms) != count:
        raise BadInput(
            f"`atoms` has shape {atoms.shape}; it must be ({count}, d), one row an "
            f"atom."
        )
    gram = np.asarray(atoms, np.float64) @ np.asarray(atoms, np.float64).T
    worst = np.abs(gram - np.eye(count)).max()
    if not worst <= ORTHONORMAL:
        raise BadInput(
            f"`atoms` are {worst:.2g} away from orthonormal rows; take the q of "
            f"numpy.linalg.qr of their transpose."
        )
    return coefficients, atoms


def _check_count(count: int) -> None:
    if count > MOST_SUPPORTS:
        raise BadInput(
            f"`coefficients` make more than {MOST_SUPPORTS} supports; take fewer atoms."
        )
