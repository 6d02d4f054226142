"""Phonons of a crystal from phonopy's supercells: bands, density of states, heat."""

from __future__ import annotations

import os
import warnings
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np
from ase import units
from ase.cell import Cell
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from phonopy import Phonopy

from ladera.arrays import Floats, Integers
from ladera.errors import PropertyError
from ladera.machine import require_memory
from ladera.plotting import INK, PALETTE, panel_grid, style
from ladera.properties.born_charges import apply, polar_crystal, with_directions
from ladera.properties.displacements import evaluate_displaced
from ladera.properties.recorded import recorded
from ladera.properties.result import Result, quantity
from ladera.properties.smoothness import kink_of_forces
from ladera.properties.structures import require_crystal, require_relaxed, with_spread
from ladera.properties.supercells import phonopy_cell, primitive_matrix, supercell_of, to_ase
from ladera.tables import Column, Number, Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ase import Atoms

_LARGEST_DISPLACEMENT: Final = 0.3  # Angstrom; no force is linear that far
_MESH_LENGTH: Final = 60.0  # Angstrom: 60 / |a| points along a
_POINTS_OF_A_BAND: Final = 200
_MOST_ROWS: Final = 24  # of frequencies at points of the path, for people
_MATRICES: Final = 12  # of all pairs of atoms that phonopy has at once: measured
LARGEST_NOISE: Final = 0.05  # THz, what rounding leaves of the acoustic modes at the zone's centre
_TEMPERATURES: Final = (0.0, 1000.0, 10.0)  # K: first, last, step
_QUANTUM: Final = float(1e12 * units._hplanck / units._e)  # h times 1 THz, eV


