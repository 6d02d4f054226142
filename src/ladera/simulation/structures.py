"""Reading the structure a simulation starts from."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import ase.io

from ladera.data.text import is_input_data
from ladera.errors import DataError
from ladera.identity import hash_of_structure
from ladera.provenance import came_from

if TYPE_CHECKING:
    from ase import Atoms


def read_structure(path: str | os.PathLike[str]) -> Atoms:
    """The last structure of any file that ASE reads.

    Raises DataError for a file that is missing, cannot be read or holds no structure, and for an
    ``input.data`` of RuNNer or n2p2, whose units nobody knows.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"There is no structure file {path}; check the path.")
    if is_input_data(path):
        raise DataError(
            f"{path} is an input.data file, which does not say its units; say them in "
            f"ladera data convert {path} --units bohr-hartree --output {path.stem}.extxyz "
            "and give that file."
        )
    try:
        atoms = ase.io.read(path, index=-1, do_not_split_by_at_sign=True)
    except Exception as error:  # each of ASE's many readers fails in its own way
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(
            f"{path} could not be read as a structure: {reason}. "
            "Give a file ASE reads, such as extended XYZ, CIF or POSCAR."
        ) from error
    if isinstance(atoms, list) or len(atoms) == 0:
        raise DataError(f"{path} holds no atoms; give a file with a structure.")
    came_from(hash_of_structure(atoms, atoms.get_masses()), path)
    return atoms
