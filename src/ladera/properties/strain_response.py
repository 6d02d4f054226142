"""How the stress of a crystal answers small strains while its atoms come to rest.

By second derivatives where the model has them (:mod:`ladera.properties.harmonic`), otherwise by
relaxing the atoms in strained cells.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from ladera.arrays import Floats
from ladera.errors import PropertyError
from ladera.progress import track
from ladera.properties.harmonic import Harmonic, copy_of, deform
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


def by_derivatives(crystal: Harmonic, strains: Sequence[Floats]) -> Response:
    """The exact response to unit ``strains`` (3, 3), and how well finite strains agree with it.

    Raises PropertyError where a strain pulls at atoms that nothing holds.
    """
    atoms = crystal.atoms
    moves = crystal.moves(strains)
    slopes, stress = crystal.slopes(strains), stress_of(atoms)
    sides = np.empty((len(_RUNGS), 2, len(strains), 3, 3))
    for n, (strain, move) in enumerate(zip(track(strains, "strains"), moves.T, strict=True)):
        for rung, size in enumerate(_RUNGS):
            for side, signed in enumerate((size, -size)):
                moved = copy_of(atoms, atoms.calc)
                moved.positions += signed * move.reshape(-1, 3)
                deform(moved, signed * strain)
                sides[rung, side, n] = (stress_of(moved) - stress) / signed
    return Response(
        slopes / GIGAPASCAL,
        stress / GIGAPASCAL,
        crystal.origin,
        float(np.abs(sides[-1].mean(axis=0) - slopes).max()) / GIGAPASCAL,
        np.array(_RUNGS),
        sides / GIGAPASCAL,
        crystal.unstable,
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
    resting = copy_of(atoms, atoms.calc)
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


def _force_by(atoms: Atoms, strain: Floats) -> float:
    """The largest force that a strain brings, eV/Angstrom, with the atoms held in the cell."""
    strained = copy_of(atoms, atoms.calc)
    deform(strained, strain)
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
            strained = copy_of(resting, resting.calc)
            deform(strained, step * strain)
            relax_ions(strained, force)
            sides[side, n] = (stress_of(strained) - stress) / step
    return sides
