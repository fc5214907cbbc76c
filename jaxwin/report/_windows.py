"""When each feature of a law or of a data set is decided, with what is certain."""

from collections.abc import Sequence
from typing import Any

import equinox as eqx

from jaxwin.channels import AbstractObserved
from jaxwin.datasets import Data
from jaxwin.report._measuring import Measuring
from jaxwin.report._membership import check_both, membership_of
from jaxwin.report._prepare import prepare
from jaxwin.report._study import Study
from jaxwin.report._windows_of_data import windows_of_data
from jaxwin.report._windows_of_law import windows_of_law
from jaxwin.report._windows_result import EPSILON, Asked
from jaxwin.report._windows_study import windows_study
from jaxwin.targets import AbstractLabelledTarget


def windows_of(
    source: AbstractLabelledTarget | AbstractObserved | Data,
    *,
    name: str = "mixture",
    epsilon: float = EPSILON,
    tree: Sequence[Any] | None = None,
    initial: Sequence[int] | None = None,
    target: Sequence[int] | None = None,
    bandwidth: float | None = None,
    groups: str | None = None,
    members: Data | None = None,
    candidates: Data | None = None,
    classes: Any = None,
    num_points: int | None = None,
    normalize: str | None = None,
    pca: int | None = None,
    shape: Any = None,
    **measuring: Any,
) -> Study:
    """In which windows of noise are the classes of a law or of data decided?

    Args:
        source: A labelled law (seen along OU time), anything observed with exact
            labels, or labelled data, which are seen under kernel density.
        name: Of a law, for titles.
        epsilon: Tolerance of thresholds and windows.
        tree: Nested groups of classes, such as [[0, 1], 2]; by linkage of a mixture, by
            the merges of data if left out.
        initial: Classes that the certificate's U-turn starts from; the first if left
            out.
        target: Classes that it is to reach; the parent of `initial` in the tree if
            left out.
        bandwidth: Of the kernel, in units of the normalised data; 0 for the points
            themselves, as in `report`; the likeliest of left-out points if None.
        groups: Label column of data whose groups are compared for fairness; anything
            of a mixture, whose classes are compared.
        members: A training set, for membership.
        candidates: Points that were not trained on.
        classes: Of data, as in `diagnose`; so are the next four.
        num_points: See `classes`.
        normalize: See `classes`.
        pca: See `classes`.
        shape: See `classes`.
        measuring: Fields of `Measuring`.

    Raises:
        BadInput: What cannot be studied; one line that says what to do.
    """
    options = Measuring(**measuring)
    check_both(members, candidates)
    asked = Asked(epsilon, tree, initial, target)
    if isinstance(source, Data):
        selection = classes, num_points, normalize, pca, shape
        prepared = prepare(source, *selection, options.seed, options.least)
        options.begin()
        found = windows_of_data(prepared, bandwidth, groups, asked, options)
    else:
        options.begin()
        found = windows_of_law(source, name, groups, asked, options)
    if members is not None and candidates is not None:
        told = membership_of(
            members,
            candidates,
            normalize=normalize,
            bandwidth=bandwidth,
            measuring=options,
        )
        found = eqx.tree_at(
            lambda w: w.membership, found, told, is_leaf=lambda leaf: leaf is None
        )
    return windows_study(found)
