"""Every file that ASE reads: its labels are what ASE's calculator results, info and arrays hold."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
from ase import Atoms

from ladera.data.formats.labels import LabelKeys, make_frame
from ladera.data.frame import Frame
from ladera.errors import DataError
from ladera.units import METAL


def read(path: Path, keys: LabelKeys) -> Iterator[Frame]:
    """The frames of any file that ASE knows, in the units ASE converts them to (eV, Angstrom).

    Raises DataError when ASE cannot read it or a label that was asked for is in no frame.
    """
    file_keys: set[str] = set()
    free_atoms_only = True
    for index, atoms in enumerate(_structures(path)):
        values = _values(atoms)
        file_keys |= set(values)
        frame = make_frame(
            values,
            keys,
            METAL,
            numbers=atoms.numbers.astype(np.int64),
            positions=np.array(atoms.positions, dtype=np.float64),
            cell=np.array(atoms.cell.array, dtype=np.float64),
            periodic=np.array(atoms.pbc, dtype=bool),
            source=f"{path}, frame {index}",
            subset=str(values.get("subset", "")),
        )
        free_atoms_only &= frame.n_atoms == 1
        yield frame
    if file_keys:
        keys.for_file(file_keys).check(path, file_keys, free_atoms_only)


def _structures(path: Path) -> Iterator[Atoms]:
    try:
        yield from ase.io.iread(path, index=":")
    except Exception as error:  # a reader of ASE can raise anything on a file that is not its own
        detail = f"{type(error).__name__}: {error}".rstrip(".")
        raise DataError(
            f"{path} cannot be read by ASE ({detail}); "
            "give an extended XYZ, an input.data or a file of a format that ASE reads."
        ) from error


def _values(atoms: Atoms) -> dict[str, Any]:
    """Everything by its name; results of a calculation win over info and arrays."""
    values: dict[str, Any] = {k: v for k, v in atoms.info.items() if isinstance(k, str)}
    values.update(atoms.arrays)
    if atoms.calc is not None:
        values.update({k: v for k, v in atoms.calc.results.items() if v is not None})
    return values
