"""Atoms at positions, in a cell or in the open: what every graph is made from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

import numpy as np

from ladera.errors import ArgumentError, DataError, told

if TYPE_CHECKING:
    from ase import Atoms
    from numpy.typing import ArrayLike

    from ladera.arrays import Booleans, Floats, Integers

_LARGEST_EXTENT: Final = 1e5  # Angstrom; with more, vesin's arithmetic ends the process
_LONGEST_PATH: Final = 1e8  # in periodic directions: how many cells it is has 32 bits
_MOST_IMAGES: Final = 1e6  # of a cell within the cutoff
_CHARGES: Final = ("total_charge", "charge")  # keys of an ase.Atoms' info
# Keys that speak of spin, with what they say of closed shells.
_SPINS: Final = {"spin": 0, "total_spin": 0, "multiplicity": 1, "spin_multiplicity": 1}
_ROUNDED: Final = 0.01  # e
_SMALLEST_HEIGHT: Final = 0.5  # Angstrom, of a cell: less than any atom
_SKEWED: Final = 3.0  # times that: where it is worth looking for shorter vectors


def directions(periodic: ArrayLike) -> str:
    """In which directions something is periodic, in words: "in no direction"."""
    names = [name for name, along in zip("abc", np.asarray(periodic), strict=True) if along]
    if len(names) in (0, 3):
        return "in all directions" if names else "in no direction"
    return f"along {' and '.join(names)} alone"


class StructureWarning(UserWarning):
    """Of a file or a structure not all is used; the sentence says what."""


class Structure(NamedTuple):
    """Numbers and positions of the atoms, the cell, and the charge of the whole.

    :meth:`of` makes one from whatever NumPy takes for arrays.
    """

    numbers: Integers  # (n_atoms,) atomic numbers
    positions: Floats  # (n_atoms, 3), Angstrom
    cell: Floats  # (3, 3), rows are the cell vectors, Angstrom; zeros where open
    periodic: Booleans  # (3,)
    total_charge: float = 0.0  # e

    def __repr__(self) -> str:
        """How many atoms, and whether in the open."""
        where = f"periodic along {self.periodic.tolist()}" if self.periodic.any() else "open"
        return f"Structure({len(self.numbers)} atoms; {where}; charge {self.total_charge:g} e)"

    @classmethod
    def of(
        cls,
        numbers: ArrayLike,
        positions: ArrayLike,
        cell: ArrayLike,
        periodic: ArrayLike,
        total_charge: float = 0.0,
    ) -> Self:
        """A structure of arrays of any kind; ``periodic`` may be one truth for all directions."""
        return cls(
            np.asarray(numbers, dtype=np.int64),
            np.ascontiguousarray(positions, dtype=np.float64),
            np.ascontiguousarray(cell, dtype=np.float64),
            np.asarray(periodic, dtype=bool) | np.zeros(3, dtype=bool),
            total_charge,
        )

    @classmethod
    def from_atoms(cls, atoms: Atoms) -> Self:
        """That of an ``ase.Atoms``; its arrays are not copied.

        Its total charge is that of :func:`total_charge`.
        """
        if not hasattr(atoms, "arrays"):
            raise ArgumentError(
                f"The structure is {told(atoms)}; give an Atoms object of ASE, as ase.io.read has."
            )
        charge = total_charge(atoms)
        return cls.of(atoms.numbers, atoms.positions, atoms.cell.array, atoms.pbc, charge)

    def check(self, radius: float) -> None:
        """Raise DataError where a list of neighbours within ``radius`` would be meaningless."""
        if len(self.numbers) == 0:
            raise DataError("The structure has no atoms; a potential needs at least one.")
        if self.positions.shape != (len(self.numbers), 3):
            raise DataError(
                f"Positions have shape {self.positions.shape}, expected ({len(self.numbers)}, 3): "
                "one row for each atomic number."
            )
        if not np.isfinite(self.positions).all():
            atom = int(np.flatnonzero(~np.isfinite(self.positions).all(axis=1))[0])
            raise DataError(
                f"Atom {atom} has the position {self.positions[atom].tolist()}, which is not "
                "finite; check the structure or the simulation that produced it."
            )
        if not np.isfinite(self.cell).all():
            raise DataError(f"The cell {self.cell.tolist()} is not finite; check the structure.")
        extents = np.ptp(self.positions, axis=0)
        extent = float(extents[~self.periodic].max(initial=np.abs(self.cell).max()))
        path = float(extents[self.periodic].max(initial=0.0))
        for length, largest in ((extent, _LARGEST_EXTENT), (path, _LONGEST_PATH)):
            if length > largest:
                raise DataError(
                    f"The structure is {length:.3g} Angstrom long; more than {largest:.0e} is not "
                    "possible. Has it exploded?"
                )
        if self.periodic.any():
            self._check_cell(radius)

    def _check_cell(self, radius: float) -> None:
        vectors = self.cell[self.periodic]
        if np.linalg.matrix_rank(vectors) < len(vectors):
            raise DataError(
                f"The structure is periodic {directions(self.periodic)} but its cell "
                f"{self.cell.tolist()} has no independent vector there; give the cell or switch "
                "the periodicity off."
            )
        heights = _heights(self.reduced()[0][self.periodic])
        if heights.min() < _SMALLEST_HEIGHT:
            raise DataError(
                f"The cell {self.cell.tolist()} is only {heights.min():.3g} Angstrom high, less "
                "than an atom; is it in another unit?"
            )
        images = float(np.prod(1 + 2 * radius / heights))
        if not images < _MOST_IMAGES:  # the search would not end
            raise DataError(
                f"A cutoff of {radius:.3g} Angstrom reaches over {images:.1e} images of the cell "
                f"{self.cell.tolist()}; is one of them in another unit?"
            )

    def reduced(self) -> tuple[Floats, Integers]:
        """The cell by shorter vectors of the same lattice where it is very skewed, or as it is.

        With the operation (3, 3) of whole numbers that makes it: reduced = operation @ cell. A row
        of atoms along a long diagonal is as good a cell as any, but low and so with many images.
        """
        vectors = self.cell[self.periodic]
        if _heights(vectors).min(initial=np.inf) >= _SMALLEST_HEIGHT * _SKEWED:
            return self.cell, np.eye(3, dtype=np.int64)
        from ase.geometry import minkowski_reduce

        cell, operation = minkowski_reduce(self.cell, self.periodic)
        return np.ascontiguousarray(cell), operation


def _heights(vectors: Floats) -> Floats:
    """Distances between the faces of a cell (n, 3), Angstrom."""
    heights: Floats = 1 / np.linalg.norm(np.linalg.pinv(vectors), axis=0)
    return heights


def total_charge(atoms: Atoms) -> float:
    """Total charge of an ``ase.Atoms`` in e.

    That of ``info["total_charge"]`` or ``info["charge"]``, else the sum of its initial charges, and
    0 where it has none of them. Raises DataError for what is not a number, and for two that differ.
    """
    return charge_said(atoms.info, atoms.arrays)


def charge_said(info: Mapping[str, Any], arrays: Mapping[str, Any]) -> float:
    """The same of what ASE calls ``info`` and ``arrays``."""
    found = {key: _charge(info[key], key) for key in _CHARGES if key in info}
    if not found and "initial_charges" in arrays:
        total = float(arrays["initial_charges"].sum())
        whole = round(total)
        # Charges of atoms come rounded to a few digits.
        return float(whole) if abs(total - whole) < _ROUNDED else total
    if len(set(found.values())) > 1:
        said = " and ".join(f"{key} = {value:g}" for key, value in found.items())
        raise DataError(f"The structure's info says {said}; leave one of them out.")
    return next(iter(found.values()), 0.0)


def spin_state(atoms: Atoms) -> dict[str, bytes]:
    """What an ``ase.Atoms`` says of spin, by the name under which it says so; mostly nothing."""
    return spin_said(atoms.info, atoms.arrays)


def spin_said(info: Mapping[str, Any], arrays: Mapping[str, Any]) -> dict[str, bytes]:
    """The same of what ASE calls ``info`` and ``arrays``."""
    said = {
        key: str(info[key]).encode()
        for key, closed in _SPINS.items()
        if key in info and str(info[key]) not in (f"{closed}", f"{closed}.0")
    }
    magnetic = arrays.get("initial_magmoms")
    if magnetic is not None and magnetic.any():
        said["initial magnetic moments"] = magnetic.astype(np.float64).tobytes()
    return said


def _charge(value: object, key: str) -> float:
    try:
        charge = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        charge = float("nan")
    if not np.isfinite(charge):
        raise DataError(
            f"The structure's {key} is {value!r}; it must be a number of elementary charges."
        )
    return charge
