"""Held degrees of freedom: what ASE's constraints hold, where that is honoured, what still moves.

A constraint acts on momenta as a projection P. The degrees of freedom that carry kinetic energy
are the trace of P, whatever the constraints are and however they overlap, less the motions of the
whole that nothing hinders: these are conserved, and a run starts without them.

Motions of the whole are vectors weighted by the roots of the masses, sqrt(m_i) dr_i, of which P
is an orthogonal projection when no constraint does work.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

import numpy as np

from ladera.errors import LaderaError, SimulationError

if TYPE_CHECKING:
    from ase import Atoms

    from ladera.arrays import Floats

Purpose = Literal["dynamics", "langevin", "npt", "cell relaxation", "vibrations", "path", "crystal"]

# These hold each atom by itself, in directions that stay the same.
_ATOM_BY_ATOM: Final = ("FixAtoms", "FixCartesian", "FixedLine", "FixedPlane")
_IN_DYNAMICS: Final = (
    *_ATOM_BY_ATOM,
    "FixScaled",
    "FixCom",
    "FixedMode",
    "FixBondLengths",
    "FixSymmetry",
    "Hookean",
)


class _Honoured(NamedTuple):
    """What is honoured, by whom, and what to do about the rest."""

    subject: str
    constraints: tuple[str, ...]
    remedy: str


# A relaxation of the atoms alone honours all that ASE has.
_HONOURED: Final[dict[Purpose, _Honoured]] = {
    "dynamics": _Honoured(
        "Molecular dynamics",
        (*_IN_DYNAMICS, "FixLinearTriatomic"),
        "hold bonds with FixBondLengths, restrain with Hookean, or remove it",
    ),
    "langevin": _Honoured(
        "The ensemble nvt-langevin",
        _IN_DYNAMICS,
        "hold bonds with FixBondLengths, restrain with Hookean, remove it, or choose nvt-bussi",
    ),
    "npt": _Honoured(
        "The ensemble npt, which moves all atoms with the cell,",
        (),
        "remove the constraint or choose an nvt ensemble",
    ),
    "cell relaxation": _Honoured(
        "A relaxation of the cell, whose stress would not know of it,",
        (
            *_ATOM_BY_ATOM,
            "FixScaled",
            "FixCom",
            "FixSymmetry",
            "FixCartesianParametricRelations",
            "FixScaledParametricRelations",
        ),
        "relax the atoms in the cell as it is, or remove it",
    ),
    "vibrations": _Honoured(
        "A vibration, whose Hessian would not know of it,",
        (*_ATOM_BY_ATOM, "FixCom"),
        "hold atoms with these, or remove it",
    ),
    "path": _Honoured(
        "A path of least energy",
        (*_ATOM_BY_ATOM, "FixScaled", "FixCom"),
        "hold atoms with these, or remove it",
    ),
    "crystal": _Honoured(
        "A property of a crystal, in which all atoms move,",
        (),
        "remove the constraint (in extended XYZ, the column move_mask)",
    ),
}
LINEAR: Final = 1e-3  # of the length of a molecule, that its atoms may be beside a line
_EXACT: Final = 1e-6  # of numbers of order one


def require_honoured(
    atoms: Atoms, purpose: Purpose, error: type[LaderaError] = SimulationError
) -> None:
    """Raise ``error`` for the first constraint that cannot be honoured, with what can be."""
    subject, honoured, remedy = _HONOURED[purpose]
    for constraint in atoms.constraints:
        name = type(constraint).__name__
        if name not in honoured:
            possible = f"; it can hold {', '.join(honoured)}" if honoured else ", nor fixed atoms"
            raise error(f"{subject} cannot hold {name}{possible}. Please {remedy}.")
    if atoms.constraints and purpose in ("dynamics", "langevin", "vibrations"):
        _require_projection(atoms, subject, error)


def is_held(atoms: Atoms) -> bool:
    """Whether anything is held but the centre of mass."""
    return any(type(constraint).__name__ != "FixCom" for constraint in atoms.constraints)


def degrees_of_freedom(atoms: Atoms, ensemble: str) -> int:
    """Degrees of freedom that carry kinetic energy in an ensemble.

    With nothing held the centre of mass rests (3 fewer), and in an open structure the angular
    momentum is conserved too (3 more, 2 of a line, 1 of a wire), Langevin's friction and noise
    excepted. For a molecule of nine atoms the difference between 27 and 21 is 29 % in temperature,
    for carbon dioxide that between 3 and 4 is 33 %. Where
    something is held Langevin's noise moves all that is left; the others conserve what is left of
    the motions of the whole.

    Raises SimulationError when none is left.
    """
    n_atoms, langevin = len(atoms), ensemble == "nvt-langevin"
    if langevin:
        dof = _trace(atoms) if atoms.constraints else 3 * n_atoms - 3
    else:
        dof = _trace(atoms) - len(free_motions(atoms))
    if dof <= 0:
        raise SimulationError(
            f"This structure of {n_atoms} atom{'s' if n_atoms != 1 else ''} has nothing left to "
            "move once momentum and constraints are fixed; molecular dynamics needs more atoms."
        )
    return dof


def free_motions(atoms: Atoms) -> Floats:
    """The motions of the whole that nothing hinders, orthonormal rows, (n_motions, 3 n_atoms).

    Translations, in an open structure rotations, and of a wire that about its axis, that
    constraints leave as they are, so that the forces of constraints add nothing to their momenta.
    """
    roots = np.sqrt(atoms.get_masses())[:, None]
    centre = atoms.get_center_of_mass()
    axes = {0: np.eye(3), 1: atoms.cell.array[atoms.pbc]}.get(
        int(atoms.pbc.sum()), np.empty((0, 3))
    )
    longest = max(1.0, float(np.ptp(atoms.positions, axis=0).max())) if len(axes) else 1.0
    axes = axes / (longest * np.linalg.norm(axes, axis=1, keepdims=True))
    shifts = np.eye(3 + len(axes), 3)
    turns = np.vstack([np.zeros((3, 3)), axes])
    moves = shifts[:, None] + np.cross(turns[:, None], atoms.positions - centre)
    rows = (roots * moves).reshape(len(moves), -1) / np.linalg.norm(roots)
    changes = rows - np.array([_project(atoms, row) for row in rows])
    hindered = [_power(constraint, shifts, turns, centre) for constraint in atoms.constraints]
    obstacles = np.hstack([changes, *hindered])
    squares, combinations = np.linalg.eigh(obstacles @ obstacles.T)
    free = combinations[:, squares < _EXACT**2].T @ rows
    _, sizes, motions = np.linalg.svd(free, full_matrices=False)
    independent: Floats = motions[sizes > LINEAR]  # a line does not turn about itself
    return independent


def is_linear(positions: Floats) -> bool:
    """Whether atoms at positions (n_atoms, 3) lie on a line, within LINEAR of its length."""
    sizes = np.linalg.svd(positions - positions.mean(axis=0), compute_uv=False)
    return bool(sizes[1] <= LINEAR * sizes[0])


def without_free_motions(atoms: Atoms, momenta: Floats) -> Floats:
    """Momenta (n_atoms, 3) less those of the motions of the whole that nothing hinders."""
    roots = np.sqrt(atoms.get_masses())[:, None]
    motions = free_motions(atoms)
    carried = motions.T @ (motions @ (momenta / roots).ravel())
    left: Floats = momenta - roots * carried.reshape(-1, 3)
    return left


def inner_motions(atoms: Atoms) -> Floats:
    """What is neither held nor a motion of the whole, orthonormal columns, (3 n_atoms, n_inner)."""
    motions = free_motions(atoms)
    allowed = np.array([_project(atoms, unit) for unit in np.eye(3 * len(atoms))]).T
    sizes, vectors = np.linalg.eigh((allowed + allowed.T) / 2 - motions.T @ motions)
    inner: Floats = vectors[:, sizes > 0.5]
    return inner


def _project(atoms: Atoms, motion: Floats) -> Floats:
    """P of one motion, (3 n_atoms,), weighted by the roots of the masses."""
    roots = np.sqrt(atoms.get_masses())[:, None]
    momenta = motion.reshape(-1, 3) * roots
    for constraint in atoms.constraints:
        constraint.adjust_momenta(atoms, momenta)
    result: Floats = (momenta / roots).ravel()
    return result


def _trace(atoms: Atoms) -> int:
    """Trace of P."""
    n_atoms = len(atoms)
    if all(type(c).__name__ in (*_ATOM_BY_ATOM, "Hookean") for c in atoms.constraints):
        # P does not mix atoms: one probe along x serves all of them.
        probes = [_project(atoms, np.tile(axis, n_atoms)) for axis in np.eye(3)]
        trace = sum(probe[k::3].sum() for k, probe in enumerate(probes))
    else:
        units = np.eye(3 * n_atoms)
        trace = sum(_project(atoms, unit)[k] for k, unit in enumerate(units))
    return round(float(trace))


def _power(constraint: Any, shifts: Floats, turns: Floats, centre: Floats) -> Floats:
    """Zero in the rows of those motions of the whole on which a constraint's spring does no work.

    ``shifts`` v and ``turns`` w about the centre are (n_motions, 3). A spring to the point o pulls
    along r - o, with the power of v + w x o; one to a plane pulls along its normal n, with the
    power n . v, and hinders all turns but those about n.
    """
    kind = getattr(constraint, "_type", "") if type(constraint).__name__ == "Hookean" else ""
    power: Floats = np.zeros((len(shifts), 0))
    if kind == "point":
        power = np.asarray(shifts + np.cross(turns, constraint.origin - centre))
    elif kind == "plane":
        normal = np.array(constraint.plane[:3]) / np.linalg.norm(constraint.plane[:3])
        power = np.column_stack([shifts @ normal, np.cross(turns, normal)])
    return power


def _require_projection(atoms: Atoms, subject: str, error: type[LaderaError]) -> None:
    """Refuse constraints that hold against one another, or do work on the atoms."""
    rng = np.random.default_rng(0)
    one, two = rng.standard_normal((2, 3 * len(atoms)))
    first, second = _project(atoms, one), _project(atoms, two)
    names = [type(constraint).__name__ for constraint in atoms.constraints]
    size = _EXACT * np.linalg.norm(one)
    if np.linalg.norm(_project(atoms, first) - first) > size:
        raise error(
            f"{subject} cannot hold {' and '.join(names)} at the same time: they hold the same "
            "atoms against one another. Please leave one of them out."
        )
    # ASE moves the middle of a linear rigid molecule with its ends, which share its forces.
    if "FixLinearTriatomic" not in names and abs(first @ two - one @ second) > size:
        raise error(
            f"{subject} cannot hold {' and '.join(names)} of these atoms: ASE's projection would "
            "do work, as the directions are not at right angles or the masses differ. Please hold "
            f"{', '.join(_ATOM_BY_ATOM)} instead."
        )
