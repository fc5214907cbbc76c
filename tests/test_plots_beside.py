"""Predicted lines, measured points and published ones on one picture."""

from typing import Any

import numpy as np
import pytest

from jaxwin.plots import Series, beside, paths, to_svg

X = np.linspace(0.0, 1.0, 5)


def axes_of(series, **options):
    return beside(series, "time", "share", **options).axes[0]


def test_every_kind_is_drawn_where_it_lies():
    one = Series("d = 3", (X, X**2, 0.1 + 0 * X), (X, X), (X[:2], 1 - X[:2]))
    axes = axes_of([one], xlim=(0.0, 2.0), ylim=(-1.0, 3.0))
    line, points, hollow = (axes.lines[i] for i in (0, 1, 2))
    np.testing.assert_array_equal(line.get_xydata(), np.stack([X, X], 1))
    np.testing.assert_array_equal(points.get_xydata(), np.stack([X, X**2], 1))
    expected = np.stack([X[:2], 1 - X[:2]], 1)
    np.testing.assert_array_equal(hollow.get_xydata(), expected)
    assert hollow.get_markerfacecolor() == "none"
    bars: Any = axes.containers[0]
    (segments,) = bars.lines[2]
    lengths = [np.ptp(segment[:, 1]) for segment in segments.get_segments()]
    np.testing.assert_allclose(lengths, 0.2)
    assert axes.get_xlim() == (0.0, 2.0)
    assert axes.get_ylim() == (-1.0, 3.0)


def test_legend_names_series_first_then_kinds():
    series = [
        Series("first", (X, X, X)),
        Series("second", predicted=(X, X)),
        Series("third", published=(X, X)),
    ]

    def names(*shown, **options):
        legend = axes_of(shown, **options).get_legend()
        assert legend is not None
        return [text.get_text() for text in legend.get_texts()]

    own, kinds = ["first", "second", "third"], ["measured", "predicted", "published"]
    assert names(*series) == own + kinds
    assert names(*series, kinds=False) == own
    assert names(series[0]) == ["first"]


def test_marks_and_levels_are_named():
    axes = axes_of(
        [Series("one", predicted=(X, X))],
        marks=[("t_S", 0.3)],
        levels=[("half", 0.5)],
        logarithmic=True,
    )
    assert {text.get_text() for text in axes.texts} == {"t_S", "half"}
    assert axes.get_xscale() == "log"
    np.testing.assert_array_equal(axes.lines[1].get_xdata(), [0.3, 0.3])
    np.testing.assert_array_equal(axes.lines[2].get_ydata(), [0.5, 0.5])


def test_names_of_marks_stay_inside():
    marks = [("early", 0.2), ("late", 0.95)]
    axes = axes_of([Series("one", predicted=(X, X))], marks=marks)
    sides = {text.get_text(): text.get_horizontalalignment() for text in axes.texts}
    assert sides == {"early": "left", "late": "right"}


def test_many_series_take_colours_again():
    assert len(axes_of([Series(str(i), predicted=(X, X)) for i in range(9)]).lines) == 9


@pytest.mark.parametrize("end", [1.0, -1.0])
def test_paths_are_coloured_by_their_end(end):
    noise = X[::-1]
    figure = paths(
        noise,
        np.stack([end * X, -end * X]),
        [("I", 0.5, 1.0), ("II", 0.0, 0.5)],
        [("t_S", 0.5)],
        "time",
        "q",
        dots=np.array([0.5, 0.25]),
    )
    axes = figure.axes[0]
    first, dot, second = (axes.lines[i] for i in (0, 1, 2))
    assert first.get_color() != second.get_color()
    assert dot.get_color() == first.get_color()
    assert axes.get_xlim() == (1.0, 0.0)
    np.testing.assert_array_equal(dot.get_xdata(), [0.5])
    assert {text.get_text() for text in axes.texts} == {"I", "II", "t_S"}
    assert "<svg" in to_svg(figure)
