"""The figure of ``ladera functions report``: sensitivities, and which functions say the same."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ladera.models.hdnnp.sensitivity import ElementReport
from ladera.plotting import FAINT, PALETTE, style


def functions_figure(reports: Sequence[ElementReport]) -> Figure:
    """For each element a row: sensitivity of each function, and the matrix of correlations."""
    with style():
        figure = Figure(figsize=(9.0, 3.2 * len(reports)), layout="constrained")
        panels = figure.subplots(len(reports), 2, squeeze=False, width_ratios=(1.6, 1))
        for (left, right), report in zip(panels, reports, strict=True):
            _sensitivity(left, report)
            _correlations(figure, right, report)
    return figure


def _sensitivity(axes: Axes, report: ElementReport) -> None:
    numbers = np.arange(len(report.functions))
    axes.bar(numbers, report.rms, width=0.8, color=PALETTE[0], label="root mean square")
    axes.plot(numbers, report.maximum, ".", color=PALETTE[1], markersize=3, label="maximum")
    if report.constant:
        marks = list(report.constant)
        axes.plot(marks, np.zeros(len(marks)), "x", color=FAINT, markersize=4, label="constant")
    axes.set(
        title=f"{report.symbol}: sensitivity",
        xlabel="symmetry function",
        ylabel="share of dE/dG (%)",
        xlim=(-0.8, len(numbers) - 0.2),
        ylim=(0, None),
    )
    axes.legend()


def _correlations(figure: Figure, axes: Axes, report: ElementReport) -> None:
    image = axes.imshow(
        report.correlations, cmap="RdBu_r", vmin=-1, vmax=1, interpolation="nearest"
    )
    axes.set(title=f"{report.symbol}: correlation", xlabel="symmetry function")
    axes.grid(visible=False)
    figure.colorbar(image, ax=axes, shrink=0.8)
