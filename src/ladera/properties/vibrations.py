"""Harmonic vibrations of a molecule, and the thermochemistry that follows from them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np
from ase import Atoms, units
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.optimize import linear_sum_assignment

from ladera.arrays import Floats, Integers
from ladera.errors import PropertyError
from ladera.plotting import INK, PALETTE, axes, style
from ladera.properties.dipoles import Dipoles, dipoles_of, left_out
from ladera.properties.displacements import no_dipole
from ladera.properties.normal_modes import Modes, modes_of
from ladera.properties.recorded import recorded
from ladera.properties.result import Result, quantity
from ladera.properties.structures import require_molecule, require_relaxed, with_spread
from ladera.properties.thermochemistry import (
    KJ_PER_MOL,
    TEMPERATURES,
    QuasiRRHO,
    Thermochemistry,
    ideal_gas,
    require_thermochemistry,
    vibrations_alone,
)
from ladera.simulation.held import is_held, require_honoured
from ladera.structure import Structure
from ladera.tables import Cell, Column, Number, Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ladera.loading import ModelLike


# N_A / (12 epsilon_0 c^2) e^2 / amu, in km/mol.
INTENSITY: Final = float(
    units._Nav * units._e**2 / (12 * units._eps0 * units._c**2 * units._amu) / 1000
)
FRAMES_OF_A_MODE: Final = 12


@dataclass(frozen=True, kw_only=True)
class Vibrations(Result):
    """Normal modes of a molecule in ascending order; imaginary frequencies are negative."""

    kind: ClassVar[str] = "vibrations"
    title: ClassVar[str] = "Vibrations"
    caption: ClassVar[str] = (
        "A line for each mode, as high as its infrared intensity where that is known (of a cell, "
        "at the zone's centre); imaginary modes are dashed, left of zero."
    )

    symbols: tuple[str, ...]
    positions: Floats = quantity("Angstrom")  # (n_atoms, 3)
    frequencies: Floats = quantity("cm^-1")  # (n_modes,)
    reduced_masses: Floats = quantity("amu")  # (n_modes,)
    modes: Floats = quantity()  # (n_modes, n_atoms, 3), displacements of unit length
    intensities: Floats = quantity("km/mol")  # (n_modes,), empty without a dipole
    zero_point_energy: float = quantity("eV")  # half the sum of the real modes' quanta
    temperatures: Floats = quantity("K")
    enthalpy: Floats = quantity("eV")  # ideal gas, potential energy included
    entropy: Floats = quantity("eV/K")  # at 1 bar
    free_energy: Floats = quantity("eV")  # Gibbs's, at 1 bar, potential energy included
    asymmetry: float = quantity("eV/Angstrom^2")  # of the Hessian: numerical noise
    derivatives: str = "central differences"  # how Hessian and dipole derivatives were made
    symmetry_number: int = 1  # of the rotational entropy
    spin: float = 0.0  # of the electronic entropy
    held: bool = False  # whether something is held or periodic, so that it is no gas
    # Of Ladera 0.1 there is none of what follows.
    potential_energy: float = quantity("eV", default=float("nan"))
    enthalpy_correction: Floats = quantity("eV", default_factory=lambda: np.empty(0))
    free_energy_correction: Floats = quantity("eV", default_factory=lambda: np.empty(0))
    quasi_rrho: str = ""  # how soft modes were treated in the following
    quasi_entropy: Floats = quantity("eV/K", default_factory=lambda: np.empty(0))
    quasi_free_energy_correction: Floats = quantity("eV", default_factory=lambda: np.empty(0))
    dipoles: str = ""  # how the dipole derivatives were made, where that is said apart
    of_cell: str = ""  # what is to be known of the intensities of a cell
    charge_flow: float = quantity(default=0.0)  # that is left out; see ladera.properties.dipoles

    @property
    def imaginary(self) -> Floats:
        """Wavenumbers of the imaginary modes, (n_imaginary,), cm^-1."""
        return -self.frequencies[self.frequencies < 0]

    def table(self) -> Table:
        """One row for each mode."""
        columns = [
            Column("mode"),
            Column("frequency", "cm^-1", pattern=".1f"),
            Column("reduced mass", "amu", pattern=".3f"),
        ]
        light = len(self.intensities) > 0
        columns += [Column("intensity", "km/mol", pattern=".2f")] * light
        rows = []
        for i, frequency in enumerate(self.frequencies):
            imaginary = "imaginary" if frequency < 0 else ""
            row: list[Cell] = [float(i + 1), self.number("frequencies", i, note=imaginary)]
            row.append(self.number("reduced_masses", i))
            rows.append((*row, *([self.number("intensities", i)] if light else [])))
        notes = light_notes(self.dipoles, self.of_cell, self.charge_flow)
        return Table(tuple(columns), tuple(rows), notes=notes)

    def tables(self) -> tuple[Table, ...]:
        """The modes, the thermochemistry, and what it is of."""
        gas = (
            "ideal gas at 1 bar" if not self.held else "vibrations alone: held or periodic, no gas"
        )
        summary = Table.of_one(
            (Column("potential energy E", "eV", pattern=".6f"), self.number("potential_energy")),
            (Column("zero-point energy", "eV", pattern=".4f"), self.number("zero_point_energy")),
            (Column("H, S and G"), gas),
            (Column("symmetry number"), float(self.symmetry_number)),
            (Column("spin"), self.spin),
            (Column("Hessian"), self.derivatives),
            name="summary",
        )
        return self.table(), self.thermochemistry(), summary

    def thermochemistry(self) -> Table:
        """H - E, S and G - E at each temperature, of RRHO and of quasi-RRHO."""
        first, last = ("U", "F") if self.held else ("H", "G")
        quasi = f"quasi-RRHO {self.quasi_rrho}".strip()
        kilo, unit = KJ_PER_MOL, "J/mol/K"
        shown = (
            (Column(f"{first} - E", "kJ/mol", pattern=".2f"), "enthalpy_correction", kilo),
            (Column("S", unit, pattern=".2f"), "entropy", 1e3 * kilo),
            (Column(f"{last} - E", "kJ/mol", pattern=".2f"), "free_energy_correction", kilo),
            (Column(f"S, {quasi}", unit, pattern=".2f"), "quasi_entropy", 1e3 * kilo),
            (
                Column(f"{last} - E, {quasi}", "kJ/mol", pattern=".2f"),
                "quasi_free_energy_correction",
                kilo,
            ),
        )
        rows: tuple[tuple[Cell, ...], ...] = tuple(
            (float(t), *(self._at(name, i, factor) for _, name, factor in shown))
            for i, t in enumerate(self.temperatures)
        )
        fields = (Column("T", "K", pattern="g"), *(column for column, *_ in shown))
        words = f"E is the potential energy; {'F is U - T S' if self.held else 'G is H - T S'}."
        if count := len(self.imaginary):
            words += f" Imaginary modes ({count}) are LEFT OUT: this is no minimum."
        return Table(fields, rows, name="thermochemistry", notes=(words,))

    def _at(self, name: str, index: int, factor: float) -> Number:
        """A number at one of the temperatures; none of a result that an older Ladera left."""
        if len(getattr(self, name)) == 0:
            return Number(np.nan, note="a result of Ladera 0.1: compute it again")
        return self.number(name, index, factor=factor)

    def plot(self, ax: Axes | None = None) -> Figure:
        """A line for each mode, as high as its intensity where there is one."""
        heights = self.intensities if len(self.intensities) else np.ones(len(self.frequencies))
        with style():
            figure, panel = axes(5.2, 2.8, ax)
            real = self.frequencies > 0
            panel.vlines(self.frequencies[real], 0, heights[real], color=PALETTE[0])
            panel.vlines(
                self.frequencies[~real], 0, heights[~real], color=PALETTE[1], linestyles="dashed"
            )
            if "frequencies" in self.spread:
                panel.errorbar(
                    self.frequencies,
                    heights,
                    xerr=self.spread["frequencies"],
                    fmt="none",
                    ecolor=INK,
                    capsize=2,
                )
            if real.all():
                panel.set_xlim(left=0)
                panel.set_xlabel("wavenumber (cm⁻¹)")
            else:
                panel.set_xlabel("wavenumber (cm⁻¹), negative where imaginary")
            if len(self.intensities):
                panel.set_ylabel("intensity (km/mol)")
            else:
                panel.set_yticks([])
            panel.set_ylim(bottom=0)
        return figure

    def in_this_order(self, member: Vibrations) -> Vibrations:
        """A member's modes, each as the one here that it is most like."""
        order = mode_order(self.symbols, self.modes, member.modes)
        return replace(
            member,
            frequencies=member.frequencies[order],
            reduced_masses=member.reduced_masses[order],
            modes=member.modes[order],
            intensities=member.intensities[order] if len(member.intensities) else np.empty(0),
        )

    def motion(self) -> tuple[list[Atoms], list[str]]:
        """Frames that show each mode in turn, and what each frame is."""
        return mode_motion(self.symbols, self.positions, self.modes, self.frequencies)


