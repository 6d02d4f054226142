"""One labelled structure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.data import chemical_symbols
from numpy.typing import NDArray

from ladera import display
from ladera.graph import Graph
from ladera.quantities import QUANTITIES
from ladera.structure import Structure

if TYPE_CHECKING:
    from typing import Self


@dataclass(frozen=True, eq=False)
class Frame:
    """A structure with the labels it came with; a label that is None is missing.

    Arrays are float64 in Ladera's units whatever the file's were.
    """

    numbers: NDArray[np.int64]  # (n_atoms,) atomic numbers
    positions: NDArray[np.float64]  # (n_atoms, 3), Angstrom
    cell: NDArray[np.float64]  # (3, 3), rows are cell vectors, Angstrom; zeros where open
    periodic: NDArray[np.bool_]  # (3,)
    energy: float | None = None  # total energy, eV
    forces: NDArray[np.float64] | None = None  # (n_atoms, 3), eV/Angstrom
    stress: NDArray[np.float64] | None = None  # (3, 3), eV/Angstrom^3, positive in tension
    dipole: NDArray[np.float64] | None = None  # (3,), e*Angstrom
    charges: NDArray[np.float64] | None = None  # (n_atoms,), e
    total_charge: float | None = None  # e
    config_type: str = ""  # free group name, such as md_300K; IsolatedAtom marks free atoms
    head: str = ""  # the level of theory of its labels, for a model with a head for each
    subset: str = ""  # the part its file puts it in: train or test; empty where it does not say
    weight: float = 1.0  # factor on this frame's loss
    source: str = ""  # where it came from, such as "train.xyz, frame 12", for messages

    def __repr__(self) -> str:
        """Composition, labels with their units, and where it came from."""
        labels = [
            f"{each.name} {display.short(value, each.unit)}"
            for each in QUANTITIES
            if (value := getattr(self, each.name)) is not None
        ]
        axes = "".join(name for name, on in zip("abc", self.periodic, strict=True) if on)
        where = f"periodic along {axes}" if axes else "open"
        source = f"from {self.source}" if self.source else ""
        what = f"{self.formula}, {self.n_atoms} atoms, {where}"
        return display.lines("Frame", [what, ", ".join(labels) or "no labels", source])

    @property
    def n_atoms(self) -> int:
        """Number of atoms."""
        return len(self.numbers)

    @property
    def formula(self) -> str:
        """Composition such as C2H6O, elements in alphabetical order."""
        values, counts = np.unique(self.numbers, return_counts=True)
        parts = sorted((chemical_symbols[v], c) for v, c in zip(values, counts, strict=True))
        return "".join(symbol if count == 1 else f"{symbol}{count}" for symbol, count in parts)

    @property
    def volume(self) -> float:
        """Cell volume in Angstrom^3; 0 for an open structure."""
        return float(abs(np.linalg.det(self.cell))) if self.periodic.any() else 0.0

    @property
    def structure(self) -> Structure:
        """The structure without its labels; uncharged where no total charge is given."""
        charge = self.total_charge or 0.0
        return Structure(self.numbers, self.positions, self.cell, self.periodic, charge)

    def graph(self, cutoff: float) -> Graph:
        """Graph with every neighbour closer than ``cutoff`` (Angstrom)."""
        return Graph.of(self.structure, cutoff)

    @classmethod
    def from_atoms(cls, atoms: Atoms, source: str = "") -> Self:
        """The structure of an ``ase.Atoms``, its total charge, group and head, without labels.

        With those that files have, see :func:`ladera.data.formats.read`.
        """
        structure = Structure.from_atoms(atoms)
        return cls(
            numbers=structure.numbers.copy(),
            positions=structure.positions.copy(),
            cell=structure.cell.copy(),
            periodic=structure.periodic.copy(),
            total_charge=structure.total_charge or None,
            config_type=str(atoms.info.get("config_type", "")),
            head=str(atoms.info.get("head", "")),
            source=source,
        )

    def with_(self, **changes: Any) -> Self:
        """A copy with some fields changed."""
        return replace(self, **changes)

    def to_atoms(self) -> Atoms:
        """The structure for ASE, its labels in a ``SinglePointCalculator``."""
        atoms = Atoms(self.numbers, self.positions, cell=self.cell, pbc=self.periodic)
        labels = {
            name: getattr(self, name)
            for name in (quantity.name for quantity in QUANTITIES)
            if getattr(self, name) is not None
        }
        atoms.calc = SinglePointCalculator(atoms, **labels) if labels else None
        if self.config_type:
            atoms.info["config_type"] = self.config_type
        if self.head:
            atoms.info["head"] = self.head
        if self.subset:
            atoms.info["subset"] = self.subset
        if self.total_charge is not None:
            atoms.info["total_charge"] = self.total_charge
        if self.weight != 1.0:
            atoms.info["weight"] = self.weight
        return atoms
