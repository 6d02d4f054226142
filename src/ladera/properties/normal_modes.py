"""Normal modes: eigenvectors of the Hessian of what is free to move."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from ase import units

from ladera.errors import PropertyError
from ladera.properties.displacements import Derivatives, derivatives
from ladera.simulation.held import inner_motions, is_held, is_linear
from ladera.units import FEMTOSECOND

if TYPE_CHECKING:
    from ase import Atoms

    from ladera.arrays import Floats

# sqrt(eV / Angstrom^2 / amu), which is 1 / ASE's unit of time, as a wavenumber in cm^-1.
WAVENUMBER: Final = float(FEMTOSECOND * 1e15 / (2 * np.pi * units._c * 100))
_NEARLY_LINEAR: Final = 0.1  # of the length: what soft bends may leave beside the line


@dataclass(frozen=True)
class Modes:
    """Eigenvectors of the Hessian of what is free to move."""

    slopes: Derivatives
    frequencies: Floats  # (n_modes,), cm^-1, negative where imaginary
    moves: Floats  # (3 n_atoms, n_modes), e / sqrt(m)
    held: bool
    linear: bool


def modes_of(atoms: Atoms, step: float | None) -> Modes:
    """Normal modes without translations and rotations, or of what is not held."""
    held, linear = is_held(atoms) or bool(atoms.pbc.any()), False
    masses = np.repeat(atoms.get_masses(), 3)
    if held:
        inside = inner_motions(atoms)
        if not inside.size:
            raise PropertyError(
                "All atoms are held, so nothing vibrates; hold fewer of them."
                if is_held(atoms)
                else "One atom moves with all its images, so nothing vibrates; `ladera phonons` "
                "has the waves of its crystal."
            )
        slopes = derivatives(atoms, step, np.abs(inside).max(axis=1) > 1e-9)
    else:
        slopes = derivatives(atoms, step)
    dynamical = slopes.hessian / np.sqrt(np.outer(masses, masses))
    if not held:
        linear = _is_linear_at_rest(atoms, dynamical)
        inside = _inner_space(atoms, linear)
    eigenvalues, vectors = np.linalg.eigh(inside.T @ dynamical @ inside)
    frequencies = np.sign(eigenvalues) * np.sqrt(np.abs(eigenvalues)) * WAVENUMBER
    moves = inside @ vectors / np.sqrt(masses)[:, None]
    return Modes(slopes, frequencies, moves, held, linear)


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