@dataclass(frozen=True, kw_only=True)
class Phonons(Result):
    """Phonons in the harmonic approximation; imaginary frequencies are negative.

    Heat is for one formula of the primitive cell: per mole of primitive cells.
    """

    kind: ClassVar[str] = "phonons"
    title: ClassVar[str] = "Phonons"
    caption: ClassVar[str] = (
        "Frequencies along the standard path, imaginary ones below zero, and the density of "
        "states beside them."
    )

    supercell: Floats = quantity()  # (3,), cells along each vector
    supercell_change: float = quantity("THz")  # largest, from the next smaller supercell
    distances: Floats = quantity("1/Angstrom")  # (n_points,) along the path, 2 pi in it
    bands: Floats = quantity("THz")  # (n_points, n_bands)
    ticks: Floats = quantity("1/Angstrom")  # (n_labels,)
    labels: tuple[str, ...]
    frequencies: Floats = quantity("THz")  # (n_grid,) of the density of states
    density: Floats = quantity("1/THz")  # (n_grid,), states per primitive cell
    lowest: float = quantity("THz")  # on the path and the mesh
    lowest_point: Floats = quantity()  # (3,), where, in reciprocal primitive vectors
    zero_point_energy: float = quantity("eV")  # per primitive cell
    temperatures: Floats = quantity("K")
    free_energy: Floats = quantity("kJ/mol")  # Helmholtz's
    entropy: Floats = quantity("J/K/mol")
    heat_capacity: Floats = quantity("J/K/mol")  # at constant volume
    born: Floats = quantity("e", default_factory=lambda: np.zeros((0, 3, 3)))  # (n_atoms, 3, 3)
    dielectric: Floats = quantity(default_factory=lambda: np.zeros((0, 3)))  # (3, 3), electronic
    without_field: Floats = quantity("THz", default_factory=lambda: np.zeros(0))  # at the centre
    kink_slopes: Floats = quantity(  # (2,), of a force to plus and minus, where they differ
        "eV/Angstrom^2", default_factory=lambda: np.full(2, np.nan)
    )
    n_atoms: int = 0  # in the primitive cell
    n_given: int = 0  # in the cell that was given

    @property
    def stable(self) -> bool:
        """Whether no mode is imaginary."""
        return self.lowest > -LARGEST_NOISE

    def numbers(self) -> dict[str, float]:
        """``highest_frequency``, THz, and ``heat_capacity`` at 300 K, J/K/mol (primitive cell)."""
        heat = self.heat_capacity[self._room()]
        return {"highest_frequency": float(self.bands.max()), "heat_capacity": float(heat)}

    def _room(self) -> int:
        """Which of the temperatures is that of a room."""
        return int(np.argmin(np.abs(self.temperatures - 300)))

    def table(self) -> Table:
        """Extremes of the bands, stability, convergence, heat at room temperature."""
        room = self._room()
        at = f"at {self.temperatures[room]:g} K"
        where = ", ".join(f"{x:.3g}" for x in self.lowest_point)
        lowest = Number(
            self.lowest, note="no mode is imaginary" if self.stable else f"IMAGINARY, at ({where})"
        )
        size = " x ".join(f"{n:.0f}" for n in self.supercell)
        without = (
            Column("highest at Γ without the field", "THz", pattern=".3f"),
            float(self.without_field.max(initial=0.0)),
        )
        found = f"{self.n_atoms} of the {self.n_given} atoms given"
        return Table.of_one(
            (Column("highest frequency", "THz", pattern=".3f"), float(self.bands.max())),
            (Column("lowest frequency", "THz", pattern=".3f"), lowest),
            (
                Column("zero-point energy", "eV/cell", pattern=".5f"),
                self.number("zero_point_energy"),
            ),
            *(
                (Column(f"{name} {at}", unit, pattern=".3f"), self.number(field, room))
                for name, field, unit in (
                    ("heat capacity", "heat_capacity", "J/K/mol"),
                    ("entropy", "entropy", "J/K/mol"),
                    ("free energy", "free_energy", "kJ/mol"),
                )
            ),
            *([without] if len(self.without_field) else []),
            *([(Column("primitive cell"), found)] if self.n_atoms != self.n_given else []),
            (Column("supercell"), size),
            (Column("change from the next smaller one", "THz", pattern=".3f"), self._change()),
            *(
                (Column(f"NOT SMOOTH: slope of a force to {side}", "eV/Å²", pattern=".4f"), slope)
                for side, slope in zip(("plus", "minus"), self.kink_slopes.tolist(), strict=True)
                if np.isfinite(slope)
            ),
        )

    def tables(self) -> tuple[Table, ...]:
        """What people ask first, and the distinct frequencies at each point of the path."""
        columns = (Column("point"), Column("frequency", "THz", pattern=".3f"), Column("degeneracy"))
        at_points: dict[str, Counter[float]] = {}
        for tick, label in zip(self.ticks, self.labels, strict=True):
            if "|" not in label:
                values = self.bands[int(np.argmin(np.abs(self.distances - tick)))]
                at_points.setdefault(label, Counter((values.round(3) + 0.0).tolist()))
        rows = tuple(
            (label, frequency, float(count))
            for label, found in at_points.items()
            for frequency, count in sorted(found.items())
        )
        shown = tuple(range(min(len(rows), _MOST_ROWS)))
        return self.table(), Table(columns, rows, name="points", shown=shown)

    def plot(self, ax: Axes | None = None) -> Figure:
        """Bands along the path, and the density of states beside them."""
        with style():
            figure, (panel, side) = panel_grid(6.2, 3.4, ax, columns=(3, 1), share="y")
            for band in self.bands.T:
                panel.plot(self.distances, band, color=PALETTE[0], lw=1.1)
            if "bands" in self.spread:
                for band, width in zip(self.bands.T, self.spread["bands"].T, strict=True):
                    panel.fill_between(
                        self.distances, band - width, band + width, color=PALETTE[0], alpha=0.25
                    )
            panel.axhline(0, color=INK, lw=0.6)
            panel.set_xticks(self.ticks, self.labels)
            panel.set_xlim(self.distances[0], self.distances[-1])
            panel.set_xlabel("wave vector")
            panel.set_ylabel("frequency (THz)")
            side.plot(self.density, self.frequencies, color=INK, lw=1.1)
            side.set_xlabel("states (1/THz)")
            side.set_xlim(left=0)
        return figure

    def _change(self) -> Number:
        """What the supercell's size does, as far as it was looked at."""
        if not np.isfinite(self.supercell_change):
            return Number(np.nan, note="there is no smaller one: take two cells or more")
        single = [f"vector {n + 1}" for n in np.flatnonzero(self.supercell == 1)]
        unseen = f"along {' and '.join(single)} not looked at" if single else ""
        return self.number("supercell_change", note=unseen)


