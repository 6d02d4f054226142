"""Measured positions of bands with their names, beside the peaks of a computed spectrum."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from scipy.optimize import isotonic_regression
from scipy.signal import find_peaks

from ladera.arrays import Floats
from ladera.errors import DataError
from ladera.files import closest
from ladera.identity import sha256
from ladera.plotting import INK
from ladera.properties.experiment import WEAK, MeasuredSpectrum
from ladera.provenance import came_from
from ladera.tables import Cell, Column, Number, Table

_GAP: Final = 0.022  # of the width of a panel, that two names are apart
_LINE: Final = re.compile(r"(\d+\.?\d*)(?:\s*[:,;]|\s|$)\s*(.*)")


@dataclass(frozen=True)
class Marks:
    """Positions of bands, ascending, each with a name that may be empty."""

    wavenumbers: Floats  # (n_marks,), cm^-1
    labels: tuple[str, ...]
    source: str = ""

    @property
    def hash(self) -> str:
        """The hash of what it holds, by which the file it was read from is known."""
        return sha256(self.wavenumbers, *self.labels)

    def peaks(self, wavenumbers: Floats, curve: Floats) -> Floats:
        """The peak of a computed ``curve`` (n,) that is the band of each, (n_marks,), cm^-1.

        All peaks that rise by a hundredth of the highest are looked at, and given as for
        :meth:`ladera.properties.experiment.MeasuredSpectrum.matched`; not-a-number stands for none.
        """
        places, _ = find_peaks(curve, prominence=WEAK * float(curve.max(initial=1e-12)))
        marked = MeasuredSpectrum(self.wavenumbers, np.ones(len(self.labels)), self.source)
        observed, _ = marked.matched(wavenumbers[places], np.ones(len(places)), 1.0)
        found = np.full(len(self.labels), np.nan)
        for place, mark in zip(places, observed, strict=True):
            found[self.wavenumbers == mark] = wavenumbers[place]
        return found


def read_marks(path: str | os.PathLike[str]) -> Marks:
    """Marks of a file: on each line a wavenumber (cm^-1) and, behind a blank or a colon, its name.

    Lines that begin with # are left out. Raises DataError for a file that is missing, a line that
    does not begin with a number above zero, one number twice, and a file of none.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"There is no file {path} of marks; {closest(path)}")
    found: dict[float, str] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), start=1):
        words = line.strip()
        if not words or words.startswith("#"):
            continue
        match = _LINE.fullmatch(words)
        if match is None or not float(match[1]) > 0 or float(match[1]) in found:
            raise DataError(
                f"{path}, line {number} is '{words[:40]}'; a mark is a wavenumber (cm^-1) that no "
                "other has, and its name, such as '1664 C=O stretch'."
            )
        found[float(match[1])] = match[2].strip().strip("\"'")
    if not found:
        raise DataError(f"{path} has no marks; give lines such as '1664 C=O stretch'.")
    places = sorted(found)
    marks = Marks(np.array(places), tuple(found[place] for place in places), path.name)
    came_from(marks.hash, path)
    return marks


def marks_table(wavenumbers: Floats, labels: tuple[str, ...], peaks: Floats) -> Table:
    """One row for each mark: what was measured, the computed peak, and the difference."""
    columns = (
        Column("band"),
        Column("computed", "cm^-1", pattern=".1f"),
        Column("measured", "cm^-1", pattern=".1f"),
        Column("difference", "cm^-1", pattern="+.1f"),
    )
    rows: list[tuple[Cell, ...]] = []
    for mark, label, peak in zip(wavenumbers, labels, peaks, strict=True):
        computed, shift = (Number(float(v), instead="no peak") for v in (peak, peak - mark))
        rows.append((label, computed, float(mark), shift))
    return Table(columns, tuple(rows), name="marks")


def draw_marks(panel: Axes, wavenumbers: Floats, labels: tuple[str, ...], top: float) -> None:
    """Dotted lines up to ``top``, the names above them; last of all on a panel in cm^-1.

    Names that would stand in each other are moved aside as little as possible.
    """
    if not len(wavenumbers):
        return
    low, high = panel.get_xlim()
    least = _GAP * (high - low) * np.arange(len(wavenumbers))
    places = isotonic_regression(wavenumbers - least).x + least
    panel.vlines(wavenumbers, 0, 1.02 * top, color=INK, lw=0.7, linestyles="dotted")
    for mark, place, label in zip(wavenumbers, places, labels, strict=True):
        panel.plot([mark, place], [1.02 * top, 1.12 * top], color=INK, lw=0.7, ls="dotted")
        panel.text(
            place,
            1.14 * top,
            f"{label} {mark:g}".strip(),
            rotation=90,
            fontsize=6,
            ha="center",
            va="bottom",
            color=INK,
        )
    panel.set_ylim(top=1.6 * top)
