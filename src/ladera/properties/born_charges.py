"""Long-range electric fields of polar crystals: what splits longitudinal from transverse phonons.

Near the zone's centre a longitudinal wave polarises the crystal, and the field that comes with it
adds to the dynamical matrix (Gonze and Lee, Phys. Rev. B 55, 10355 (1997), by phonopy)

    D_ij(q -> 0) = 4 pi e^2 / (V sqrt(m_i m_j)) (q . Z_i) (q . Z_j) / (q . eps . q)

with the Born charges Z of the atoms and the electronic dielectric tensor eps.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
from phonopy.exception import BORNFileParseError
from phonopy.file_IO import parse_BORN
from phonopy.structure.symmetry import symmetrize_borns_and_epsilon

from ladera.arrays import Floats
from ladera.curvature import dipole_derivatives
from ladera.errors import DataError, PropertyError
from ladera.potential import LaderaCalculator
from ladera.quantities import CHARGES, DIPOLE

if TYPE_CHECKING:
    from ase import Atoms
    from phonopy import Phonopy

_UNITS: Final = 14.399652  # e^2 / (4 pi epsilon_0), eV Angstrom, as phonopy has it
_SAME_PLACE: Final = 1e-3  # Angstrom, of atoms that symmetry makes one
_LARGEST_SUM: Final = 0.1  # e, of the Born charges of a cell, and of what symmetry forbids


class PolarCrystal(NamedTuple):
    """What makes the fields: charges and screening."""

    born: Floats  # (n_atoms, 3, 3), e, of the primitive cell; rows are those of the field
    dielectric: Floats  # (3, 3), electronic


def polar_crystal(
    phonopy: Phonopy,
    primitive: Atoms,
    born: str | os.PathLike[str] | None,
    dielectric: Sequence[float] | None,
) -> PolarCrystal:
    """Born charges and dielectric tensor of phonopy's primitive cell, made symmetric.

    Of a BORN file of phonopy, ``born``; or, with a ``dielectric`` tensor (1, 3 or 9 numbers), the
    charges are the derivatives of the dipole of the model in ``primitive``, the same cell with its
    calculator. Raises DataError for a file that does not fit and PropertyError for a model without
    such a dipole, and for charges and tensors that no crystal has.
    """
    if born is not None and dielectric is not None:
        raise PropertyError(
            f"{born} has the dielectric tensor already; leave dielectric out, or born."
        )
    if born is not None:
        found, where = _read(Path(born), phonopy), str(born)
    else:
        found = PolarCrystal(_of_model(primitive), _tensor(dielectric or ()))
        where = "The model"
    _require_sense(found, where)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of large changes, which are refused below
        symmetric = symmetrize_borns_and_epsilon(
            found.born, found.dielectric, phonopy.primitive, symprec=_SAME_PLACE
        )
    off = max(float(np.abs(a - b).max()) for a, b in zip(found, symmetric, strict=True))
    if off > _LARGEST_SUM:
        raise DataError(
            f"{where}: the symmetry of the crystal changes the charges or the dielectric tensor by "
            f"{off:.3g}, so they are of another crystal, or in other axes or another order of "
            "atoms; give those of this structure."
        )
    return PolarCrystal(*symmetric)


def apply(phonopy: Phonopy, polar: PolarCrystal) -> None:
    """Add the fields to phonopy's dynamical matrix."""
    parameters: Any = {**polar._asdict(), "factor": _UNITS}
    phonopy.nac_params = parameters


def with_directions(
    phonopy: Phonopy, points: Floats, distances: Floats, plain: Floats
) -> tuple[Floats, Floats]:
    """Bands along a path, and the distances, with the field's direction at the zone's centres.

    ``points`` (n, 3) in reciprocal vectors, ``plain`` (n, n_bands) as phonopy has them, at a centre
    without a field. There frequencies depend on the direction from which the path comes, or to
    which it leaves: where these differ the centre is twice in the bands.
    """
    if phonopy.nac_params is None:
        return plain, distances
    rows: list[tuple[Floats, float]] = []
    for i, (point, bands) in enumerate(zip(points, plain, strict=True)):
        directions = _directions(points, distances, i) if np.allclose(point, point.round()) else []
        for direction in directions:
            phonopy.run_qpoints(np.zeros((1, 3)), nac_q_direction=direction)
            result: Any = phonopy.qpoints
            rows.append((result.frequencies[0], distances[i]))
        if not directions:
            rows.append((bands, distances[i]))
    return np.array([row[0] for row in rows]), np.array([row[1] for row in rows])


