"""The symmetry of a crystal, found by spglib."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ase import Atoms


def symmetry_dataset(atoms: Atoms, tolerance: float) -> Any:
    """spglib's dataset, or None where it finds nothing, as for atoms in one place.

    Positions may be off by ``tolerance`` (Angstrom).
    """
    return _asked("get_symmetry_dataset", atoms, symprec=tolerance)


def standard_cell(atoms: Atoms, tolerance: float, *, primitive: bool) -> Any:
    """Vectors, places in them and atomic numbers of spglib's standardised cell; None likewise."""
    return _asked("standardize_cell", atoms, to_primitive=primitive, symprec=tolerance)


def _asked(name: str, atoms: Atoms, **how: Any) -> Any:
    """What a function of spglib says of a structure; None where it finds no symmetry."""
    import spglib

    crystal = (atoms.cell.array, atoms.get_scaled_positions(), atoms.numbers)
    with warnings.catch_warnings():
        # It returns None and announces that it will raise, or raises already: a setting of the
        # whole process, which phonopy changes when it is imported.
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            return getattr(spglib, name)(crystal, **how)
        except spglib.SpglibError:
            return None