def light_notes(dipoles: str, of_cell: str, charge_flow: float) -> tuple[str, ...]:
    """What a table of intensities says below it: whose dipoles, and what a cell leaves out."""
    words = [f"Dipoles: {dipoles}."] * bool(dipoles) + [of_cell] * bool(of_cell)
    if charge_flow:
        words.append(
            "Left out is charge that flows between molecules, at most "
            f"{100 * charge_flow:.2g} % of how the dipole changes."
        )
    return tuple(words)


def mode_order(symbols: Sequence[str], modes: Floats, others: Floats) -> Integers:
    """Which of the ``others`` is each of the ``modes`` (n_modes, n_atoms, 3), by their overlap.

    Two that lie close together may come in another order, and then rank says nothing.
    """
    roots = np.sqrt(Atoms(symbols).get_masses())[:, None]
    one, two = (
        weighted / np.linalg.norm(weighted, axis=1, keepdims=True)
        for weighted in ((each * roots).reshape(len(each), -1) for each in (modes, others))
    )
    order: Integers = linear_sum_assignment(-((one @ two.T) ** 2))[1]
    return order


def mode_motion(
    symbols: Sequence[str], positions: Floats, modes: Floats, frequencies: Floats
) -> tuple[list[Atoms], list[str]]:
    """Frames that show each mode in turn, and what each frame is.

    Positions (n_atoms, 3) in Angstrom, modes (n_modes, n_atoms, 3), frequencies in cm^-1.
    """
    phases = np.sin(2 * np.pi * np.arange(FRAMES_OF_A_MODE) / FRAMES_OF_A_MODE)
    frames, labels = [], []
    for i, (mode, frequency) in enumerate(zip(modes, frequencies, strict=True)):
        largest = np.linalg.norm(mode, axis=1).max()
        what = f"{abs(frequency):.0f} cm⁻¹{' imaginary' if frequency < 0 else ''}"
        for phase in phases:
            frames.append(Atoms(symbols, positions + 0.35 / largest * phase * mode))
            labels.append(f"mode {i + 1}, {what}")
    return frames, labels


