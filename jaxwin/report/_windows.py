"""When each feature of a law or of a data set is decided, with what is certain."""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxwin._checks import BadInput
from jaxwin.analysis import windows
from jaxwin.analysis.windows._theorem import tolerance
from jaxwin.channels import AbstractObserved
from jaxwin.datasets import Data
from jaxwin.report._fairness import check_law_groups
from jaxwin.report._measuring import Measuring
from jaxwin.report._membership import check_both, membership_of
from jaxwin.report._prepare import Prepared, prepare
from jaxwin.report._study import Study
from jaxwin.report._windows_of_data import windows_of_data
from jaxwin.report._windows_of_law import windows_of_law
from jaxwin.report._windows_result import EPSILON, Asked, turn_between
from jaxwin.report._windows_study import windows_study
from jaxwin.targets import AbstractLabelledTarget

LABELS = int | np.integer


def windows_of(
    source: AbstractLabelledTarget | AbstractObserved | Data,
    *,
    name: str = "mixture",
    epsilon: float = EPSILON,
    tree: Sequence[Any] | None = None,
    initial: Any = None,
    target: Any = None,
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
            labels, or labelled data, which are seen under kernel density; of two
            classes or more.
        name: Of a law, for titles.
        epsilon: Tolerance of thresholds and windows.
        tree: Nested groups of all classes, such as [[0, 1], 2]; by linkage of a
            mixture, by the merges of data if left out.
        initial: Classes that the certificate's U-turn starts from; the first if left
            out.
        target: Classes that it is to reach; the parent of `initial` in the tree if
            left out.
        bandwidth: Of the kernel on data and on members, in units of the normalised
            data; 0 for the points themselves, as in `report`; the likeliest of left-out
            points if None.
        groups: Label column of data whose groups are compared for fairness; "class" of
            a mixture with classes of several components.
        members: A training set, for membership.
        candidates: Points that were not trained on.
        classes: Of data only, as in `diagnose`; so are the next four.
        num_points: See `classes`.
        normalize: See `classes`; of members too.
        pca: See `classes`.
        shape: See `classes`.
        measuring: Fields of `Measuring`.

    Raises:
        BadInput: What cannot be studied; one line that says what to do.
    """
    options = Measuring(**measuring)
    check_both(members, candidates)
    tolerance(epsilon)
    _check_bandwidth(bandwidth)
    _check_list(initial, "initial")
    _check_list(target, "target")
    asked = Asked(epsilon, tree, initial, target)
    if isinstance(source, Data):
        selection = classes, num_points, normalize, pca, shape
        prepared = prepare(source, *selection, options.seed, options.least)
        _check_data(prepared, classes, asked)
        options.begin()
        found = windows_of_data(prepared, bandwidth, groups, asked, options)
    else:
        of_data: dict[str, Any] = {
            "classes": classes,
            "num_points": num_points,
            "pca": pca,
            "shape": shape,
        }
        if members is None:
            of_data |= {"normalize": normalize, "bandwidth": bandwidth}
        _check_law(source, of_data, groups, asked)
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


def _check_bandwidth(bandwidth: float | None) -> None:
    if bandwidth is not None and not 0 <= bandwidth < np.inf:
        raise BadInput(
            f"`bandwidth` is {bandwidth:g}; it must be finite and >= 0: leave it out "
            f"for the likeliest."
        )


def _check_law(
    source: AbstractLabelledTarget | AbstractObserved,
    of_data: dict[str, Any],
    groups: str | None,
    asked: Asked,
) -> None:
    """Raise BadInput, before long work, for what cannot be asked of a law."""
    foreign = [name for name, value in of_data.items() if value is not None]
    if foreign:
        raise BadInput(
            f"`{foreign[0]}` is an option of data sets, and a law is given; leave it "
            f"out."
        )
    log_prior = source.log_label_prior()
    if np.sum(np.asarray(log_prior) > -np.inf) < 2:
        raise BadInput(
            "windows are those of classes, and the law has fewer than two with weight; "
            "give two components or more, of several `labels`."
        )
    if groups is not None:
        check_law_groups(source, groups)
    _check_sets(asked, log_prior)


def _check_data(prepared: Prepared, classes: Any, asked: Asked) -> None:
    """Raise BadInput, before long work, for what cannot be asked of data."""
    features = prepared.normal.features
    names = features[0].classes if features else ()
    if len(names) == 1:
        what = "`labels` holds" if classes is None else "`classes` keeps"
        raise BadInput(
            f"{what} one class, {names[0]!r}; windows are those of several: give at "
            f"least two."
        )
    # No labels at all are told of by `windows_of_data`.
    if names:
        _check_sets(asked, jnp.zeros(len(names)))


def _check_sets(asked: Asked, log_prior: Float[Array, " c"]) -> None:
    """Raise BadInput where tree, initial or target do not fit the classes."""
    present = np.flatnonzero(np.asarray(log_prior) > -np.inf).tolist()
    groups = [present] if asked.tree is None else asked.tree
    tree = windows.Tree.nested(groups, log_prior.size, "tree")
    left = sorted(set(present) - set(tree.labels))
    if left:
        raise BadInput(
            f"`tree` leaves out class {left[0]}; name every class that has weight."
        )
    windows.nested(*turn_between(tree, asked), log_prior)


def _check_list(given: Any, name: str) -> None:
    if given is None:
        return
    several = isinstance(given, Sequence | np.ndarray) and not isinstance(given, str)
    whole = lambda entry: isinstance(entry, LABELS) and not isinstance(entry, bool)
    if not several or not all(map(whole, given)):
        raise BadInput(
            f"`{name}` is {given!r}; it must be a list of classes by number, such as "
            f"[0, 2]."
        )
