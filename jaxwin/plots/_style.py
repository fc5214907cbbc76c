"""What all figures share: colours that every eye tells apart, on light and on dark.

matplotlib is imported by the functions: `import jaxwin.plots` costs nothing.
"""

import io
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from jaxwin.analysis import Crossing

if TYPE_CHECKING:
    import matplotlib.figure

# Mid-tones of the Okabe-Ito palette: at least 3:1 on white and on near-black.
BLUE, ORANGE, GREEN = "#2b83c6", "#d55e00", "#009e73"
# One grey for all that is not data: a page replaces it by its own text colour.
INK = "#767d85"
WIDTH, HEIGHT = 5.2, 3.4  # inches; small, so that text stays readable on a phone
SMALL, NORMAL = 8.5, 10  # points


def new_figure(
    width: float = WIDTH, height: float = HEIGHT
) -> "matplotlib.figure.Figure":
    """An empty figure on a transparent ground, tied to no global state."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    figure.patch.set_alpha(0)
    return figure


def tidy(axes: Any) -> None:
    """Leave two spines, all in grey."""
    axes.patch.set_alpha(0)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for spine in axes.spines.values():
        spine.set_color(INK)
    axes.tick_params(colors=INK, labelsize=SMALL)
    for label in (axes.xaxis.label, axes.yaxis.label):
        label.set(color=INK, fontsize=NORMAL)


def legend(axes: Any, **options: Any) -> None:
    """A legend without a frame, in grey."""
    axes.legend(frameon=False, fontsize=SMALL, labelcolor=INK, **options)


def interval(axes: Any, crossing: Crossing, height: float, color: str) -> None:
    """A crossing as a dot with its 95 % interval."""
    time, low, high = (
        float(leaf) for leaf in (crossing.time, crossing.low, crossing.high)
    )
    # A percentile interval need not hold the point it belongs to.
    arms = np.clip([[time - low], [high - time]], 0, None)
    axes.errorbar(
        time, height, xerr=arms, fmt="o", markersize=5, capsize=3, color=color
    )


def right_note(
    axes: Any, text: str, height: float, color: str, side: str = "above"
) -> None:
    """A note on a level, at the right end just above or below it."""
    axes.annotate(
        text,
        (1, height),
        (0, 2 if side == "above" else -2),
        xycoords=axes.get_yaxis_transform(),
        textcoords="offset points",
        ha="right",
        va="bottom" if side == "above" else "top",
        color=color,
        fontsize=SMALL,
    )


def changing_until(
    noise: Float[np.ndarray, " t"], curves: Float[np.ndarray, "k t"], rest: float = 0.04
) -> float:
    """First noise from which every curve keeps within `rest` of its way to its end.

    What lies beyond is flat and is not worth the reader's space.
    """
    way = np.abs(curves - curves[:, -1:])
    moving = (way > rest * way.max(axis=1, keepdims=True)).any(axis=0)
    last = int(np.flatnonzero(moving)[-1]) if moving.any() else noise.size - 1
    return float(noise[min(last + 1, noise.size - 1)])


def first_shown(noise: Float[np.ndarray, " t"], end: float) -> float:
    """Where the axis of noises begins: at zero, unless nothing is known near it."""
    first = float(noise[0])
    return 0.0 if first < 0.25 * end else first


def digits(time: float) -> str:
    """A time to three digits."""
    return f"{time:#.3g}".removesuffix(".")


def short(name: str, most: int = 14) -> str:
    """A class name that fits an axis."""
    line = "".join(c for c in " ".join(name.split()) if c.isprintable())
    return line if len(line) <= most else line[: most - 1] + "…"


def to_png(figure: "matplotlib.figure.Figure", dpi: int = 200) -> bytes:
    """The figure as PNG on white."""
    # The transparent ground would stay so under any colour given to `savefig`.
    figure.patch.set_alpha(1)
    try:
        return _render(figure, "png", dpi=dpi, facecolor="white")
    finally:
        figure.patch.set_alpha(0)


def to_svg(figure: "matplotlib.figure.Figure") -> str:
    """The figure as SVG on a transparent ground; its text stays text."""
    return _render(figure, "svg", metadata={"Date": None}).decode()


def _render(
    figure: "matplotlib.figure.Figure", form: str, dpi: int = 100, **options: Any
) -> bytes:
    import matplotlib

    stream = io.BytesIO()
    # Only settings reach these two; identifiers are salted so that files repeat.
    settings: Any = {"svg.fonttype": "none", "svg.hashsalt": "jaxwin"}
    with matplotlib.rc_context(settings), warnings.catch_warnings():
        # A class name may be in any script; the SVG shows it with the reader's fonts.
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        figure.savefig(stream, format=form, dpi=dpi, **options)
    return stream.getvalue()
