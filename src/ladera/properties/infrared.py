"""The harmonic infrared spectrum of a molecule or its crystal, and beside it a measured one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from ase import Atoms
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ladera.arrays import Floats
from ladera.errors import PropertyError
from ladera.plotting import FAINT, PALETTE, axes, style
from ladera.properties.experiment import MeasuredSpectrum, comparison
from ladera.properties.marks import Marks, draw_marks, marks_table
from ladera.properties.recorded import recorded
from ladera.properties.result import Result, quantity
from ladera.properties.structures import with_spread
from ladera.properties.vibrations import (
    Vibrations,
    light_notes,
    mode_motion,
    mode_order,
    vibrations,
)
from ladera.tables import Cell, Column, Number, Table

if TYPE_CHECKING:
    from ladera.loading import ModelLike

Shape = Literal["lorentzian", "gaussian"]


@dataclass(frozen=True, kw_only=True)
class Infrared(Result):
    """Bands and broadened spectrum; not-a-number where nothing measured belongs to a band."""

    kind: ClassVar[str] = "infrared"
    title: ClassVar[str] = "Infrared spectrum"
    caption: ClassVar[str] = (
        "The spectrum (of a cell, of its modes at the zone's centre, without the splitting of "
        "longitudinal and transverse ones), with a mark below it for each mode; a measured one is "
        "dashed and drawn as high, bands that were measured are dotted."
    )

    symbols: tuple[str, ...]
    positions: Floats = quantity("Angstrom")  # (n_atoms, 3)
    modes: Floats = quantity()  # (n_modes, n_atoms, 3), displacements of unit length
    frequencies: Floats = quantity("cm^-1")  # (n_modes,), negative where imaginary
    intensities: Floats = quantity("km/mol")  # (n_modes,)
    scale: float = quantity()  # factor on the frequencies
    shape: str  # of a line
    width: float = quantity("cm^-1")  # full width at half maximum
    wavenumbers: Floats = quantity("cm^-1")  # (n,)
    absorption: Floats = quantity("km/mol cm")  # (n,), integrates to intensities
    observed: Floats = quantity("cm^-1")  # (n_modes,), the measured peak of each mode
    unmatched: Floats = quantity("cm^-1")  # measured peaks that belong to no mode
    measured_wavenumbers: Floats = quantity("cm^-1")  # (n_measured,), empty without any
    measured: Floats = quantity()  # (n_measured,), absorbance, at most one
    source: str = ""  # of the measured spectrum
    derivatives: str = "central differences"  # how Hessian and dipole derivatives were made
    dipoles: str = ""  # how those of the dipole were made, where that is said apart
    of_cell: str = ""  # what is to be known of the intensities of a cell
    charge_flow: float = quantity(default=0.0)  # that is left out; see ladera.properties.dipoles
    marks: Floats = quantity("cm^-1", default_factory=lambda: np.empty(0))  # (n_marks,), measured
    mark_labels: tuple[str, ...] = ()
    mark_peaks: Floats = quantity("cm^-1", default_factory=lambda: np.empty(0))  # computed

    @property
    def shifts(self) -> Floats:
        """Scaled minus measured wavenumber of each mode, (n_modes,), cm^-1."""
        return self.scale * self.frequencies - self.observed

    @property
    def height_of_measured(self) -> float:
        """The highest point of the spectrum where there is a measured one, km/mol cm."""
        low, high = self.measured_wavenumbers[[0, -1]] + [-self.width, self.width]
        inside = (self.wavenumbers >= low) & (self.wavenumbers <= high)
        return float(self.absorption[inside].max(initial=1e-12))

    def table(self) -> Table:
        """One row for each mode, with what was measured where there is something."""
        scaled, compared = self.scale != 1, len(self.measured) > 0
        columns = [
            Column("mode"),
            Column("frequency", "cm^-1", pattern=".1f"),
            Column("intensity", "km/mol", pattern=".2f"),
        ]
        columns += [Column("scaled", "cm^-1", pattern=".1f")] * scaled
        columns += [
            Column("measured", "cm^-1", pattern=".1f"),
            Column("shift", "cm^-1", pattern="+.1f"),
        ] * compared
        rows = []
        for i in range(len(self.frequencies)):
            imaginary = "imaginary" if self.frequencies[i] < 0 else ""
            row: list[Cell] = [float(i + 1), self.number("frequencies", i, note=imaginary)]
            row.append(self.number("intensities", i))
            row += [float(self.scale * self.frequencies[i])] * scaled
            if compared:
                found = (float(each[i]) for each in (self.observed, self.shifts))
                row += [Number(value, instead="not matched") for value in found]
            rows.append(tuple(row))
        notes = light_notes(self.dipoles, self.of_cell, self.charge_flow)
        return Table(tuple(columns), tuple(rows), notes=notes)

    def tables(self) -> tuple[Table, ...]:
        """The modes, how far they are from what was measured, and the bands that were marked."""
        found = [self.table()]
        if len(self.marks):
            found.append(marks_table(self.marks, self.mark_labels, self.mark_peaks))
        if len(self.measured):
            compared = comparison(self.source, self.shifts, self.unmatched)
            found.append(Table.of_one(*compared, name="comparison"))
        return tuple(found)

    def plot(self, ax: Axes | None = None) -> Figure:
        """Spectrum with a line for each mode; the measured one dashed, as high as it."""
        with style():
            figure, panel = axes(5.6, 3.2, ax)
            panel.fill_between(
                self.wavenumbers, self.absorption, color=PALETTE[0], alpha=0.15, lw=0
            )
            panel.plot(self.wavenumbers, self.absorption, color=PALETTE[0], label="computed")
            top = float(self.absorption.max(initial=1e-12))
            if len(self.measured):
                curve = MeasuredSpectrum(self.measured_wavenumbers, self.measured, self.source)
                curve.draw(panel, self.height_of_measured)
                panel.legend()
            bands = self.scale * self.frequencies[self.frequencies > 0]
            panel.plot(bands, np.full(len(bands), -0.03 * top), "|", color=FAINT, ms=6)
            panel.set(xlabel="wavenumber (cm⁻¹)", ylabel="absorption (km/mol cm)")
            panel.set_xlim(0, float(self.wavenumbers[-1]))
            panel.set_ylim(-0.06 * top, 1.08 * top)
            draw_marks(panel, self.marks, self.mark_labels, top)
        return figure

    def in_this_order(self, member: Infrared) -> Infrared:
        """A member's modes, each as the one here that it is most like."""
        order = mode_order(self.symbols, self.modes, member.modes)
        return replace(
            member,
            frequencies=member.frequencies[order],
            intensities=member.intensities[order],
            modes=member.modes[order],
            observed=member.observed[order],
        )

    def motion(self) -> tuple[list[Atoms], list[str]]:
        """Frames that show each mode in turn, and what each frame is."""
        return mode_motion(self.symbols, self.positions, self.modes, self.frequencies)


