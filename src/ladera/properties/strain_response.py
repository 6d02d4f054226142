r"""How the stress of a crystal answers small strains while its atoms come to rest.

Where the model can be differentiated twice, exactly (Born and Huang, Dynamical Theory of Crystal
Lattices, section 14): with H the Hessian, L = dW/dr the coupling of the virial W to the positions,

    du/de      = - H^-1 L                              how the atoms answer a strain e
    d sigma/de = ( dW/de - L^T H^-1 L ) / V - sigma d(tr e)/de

Otherwise by relaxing the atoms in strained cells.
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
from ladera.properties.smoothness import kink
from ladera.properties.structures import relax_ions, stress_of
from ladera.units import GIGAPASCAL

if TYPE_CHECKING:
    from ase import Atoms

_RUNGS: Final = (5e-3, 5e-4, 5e-5)  # strains at which derivatives are looked at from both sides
_FIRST_STRAIN: Final = 0.01
_HALVINGS: Final = 5
_SHARE: Final = 0.03  # of the forces that the first strain brings, left after relaxing
_LEAST_FORCE: Final = 1e-6  # eV/Angstrom, what symmetry and rounding leave
_HESSIANS: Final = 5  # on the way to the minimum
_STEPS: Final = 20  # of Newton, with one Hessian
_NO_STEP: Final = 1e-6  # Angstrom
_REST: Final = 1e-3  # Angstrom, that the Hessian may be away from rest
_FLAT: Final = 1e-8  # of the stiffest mode: neither stable nor unstable
_UNCOUPLED: Final = 1e-3  # of the largest coupling to strain: none, by symmetry
_ROUNDING: Final = 1e-6  # Angstrom: the same, of the largest force constant


@dataclass(frozen=True)
class Response:
    """Slopes of the stress by strains, in GPa."""

    slopes: Floats  # (n_strains, 3, 3)
    stress: Floats  # (3, 3), of no strain with the atoms at rest
    origin: str  # how they were made, for people
    error: float  # largest disagreement of what was computed in two ways
    strains: Floats  # (n_rungs,) at which slopes were taken to both sides, largest first
    sides: Floats  # (n_rungs, 2, n_strains, 3, 3), from no strain to plus and minus each
    unstable: int = 0  # modes of the atoms that have no restoring force

    def turned(self, axes: Floats) -> Response:
        """The same in the Cartesian axes that are the rows of ``axes``."""
        tensors = {name: getattr(self, name) for name in ("slopes", "stress", "sides")}
        return replace(self, **{name: axes @ value @ axes.T for name, value in tensors.items()})

    def kink(self, limit: float) -> tuple[int, int] | None:
        """Rung and strain at which the slopes jump by more than ``limit``, None if none do."""
        return kink(self.strains, self.sides, limit)


def by_derivatives(
    atoms: Atoms,
    calculator: LaderaCalculator,
    strains: Sequence[Floats],
    step: float | None = None,
) -> Response:
    """The exact response to unit ``strains`` (3, 3), and how well finite strains agree with it.

    In double precision, whatever that of the model. With a ``step`` (Angstrom) the Hessian is made
    of differences of forces. Raises ConfigError for a model that cannot be differentiated twice,
    PropertyError where the atoms are not near a minimum.
    """
    double = alike(calculator, deepcopy(calculator.potential).double())
    atoms, modes = _at_rest(atoms, calculator, double, step)
    coupling, clamped = strain_derivatives(calculator.potential, atoms)
    gradients = np.stack([np.einsum("xij,ij->x", coupling, e) for e in strains], axis=1)
    modes.require_minimum(gradients)
    moves = modes.moves(gradients)
    virials = np.einsum("ijkl,nkl->nij", clamped, np.array(strains))
    virials += np.einsum("xij,xn->nij", coupling, moves)
    stress = stress_of(atoms)
    expansions = np.trace(np.array(strains), axis1=1, axis2=2)
    slopes = virials / atoms.cell.volume - expansions[:, None, None] * stress
    sides = np.empty((len(_RUNGS), 2, len(strains), 3, 3))
    for n, (strain, move) in enumerate(zip(track(strains, "strains"), moves.T, strict=True)):
        for rung, size in enumerate(_RUNGS):
            for side, signed in enumerate((size, -size)):
                moved = _copy(atoms, double)
                moved.positions += signed * move.reshape(-1, 3)
                _deform(moved, signed * strain)
                sides[rung, side, n] = (stress_of(moved) - stress) / signed
    return Response(
        slopes / GIGAPASCAL,
        stress / GIGAPASCAL,
        "second derivatives of the model"
        + ("" if step is None else f", the Hessian by central differences, {step:g} Å"),
        float(np.abs(sides[-1].mean(axis=0) - slopes).max()) / GIGAPASCAL,
        np.array(_RUNGS),
        sides / GIGAPASCAL,
        modes.unstable,
    )


def by_relaxation(
    atoms: Atoms, strains: Sequence[Floats], tolerance: float, fmax: float
) -> Response:
    """The response to unit ``strains`` (3, 3), from atoms relaxed in strained cells.

    Central differences at 0.01 and half of it, extrapolated to none (their error is of second order
    in the strain). The strain is halved until no slope changes by more than ``tolerance`` of the
    largest; that change is the error.

    The largest force left with the first strain is ``fmax`` (eV/Angstrom), and 3 % of what the
    strain brings at most. It falls with the cube of the strain, so that what the relaxation leaves
    out of a slope falls as well and shows in the change: with one that fell in proportion, or not
    at all, halving would settle at the slope of atoms that hardly move.

    Raises PropertyError where that does not converge, or the atoms do not come to rest.
    """
    resting = _copy(atoms, atoms.calc)
    relax_ions(resting, _SHARE * fmax)
    largest = [min(fmax, _SHARE * _force_by(resting, _FIRST_STRAIN * e)) for e in strains]
    found: list[Floats] = []
    for halving in range(_HALVINGS + 1):
        share = 0.5**halving
        forces = [max(force * share**3, _LEAST_FORCE) for force in largest]
        found.append(_sides(resting, strains, share * _FIRST_STRAIN, forces))
        if halving == 0:
            continue
        coarse, fine = (sides.mean(axis=0) for sides in found[-2:])
        change = float(np.abs(fine - coarse).max())
        if change <= tolerance * np.abs(fine).max():
            return Response(
                (fine + (fine - coarse) / 3) / GIGAPASCAL,
                stress_of(resting) / GIGAPASCAL,
                "relaxations of the atoms in strained cells",
                change / GIGAPASCAL,
                _FIRST_STRAIN * share * np.array([2.0, 1.0]),
                np.array(found[-2:]) / GIGAPASCAL,
            )
    raise PropertyError(
        f"The elastic constants do not converge: halving the strain to {share * _FIRST_STRAIN:.2g} "
        f"still changes one by {change / GIGAPASCAL:.3g} GPa. Is the potential smooth here? Train "
        "it on strained cells, or raise the tolerance."
    )


def _at_rest(
    atoms: Atoms, calculator: LaderaCalculator, double: LaderaCalculator, step: float | None
) -> tuple[Atoms, _Modes]:
    """The atoms at the minimum that is near, by Newton's steps, and their modes there."""
    atoms = _copy(atoms, double)
    for _ in track(range(_HESSIANS), "Hessians on the way to the minimum, at most"):
        exact = step is None
        modes = _Modes(
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


def _approach(atoms: Atoms, modes: _Modes) -> float:
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


class _Modes:
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


def _copy(atoms: Atoms, calculator: object) -> Atoms:
    copy: Atoms = atoms.copy()
    copy.calc = calculator
    return copy


def _deform(atoms: Atoms, strain: Floats) -> None:
    atoms.set_cell(atoms.cell.array @ (np.eye(3) + strain), scale_atoms=True)


def _force_by(atoms: Atoms, strain: Floats) -> float:
    """The largest force that a strain brings, eV/Angstrom, with the atoms held in the cell."""
    strained = _copy(atoms, atoms.calc)
    _deform(strained, strain)
    change = strained.get_forces() - atoms.get_forces()
    return float(np.linalg.norm(change, axis=1).max())


def _sides(
    resting: Atoms, strains: Sequence[Floats], size: float, forces: Sequence[float]
) -> Floats:
    """Slopes (2, n_strains, 3, 3) to both sides, atoms at rest, eV/Angstrom^3."""
    relax_ions(resting, min(forces))
    stress = stress_of(resting)
    sides = np.empty((2, len(strains), 3, 3))
    for n, (strain, force) in enumerate(zip(track(strains, "strains"), forces, strict=True)):
        for side, step in enumerate((size, -size)):
            strained = _copy(resting, resting.calc)
            _deform(strained, step * strain)
            relax_ions(strained, force)
            sides[side, n] = (stress_of(strained) - stress) / step
    return sides
