"""Figures of an active learning: what its labels brought, what it met, and what it cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ladera.arrays import Booleans, Floats
from ladera.plotting import FAINT, INK, PALETTE, axes, log_scale, style
from ladera.report.figures import VECTOR_POINTS, legend_above, short_name

_DRAWN_POINTS: Final = 4000  # of a round; more would only hide each other
_DECADES: Final = 5.0  # ratio from which on a logarithmic axis has two numbers at least
_GROUPS: Final = 12
_BAR: Final = 0.62  # of the distance between two rounds


def errors_by_labels(
    frames: Floats, errors: Mapping[str, Floats], label: str, goal: float | None = None
) -> Figure:
    """Errors of the models of all rounds against the frames that these learned from.

    Parameters
    ----------
    frames
        Labelled frames that each model was trained on, (n_rounds,).
    errors
        By what they are, such as MAE, each (n_rounds,); NaN where there is none.
    label
        What the values are, with their unit.
    goal
        Where the MAE is small enough, in the same unit.
    """
    with style():
        figure, panel = axes()
        for number, (name, values) in enumerate(errors.items()):
            panel.plot(frames, values, color=PALETTE[number], marker="o", markersize=4, label=name)
        if goal is not None:
            panel.axhline(goal, color=INK, linestyle="--", linewidth=1, label="Goal of the MAE")
        panel.set(xlabel="Labelled frames that were learned from", ylabel=label)
        drawn = np.concatenate([*errors.values(), [] if goal is None else [goal]])
        for axis, values in (("x", frames), ("y", drawn)):
            values = values[np.isfinite(values)]
            if len(values) and values.min() > 0 and values.max() > _DECADES * values.min():
                log_scale(panel, "x" if axis == "x" else "y")
            elif axis == "y":
                panel.set_ylim(bottom=0)
            else:
                panel.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        legend_above(panel)
    return figure


def scores(
    rounds: Mapping[int, tuple[Floats, Booleans]],
    label: str,
    limits: Mapping[int, tuple[float, float]],
) -> Figure:
    """The score of each structure that was met, by round, and the limits of what is new and lost.

    ``rounds`` are, by number, scores (n,) and whether the structure was chosen to be learned (n,);
    ``limits`` those of a round, above which a structure is new, and a walk lost.
    """
    draw = np.random.default_rng(0)  # only spreads the points
    many = sum(min(len(values), _DRAWN_POINTS) for values, _ in rounds.values()) > VECTOR_POINTS
    with style():
        figure, panel = axes()
        for place, (number, (values, chosen)) in enumerate(rounds.items()):
            step = max(1, -(-int((~chosen).sum()) // _DRAWN_POINTS))
            parts = (
                ("Met", PALETTE[5], values[~chosen][::step], 2.5 if many else 3.5),
                ("Chosen to learn", PALETTE[1], values[chosen], 3.5 if many else 4.5),
            )
            for name, color, shown, size in parts:
                panel.plot(
                    number + draw.uniform(-0.28, 0.28, len(shown)),
                    shown,
                    linestyle="none",
                    marker="o",
                    markersize=size,
                    markeredgewidth=0,
                    alpha=0.7,
                    color=color,
                    rasterized=many,
                    label="" if place else name,
                )
        for place, (number, of_round) in enumerate(limits.items()):
            for limit, text, dash in zip(of_round, ("New", "Lost"), ("--", "-"), strict=True):
                ends, name = [number - 0.42, number + 0.42], "" if place else f"{text} above"
                panel.plot(ends, [limit] * 2, dash, color=INK, linewidth=1, label=name)
        _round_axis(panel, list(rounds))
        panel.set_ylabel(label)
        everything = np.concatenate([values for values, _ in rounds.values()])
        if everything.min() > 0:
            log_scale(panel, "y")
        legend_above(panel, columns=4)
    return figure


def walks(counts: Mapping[int, Mapping[float | None, int]]) -> Figure:
    """How many walks of each round went through which temperature at most.

    ``counts`` are, by round, the number of walks for the last temperature (K) that they went
    through; None for those that went through none.
    """
    temperatures = sorted({t for each in counts.values() for t in each if t is not None})
    colors = colormaps["YlOrRd"](np.linspace(0.25, 0.9, max(len(temperatures), 2)))
    kinds: list[tuple[float | None, str, object]] = [(None, "none", FAINT)]
    kinds += [(t, f"{t:g} K", colors[k]) for k, t in enumerate(temperatures)]
    kinds = [kind for kind in kinds if any(kind[0] in each for each in counts.values())]
    with style():
        figure, panel = axes()
        bottom = np.zeros(len(counts))
        for temperature, name, color in reversed(kinds):
            height = np.array([each.get(temperature, 0) for each in counts.values()], dtype=float)
            panel.bar(list(counts), height, _BAR, bottom, color=color, label=name)
            bottom += height
        _round_axis(panel, list(counts), slots=4)
        panel.yaxis.set_major_locator(MaxNLocator(6, integer=True))
        panel.set_ylabel("Walks (number)")
        panel.grid(visible=False, axis="x")
        legend_above(panel, columns=min(len(kinds), 5))
    return figure


def errors_by_group(groups: Mapping[str, float], mean: float | None, label: str) -> Figure:
    """The errors of some groups of frames, the largest where there are many; and of all frames."""
    largest = sorted(groups, key=lambda name: -groups[name])[:_GROUPS]
    shown = [name for name in groups if name in largest]
    values = [groups[name] for name in shown]
    with style():
        figure, panel = axes()
        places = np.arange(len(shown))
        bars = panel.barh(places, values, 0.6, color=PALETTE[0])
        panel.bar_label(
            bars,
            [f"{value:.3g}" for value in values],
            padding=3,
            fontsize=8.5,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5},  # over the line
        )
        if mean is not None:
            panel.axvline(
                mean, color=INK, linestyle="--", linewidth=1, zorder=0, label="All frames"
            )
            legend_above(panel)
        panel.set_yticks(places, [short_name(name) for name in shown])
        panel.set_ylim(max(len(shown), 3) - 0.4, -0.6)  # few bars stay slim; the first is on top
        panel.set(xlabel=label)
        panel.set_xlim(0, 1.18 * max([*values, mean or 0.0]) or 1.0)  # room for the numbers
        panel.grid(visible=False, axis="y")
    return figure


def costs(rounds: Sequence[int], parts: Mapping[str, Floats]) -> Figure:
    """The time that each round took, s, stacked by what it was for, each (n_rounds,)."""
    total = np.sum(list(parts.values()), axis=0)
    unit, size = unit_of_time(float(total.max()))
    with style():
        figure, panel = axes()
        bottom = np.zeros(len(rounds))
        for number, (name, values) in enumerate(parts.items()):
            panel.bar(rounds, values / size, _BAR, bottom, color=PALETTE[number], label=name)
            bottom = bottom + values / size
        _round_axis(panel, rounds, slots=4)
        panel.set_ylabel(f"Time ({unit})")
        panel.grid(visible=False, axis="x")
        legend_above(panel, columns=len(parts))
    return figure


def unit_of_time(largest: float) -> tuple[str, float]:
    """The unit in which times up to this (s) are read well, and its seconds."""
    return ("s", 1.0) if largest < 120 else ("min", 60.0) if largest < 7200 else ("h", 3600.0)


def _round_axis(panel: Axes, rounds: Sequence[int], slots: int = 1) -> None:
    """Ticks at rounds, as many as can be read, and room for so many rounds: few bars stay slim."""
    panel.set_xticks(list(rounds)[:: -(-len(rounds) // 12)])
    half = 0.5 * max(max(rounds) - min(rounds), slots - 1) + 0.6
    middle = 0.5 * (max(rounds) + min(rounds))
    panel.set(xlabel="Round", xlim=(middle - half, middle + half))