@with_spread(at_rest="atoms")
@recorded
def infrared(
    atoms: Atoms,
    /,
    *,
    step: float | None = None,
    scale: float = 1.0,
    shape: Shape = "lorentzian",
    width: float = 10.0,
    measured: MeasuredSpectrum | None = None,
    marks: Marks | None = None,
    dipoles: ModelLike | None = None,
    vacuum: bool = False,
) -> Infrared:
    r"""Harmonic frequencies and intensities of a relaxed molecule or its crystal, as a spectrum.

    ::

        A(v) = sum_s I_s L(v - scale v_s),
        L    = (w/2) / (pi (v^2 + (w/2)^2))             lorentzian
               exp(-v^2 / (2 s^2)) / (s sqrt(2 pi))     gaussian, s = w / sqrt(8 ln 2)

    with the frequencies v_s and intensities I_s of :func:`ladera.properties.vibrations.vibrations`
    (derivatives of the model, or differences with ``step`` in Angstrom) and the full width at half
    maximum w, ``width`` (cm^-1). The peaks of a ``measured`` spectrum are given to modes so that
    the sum of the squared shifts is least, none farther than 8 %; those of ``marks`` in the same
    way to peaks of the broadened spectrum. ``dipoles`` and ``vacuum`` say whose dipoles they are
    and whether of each molecule by itself; of a cell the modes are those at the zone's centre, and
    intensities are per cell.

    Raises PropertyError as vibrations does, for a calculator without a dipole among others.
    """
    for name, value, unit in (("scale", scale, ""), ("width", width, " cm^-1")):
        if not 0 < value < np.inf:
            raise PropertyError.of(name, f"{value:g}{unit}", "it must be finite and above zero")
    harmonic: Vibrations = vibrations.__wrapped__(  # type: ignore[attr-defined]
        atoms, step=step, infrared=True, dipoles=dipoles, vacuum=vacuum
    )
    bands = scale * harmonic.frequencies
    end = 1.1 * max(float(bands.max()), 1000.0)
    if measured is not None:
        end = max(end, float(measured.wavenumbers[-1]))
    grid = np.arange(0.0, min(end, 6000.0), min(1.0, width / 10))
    real = bands > 0
    absorption = broadened(grid, bands[real], harmonic.intensities[real], shape, width)
    marks = marks or Marks(np.empty(0), ())
    observed: Floats = np.full(len(bands), np.nan)
    unmatched: Floats = np.empty(0)
    if measured is not None:
        observed, unmatched = measured.matched(bands, harmonic.intensities, width)
    return Infrared(
        symbols=harmonic.symbols,
        positions=harmonic.positions,
        modes=harmonic.modes,
        frequencies=harmonic.frequencies,
        intensities=harmonic.intensities,
        scale=scale,
        shape=shape,
        width=width,
        wavenumbers=grid,
        absorption=absorption,
        observed=observed,
        unmatched=unmatched,
        measured_wavenumbers=np.empty(0) if measured is None else measured.wavenumbers,
        measured=np.empty(0) if measured is None else measured.absorbance,
        source="" if measured is None else measured.source,
        derivatives=harmonic.derivatives,
        dipoles=harmonic.dipoles,
        of_cell=harmonic.of_cell,
        charge_flow=harmonic.charge_flow,
        marks=marks.wavenumbers,
        mark_labels=marks.labels,
        mark_peaks=marks.peaks(grid, absorption),
    )


def broadened(
    grid: Floats, bands: Floats, intensities: Floats, shape: Shape, width: float
) -> Floats:
    """Lines at ``bands`` with areas ``intensities`` on a grid, all in cm^-1; see above."""
    apart = grid[:, None] - bands
    if shape == "lorentzian":
        lines = width / (2 * np.pi) / (apart**2 + width**2 / 4)
    else:
        deviation = width / np.sqrt(8 * np.log(2))
        lines = np.exp(-0.5 * (apart / deviation) ** 2) / (deviation * np.sqrt(2 * np.pi))
    total: Floats = lines @ intensities
    return total
