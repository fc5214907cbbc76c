"""A Gaussian mixture from what a person writes on a line or in a file."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxwin._checks import BadInput
from jaxwin.targets import GaussianMixture

KEYS = ("means", "variances", "covariances", "factors", "weights", "labels")


def mixture(arrays: Mapping[str, Any], dimension: int | None = None) -> GaussianMixture:
    """The mixture of `means` and one of `variances`, `covariances`, `factors`.

    - `means`: (K, d), or K numbers, each the mean of all `dimension` coordinates.
    - `variances`: one, one a component (K,), or one a coordinate, (d,) or (K, d).
    - `covariances`: (d, d) or (K, d, d).
    - `factors`: (d, r) or (K, d, r), covariance = factor factor^T + `variances` I.
    - `weights`: (K,), equal if left out. `labels`: class 0 ... c - 1 of each component.

    Raises:
        BadInput: A name that is none of these, a part that is missing, two that say the
            same, or what `GaussianMixture` refuses.
    """
    unknown = [key for key in arrays if key not in KEYS]
    if unknown:
        raise BadInput(
            f"`{unknown[0]}` is no part of a mixture; it is made of {', '.join(KEYS)}."
        )
    given = {key: np.asarray(value) for key, value in arrays.items()}
    if "means" not in given:
        raise BadInput("`means` is missing; a mixture needs one row a component.")
    means = _means(np.atleast_1d(given.pop("means")), dimension)
    rest: dict[str, Any] = {key: given.get(key) for key in ("weights", "labels")}
    try:
        return _built(means, given, rest)
    except ValueError as error:
        raise BadInput(str(error)) from error


def _means(means: np.ndarray, dimension: int | None) -> np.ndarray:
    if means.ndim != 1:
        if dimension is not None and means.shape[-1] != dimension:
            raise BadInput(
                f"`dimension` is {dimension} and `means` has rows of "
                f"{means.shape[-1]}; leave one of them out."
            )
        return means
    if dimension is not None and dimension < 1:
        raise BadInput(f"`dimension` is {dimension}; it must be at least 1.")
    return np.tile(means[:, None].astype(float), (1, dimension or 1))


def _built(
    means: np.ndarray, given: dict[str, np.ndarray], rest: dict[str, Any]
) -> GaussianMixture:
    variances = given.get("variances")
    if "covariances" in given:
        if variances is not None or "factors" in given:
            raise BadInput(
                "`covariances` is given beside `variances` or `factors`; keep one."
            )
        return GaussianMixture.full(means, given["covariances"], **rest)
    if variances is None:
        raise BadInput(
            "`variances` is missing; give it, 0 for points, or `covariances`."
        )
    if "factors" in given:
        return GaussianMixture.low_rank(means, given["factors"], variances, **rest)
    if variances.ndim == 0 or variances.shape == means.shape[:1]:
        return GaussianMixture.isotropic(means, variances, **rest)
    return GaussianMixture.diagonal(means, variances, **rest)