@with_spread(at_rest="atoms")
@recorded
def phonons(
    atoms: Atoms,
    /,
    *,
    supercell: int | Sequence[int] | None = None,
    displacement: float = 0.01,
    born: str | os.PathLike[str] | None = None,
    dielectric: Sequence[float] | None = None,
) -> Phonons:
    """Phonons of a relaxed crystal with a calculator, by finite displacements (phonopy).

    ``supercell`` says how many cells along each vector; left out, enough that the supercell is 12
    Angstrom high or more. Atoms move by ``displacement`` (Angstrom). The next smaller supercell is
    computed too and the largest difference on a coarse mesh reported: the error of the size.
    The path is the standard one of the Bravais lattice (Setyawan and Curtarolo, Comput. Mater. Sci.
    49, 299 (2010)), by ASE. Bands, path and heat are those of the primitive cell, which is found in
    ``atoms`` when these are more.

    The electric fields of polar crystals, which split longitudinal from transverse modes, are
    accounted for where Born charges and dielectric tensor are given: by ``born`` and
    ``dielectric``, see :func:`ladera.properties.born_charges.polar_crystal`.

    Forces that are not smooth, as where a shell of neighbours is at the cutoff of a model that
    does not go to zero there, are said with their slopes to two sides.

    Raises PropertyError for a molecule, for a structure that is not relaxed and for a supercell
    that makes no sense.
    """
    require_crystal(atoms, "A phonon")
    require_relaxed(atoms, cell=False)
    atoms, size = supercell_of(atoms, supercell)
    if len(atoms) * np.prod(size) == 1:
        raise PropertyError(
            "The supercell has one atom, which moves with all of its images, so that no force "
            "comes back; take a larger --supercell, or leave it out."
        )
    phonopy = force_constants(atoms, size, displacement, primitive=True)
    polar = None
    if born is not None or dielectric is not None:
        polar = polar_crystal(phonopy, _primitive(phonopy, atoms), born, dielectric)
    centre, smaller, change = np.zeros((1, 3)), np.maximum(size - 1, 1), np.nan
    extra: dict[str, Any] = {}
    if polar is not None:
        extra = polar._asdict() | {"without_field": frequencies(phonopy, centre)[0]}
        apply(phonopy, polar)
    if (smaller < size).any():
        other = force_constants(atoms, smaller, displacement, primitive=True)
        if polar is not None:
            apply(other, polar)
        change = _largest_difference(phonopy, other)
    extra["kink_slopes"] = kink_of_forces(*_displaced(phonopy, atoms))
    return replace(_result(atoms, phonopy, size, change), **extra)