@with_spread(at_rest="atoms")
@recorded
def vibrations(
    atoms: Atoms,
    /,
    *,
    step: float | None = None,
    temperatures: Sequence[float] = TEMPERATURES,
    symmetry_number: int = 1,
    spin: float = 0.0,
    quasi_rrho: QuasiRRHO = "grimme",
    infrared: bool = False,
    dipoles: ModelLike | None = None,
    vacuum: bool = False,
) -> Vibrations:
    """Normal modes of a relaxed molecule, or of what is not held, in the harmonic approximation.

    The Hessian is that of a Ladera model itself (:func:`ladera.hessian`); with a ``step``
    (Angstrom), and for other calculators, it comes from central differences of forces, for these
    by default with 0.005 Angstrom. Translations and rotations are projected out of it. Mode s
    moves atom a by e_as / sqrt(m_a), e a unit vector of 3 n_atoms components, and has the reduced
    mass 1 / sum_a |e_as|^2 / m_a.

    Enthalpy, entropy and free energy are those of an ideal gas of rigid rotors and harmonic
    oscillators (RRHO) at 1 bar and the ``temperatures`` (K), corrections what they add to the
    potential energy, with the rotational ``symmetry_number`` (2 for water, 3 for ammonia, 12 for
    methane) and total electronic ``spin`` (0 for singlets). Imaginary modes are left out of them.
    Beside them are entropy and free energy with the soft modes by ``quasi_rrho``, grimme or
    truhlar; see :mod:`ladera.properties.thermochemistry`.

    What is held (FixAtoms, FixCartesian, FixedLine, FixedPlane) does not vibrate: the Hessian is
    that of the rest, only such motions of the whole are projected out of it as are still free, and
    the thermochemistry is that of the vibrations alone, U, S and F in the places of H, S and G. So
    it is of a sheet or a wire, and of an adsorbate on a held surface or in a held crystal, whose
    modes are those of the cell: all its images move alike.

    With ``infrared``, intensities come from the derivatives of the dipole,

        I_s = N_A / (12 epsilon_0 c^2) |d mu / d Q_s|^2,
        d mu / d Q_s = sum_a d mu / d x_a e_as / sqrt(m_a)

    and in a cell, all of whose images move alike, they are per cell: of a molecular crystal, whose
    three translations are projected out, the infrared modes at the zone's centre, without the
    splitting of longitudinal and transverse ones (:mod:`ladera.properties.born_charges` has it).
    The dipole of a cell is that of its molecules, kept whole (:mod:`ladera.potential.moments`).
    Dipoles may be those of another model, ASE calculator or "xtb", ``dipoles``, which knows them;
    a calculator is asked for each molecule by itself, as with ``vacuum`` every model is: what
    molecules do to each other is then left out of the intensities.

    A molecule is linear if its atoms are on a line, or will be where the forces that are left lead.

    Raises PropertyError for a crystal of which nothing is held and no spectrum is asked, a single
    atom, a structure that is not relaxed or has nothing left to vibrate, for constraints of other
    kinds, options that no gas has, and, with ``infrared``, for a calculator without a dipole;
    NetworkError for a cell through which bonds run, of a model with charges; DataError for ions.
    """
    require_thermochemistry(temperatures, symmetry_number, spin, quasi_rrho)
    _require_vibrating(atoms, step, infrared)
    light = dipoles_of(atoms, dipoles, vacuum) if infrared else None
    modes = modes_of(atoms, step)
    found = _intensities(atoms, modes, light, step) if infrared else {}
    frequencies, lengths = modes.frequencies, np.linalg.norm(modes.moves, axis=0)
    heat = Thermochemistry.of(
        vibrations_alone(frequencies)
        if modes.held
        else ideal_gas(atoms, frequencies, modes.linear, symmetry_number, spin),
        frequencies,
        temperatures,
        quasi_rrho,
    )
    energy = float(atoms.get_potential_energy())
    return Vibrations(
        symbols=tuple(atoms.get_chemical_symbols()),
        positions=atoms.positions.copy(),
        frequencies=frequencies,
        reduced_masses=1 / lengths**2,
        modes=(modes.moves / lengths).T.reshape(-1, len(atoms), 3),
        zero_point_energy=float(frequencies[frequencies > 0].sum() * units.invcm / 2),
        temperatures=np.array(temperatures, dtype=float),
        enthalpy=energy + heat.enthalpy,
        entropy=heat.entropy,
        free_energy=energy + heat.free_energy,
        asymmetry=modes.slopes.asymmetry,
        derivatives=modes.slopes.origin,
        symmetry_number=symmetry_number,
        spin=spin,
        held=modes.held,
        potential_energy=energy,
        enthalpy_correction=heat.enthalpy,
        free_energy_correction=heat.free_energy,
        quasi_rrho=quasi_rrho,
        quasi_entropy=heat.quasi_entropy,
        quasi_free_energy_correction=heat.quasi_free_energy,
        **({"intensities": np.empty(0)} | found),
    )


