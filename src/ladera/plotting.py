"""The look of the figures, and turning them into SVG to put into a page.

Figures are made as objects, never through pyplot: no window, no global state, no figure kept alive.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, Literal

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from ladera.arrays import Reals
from ladera.errors import ArgumentError, told

INK: Final = "#1b2733"
FAINT: Final = "#8694a1"
# Okabe and Ito's palette (2008): told apart by colour-blind readers, and mostly in grey print.
PALETTE: Final = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
    "#7A5C00",
    "#000000",
)
DASHES: Final = ("-", (0, (5, 1.5)), (0, (1, 1)), (0, (4, 1.5, 1, 1.5)))
_SCREEN: Final = 96  # pixels of an inch
PART_COLORS: Final = {"train": "#56B4E9", "validation": "#D55E00", "test": "#0072B2"}
PART_DASHES: Final = {"train": "-", "validation": (0, (5, 1.5)), "test": "-"}

_STYLE: Final[dict[Any, Any]] = {
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.labelsize": 9.5,
    "axes.linewidth": 0.8,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlecolor": INK,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.formatter.useoffset": False,
    "axes.unicode_minus": True,
    "font.family": "DejaVu Sans",
    "font.size": 9.0,
    "grid.color": "#e6eaee",
    "grid.linewidth": 0.7,
    "legend.fontsize": 8.5,
    "legend.frameon": False,
    "legend.handlelength": 1.6,
    "lines.linewidth": 1.5,
    "savefig.dpi": 180,
    "svg.fonttype": "none",  # text stays text: small, searchable, in the page's font
    "svg.hashsalt": "ladera",  # the same figure gives the same file
    "text.color": INK,
    "text.parse_math": False,  # a $ in somebody's group name is a dollar sign
    "xtick.color": FAINT,
    "xtick.labelcolor": INK,
    "xtick.labelsize": 8.5,
    "ytick.color": FAINT,
    "ytick.labelcolor": INK,
    "ytick.labelsize": 8.5,
}
_SUPERSCRIPT: Final = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_TAG: Final = re.compile(r"<[^<>]+>")
_IDENTIFIER: Final = re.compile(r'(\sid="|url\(#|href="#)')


@contextmanager
def style() -> Iterator[None]:
    """Ladera's look, for figures made or saved inside."""
    with mpl.rc_context(_STYLE):
        yield


class Picture(Figure):
    """A figure that notebooks show, whether pyplot has been imported or not."""

    def __init__(self, width: float, height: float) -> None:
        super().__init__(figsize=(width, height), layout="constrained")

    def _repr_png_(self) -> tuple[bytes, dict[str, float]]:
        """Twice as fine as the screen, for those that are; and how large it is meant to be."""
        picture = io.BytesIO()
        with style():
            self.savefig(picture, format="png", dpi=2 * _SCREEN)
        width, height = (_SCREEN * self.get_size_inches()).round().tolist()
        return picture.getvalue(), {"width": width, "height": height}


def axes(width: float = 4.4, height: float = 3.3, ax: Axes | None = None) -> tuple[Figure, Axes]:
    """A figure of one panel, ``width`` by ``height`` inches; call it inside :func:`style`.

    With ``ax`` these, and the figure that they are in.
    """
    if ax is not None:
        return _figure_of(ax), ax
    figure = Picture(width, height)
    return figure, figure.add_subplot()


def panel_grid(
    width: float,
    height: float,
    ax: Axes | None = None,
    *,
    rows: Sequence[float] = (1,),
    columns: Sequence[float] = (1,),
    share: Literal["x", "y", ""] = "",
) -> tuple[Figure, list[Axes]]:
    """A figure of several panels whose ``rows`` and ``columns`` are in these proportions.

    They may ``share`` an axis. With ``ax`` they take its place in its figure. Call it inside
    :func:`style`. Raises ArgumentError for axes that have no place in a grid.
    """
    if ax is None:
        figure: Figure = Picture(width, height)
        grid: Any = figure.add_gridspec
    else:
        figure, place = _figure_of(ax), ax.get_subplotspec()
        if place is None:
            raise ArgumentError(
                f"This figure has {len(rows) * len(columns)} panels, and ax has no place in a grid "
                "where they could stand; make it with plt.subplots()."
            )
        ax.set_axis_off()
        grid = place.subgridspec
    spec = grid(len(rows), len(columns), height_ratios=rows, width_ratios=columns)
    made = spec.subplots(sharex=share == "x", sharey=share == "y", squeeze=False)
    return figure, list(made.flat)


def _figure_of(ax: Axes) -> Figure:
    if not isinstance(ax, Axes):
        raise ArgumentError(
            f"ax is {told(ax)}; give axes of matplotlib, such as those of plt.subplots()."
        )
    figure: Any = ax.get_figure(root=True)
    found: Figure = figure
    return found


def band(
    panel: Axes,
    x: Reals,
    y: Reals,
    error: Reals,
    label: str,
    number: int = 0,
) -> None:
    """A curve with two standard errors to either side, in colour and dashes number ``number``."""
    color = PALETTE[number % len(PALETTE)]
    panel.fill_between(x, y - 2 * error, y + 2 * error, color=color, alpha=0.2, lw=0)
    panel.plot(x, y, color=color, linestyle=DASHES[number % len(DASHES)], label=label)


def log_scale(axes: Axes, name: Literal["x", "y"]) -> None:
    """Make an axis logarithmic, its numbers written plainly; call it when all is drawn."""
    axis = axes.xaxis if name == "x" else axes.yaxis
    axes.set(**{f"{name}scale": "log"})
    low, high = axis.get_view_interval()
    # Less than two decades have too few powers of ten to read a value from.
    few = low > 0 and high / low < 100
    axis.set_major_formatter(FuncFormatter(_power))
    axis.set_minor_formatter(FuncFormatter(_two_and_five if few else _nothing))


def to_svg(figure: Figure, description: str, prefix: str) -> Markup:
    """The figure as an ``<svg>`` element that scales with the page and says what it shows.

    Every identifier in it begins with ``prefix``, so that several figures can share a page.
    """
    buffer = io.StringIO()
    with style():
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(buffer, format="svg", metadata=nothing)
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = _TAG.sub(lambda tag: _IDENTIFIER.sub(rf"\g<1>{prefix}-", tag.group()), text)
    root, contents = text.split(">", 1)
    view_box = root.split('viewBox="')[1].split('"')[0]
    return Markup(
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        'role="img" aria-label="{}" viewBox="{}" style="max-width:{}in">{}'
    ).format(description, view_box, round(1.3 * figure.get_size_inches()[0], 2), Markup(contents))


def _power(value: float, position: int | None = None) -> str:
    """0.01, 1, 100; beyond four digits 10⁵."""
    if value <= 0:
        return ""
    exponent = round(math.log10(value))
    if -4 < exponent < 5:
        return f"{value:g}"
    return f"10{str(exponent).translate(_SUPERSCRIPT)}"


def _two_and_five(value: float, position: int | None = None) -> str:
    """2 and 5 of each decade: 0.02, 5, 2·10⁵."""
    exponent = math.floor(math.log10(value) + 1e-9)
    leading = round(value / 10**exponent, 6)
    if leading not in (2, 5):
        return ""
    if -4 < exponent < 5:
        return f"{value:g}"
    return f"{leading:g}·10{str(exponent).translate(_SUPERSCRIPT)}"


def _nothing(value: float, position: int | None = None) -> str:
    return ""
