"""The atoms of a run as an integrator sees them: plain arrays, a potential, and what holds them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ase import Atoms

    from ladera.arrays import Floats


class System:
    """Atoms with a calculator, moved by an integrator.

    What ASE's constraints hold stays held: the first half of RATTLE is :meth:`move`, the second
    :meth:`project`. With ``rests`` the centre of mass is held besides, which ASE's FixCom does too,
    but looking all masses up and adding them at every step.

    Attributes
    ----------
    atoms
        The structure; its positions and its cell are those of the last move.
    masses
        (n_atoms, 1), amu.
    held
        Whether anything is held, so that a move may not be the one that was asked for.
    """

    def __init__(self, atoms: Atoms, *, rests: bool = False) -> None:
        self.atoms = atoms
        self.masses: Floats = atoms.get_masses()[:, None]
        self.held = bool(atoms.constraints) or rests
        self._shares = self.masses[:, 0] / self.masses.sum() if rests else None

    def move(self, positions: Floats) -> Floats:
        """Put the atoms there, as far as what holds them allows; where they are then."""
        atoms = self.atoms
        if self._shares is not None:
            positions = positions - self._shares @ (positions - atoms.positions)
        if not atoms.constraints:
            atoms.arrays["positions"][:] = positions
            return positions
        atoms.set_positions(positions)
        moved: Floats = atoms.get_positions()
        return moved

    def deform(self, cell: Floats) -> None:
        """Set the cell (3, 3) and leave the atoms where they are."""
        self.atoms.cell.array[:] = cell

    def project(self, momenta: Floats) -> Floats:
        """Momenta (n_atoms, 3) without what would move the held degrees of freedom."""
        if self._shares is not None:
            momenta = momenta - self._shares[:, None] * momenta.sum(axis=0)
        if self.atoms.constraints:
            momenta = momenta.copy()
            for constraint in self.atoms.constraints:
                constraint.adjust_momenta(self.atoms, momenta)
        return momenta

    def forces(self) -> Floats:
        """Forces where the atoms are, (n_atoms, 3), eV/Angstrom, springs of Hookean among them."""
        forces: Floats = self.atoms.get_forces(md=True)
        return forces

    def stress_trace(self) -> float:
        """Sum of the three diagonal components of the stress, eV/Angstrom^3."""
        return float(self.atoms.get_stress(apply_constraint=False)[:3].sum())
