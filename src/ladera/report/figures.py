"""Figures of a training run and of simulations, as matplotlib Figure objects.

Every function returns a new figure of one panel with units on its axes; save it with
``figure.savefig`` or put it into a page with :func:`ladera.plotting.to_svg`.

>>> from ladera.report import figures
>>> figures.parity({"Si": (reference, predicted)}, "force component", "eV/Å").savefig("forces.png")
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from ase import Atoms
from ase.data import covalent_radii
from ase.data.colors import jmol_colors
from ase.visualize.plot import plot_atoms
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ladera.arrays import Floats
from ladera.plotting import (
    FAINT,
    INK,
    PALETTE,
    PART_COLORS,
    PART_DASHES,
    axes,
    log_scale,
    style,
)
from ladera.training.evaluation_files import Errors

# More points than this become a picture inside the SVG, which stays small.
VECTOR_POINTS: Final = 800
# More points than this would only hide each other.
_DRAWN_POINTS: Final = 200_000


def learning_curve(
    epoch: Floats, curves: Mapping[str, Floats], label: str, *, best: float | None = None
) -> Figure:
    """A quantity over the epochs, on a logarithmic scale where it is positive.

    Parameters
    ----------
    epoch
        Epochs, (n_epochs,).
    curves
        Values by part of the data (train, validation) or by any other name, each (n_epochs,).
    label
        What the values are, with their unit.
    best
        Epoch of the model that was kept, marked when given.
    """
    with style():
        figure, panel = axes()
        for number, (name, values) in enumerate(curves.items()):
            color = PART_COLORS.get(name, PALETTE[number % len(PALETTE)])
            marker = "o" if np.isfinite(values).sum() < 3 else ""
            dashes = PART_DASHES.get(name, "-")
            panel.plot(
                epoch, values, color=color, linestyle=dashes, marker=marker, label=name.capitalize()
            )
        if best is not None:
            label_of_best = f"Best (epoch {best:g})"
            panel.axvline(
                best, color=FAINT, linewidth=1, linestyle=":", zorder=0, label=label_of_best
            )
        panel.set(xlabel="Epoch", ylabel=label)
        panel.margins(x=0.02)
        if any((values > 0).any() for values in curves.values()):
            log_scale(panel, "y")
        if len(curves) > 1:
            legend_above(panel)
    return figure


def parity(
    groups: Mapping[str, tuple[Floats, Floats]],
    label: str,
    unit: str,
    *,
    title: str = "",
    colors: Mapping[str, str] | None = None,
) -> Figure:
    """Predicted against reference values, coloured by group, with their errors.

    Parameters
    ----------
    groups
        Reference and predicted values (any shape, NaN where a label is missing) by group.
    label, unit
        What the values are, such as "force component", and their unit.
    colors
        Colour of each group; by order when not given.
    """
    pairs = {name: _labelled(*values) for name, values in groups.items()}
    reference = np.concatenate([pair[0] for pair in pairs.values()] or [np.empty(0)])
    predicted = np.concatenate([pair[1] for pair in pairs.values()] or [np.empty(0)])
    colors = colors or group_colors(list(groups))
    stride = max(1, -(-len(reference) // _DRAWN_POINTS))
    with style():
        figure, panel = axes(4.1, 3.9)
        low, high = _limits(np.concatenate([reference, predicted]))
        panel.axline((low, low), (high, high), color=FAINT, linewidth=1, zorder=1)
        # The most frequent group first, below the others.
        for name, (x, y) in sorted(pairs.items(), key=lambda item: -len(item[1][0])):
            panel.plot(
                x[::stride],
                y[::stride],
                linestyle="none",
                marker="o",
                markersize=3.6 if len(reference) < VECTOR_POINTS else 2.2,
                markeredgewidth=0,
                alpha=0.75 if len(reference) < VECTOR_POINTS else 0.45,
                color=colors[name],
                rasterized=len(reference) > VECTOR_POINTS,
                label=name,
                zorder=2,
            )
        panel.set(xlim=(low, high), ylim=(low, high), aspect="equal", title=title)
        panel.locator_params(nbins=5)
        panel.set(xlabel=f"Reference {label} ({unit})", ylabel=f"Predicted {label} ({unit})")
        _write_errors(panel, Errors.of(reference, predicted), unit)
        # Colours are those of all parts of the data; a legend is of what is in this one.
        drawn = {name: color for name, color in colors.items() if len(pairs[name][0])}
        if drawn and len(groups) > 1:
            _group_legend(panel, drawn)
    return figure


def error_histogram(errors: Mapping[str, Floats], label: str) -> Figure:
    """How often errors of each size occur, by part of the data, as a share of the values.

    ``errors`` are predicted minus reference (any shape, NaN where a label is missing); ``label``
    names them with their unit. The few beyond the 99.9th percentile are counted in the outer bins.
    """
    finite = {name: e[np.isfinite(e)].ravel() for name, e in errors.items()}
    finite = {name: values for name, values in finite.items() if len(values)}
    with style():
        figure, panel = axes(4.1, 3.1)
        everything = np.concatenate(list(finite.values()) or [np.zeros(1)])
        reach = float(np.quantile(np.abs(everything), 0.999)) or 1.0
        fewest = min((len(values) for values in finite.values()), default=1)
        edges = np.linspace(-reach, reach, 2 * int(np.clip(np.sqrt(fewest), 5, 30)) + 2)
        for number, (name, values) in enumerate(finite.items()):
            counts, _ = np.histogram(np.clip(values, -reach, reach), edges)
            panel.stairs(
                counts / len(values),
                edges,
                color=PART_COLORS.get(name, PALETTE[number % len(PALETTE)]),
                linestyle=PART_DASHES.get(name, "-"),
                linewidth=1.5,
                label=name.capitalize(),
            )
        panel.axvline(0, color=FAINT, linewidth=0.8, zorder=0)
        panel.set(xlabel=label, ylabel="Share of values")
        panel.locator_params(axis="x", nbins=7)
        if len(everything) > VECTOR_POINTS:
            log_scale(panel, "y")
        if len(finite) > 1:
            legend_above(panel)
    return figure


def calibration(
    curves: Mapping[str, tuple[Floats, Floats]], unit: str, *, title: str = ""
) -> Figure:
    """Errors against the standard deviations that were predicted for them.

    ``curves`` are root mean squares of predicted deviations and of errors in groups of values, by
    name; on the diagonal the uncertainty is right.
    """
    with style():
        figure, panel = axes(4.1, 3.9)
        points = np.concatenate([values for pair in curves.values() for values in pair])
        points = points[np.isfinite(points) & (points > 0)]
        low, high = (points.min() / 1.5, 1.5 * points.max()) if len(points) else (0.1, 10.0)
        panel.plot([low, high], [low, high], color=FAINT, linewidth=1, zorder=1)
        for number, (name, (deviation, error)) in enumerate(curves.items()):
            panel.plot(
                deviation,
                error,
                color=PALETTE[1 - number % 2],
                marker="o",
                markersize=4,
                label=name,
            )
        log_scale(panel, "x")
        log_scale(panel, "y")
        panel.set(xlim=(low, high), ylim=(low, high), aspect="equal", title=title)
        panel.set(xlabel=f"Predicted standard deviation ({unit})", ylabel=f"RMS error ({unit})")
        panel.legend(loc="upper left")
    return figure


def time_series(
    time: Floats,
    curves: Mapping[str, Floats],
    label: str,
    *,
    time_label: str = "Time (ps)",
    target: tuple[float, float] | None = None,
    logarithmic: bool = False,
) -> Figure:
    """Quantities of a simulation over time; long series are thinned to what can be seen.

    ``curves`` are named in a legend when there are several. ``target`` is a set value at the
    begin and the end, such as that of a thermostat.
    """
    with style():
        figure, panel = axes(4.4, 2.7)
        for number, (name, values) in enumerate(curves.items()):
            color = PALETTE[number]
            x, y = thin(time, values)
            smooth = running_mean(values)
            faded = 0.3 if len(smooth) else 1.0
            marker = "" if len(x) > 1 else "o"
            label_of_all = "" if len(smooth) else name
            panel.plot(
                x, y, color=color, linewidth=0.8, alpha=faded, marker=marker, label=label_of_all
            )
            if len(smooth):
                panel.plot(*thin(time, smooth), color=color, label=name)
        if target is not None and len(time):
            panel.plot(
                [time[0], time[-1]], target, color=INK, linestyle="--", linewidth=1, label="Target"
            )
        panel.set(xlabel=time_label, ylabel=label)
        panel.margins(x=0.01)
        if logarithmic and any((values > 0).any() for values in curves.values()):
            log_scale(panel, "y")
        if len(curves) + (target is not None) > 1:
            legend_above(panel)
    return figure


def structure(atoms: Atoms) -> Figure:
    """A still picture of a structure, its cell and a legend of its elements."""
    with style():
        figure, panel = axes(4.4, 3.6)
        rotation = "-75x,-20y,0z" if atoms.pbc.any() else ""
        shown = atoms.copy() if atoms.pbc.any() else _spread_out(atoms)
        shown.info.clear()  # ASE draws what it finds there, such as the sites of a CIF
        plot_atoms(shown, panel, rotation=rotation, radii=0.9 * covalent_radii[atoms.numbers])
        panel.set_axis_off()
        symbols = dict(zip(atoms.get_chemical_symbols(), atoms.numbers, strict=True))
        handles = [
            Line2D(
                [],
                [],
                linestyle="none",
                marker="o",
                markersize=8,
                markerfacecolor=tuple(jmol_colors[number]),
                markeredgecolor=INK,
                markeredgewidth=0.6,
                label=symbol,
            )
            for symbol, number in sorted(symbols.items(), key=lambda item: item[1])
        ]
        figure.legend(handles=handles, loc="outside lower center", ncols=min(len(handles), 8))
    return figure


def thin(x: Floats, y: Floats, points: int = 1500) -> tuple[Floats, Floats]:
    """A long series by its extremes: the lowest and highest value of each short stretch stay."""
    if len(x) <= points:
        return x, y
    stretches = np.array_split(np.arange(len(x)), points // 2)
    keep = np.unique(
        [
            stretch[pick]
            for stretch in stretches
            if np.isfinite(y[stretch]).any()
            for pick in (np.nanargmin(y[stretch]), np.nanargmax(y[stretch]))
        ]
    ).astype(np.int64)
    return x[keep], y[keep]


def running_mean(values: Floats) -> Floats:
    """Mean over a fiftieth of a long series around each value; empty for a short or broken one."""
    window = 2 * (len(values) // 100) + 1
    if window < 5 or not np.isfinite(values).all():
        return np.empty(0)
    sums = np.cumsum(np.concatenate([[0.0], values - values[0]]))
    half = window // 2
    index = np.arange(len(values))
    low, high = np.maximum(index - half, 0), np.minimum(index + half + 1, len(values))
    smooth: Floats = values[0] + (sums[high] - sums[low]) / (high - low)
    return smooth


def group_colors(names: Sequence[str]) -> dict[str, str]:
    """A colour for each group, by order; they repeat after eight."""
    return {name: PALETTE[number % len(PALETTE)] for number, name in enumerate(names)}


def _labelled(reference: Floats, predicted: Floats) -> tuple[Floats, Floats]:
    finite = np.isfinite(reference)
    return reference[finite], predicted[finite]


def _limits(values: Floats) -> tuple[float, float]:
    """Limits of both axes of a parity plot, with a margin; -1 to 1 without values."""
    values = values[np.isfinite(values)]
    if len(values) == 0:
        return -1.0, 1.0
    low, high = float(values.min()), float(values.max())
    margin = 0.05 * (high - low) or 0.05 * abs(high) or 1.0
    return low - margin, high + margin


def _write_errors(panel: Axes, errors: Errors | None, unit: str) -> None:
    if errors is None:
        panel.text(0.5, 0.5, "no labels", transform=panel.transAxes, ha="center", color=FAINT)
        return
    lines = [f"MAE {errors.mae:.3g} {unit}", f"RMSE {errors.rmse:.3g} {unit}"]
    panel.text(
        0.97,
        0.04,
        "\n".join(lines),
        transform=panel.transAxes,
        ha="right",
        va="bottom",
        fontsize=8.5,
        linespacing=1.4,
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 2},
    )


def legend_above(panel: Axes, columns: int = 3) -> None:
    """A legend of so many columns that hides nothing."""
    panel.legend(
        loc="lower right",
        bbox_to_anchor=(1.0, 1.0),
        ncols=columns,
        borderaxespad=0.1,
        columnspacing=1.2,
    )


def _group_legend(panel: Axes, colors: Mapping[str, str]) -> None:
    handles = [
        Line2D(
            [], [], linestyle="none", marker="o", markersize=5, color=color, label=short_name(name)
        )
        for name, color in colors.items()
    ]
    panel.legend(handles=handles, loc="upper left", handletextpad=0.2, borderaxespad=0.2)


def short_name(name: str) -> str:
    """A name that fits beside a figure."""
    return name if len(name) <= 24 else f"{name[:23]}…"


def _spread_out(atoms: Atoms) -> Atoms:
    """A copy of an open structure, turned so that one looks at its widest side."""
    turned: Atoms = atoms.copy()
    centred = atoms.positions - atoms.positions.mean(axis=0)
    directions = np.linalg.svd(centred)[2]
    directions[2] *= np.linalg.det(directions)  # turn, do not mirror
    turned.positions = centred @ directions.T
    return turned
