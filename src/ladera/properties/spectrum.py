"""Spectra from molecular dynamics: of velocities (density of states) and of the dipole."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, ClassVar, Final

import numpy as np
from ase import units
from ase.data import atomic_masses, chemical_symbols
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.signal import find_peaks

from ladera.arrays import Floats, Reals
from ladera.errors import PropertyError
from ladera.plotting import DASHES, PALETTE, band, panel_grid, style
from ladera.progress import track
from ladera.properties.dipoles import along
from ladera.properties.experiment import MeasuredSpectrum, comparison
from ladera.properties.given import of_trajectory
from ladera.properties.marks import Marks, draw_marks, marks_table
from ladera.properties.mean_squares import standard_error
from ladera.properties.recorded import recorded
from ladera.properties.result import Result, quantity
from ladera.properties.trajectory import Trajectory
from ladera.properties.vibrations import INTENSITY
from ladera.tables import Cell, Column, Number, Table
from ladera.units import BOLTZMANN, FEMTOSECOND

if TYPE_CHECKING:
    from ladera.loading import ModelLike

LIGHT: Final = float(units._c) * 1e-13  # cm/fs
MODES_OF_HYDROGEN: Final = 4500.0  # cm^-1, above all that hydrogen does
BLOCKS: Final = 5
SHOWN: Final = 500.0  # fs of the autocorrelation in the figure
PROMINENCE: Final = 0.02  # of a peak, of the highest
# A Gaussian window of standard deviation sigma in time makes lines 2.355 / (2 pi sigma) wide.
_SIGMA: Final = float(np.sqrt(8 * np.log(2)) / (2 * np.pi))
_WINDOW: Final = 3.2  # standard deviations until it is cut off


@dataclass(frozen=True, kw_only=True)
class Spectrum(Result):
    """Vibrational density of states, and infrared absorption where dipoles are known.

    Errors are standard errors over blocks of the trajectory, not-a-number when it is too short for
    two blocks; arrays of the infrared spectrum are empty without dipoles.
    """

    kind: ClassVar[str] = "spectrum"
    title: ClassVar[str] = "Spectrum from molecular dynamics"
    caption: ClassVar[str] = (
        "Density of states, infrared spectrum where dipoles are known, and autocorrelation of "
        "the velocities; bands are two standard errors."
    )

    species: tuple[str, ...]
    n_atoms: int
    n_blocks: int
    source: str  # what the density of states is made of: velocities, or differences of positions
    temperature: float = quantity("K")
    duration: float = quantity("ps")
    interval: float = quantity("fs")
    resolution: float = quantity("cm^-1")  # full width at half maximum of a sharp line
    wavenumbers: Floats = quantity("cm^-1")  # (n,)
    states: Floats = quantity("cm")  # (n,), modes per cm^-1; integrates to 3 n_atoms
    states_error: Floats = quantity("cm")
    states_by_species: Floats = quantity("cm")  # (n_species, n)
    infrared: Floats = quantity("km/mol cm")  # (n,); integrates to intensities in km/mol
    infrared_error: Floats = quantity("km/mol cm")
    times: Reals = quantity("fs")  # (n_lags,)
    autocorrelation: Floats = quantity()  # (n_lags,), of velocities, mass-weighted, 1 at 0
    peaks: Floats = quantity("cm^-1")  # (n_peaks,), of the infrared, or else of the states
    modes: Floats = quantity()  # (n_peaks,), about each peak, from valley to valley
    intensities: Floats = quantity("km/mol")  # (n_peaks,), empty without dipoles
    observed: Floats = quantity("cm^-1")  # (n_peaks,), the measured peak of each
    unmatched: Floats = quantity("cm^-1")  # measured peaks that belong to none
    measured_wavenumbers: Floats = quantity("cm^-1")  # (n_measured,), empty without any
    measured: Floats = quantity()  # (n_measured,), absorbance, at most one
    measured_source: str = ""
    marks: Floats = quantity("cm^-1", default_factory=lambda: np.empty(0))  # (n_marks,), measured
    mark_labels: tuple[str, ...] = ()
    dipoles: str = ""  # of what they are, where they are not those of the frames
    mark_peaks: Floats = quantity("cm^-1", default_factory=lambda: np.empty(0))  # computed

    @property
    def shifts(self) -> Floats:
        """Computed minus measured wavenumber of each peak, (n_peaks,), cm^-1."""
        return self.peaks - self.observed

    def table(self) -> Table:
        """One row for each peak."""
        light, compared = len(self.infrared) > 0, len(self.measured) > 0
        columns = [Column("peak", "cm^-1", pattern=".0f"), Column("modes about it", pattern=".2f")]
        columns += [Column("infrared", "km/mol", pattern=".1f")] * light
        columns += [
            Column("measured", "cm^-1", pattern=".0f"),
            Column("shift", "cm^-1", pattern="+.0f"),
        ] * compared
        rows = []
        for i, peak in enumerate(self.peaks):
            row: list[Cell] = [float(peak), float(self.modes[i])]
            row += [float(self.intensities[i])] if light else []
            if compared:
                found = (float(each[i]) for each in (self.observed, self.shifts))
                row += [Number(value, instead="not matched") for value in found]
            rows.append(tuple(row))
        return Table(tuple(columns), tuple(rows))

    def tables(self) -> tuple[Table, ...]:
        """The peaks, and what the spectrum was made of."""
        highest = 1 / (2 * LIGHT * self.interval)
        facts: list[tuple[Column, Cell]] = [
            (Column("temperature", "K", pattern=".1f"), self.temperature),
            (Column("trajectory", "ps"), self.duration),
            (Column("interval of the frames", "fs", pattern="g"), self.interval),
            (Column("blocks"), float(self.n_blocks)),
            (Column("resolution", "cm^-1", pattern="g"), self.resolution),
            (Column("highest wavenumber seen", "cm^-1", pattern=".0f"), highest),
            (Column("made of"), self.source),
        ]
        if self.dipoles:
            facts.append((Column("dipoles"), self.dipoles))
        if len(self.measured):
            facts += comparison(self.measured_source, self.shifts, self.unmatched)
        found = [self.table(), Table.of_one(*facts, name="summary")]
        if len(self.marks):
            found.append(marks_table(self.marks, self.mark_labels, self.mark_peaks))
        return tuple(found)

    def plot(self, ax: Axes | None = None) -> Figure:
        """Density of states, in all and by species, infrared spectrum, and velocities in time.

        What was measured is dashed, as high as the spectrum it was compared with.
        """
        light = len(self.infrared) > 0
        seen = self.wavenumbers <= self._end()
        x = self.wavenumbers[seen]
        with style():
            ratios, height = ((2.2, 2.2, 1), 6.6) if light else ((2.2, 1), 4.6)
            figure, (*panels, decay) = panel_grid(5.6, height, ax, rows=ratios)
            states = panels[0]
            band(states, x, self.states[seen], self.states_error[seen], "all atoms")
            for i, symbol in enumerate(self.species if len(self.species) > 1 else ()):
                states.plot(
                    x,
                    self.states_by_species[i][seen],
                    color=PALETTE[(i + 1) % len(PALETTE)],
                    ls=DASHES[(i + 1) % len(DASHES)],
                    lw=1,
                    label=symbol,
                )
            states.set(ylabel="modes per cm⁻¹")
            if light:
                band(panels[1], x, self.infrared[seen], self.infrared_error[seen], "infrared")
                panels[1].set(ylabel="absorption (km/mol cm)")
            top = float((self.infrared if light else self.states)[seen].max())
            if len(self.measured):
                experiment = MeasuredSpectrum(self.measured_wavenumbers, self.measured, "")
                experiment.draw(panels[-1], top)
            for panel in panels:
                panel.set_xlim(0, float(x[-1]))
                panel.set_ylim(bottom=0)
                panel.legend()
            draw_marks(panels[-1], self.marks, self.mark_labels, top)
            panels[-1].set(xlabel="wavenumber (cm⁻¹)")
            decay.plot(self.times, self.autocorrelation, color=PALETTE[0], lw=1)
            decay.set(xlabel="time (fs)", ylabel="⟨v(0)·v(t)⟩ / ⟨v²⟩")
            decay.set_xlim(0, min(SHOWN, float(self.times[-1])))
        return figure

    def _end(self) -> float:
        """Where nothing more is to be seen."""
        last = int(np.flatnonzero(self.states > 0.01 * self.states.max())[-1])
        return float(min(1.08 * self.wavenumbers[last] + 50, self.wavenumbers[-1]))


@of_trajectory
@recorded
def spectrum(
    trajectory: Trajectory,
    /,
    *,
    resolution: float = 10.0,
    measured: MeasuredSpectrum | None = None,
    marks: Marks | None = None,
    dipoles: ModelLike | None = None,
    vacuum: bool = False,
) -> Spectrum:
    r"""Density of states and infrared spectrum of a trajectory at equilibrium.

    ::

        C_x(t)  = < x(0) x(t) >,      S_x(v) = integral of C_x(t) exp(-2 pi i c v t), with the
                                      integral of S_x over all v > 0 equal to C_x(0)
        states  = 3 N S(v) / C(0),    C of all velocities times the roots of the masses
        A(v)    = N_A / (12 epsilon_0 c^2) S_mu'(v) / (k_B T),      mu' = d mu / dt

    The spectra are those of correlation functions, averaged over time origins, up to the time that
    gives the ``resolution`` (cm^-1, full width at half maximum) under a Gaussian window. A is the
    absorption of classical dynamics with the harmonic quantum factor, beta hbar omega / (1 -
    exp(-beta hbar omega)) (Ramirez et al., J. Chem. Phys. 121, 3973 (2004)): it is then
    proportional to omega^2 times the spectrum of the dipole, and the area of a harmonic mode is
    its harmonic intensity. Without velocities those of neighbouring frames are taken, and like the
    dipoles' their spectrum is corrected for what differences do to high frequencies.

    Peaks of a ``measured`` infrared spectrum are given to those of the computed one, or, without
    dipoles, of the density of states, as for :func:`ladera.properties.infrared.infrared`, and so
    are ``marks``. The dipoles are those of the frames, or of another model, ASE calculator or
    "xtb", ``dipoles``, asked for each frame: of a cell with molecules kept whole or, with
    ``vacuum`` and of calculators, for each molecule by itself; A is then that of the cell. See
    :mod:`ladera.properties.dipoles`.

    Raises PropertyError for a trajectory too short for the resolution, and for hydrogen in frames
    too far apart: its vibrations would appear at wrong wavenumbers.
    """
    _require_resolution(resolution)
    if vacuum and dipoles is None:
        raise PropertyError(
            "vacuum says how dipoles are made; name whose they are, dipoles='xtb' or a model "
            "(--dipoles)."
        )
    lags = int(np.ceil(_WINDOW * _SIGMA / (LIGHT * resolution * trajectory.interval)))
    _check(trajectory, resolution, lags)
    words = ""
    if dipoles is not None:
        trajectory, words = along(trajectory, dipoles, vacuum)
    wavenumbers = np.linspace(0, 1 / (2 * LIGHT * trajectory.interval), 4 * lags + 1)
    count = max(1, min(BLOCKS, trajectory.n_frames // (2 * lags)))
    size = trajectory.n_frames // count
    blocks = [
        _Block(trajectory, slice(k * size, (k + 1) * size), wavenumbers, lags)
        for k in track(range(count), "blocks, spectra")
    ]
    n_atoms = len(trajectory.numbers)
    energy = float(np.mean([block.area for block in blocks])) / FEMTOSECOND**2  # twice the kinetic
    kinetic = energy / (max(3 * n_atoms - 3, 1) * BOLTZMANN)
    temperature = trajectory.temperature or kinetic
    states = np.array([3 * n_atoms * block.spectra / block.area for block in blocks])
    light = np.array([block.dipole for block in blocks if block.dipole is not None])
    absorption = INTENSITY / FEMTOSECOND**2 / (BOLTZMANN * temperature) * light
    total = states.sum(axis=1).mean(axis=0)
    infrared = absorption.mean(axis=0) if len(light) else np.empty(0)
    curve = infrared if len(light) else total
    places, parts = _peaks(curve)
    step = wavenumbers[1] - wavenumbers[0]
    peaks, areas = wavenumbers[places], np.array([curve[part].sum() * step for part in parts])
    marks = marks or Marks(np.empty(0), ())
    experiment = measured or MeasuredSpectrum(np.empty(0), np.empty(0), "")
    observed, unmatched = experiment.matched(peaks, areas, resolution)
    return Spectrum(
        species=tuple(chemical_symbols[number] for number in np.unique(trajectory.numbers)),
        n_atoms=n_atoms,
        n_blocks=count,
        source="velocities" if trajectory.velocities is not None else "differences of positions",
        temperature=temperature,
        duration=(trajectory.n_frames - 1) * trajectory.interval / 1000,
        interval=trajectory.interval,
        resolution=resolution,
        wavenumbers=wavenumbers,
        states=total,
        states_error=standard_error(states.sum(axis=1)),
        states_by_species=states.mean(axis=0),
        infrared=infrared,
        infrared_error=standard_error(absorption) if len(light) else np.empty(0),
        times=np.arange(lags + 1) * trajectory.interval,
        autocorrelation=np.mean([block.correlation for block in blocks], axis=0),
        peaks=peaks,
        modes=np.array([total[part].sum() * step for part in parts]),
        intensities=areas if len(light) else np.empty(0),
        observed=observed,
        unmatched=unmatched,
        measured_wavenumbers=experiment.wavenumbers,
        measured=experiment.absorbance,
        measured_source=experiment.source,
        marks=marks.wavenumbers,
        mark_labels=marks.labels,
        dipoles=words,
        mark_peaks=marks.peaks(wavenumbers, curve),
    )


def _peaks(curve: Floats) -> tuple[list[int], list[slice]]:
    """Where the peaks of a curve are, and of each the part from valley to valley."""
    peaks, _ = find_peaks(curve, prominence=PROMINENCE * curve.max(initial=0))
    valleys = [first + int(np.argmin(curve[first:last])) for first, last in pairwise(peaks)]
    ends = [0, *valleys, len(curve)][: len(peaks) + 1]
    return list(peaks), [slice(low, high) for low, high in pairwise(ends)]


def _require_resolution(resolution: float) -> None:
    if not (np.isfinite(resolution) and resolution > 0):
        what = "it must be above zero, such as 10"
        raise PropertyError.of("resolution", f"{resolution:g} cm^-1", what)


def _check(trajectory: Trajectory, resolution: float, lags: int) -> None:
    if trajectory.n_frames < 2 * lags:
        length = trajectory.n_frames * trajectory.interval / 1000
        need = 2 * lags * trajectory.interval / 1000
        raise PropertyError(
            f"The trajectory is {length:.4g} ps long, too short for a resolution of "
            f"{resolution:g} cm^-1, which needs {need:.4g} ps; run longer, or ask for less with "
            f"--resolution {np.ceil(resolution * need / length):.0f}."
        )
    highest = 1 / (2 * LIGHT * trajectory.interval)
    if 1 in trajectory.numbers and highest < MODES_OF_HYDROGEN:
        raise PropertyError(
            f"Frames {trajectory.interval:g} fs apart show nothing above {highest:.0f} cm^-1, and "
            "what hydrogen does there would appear at wrong wavenumbers; write a frame every 2 fs, "
            "with `ladera md --timestep 0.5 --trajectory-interval 4`."
        )


class _Block:
    """Spectra of one part of a trajectory, at the given wavenumbers."""

    def __init__(self, trajectory: Trajectory, part: slice, wavenumbers: Floats, lags: int) -> None:
        masses, interval = trajectory.masses, trajectory.interval
        if masses is None:
            masses = atomic_masses[trajectory.numbers]
        velocities, factor = _velocities(trajectory, part, wavenumbers)
        moving = _without_drift(velocities, masses) * np.sqrt(masses)[:, None]
        elements, kinds = np.unique(trajectory.numbers, return_inverse=True)
        each = np.array([_correlation(moving[:, kinds == e], lags) for e in range(len(elements))])
        self.spectra = _transform(each, interval) / factor  # (n_species, n)
        self.area = float(self.spectra.sum() * (wavenumbers[1] - wavenumbers[0]))
        self.correlation = each.sum(axis=0) / each[:, 0].sum()  # (lags + 1,)
        self.dipole: Floats | None = None  # (n,)
        if trajectory.dipoles is not None:
            slopes = np.diff(trajectory.dipoles[part], axis=0) / interval
            spectrum = _transform(_correlation(slopes, lags), interval)
            self.dipole = spectrum / _differences(wavenumbers, interval)


def _velocities(trajectory: Trajectory, part: slice, wavenumbers: Floats) -> tuple[Floats, Floats]:
    """Velocities (n_frames, n_atoms, 3) and the factor on their spectrum."""
    if trajectory.velocities is not None:
        return trajectory.velocities[part], np.ones_like(wavenumbers)
    velocities = np.diff(trajectory.positions[part], axis=0) / trajectory.interval
    return velocities, _differences(wavenumbers, trajectory.interval)


def _differences(wavenumbers: Floats, interval: float) -> Floats:
    """What a difference over ``interval`` (fs) does to the spectrum of a derivative."""
    factor: Floats = np.sinc(LIGHT * wavenumbers * interval) ** 2
    return factor


def _without_drift(velocities: Floats, masses: Floats) -> Floats:
    centre = np.einsum("tax,a->tx", velocities, masses) / masses.sum()
    moving: Floats = velocities - centre[:, None]
    return moving


def _correlation(signal: Floats, lags: int) -> Floats:
    """sum < x(0) x(t) > over all columns of a signal (n_frames, ...), (lags + 1,)."""
    n_frames = len(signal)
    columns = signal.reshape(n_frames, -1)
    total = np.zeros(lags + 1)
    for column in columns.T:
        power = np.abs(np.fft.rfft(column, n_frames + lags + 1)) ** 2
        total += np.fft.irfft(power, n_frames + lags + 1)[: lags + 1]
    correlation: Floats = total / (n_frames - np.arange(lags + 1))
    return correlation


def _transform(function: Floats, interval: float) -> Floats:
    """Spectra of correlation functions (..., lags + 1), at 4 lags + 1 wavenumbers."""
    lags = function.shape[-1] - 1
    window = np.exp(-0.5 * (_WINDOW * np.arange(lags + 1) / lags) ** 2)
    padded = np.zeros((*function.shape[:-1], 8 * lags))
    padded[..., : lags + 1] = function * window
    padded[..., 0] /= 2
    density: Floats = 4 * LIGHT * interval * np.fft.rfft(padded, axis=-1).real
    return density
