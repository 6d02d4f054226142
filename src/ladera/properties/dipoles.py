"""Dipole moments of cells and molecules: of the model of the forces or of another, or piecewise."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np
import torch
from ase import Atoms
from ase.geometry import get_distances

from ladera.curvature import dipole_derivatives, moment_derivatives
from ladera.errors import ConfigError, PropertyError
from ladera.graph import Graph
from ladera.loading import ModelLike, as_potential, load
from ladera.molecules import Molecules, bonds, hydrogen_bonds
from ladera.potential import Potential, evaluate
from ladera.potential.moments import moments_of_molecules
from ladera.progress import track
from ladera.properties.displacements import has_dipole, no_dipole
from ladera.properties.memory import Arrays, RememberingCalculator
from ladera.quantities import CHARGES, DIPOLE
from ladera.simulation.preparation import check_species
from ladera.structure import Structure, StructureWarning

if TYPE_CHECKING:
    from ladera.arrays import Floats
    from ladera.properties.trajectory import Trajectory

XTB: Final = "xtb"  # the name of GFN2-xTB
LARGEST_PART: Final = 0.1  # of the slopes of the dipole, that may be left out without a warning
_TIGHT: Final = 0.01  # accuracy of tblite: derivatives of a dipole ask for more than energies do
_STEP: Final = 0.005  # Angstrom, of the differences of what torch cannot follow
_ATOMS_AT_ONCE: Final = 4000


@dataclass(frozen=True)
class DipoleSlopes:
    """How the dipole of a structure changes with the places of its atoms."""

    dipole: Floats  # (3 n_atoms, 3), d mu / d x, e
    words: str  # how they were made
    # Of molecules kept whole, before each was made neutral; none where that is not done.
    charges: Floats = field(default_factory=lambda: np.empty(0))  # (n_molecules,), Q_M, e
    flows: Floats = field(default_factory=lambda: np.empty((0, 0)))  # (3 n_atoms, n_molecules),
    # d Q_M / d x, e/Angstrom


class Dipoles(Protocol):
    """What gives dipoles of a structure and of others with the same atoms."""

    @property
    def molecules(self) -> Molecules | None:
        """Those that are kept whole; None where that is not needed."""
        ...

    @property
    def words(self) -> str:
        """Of what they are."""
        ...

    def at(self, structure: Structure, positions: Floats, cells: Floats) -> Floats:
        """Dipoles (n, 3), e*Angstrom, with ``positions`` (n, n_atoms, 3) in ``cells`` (n, 3, 3)."""
        ...

    def slopes(self, structure: Structure, step: float | None) -> DipoleSlopes:
        """Exact where torch can follow the potential, else differences (0.005 Angstrom)."""
        ...


@dataclass(frozen=True)
class WholeDipoles:
    """What a potential says of the whole: in a cell, with charges, of ``molecules`` kept whole.

    See :mod:`ladera.potential.moments`; without molecules it is the dipole of an open structure, or
    the sum of the atomic dipoles in a cell of a model without charges.
    """

    potential: Potential
    molecules: Molecules | None
    memory: RememberingCalculator | None = None  # of the potential; finds dipoles again

    @property
    def words(self) -> str:
        """See :class:`Dipoles`."""
        return "of the whole" if self.molecules is None else "of molecules kept whole"

    def at(self, structure: Structure, positions: Floats, cells: Floats) -> Floats:
        """See :class:`Dipoles`."""
        return self._moments(structure, positions, cells)[:, :3]

    def slopes(self, structure: Structure, step: float | None) -> DipoleSlopes:
        """See :class:`Dipoles`."""
        here = self._moments(structure, structure.positions[None], structure.cell[None])[0, 3:]
        if self.potential.differentiable:
            graph = Graph.of(structure, self.potential.cutoff)
            words = "derivatives of the model"
            if self.molecules is None:
                return DipoleSlopes(dipole_derivatives(self.potential, graph), words)
            found = moment_derivatives(self.potential, graph, self.molecules)
            return DipoleSlopes(found[:, :3], f"{words}, {self.words}", here, found[:, 3:])
        step, size = step or _STEP, structure.positions.size
        moves = step * np.eye(size).reshape(size, -1, 3)
        positions = structure.positions + np.concatenate([moves, -moves])
        cells = np.broadcast_to(structure.cell, (2 * size, 3, 3))
        up, down = np.split(self._moments(structure, positions, cells), 2)
        found = (up - down) / (2 * step)
        return DipoleSlopes(found[:, :3], f"central differences, {step:g} Å", here, found[:, 3:])

    def _moments(self, structure: Structure, positions: Floats, cells: Floats) -> Floats:
        """Dipoles, and the charges of the molecules where there are some, (n, 3 + n_molecules)."""
        found = []
        count = max(1, _ATOMS_AT_ONCE // len(structure.numbers))
        for start in track(range(0, len(positions), count), "dipoles"):
            part = positions[start : start + count], cells[start : start + count]
            compute = partial(self._batch, structure, *part)
            if self.memory is None:
                found.append(compute()["moments"])
                continue
            atoms = Atoms(structure.numbers, cell=structure.cell, pbc=structure.periodic)
            what = "dipoles" if self.molecules is None else "dipoles of whole molecules"
            found.append(self.memory.remember(atoms, what, compute, *part)["moments"])
        return np.concatenate(found)

    def _batch(self, structure: Structure, positions: Floats, cells: Floats) -> Arrays:
        graphs = [
            Graph.of(structure._replace(positions=places, cell=cell), self.potential.cutoff)
            for places, cell in zip(positions, cells, strict=True)
        ]
        with torch.no_grad():
            said = evaluate(self.potential, Graph.batch(graphs), gradients=False)
            if self.molecules is None:
                return {"moments": said.dipole.cpu().numpy()}
            return {"moments": moments_of_molecules(said, self.molecules).cpu().numpy()}


@dataclass(frozen=True)
class SeparateDipoles:
    """The sum of what a potential says of each molecule by itself, whole and in vacuum.

    What the molecules do to each other is left out: fields, and charge in hydrogen bonds. An atom
    moves the dipole of its own molecule alone, so that differences take 6 n_atoms dipoles of single
    molecules; along the modes of the cell they would be two of every molecule for each mode.
    """

    potential: Potential
    molecules: Molecules
    memory: RememberingCalculator | None = None
    words: str = "of each molecule by itself in vacuum"

    def at(self, structure: Structure, positions: Floats, cells: Floats) -> Floats:
        """See :class:`Dipoles`."""
        whole = self.molecules.whole(positions, cells)
        total = np.zeros((len(positions), 3))
        for k in track(range(self.molecules.count), "molecules"):
            atoms = self.molecules.atoms(k)
            alone = Structure.of(structure.numbers[atoms], whole[0, atoms], np.zeros((3, 3)), False)
            part = WholeDipoles(self.potential, None, self.memory)
            total += part.at(alone, whole[:, atoms], 0 * cells)
        return total

    def slopes(self, structure: Structure, step: float | None) -> DipoleSlopes:
        """See :class:`Dipoles`."""
        whole = self.molecules.whole(structure.positions, structure.cell)
        slopes, words = np.zeros((*whole.shape, 3)), ""
        for k in track(range(self.molecules.count), "molecules"):
            atoms = self.molecules.atoms(k)
            alone = Structure.of(structure.numbers[atoms], whole[atoms], np.zeros((3, 3)), False)
            part = WholeDipoles(self.potential, None, self.memory).slopes(alone, step)
            slopes[atoms], words = part.dipole.reshape(-1, 3, 3), part.words
        return DipoleSlopes(slopes.reshape(-1, 3), f"{words}, {self.words}")


def dipoles_of(atoms: Atoms, source: ModelLike | None, vacuum: bool) -> Dipoles | None:
    """Where the dipoles of a structure come from; None: its own calculator, of the open structure.

    ``source`` is another model, an ASE calculator or "xtb"; a calculator has no dipole of a cell
    and is asked for each molecule by itself, as with ``vacuum`` every model is. Raises
    PropertyError for what has no dipole, NetworkError where molecules are needed and bonds run
    through the cell, and DataError for ions.
    """
    in_cell = bool(atoms.pbc.any())
    if source is None and not has_dipole(atoms):
        raise no_dipole(atoms)
    if source is None and not vacuum and not in_cell:
        return None
    potential = as_potential(atoms.calc) if source is None else _of_source(source)
    if DIPOLE not in potential.gives:
        raise PropertyError(
            f"The dipoles are to come from {potential.config.architecture}, which gives none; "
            "take a model or a calculator with a dipole, such as xtb."
        )
    check_species(atoms, potential)
    structure, memory = Structure.from_atoms(atoms), None
    if isinstance(atoms.calc, RememberingCalculator):
        memory = RememberingCalculator(potential, atoms.calc.folder)
    if vacuum or (in_cell and not potential.moments_of_atoms):
        if source is None and not vacuum:
            raise PropertyError(
                "The calculator gives no dipole of a cell; take those of its molecules, each by "
                "itself, with --vacuum (vacuum=True in Python), which leaves out what they do to "
                "each other."
            )
        if structure.total_charge:
            raise PropertyError(
                f"The structure has a charge of {structure.total_charge:+g} e, and nothing says "
                "which of its molecules has it; in vacuum all of them are taken for neutral."
            )
        molecules = Molecules.of(structure)
        _warn_of_hydrogen_bonds(structure, molecules)
        return SeparateDipoles(potential, molecules, memory)
    needed = in_cell and CHARGES in potential.gives
    dipoles = WholeDipoles(potential, Molecules.of(structure) if needed else None, memory)
    dipoles.at(structure, structure.positions[None], structure.cell[None])  # refuses ions
    return dipoles


def _of_source(source: ModelLike) -> Potential:
    """The potential of a model, a calculator or the name xtb."""
    if source != XTB:
        return as_potential(source)
    options = {"method": "GFN2-xTB", "accuracy": _TIGHT, "verbosity": 0}
    try:
        return load("tblite.ase:TBLite", options=options)
    except ConfigError as error:
        raise ConfigError(
            f"Dipoles of xtb are made by tblite; pip install ladera[xtb]. {error}"
        ) from error


def along(
    trajectory: Trajectory, source: ModelLike, vacuum: bool = False
) -> tuple[Trajectory, str]:
    """A trajectory with the dipoles of ``source``, see :func:`dipoles_of`, and what they are.

    Molecules are those of the first frame, and its atoms keep their images: what is bonded stays so
    and positions run on through the faces of the cell. Warns where they react, and of charge that
    is left out in the first frame (:func:`left_out`). Raises as :func:`dipoles_of` does.
    """
    first = Atoms(
        trajectory.numbers,
        trajectory.positions[0],
        cell=trajectory.cells[0],
        pbc=trajectory.cells[0].any(axis=1),
        masses=trajectory.masses,
    )
    dipoles, structure = dipoles_of(first, source, vacuum), Structure.from_atoms(first)
    if dipoles is None:
        raise PropertyError("There is no source of dipoles; name a model, a calculator or xtb.")
    _warn_of_reactions(dipoles.molecules, structure, trajectory)
    if isinstance(dipoles, WholeDipoles) and dipoles.molecules is not None:
        moves = np.diag(1 / np.sqrt(np.repeat(first.get_masses(), 3)))
        left_out(first, dipoles.molecules, dipoles.slopes(structure, None), moves)
    found = dipoles.at(structure, trajectory.positions, trajectory.cells)
    return replace(trajectory, dipoles=found), dipoles.words


def _warn_of_reactions(
    molecules: Molecules | None, first: Structure, trajectory: Trajectory
) -> None:
    """Warn (StructureWarning) where atoms of other molecules are bonded at the end."""
    if molecules is None:
        return
    last = first._replace(positions=trajectory.positions[-1], cell=trajectory.cells[-1])
    ends = bonds(last)
    if (molecules.index[ends.first] != molecules.index[ends.second]).any():
        warnings.warn(
            "Molecules of the first frame are bonded with each other in the last one; the dipoles "
            "are those of the molecules at the beginning, which know of no reaction.",
            StructureWarning,
            stacklevel=3,
        )


def _warn_of_hydrogen_bonds(structure: Structure, molecules: Molecules) -> None:
    """Warn (StructureWarning) where dipoles of each molecule by itself leave much out."""
    count = hydrogen_bonds(structure, molecules)
    if count:
        are = "is a hydrogen bond" if count == 1 else f"are {count} hydrogen bonds"
        warnings.warn(
            f"There {are} between the molecules, whose charge flows when the hydrogen moves; "
            "dipoles of each molecule by itself have nothing of that, and its stretch is far too "
            "weak in the spectrum. A model that gives dipoles and no charges (mace, charges: "
            "false) has it.",
            StructureWarning,
            stacklevel=4,
        )


def left_out(
    atoms: Atoms, molecules: Molecules | None, slopes: DipoleSlopes, moves: Floats
) -> float:
    r"""What charge between molecules would add, as a part of the slopes of the dipole.

        sqrt( sum_s j_s^2 / sum_s |d mu / d Q_s|^2 ),
        j_s = d / 2 sum_M |d Q_M / d Q_s| + sum_M |Q_M d R_M / d Q_s|

    ``moves`` (3 n_atoms, n_modes) are the modes s, R_M is the mean place of the atoms of a molecule
    and d the mean distance of R_M and the nearest other one. The first sum is of charges that flow
    between neighbours, all in one direction, the second of charges that go with their molecules:
    what making the molecules neutral leaves out (:mod:`ladera.potential.moments`). It is 0 for one
    molecule in a cell, whose flow cannot be seen. Warns (StructureWarning) above a tenth.
    """
    if molecules is None or molecules.count < 2 or not len(slopes.charges):
        return 0.0
    members = (molecules.index[:, None] == np.arange(molecules.count)).astype(float)
    means = (members / members.sum(axis=0)).T  # (n_molecules, n_atoms)
    centres = means @ molecules.whole(atoms.positions, atoms.cell.array)
    _, apart = get_distances(centres, cell=atoms.cell, pbc=atoms.pbc)
    np.fill_diagonal(apart, np.inf)
    flows = np.abs(slopes.flows.T @ moves).sum(axis=0) * apart.min(axis=1).mean() / 2
    motions = np.einsum("ma,acs->mcs", means, moves.reshape(len(atoms), 3, -1))
    carried = np.abs(slopes.charges) @ np.linalg.norm(motions, axis=1)
    size = float(np.linalg.norm(slopes.dipole.T @ moves))
    part = float(np.linalg.norm(flows + carried)) / max(size, 1e-12)
    if part > LARGEST_PART:
        warnings.warn(
            "The model lets charge flow between the molecules of this cell, which its dipole "
            f"leaves out: up to {100 * part:.0f} % of how it changes, hydrogen bonds above all. A "
            "model that gives dipoles and no charges (mace, charges: false) leaves nothing out.",
            StructureWarning,
            stacklevel=3,
        )
    return part