def force_constants(
    atoms: Atoms, supercell: Integers, displacement: float, *, primitive: bool = False
) -> Phonopy:
    """phonopy's object with the force constants of a supercell, symmetrised.

    Of the cell given, or with ``primitive`` of the primitive one in it.
    """
    require_displacement(displacement)
    cell = phonopy_cell(atoms)
    part = primitive_matrix(cell) if primitive else np.eye(3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a supercell of another shape is no mistake
        phonopy = Phonopy(
            cell,
            np.diag(supercell),
            primitive_matrix=part,
            distinguish_symbol_index=True,
            log_level=0,
        )
    n_atoms = len(phonopy.supercell)
    require_memory(
        _MATRICES * 8.0 * (3 * n_atoms) ** 2,
        f"The force constants of a supercell of {n_atoms:,} atoms",
        "take a smaller supercell",
    )
    phonopy.generate_displacements(distance=displacement)
    forces = evaluate_displaced(*_displaced(phonopy, atoms)).forces
    phonopy.forces = forces.astype(np.float64)
    phonopy.produce_force_constants()
    phonopy.symmetrize_force_constants()
    return phonopy


def _displaced(phonopy: Phonopy, atoms: Atoms) -> tuple[Atoms, Floats]:
    """The perfect supercell, and how atoms are moved in it, (n, n_atoms, 3)."""
    perfect = to_ase(phonopy.supercell, atoms)
    moved = np.array([c.positions for c in phonopy.supercells_with_displacements or ()])
    return perfect, moved - perfect.positions


def require_displacement(displacement: float) -> None:
    """PropertyError unless atoms can be moved as far (Angstrom) for a derivative."""
    if not 0 < displacement <= _LARGEST_DISPLACEMENT:
        what = f"it must be above zero and at most {_LARGEST_DISPLACEMENT:g}, such as 0.01"
        raise PropertyError.of("displacement", f"{displacement:g} Angstrom", what)


def _largest_difference(one: Phonopy, other: Phonopy) -> float:
    """On a coarse mesh that holds the zone's centre and its boundaries."""
    points = np.array(list(np.ndindex(4, 4, 4))) / 4
    return float(np.abs(frequencies(one, points) - frequencies(other, points)).max())


def frequencies(phonopy: Phonopy, points: Floats) -> Floats:
    """(n_points, n_bands), THz, imaginary ones negative."""
    phonopy.run_qpoints(points.astype(np.float64))
    result: Any = phonopy.qpoints
    frequencies: Floats = result.frequencies
    return frequencies


def _result(atoms: Atoms, phonopy: Phonopy, size: Integers, change: float) -> Phonons:
    path = Cell(phonopy.primitive.cell).bandpath(npoints=_POINTS_OF_A_BAND)
    distances, ticks, labels = _path_axis(path)
    bands, distances = with_directions(
        phonopy, path.kpts, distances, frequencies(phonopy, path.kpts)
    )
    phonopy.run_mesh(_MESH_LENGTH)
    phonopy.run_total_dos()
    first, last, step = _TEMPERATURES
    phonopy.run_thermal_properties(
        t_min=first, t_max=last, t_step=step, cutoff_frequency=LARGEST_NOISE
    )
    mesh: Any = phonopy.mesh
    dos: Any = phonopy.total_dos
    heat: Any = phonopy.thermal_properties
    everywhere = np.vstack([frequencies(phonopy, path.kpts), mesh.frequencies])
    points = np.vstack([path.kpts, mesh.qpoints])
    worst = int(everywhere.min(axis=1).argmin())
    zero_point = 0.5 * (mesh.weights @ mesh.frequencies.clip(0).sum(axis=1)) / mesh.weights.sum()
    return Phonons(
        supercell=size.astype(float),
        supercell_change=change,
        distances=distances,
        bands=bands,
        ticks=ticks,
        labels=labels,
        frequencies=np.asarray(dos.frequency_points),
        density=np.asarray(dos.dos),
        lowest=float(everywhere[worst].min()),
        lowest_point=points[worst],
        zero_point_energy=float(zero_point * _QUANTUM),
        temperatures=np.asarray(heat.temperatures),
        free_energy=np.asarray(heat.free_energy),
        entropy=np.asarray(heat.entropy),
        heat_capacity=np.asarray(heat.heat_capacity),
        n_atoms=len(phonopy.primitive),
        n_given=len(atoms),
    )


def _primitive(phonopy: Phonopy, atoms: Atoms) -> Atoms:
    """phonopy's primitive cell with all that its atoms are labelled with, and the calculator."""
    supercell, cell = phonopy.supercell, phonopy.primitive
    places = [supercell.u2u_map[supercell.s2u_map[i]] for i in cell.p2s_map]
    primitive = atoms[places]
    primitive.set_cell(cell.cell)
    primitive.positions = cell.positions
    primitive.calc = atoms.calc
    return primitive


def _path_axis(path: Any) -> tuple[Floats, Floats, tuple[str, ...]]:
    """Distances along ASE's path, and its points by name; two of them where the path jumps."""
    distances, ticks, names = path.get_linear_kpoint_axis()
    labels: dict[float, str] = {}
    for tick, name in zip(ticks, names, strict=True):
        name = name.replace("G", "Γ")
        labels[tick] = f"{labels[tick]}|{name}" if tick in labels else name
    return distances, np.array(list(labels)), tuple(labels.values())