def _directions(points: Floats, distances: Floats, i: int) -> list[Floats]:
    """From point i to those before and after it on the path, if they are not along one line."""
    found: list[Floats] = []
    for j in (i - 1, i + 1):
        if 0 <= j < len(points) and distances[j] != distances[i]:  # else the path jumps
            step = points[j] - points[i]
            if not any(np.linalg.norm(np.cross(step, other)) < 1e-9 for other in found):
                found.append(step)
    return found


def _read(path: Path, phonopy: Phonopy) -> PolarCrystal:
    """What a BORN file says of phonopy's primitive cell."""
    if not path.is_file():
        raise DataError(f"There is no file {path} of Born charges; check the path.")
    try:
        found = parse_BORN(phonopy.primitive, symprec=_SAME_PLACE, filename=str(path))
    except (BORNFileParseError, ValueError, UnicodeDecodeError) as error:
        count = len(phonopy.primitive_symmetry.get_independent_atoms())
        raise DataError(
            f"{path} is no BORN file of this crystal ({_first_line(error)}); it needs a line for "
            "units, one with the nine numbers of the dielectric tensor, and one with nine Born "
            "charges for each kind of atom that the symmetry of the primitive cell leaves, here "
            f"{count}."
        ) from error
    return PolarCrystal(np.asarray(found["born"]), np.asarray(found["dielectric"]))


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or ["it is empty"])[0].rstrip(".")


def _of_model(primitive: Atoms) -> Floats:
    """Z_i = d mu / d r_i of the cell's dipole, (n_atoms, 3, 3), e."""
    calculator = primitive.calc
    potential = calculator.potential if isinstance(calculator, LaderaCalculator) else None
    if potential is None or DIPOLE not in potential.gives or CHARGES in potential.gives:
        raise PropertyError(
            "dielectric was given without Born charges, and the model has no dipole of a periodic "
            "cell to take them from (a mace with outputs: [energy, dipole] and charges: false has "
            "one); give a BORN file."
        )
    slopes = dipole_derivatives(potential, primitive).reshape(-1, 3, 3)
    charges: Floats = slopes.transpose(0, 2, 1)
    return charges


def _tensor(numbers: Sequence[float]) -> Floats:
    """Of one number, three of the diagonal, or nine."""
    values: Floats = np.asarray(numbers, dtype=float).ravel()
    if len(values) not in (1, 3, 9):
        raise PropertyError(
            f"The dielectric tensor has {len(values)} numbers; give one, the three of its "
            "diagonal, or nine."
        )
    tensor: Floats = values.reshape(3, 3) if len(values) == 9 else np.eye(3) * values
    return tensor


def _require_sense(polar: PolarCrystal, where: str) -> None:
    """DataError for a crystal with a net charge, and for a tensor that screens nothing."""
    finite = all(np.isfinite(part).all() for part in polar)
    total = float(np.abs(polar.born.sum(axis=0)).max())
    if not finite or total > _LARGEST_SUM * max(1.0, float(np.abs(polar.born).max())):
        raise DataError(
            f"{where}: the Born charges of the cell add up to {total:.3g} e, which must be zero; "
            "are they of this crystal, one line for each kind of atom?"
        )
    least = float(np.linalg.eigvalsh((polar.dielectric + polar.dielectric.T) / 2).min())
    if least < 1 - 1e-6:
        raise DataError(
            f"{where}: the dielectric tensor has the principal value {least:.3g}; it is 1 in "
            "vacuum and more in a crystal."
        )
