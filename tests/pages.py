"""What tests of pages and figures share: results made by hand, a strict HTML reader."""

import dataclasses
from html.parser import HTMLParser
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxwin.analysis import Crossing, speciation, windows
from jaxwin.analysis.information import ClassInformation
from jaxwin.report import Diagnosis

VOID = {"meta", "br", "img", "link", "hr", "input"}
TIMES = np.geomspace(0.01, 3, 24)


class Page(HTMLParser):
    """What a page holds; fails where tags do not nest."""

    def __init__(self, text: str):
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.code: list[str] = []
        self.ids: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag, attrs):
        self._note(tag, dict(attrs))
        if tag not in VOID:
            self._open.append(tag)
        if tag == "pre":
            self.code.append("")

    def handle_startendtag(self, tag, attrs):
        self._note(tag, dict(attrs))

    def _note(self, tag, found):
        self.tags.append((tag, found))
        if found.get("id"):
            self.ids.append(str(found["id"]))

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        if self._open and self._open[-1] != "style":
            self.text += data
        if "pre" in self._open:
            self.code[-1] += data


def times_at(time: Any, error: Any = 0.01, found: Any = True) -> Crossing:
    """Crossings with intervals of two errors; unfound ones say what was searched."""
    time, error, found = np.broadcast_arrays(np.asarray(time, float), error, found)
    choose = lambda value, other: jnp.asarray(np.where(found, value, other))
    return Crossing(
        choose(time, np.nan),
        choose(error, np.nan),
        choose(time - 2 * error, TIMES[0]),
        choose(time + 2 * error, TIMES[-1]),
        jnp.asarray(found),
    )


def lost(crossing: Crossing) -> Crossing:
    """The same crossing as one that was not found."""
    nan = jnp.full_like(jnp.asarray(crossing.time), jnp.nan)
    no = jnp.zeros_like(jnp.asarray(crossing.found))
    return dataclasses.replace(crossing, time=nan, stderr=nan, found=no)


def chain(count: int) -> speciation.MergeTree:
    """A tree in which one class after the other joins the first two."""
    first = np.concatenate([[0], np.arange(count, 2 * count - 2)])
    return speciation.MergeTree(
        first[: count - 1],
        np.arange(1, count),
        times_at(np.linspace(0.3, 1.2, count - 1)),
    )


def with_classes(diagnosis: Diagnosis, count: int) -> Diagnosis:
    """The same diagnosis with results, made by hand, of so many classes."""
    pair = np.stack(np.triu_indices(count, 1), axis=1).astype(np.int32)
    spread = np.linspace(0.4, 1.1, len(pair))
    curves = 0.5 + 0.5 * np.exp(-TIMES[None] / spread[:, None])
    pairs = speciation.PairAgreement(
        pair, TIMES, curves, 0 * curves + 0.01, times_at(spread), times_at(spread, 0.03)
    )
    phi = np.exp(-TIMES) * (1 - 1 / count) + 1 / count
    agreement = speciation.CloneAgreement(
        crossing=times_at(0.25),
        pairs=pairs,
        chance=1 / count,
        level=0.775,
        count=64,
        method="by hand",
        noise=TIMES,
        phi=phi,
        stderr=0 * phi + 0.01,
    )
    by_law = dataclasses.replace(pairs, crossing=times_at(0.9 * spread), fresh=None)
    keep = np.exp(-TIMES)[:, None, None]
    matrix = keep * np.eye(count) + (1 - keep) / count
    nats = np.log(count) * np.exp(-TIMES)
    information = ClassInformation(
        low=times_at(-np.log(0.95)),
        high=times_at(-np.log(0.05)),
        entropy=np.asarray(np.log(count)),
        noise=TIMES,
        information=nats,
        stderr=0 * nats + 0.01,
    )
    names = tuple(f"class <{i}>" for i in range(count))
    feature = dataclasses.replace(
        diagnosis.features[0],
        name="made & by hand",
        classes=names,
        class_counts=(3,) * count,
        agreement=agreement,
        gaussian=dataclasses.replace(agreement, pairs=by_law),
        general=speciation.GeneralClassTimes(
            pair, times_at(np.stack([0.8 * spread, 1.2 * spread], axis=1))
        ),
        confusion=windows.Confusion(TIMES, matrix, 0 * matrix),
        tree=chain(count),
        information=information,
        class_direction_z=np.full((count, count), 9.0),
        class_direction_overlap=jnp.asarray(
            np.random.default_rng(0).uniform(size=(count, count, 1))
        ),
    )
    return dataclasses.replace(diagnosis, features=(feature,))