def _intensities(
    atoms: Atoms, modes: Modes, light: Dipoles | None, step: float | None
) -> dict[str, Any]:
    """The fields of :class:`Vibrations` about intensities; ``light`` None: by ``modes.slopes``."""
    if light is None:
        if modes.slopes.dipole is None:
            raise no_dipole(atoms)
        return {"intensities": INTENSITY * ((modes.slopes.dipole.T @ modes.moves) ** 2).sum(axis=0)}
    slopes = light.slopes(Structure.from_atoms(atoms), step)
    molecules, inside = light.molecules, "its atoms"
    if molecules is not None:
        inside = f"{molecules.count} molecule{'s' * (molecules.count > 1)}"
    of_cell = (
        f"Intensities are per cell ({inside}), of modes at the zone's centre without the splitting "
        "of longitudinal and transverse ones."
    )
    return {
        "intensities": INTENSITY * ((slopes.dipole.T @ modes.moves) ** 2).sum(axis=0),
        "dipoles": slopes.words,
        "of_cell": of_cell if atoms.pbc.any() else "",
        "charge_flow": left_out(atoms, molecules, slopes, modes.moves),
    }


def _require_vibrating(atoms: Atoms, step: float | None, infrared: bool) -> None:
    """Refuse what has no vibrations or no intensities, before the work."""
    if step is not None and not step > 0:
        raise PropertyError.of("step", f"{step:g} Angstrom", "it must be above zero, such as 0.01")
    if atoms.pbc.all() and not (infrared or is_held(atoms)):
        require_molecule(atoms, "A vibration without anything held")
    if len(atoms) < 2 and not atoms.pbc.any():
        raise PropertyError("One atom does not vibrate; give a molecule.")
    require_honoured(atoms, "vibrations", PropertyError)
    require_relaxed(atoms, cell=False)
