r"""A crystal at rest and all second derivatives of its energy, by Newton's steps.

With H the Hessian, L = dW/dr the coupling of the virial W to the positions, sigma the stress (Born
and Huang, Dynamical Theory of Crystal Lattices, section 14):

    du/de      = - H^-1 L                              how the atoms answer a strain e
    d sigma/de = ( dW/de - L^T H^-1 L ) / V - sigma d(tr e)/de = C
    e          = - C^-1 sigma                          what takes the cell to rest
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from ladera.arrays import Floats
from ladera.curvature import strain_derivatives
from ladera.errors import PropertyError
from ladera.potential import LaderaCalculator
from ladera.progress import track
from ladera.properties.displacements import derivatives, model_hessian
from ladera.properties.memory import alike
from ladera.properties.standard_axes import KELVIN, VOIGT, unit_strain
from ladera.properties.structures import stress_of

if TYPE_CHECKING:
    from ase import Atoms

_HESSIANS: Final = 5  # on the way to the minimum
_STEPS: Final = 20  # of Newton, with one Hessian
_NO_STEP: Final = 1e-6  # Angstrom
_REST: Final = 1e-3  # Angstrom, that the Hessian may be away from rest
_FLAT: Final = 1e-8  # of the stiffest mode: neither stable nor unstable
_UNCOUPLED: Final = 1e-3  # of the largest coupling to strain: none, by symmetry
_ROUNDING: Final = 1e-6  # Angstrom: the same, of the largest force constant
LARGEST_STRAIN: Final = 0.002  # that the stress left in a relaxed cell may belong to
_FARTHEST_STRAIN: Final = 0.03  # that Newton's steps take a cell
_NO_STRAIN: Final = 1e-5
_CELLS: Final = 3  # to which the Hessian is made again


@dataclass(frozen=True, eq=False)
class Harmonic:
    """A crystal at rest, with its second derivatives."""

    atoms: Atoms  # with a calculator in double precision
    origin: str  # how it was made, for people
    _modes: Modes
    _coupling: Floats  # (3 n_atoms, 3, 3) L, eV/Angstrom
    _clamped: Floats  # (3, 3, 3, 3) dW/de, eV

    @classmethod
    def of(cls, atoms: Atoms, calculator: LaderaCalculator, step: float | None = None) -> Harmonic:
        """That of the minimum that is near; ``atoms`` stay as they are.

        The atoms come to rest, and where the stress that is left belongs to more strain than 0.2 %,
        as little stress does in a soft crystal, the cell does, too, if that is not beyond 3 %. In
        double precision, whatever that of the model. With a ``step`` (Angstrom) the Hessian is made
        of differences of forces.

        Raises ConfigError for a model that cannot be differentiated twice, PropertyError where the
        atoms are not near a minimum.
        """
        double = alike(calculator, deepcopy(calculator.potential).double())
        origin = "second derivatives of the model"
        origin += "" if step is None else f", the Hessian by central differences, {step:g} Å"
        given = atoms
        for _ in range(_CELLS):
            resting, modes = _at_rest(atoms, calculator, double, step)
            derived = strain_derivatives(calculator.potential, resting)
            found = cls(resting, origin, modes, *derived)
            moved = found._with_cell_at_rest()
            if moved is None:
                break
            atoms = moved
        if np.array_equal(given.cell.array, found.atoms.cell.array):
            return found
        strain = _strain_between(given, found.atoms)
        return replace(found, origin=f"{origin}; the cell came to rest by a strain of {strain:.2%}")

    @property
    def unstable(self) -> int:
        """Modes of the atoms that have no restoring force."""
        return self._modes.unstable

    def _gradients(self, strains: Sequence[Floats]) -> Floats:
        return np.stack([np.einsum("xij,ij->x", self._coupling, e) for e in strains], axis=1)

    def moves(self, strains: Sequence[Floats]) -> Floats:
        """How the atoms answer unit ``strains`` (3, 3): (3 n_atoms, n_strains), Angstrom.

        Raises PropertyError where one pulls at a mode that nothing holds back.
        """
        gradients = self._gradients(strains)
        self._modes.require_minimum(gradients)
        return self._modes.moves(gradients)

    def slopes(self, strains: Sequence[Floats]) -> Floats:
        """Of the stress by unit ``strains`` (3, 3): (n_strains, 3, 3), eV/Angstrom^3."""
        moves = self._modes.moves(self._gradients(strains))
        virials = np.einsum("ijkl,nkl->nij", self._clamped, np.array(strains))
        virials += np.einsum("xij,xn->nij", self._coupling, moves)
        expansions = np.trace(np.array(strains), axis1=1, axis2=2)
        slopes: Floats = virials / self.atoms.cell.volume
        slopes -= expansions[:, None, None] * stress_of(self.atoms)
        return slopes

    def _with_cell_at_rest(self) -> Atoms | None:
        """The crystal nearer to where no stress is left; None where it is there, or too far."""
        strains = [unit_strain(k) for k in range(6)]
        stiffness = _voigt(self.slopes(strains)).T
        kelvin = stiffness * np.outer(KELVIN, KELVIN)
        if np.linalg.eigvalsh((kelvin + kelvin.T) / 2)[0] <= 0:
            return None  # it has no minimum here
        moving, last = copy_of(self.atoms, self.atoms.calc), _FARTHEST_STRAIN
        for step in range(_STEPS):
            strain = strain_of(stress_of(moving), stiffness)
            size = largest(strain)
            if step == 0 and size <= LARGEST_STRAIN:
                return None
            if size > last:
                return None if step == 0 else moving  # these derivatives lead no further
            deform(moving, -strain)
            _approach(moving, self._modes)
            if size < _NO_STRAIN:
                break
            last = size
        return moving


def _at_rest(
    atoms: Atoms, calculator: LaderaCalculator, double: LaderaCalculator, step: float | None
) -> tuple[Atoms, Modes]:
    """The atoms at the minimum that is near, by Newton's steps, and their modes there."""
    atoms = copy_of(atoms, double)
    for _ in track(range(_HESSIANS), "Hessians on the way to the minimum, at most"):
        exact = step is None
        modes = Modes(
            model_hessian(atoms, calculator) if exact else derivatives(atoms, step).hessian
        )
        farthest = _approach(atoms, modes)
        if farthest < _REST:
            return atoms, modes
    raise PropertyError(
        f"The atoms are not at rest: after {_HESSIANS} Hessians on the way to the minimum one "
        f"still moved by {farthest:.2g} Angstrom; relax the structure further first (`ladera relax "
        "MODEL STRUCTURE --cell --fmax 0.0001`)."
    )


