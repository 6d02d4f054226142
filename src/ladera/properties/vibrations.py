"""Harmonic vibrations of a molecule, and the thermochemistry that follows from them."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Final

import numpy as np
from ase import Atoms, units
from ase.thermochemistry import HarmonicThermo, IdealGasThermo
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.optimize import linear_sum_assignment

from ladera.arrays import Floats, Integers
from ladera.errors import PropertyError
from ladera.plotting import INK, PALETTE, axes, style
from ladera.properties.displacements import derivatives, has_dipole, no_dipole
from ladera.properties.recorded import recorded
from ladera.properties.result import Result, Table, quantity
from ladera.properties.structures import require_molecule, require_relaxed, with_spread
from ladera.simulation.held import inner_motions, is_held, is_linear, require_honoured
from ladera.units import FEMTOSECOND

if TYPE_CHECKING:
    from collections.abc import Sequence


# sqrt(eV / Angstrom^2 / amu), which is 1 / ASE's unit of time, as a wavenumber in cm^-1.
_WAVENUMBER: Final = float(FEMTOSECOND * 1e15 / (2 * np.pi * units._c * 100))
# N_A / (12 epsilon_0 c^2) e^2 / amu, in km/mol.
INTENSITY: Final = float(
    units._Nav * units._e**2 / (12 * units._eps0 * units._c**2 * units._amu) / 1000
)
_PRESSURE: Final = 1e5  # Pa, the standard one
TEMPERATURES: Final = (200.0, 298.15, 400.0, 600.0, 800.0, 1000.0)
FRAMES_OF_A_MODE: Final = 12
_NEARLY_LINEAR: Final = 0.1  # of the length: what soft bends may leave beside the line


@dataclass(frozen=True, kw_only=True)
class Vibrations(Result):
    """Normal modes of a molecule in ascending order; imaginary frequencies are negative."""

    kind: ClassVar[str] = "vibrations"
    title: ClassVar[str] = "Vibrations"
    caption: ClassVar[str] = (
        "A line for each mode, as high as its infrared intensity where that is known; "
        "imaginary modes are dashed, left of zero."
    )

    symbols: tuple[str, ...]
    positions: Floats = quantity("Angstrom")  # (n_atoms, 3)
    frequencies: Floats = quantity("cm^-1")  # (n_modes,)
    reduced_masses: Floats = quantity("amu")  # (n_modes,)
    modes: Floats = quantity()  # (n_modes, n_atoms, 3), displacements of unit length
    intensities: Floats = quantity("km/mol")  # (n_modes,), empty without a dipole
    zero_point_energy: float = quantity("eV")  # half the sum of the real modes' quanta
    temperatures: Floats = quantity("K")
    enthalpy: Floats = quantity("eV")  # ideal gas, of the potential energy's zero
    entropy: Floats = quantity("eV/K")  # at 1 bar
    free_energy: Floats = quantity("eV")  # Gibbs's, at 1 bar
    asymmetry: float = quantity("eV/Angstrom^2")  # of the Hessian: numerical noise
    derivatives: str = "central differences"  # how Hessian and dipole derivatives were made
    symmetry_number: int = 1  # of the rotational entropy
    spin: float = 0.0  # of the electronic entropy
    held: bool = False  # whether something is held or periodic, so that it is no gas

    @property
    def imaginary(self) -> Floats:
        """Wavenumbers of the imaginary modes, (n_imaginary,), cm^-1."""
        return -self.frequencies[self.frequencies < 0]

    def table(self) -> Table:
        """One row for each mode, then zero-point energy and thermochemistry."""
        with_intensities = len(self.intensities) > 0
        columns = ("mode", "frequency (cm⁻¹)", "reduced mass (amu)")
        rows = []
        for i, frequency in enumerate(self.frequencies):
            row = [str(i + 1), self.show("frequencies", ".1f", i)]
            if frequency < 0:
                row[1] = f"{row[1].lstrip('-')} imaginary"
            row.append(self.show("reduced_masses", ".3f", i))
            if with_intensities:
                row.append(self.show("intensities", ".2f", i))
            rows.append(tuple(row))
        blank = ("",) * with_intensities
        rows.append(("zero point", f"{self.show('zero_point_energy', '.4f')} eV", "", *blank))
        for i, temperature in enumerate(self.temperatures):
            rows.append(
                (
                    f"{temperature:g} K",
                    f"H {self.enthalpy[i]:.4f} eV, G {self.free_energy[i]:.4f} eV",
                    f"S {1e3 * self.entropy[i]:.4f} meV/K",
                    *blank,
                )
            )
        gas = f"ideal gas at 1 bar, symmetry number {self.symmetry_number}, spin {self.spin:g}"
        if self.held:
            gas = "harmonic, of the vibrations alone: held or periodic, no gas"
        rows.append(("H, S and G", gas, "", *blank))
        rows.append(("Hessian", self.derivatives, "", *blank))
        return Table((*columns, "intensity (km/mol)") if with_intensities else columns, tuple(rows))

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
    infrared: bool = False,
) -> Vibrations:
    """Normal modes of a relaxed molecule, or of what is not held, in the harmonic approximation.

    The Hessian is that of a Ladera model itself (:func:`ladera.hessian`); with a ``step``
    (Angstrom), and for other calculators, it comes from central differences of forces, for these
    by default with 0.005 Angstrom. Translations and rotations are projected out of it. Mode s
    moves atom a by e_as / sqrt(m_a), e a unit vector of 3 n_atoms components, and has the reduced
    mass 1 / sum_a |e_as|^2 / m_a.

    Enthalpy, entropy and free energy are those of an ideal gas of rigid rotors and harmonic
    oscillators at 1 bar and the ``temperatures`` (K), counted from the potential energy's own
    zero, with the rotational ``symmetry_number`` (2 for water, 3 for ammonia, 12 for methane) and
    total electronic ``spin`` (0 for singlets). Imaginary modes are left out of them.

    What is held (FixAtoms, FixCartesian, FixedLine, FixedPlane) does not vibrate: the Hessian is
    that of the rest, only such motions of the whole are projected out of it as are still free, and
    the thermochemistry is that of the vibrations alone, U, S and F in the places of H, S and G. So
    it is of a sheet or a wire, and of an adsorbate on a held surface or in a held crystal, whose
    modes are those of the cell: all its images move alike.

    With ``infrared``, intensities come from the derivatives of the dipole,

        I_s = N_A / (12 epsilon_0 c^2) |d mu / d Q_s|^2,
        d mu / d Q_s = sum_a d mu / d x_a e_as / sqrt(m_a)

    A molecule is linear if its atoms are on a line, or will be where the forces that are left lead.

    Raises PropertyError for a crystal of which nothing is held, a single atom, a structure that is
    not relaxed or has nothing left to vibrate, for constraints of other kinds, options that no gas
    has, and, with ``infrared``, for a calculator without a dipole and a periodic structure.
    """
    _require_vibrating(atoms, step, infrared)
    _require_thermochemistry(temperatures, symmetry_number, spin)
    held, linear = is_held(atoms) or bool(atoms.pbc.any()), False
    masses = np.repeat(atoms.get_masses(), 3)
    if held:
        inside = inner_motions(atoms)
        if not inside.size:
            raise PropertyError("All atoms are held, so nothing vibrates; hold fewer of them.")
        slopes = derivatives(atoms, step, np.abs(inside).max(axis=1) > 1e-9)
    else:
        slopes = derivatives(atoms, step)
    dynamical = slopes.hessian / np.sqrt(np.outer(masses, masses))
    if not held:
        linear = _is_linear_at_rest(atoms, dynamical)
        inside = _inner_space(atoms, linear)
    eigenvalues, vectors = np.linalg.eigh(inside.T @ dynamical @ inside)
    vectors = inside @ vectors  # (3 n_atoms, n_modes), mass-weighted
    frequencies = np.sign(eigenvalues) * np.sqrt(np.abs(eigenvalues)) * _WAVENUMBER
    moves = vectors / np.sqrt(masses)[:, None]
    lengths = np.linalg.norm(moves, axis=0)
    intensities = np.empty(0)
    if infrared:
        if slopes.dipole is None:
            raise no_dipole(atoms)
        intensities = INTENSITY * ((slopes.dipole.T @ moves) ** 2).sum(axis=0)
    if held:
        thermo = _harmonic_thermochemistry(atoms, frequencies, temperatures)
    else:
        gas = _gas(atoms, frequencies, linear, symmetry_number, spin)
        thermo = _gas_thermochemistry(gas, temperatures)
    return Vibrations(
        symbols=tuple(atoms.get_chemical_symbols()),
        positions=atoms.positions.copy(),
        frequencies=frequencies,
        reduced_masses=1 / lengths**2,
        modes=(moves / lengths).T.reshape(-1, len(atoms), 3),
        intensities=intensities,
        zero_point_energy=float(frequencies[frequencies > 0].sum() * units.invcm / 2),
        temperatures=np.array(temperatures, dtype=float),
        enthalpy=thermo[0],
        entropy=thermo[1],
        free_energy=thermo[2],
        asymmetry=slopes.asymmetry,
        derivatives=slopes.origin,
        symmetry_number=symmetry_number,
        spin=spin,
        held=held,
    )


def _require_vibrating(atoms: Atoms, step: float | None, infrared: bool) -> None:
    """Refuse what has no vibrations or no intensities, before the work."""
    if step is not None and not step > 0:
        raise PropertyError(f"The step is {step:g} Angstrom; it must be above zero.")
    if infrared:
        require_molecule(atoms, "An infrared intensity")
    elif atoms.pbc.all() and not is_held(atoms):
        require_molecule(atoms, "A vibration without anything held")
    if len(atoms) < 2 and not atoms.pbc.any():
        raise PropertyError("One atom does not vibrate; give a molecule.")
    if infrared and not has_dipole(atoms):
        raise no_dipole(atoms)
    require_honoured(atoms, "vibrations", PropertyError)
    require_relaxed(atoms, cell=False)


def _require_thermochemistry(
    temperatures: Sequence[float], symmetry_number: int, spin: float
) -> None:
    """Refuse what no molecule and no gas has."""
    if symmetry_number != int(symmetry_number) or symmetry_number < 1:
        raise PropertyError(
            f"The symmetry number is {symmetry_number:g}; it counts the rotations that leave the "
            "molecule as it is, so give 1 or more."
        )
    if not (spin >= 0 and 2 * spin == int(2 * spin)):
        raise PropertyError(
            f"The spin is {spin:g}; the total electronic spin is 0, 1/2, 1 and so on."
        )
    for temperature in temperatures:
        if not 0 < temperature < np.inf:
            raise PropertyError(
                f"A temperature is {temperature:g} K; thermochemistry needs those above zero."
            )


def _inner_space(atoms: Atoms, linear: bool) -> Floats:
    """Orthonormal mass-weighted coordinates without translations and rotations.

    (3 n_atoms, 3 n_atoms - 6), or - 5 for a linear molecule.
    """
    roots = np.sqrt(atoms.get_masses())[:, None]
    centred = atoms.positions - atoms.get_center_of_mass()
    outer = [roots * np.eye(3)[i] for i in range(3)]
    outer += [roots * np.cross(np.eye(3)[i], centred) for i in range(3)]
    basis, _, _ = np.linalg.svd(np.array([move.ravel() for move in outer]).T)
    inner: Floats = basis[:, 5 if linear else 6 :]
    return inner


def _is_linear_at_rest(atoms: Atoms, dynamical: Floats) -> bool:
    """Whether a molecule is linear where its forces lead, r + H^-1 F.

    What counts as relaxed may stand far beside the line when bends are soft. The small rotation
    about the line is then one of them, of another frequency than zero.
    """
    centred = atoms.positions - atoms.positions.mean(axis=0)
    sizes = np.linalg.svd(centred, compute_uv=False)
    if is_linear(atoms.positions) or sizes[1] > _NEARLY_LINEAR * sizes[0]:
        return is_linear(atoms.positions)
    roots = np.sqrt(atoms.get_masses())[:, None]
    inside = _inner_space(atoms, linear=True)
    eigenvalues, vectors = np.linalg.eigh(inside.T @ dynamical @ inside)
    stiff = np.abs(eigenvalues) > 1e-6 * np.abs(eigenvalues).max()
    modes = inside @ vectors[:, stiff]
    forces = (atoms.get_forces(apply_constraint=False) / roots).ravel()
    steps = modes @ ((modes.T @ forces) / eigenvalues[stiff])
    return is_linear(atoms.positions + steps.reshape(-1, 3) / roots)


def _harmonic_thermochemistry(
    atoms: Atoms, frequencies: Floats, temperatures: Sequence[float]
) -> Floats:
    """U, S and F (3, n_temperatures) of the real modes alone by ASE."""
    modes = HarmonicThermo(
        vib_energies=[complex(f) * units.invcm for f in frequencies if f > 0],
        potentialenergy=float(atoms.get_potential_energy()),
    )
    return np.array(
        [
            (
                modes.get_internal_energy(t, verbose=False),
                modes.get_entropy(t, verbose=False),
                modes.get_helmholtz_energy(t, verbose=False),
            )
            for t in temperatures
        ]
    ).T


def _gas(
    atoms: Atoms, frequencies: Floats, linear: bool, symmetry_number: int, spin: float
) -> IdealGasThermo:
    """The ideal gas by ASE, without the imaginary modes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of imaginary modes: the table names them
        return IdealGasThermo(
            vib_energies=[complex(f if f > 0 else f * 1j) * units.invcm for f in frequencies],
            ignore_imag_modes=True,
            geometry="linear" if linear else "nonlinear",
            potentialenergy=float(atoms.get_potential_energy()),
            atoms=atoms,
            symmetrynumber=symmetry_number,
            spin=spin,
        )


def _gas_thermochemistry(gas: IdealGasThermo, temperatures: Sequence[float]) -> Floats:
    """H, S and G (3, n_temperatures) of the ideal gas."""
    return np.array(
        [
            (
                gas.get_enthalpy(t, verbose=False),
                gas.get_entropy(t, _PRESSURE, verbose=False),
                gas.get_gibbs_energy(t, _PRESSURE, verbose=False),
            )
            for t in temperatures
        ]
    ).T