def _approach(atoms: Atoms, modes: Modes) -> float:
    """Move the atoms to where no force is left; how far one went, Angstrom.

    All steps have the Hessian of the start: forces cost little beside one, and in a large soft
    crystal the first step ends far from rest, the next ones ever nearer.
    """
    start, last = atoms.positions.copy(), np.inf
    for _ in range(_STEPS):
        moves = modes.moves(-atoms.get_forces().reshape(-1, 1)).reshape(-1, 3)
        step = float(np.linalg.norm(moves, axis=1).max())
        if step > last:
            break  # this Hessian leads no further
        atoms.positions += moves
        if step < _NO_STEP:
            break
        last = step
    return float(np.linalg.norm(atoms.positions - start, axis=1).max())


class Modes:
    """The modes of a Hessian, without the three motions of the whole."""

    def __init__(self, hessian: Floats) -> None:
        n_atoms = len(hessian) // 3
        self._whole = np.tile(np.eye(3), (n_atoms, 1)) / np.sqrt(n_atoms)
        # With what LAPACK takes these are the arrays that displacements.py counts on.
        relative = hessian + hessian.T
        relative /= 2
        relative = self._relative(self._relative(relative).T)
        stiffest = float(np.abs(relative).sum(axis=1).max(initial=0.0)) or 1.0
        relative += (stiffest * self._whole) @ self._whole.T
        values, self._vectors = np.linalg.eigh(relative)
        self._stable = values > _FLAT * stiffest
        self.unstable = int((values < -_FLAT * stiffest).sum())
        self._values = values

    def _relative(self, values: Floats) -> Floats:
        """Columns (3 n_atoms, n) without their motions of the whole."""
        # In place: whether NumPy saves the temporary array itself differs between processes.
        motions: Floats = self._whole @ (self._whole.T @ values)
        return np.subtract(values, motions, out=motions)

    def moves(self, gradients: Floats) -> Floats:
        """- H^-1 times ``gradients`` (3 n_atoms, n), in the stable modes."""
        vectors = self._vectors[:, self._stable]
        amplitudes = vectors.T @ self._relative(gradients)
        moves: Floats = -vectors @ (amplitudes / self._values[self._stable][:, None])
        return moves

    def require_minimum(self, gradients: Floats) -> None:
        """PropertyError where a strain pulls along a mode that nothing holds back."""
        pulls = np.abs(self._vectors[:, ~self._stable].T @ self._relative(gradients))
        rounding = _ROUNDING * np.abs(self._values).max()
        if pulls.max(initial=0.0) > max(_UNCOUPLED * np.abs(gradients).max(), rounding):
            raise PropertyError(
                "The structure is at no minimum: a strain pulls at a mode of the atoms whose force "
                f"constant is {self._values.min():.2g} eV/Angstrom^2, so they would not come back; "
                "move them along it (`ladera phonons` names the mode) and relax again."
            )


def copy_of(atoms: Atoms, calculator: object) -> Atoms:
    """The atoms with a calculator, without what was computed."""
    copy: Atoms = atoms.copy()
    copy.calc = calculator
    return copy


def deform(atoms: Atoms, strain: Floats) -> None:
    """Strain the cell (3, 3) with its atoms, in place."""
    atoms.set_cell(atoms.cell.array @ (np.eye(3) + strain), scale_atoms=True)


def _voigt(stress: Floats) -> Floats:
    """The six components (..., 6) of symmetric tensors (..., 3, 3)."""
    return np.stack([stress[..., i, j] for i, j in VOIGT], axis=-1)


def strain_of(stress: Floats, stiffness: Floats) -> Floats:
    """The strain (3, 3) that a stress (3, 3) belongs to; constants (6, 6) in Voigt order."""
    strain = np.linalg.solve(stiffness, _voigt(stress))
    return np.tensordot(strain, [unit_strain(k) for k in range(6)], axes=1)


def largest(strain: Floats) -> float:
    """The largest principal value of a strain (3, 3), whichever its sign: the same in all axes."""
    return float(np.abs(np.linalg.eigvalsh(strain)).max())


def _strain_between(one: Atoms, other: Atoms) -> float:
    """The largest strain that took one cell to another."""
    change = np.linalg.solve(one.cell.array, other.cell.array) - np.eye(3)
    return largest((change + change.T) / 2)
