"""A wrong digit in a count costs neither memory nor hours."""

from __future__ import annotations

import re
import time
from pathlib import Path

import ase.io
import pytest
from ase.build import bulk

import output_files as outputs
from ladera.data import formats
from ladera.data.label_keys import LabelKeys
from ladera.errors import DataError
from ladera.properties.trajectory import read_frames
from ladera.simulation.structures import read_structure

DUMP = (
    "ITEM: TIMESTEP\n3000000000\nITEM: NUMBER OF ATOMS\n{count}\nITEM: BOX BOUNDS pp pp pp\n"
    "0 9\n0 9\n0 9\nITEM: ATOMS id type x y z\n1 1 0.0 0.0 0.0\n2 1 1.0 1.0 1.0\n"
)


def dump(path: Path) -> object:
    return formats.read(path, types=["Cu"], keys=LabelKeys(energy=None, forces=None))


@pytest.mark.parametrize(
    ("name", "text", "before", "read"),
    [
        ("POSCAR", None, r"Na +Cl *\n +(?=\d+ +\d)", read_structure),
        ("POSCAR", None, r"Na +Cl *\n +(?=\d+ +\d)", read_frames),
        ("a.extxyz", None, r"\A", read_structure),
        ("a.extxyz", None, r"pos:R:", read_structure),
        ("OUTCAR", outputs.outcar(-7.0), r"ions per type = +", formats.read),
        ("OUTCAR", outputs.outcar(-7.0), r"NKPTS = +", formats.read),
        ("aims.out", outputs.aims(-2000.0), r"Number of atoms +: +", formats.read),
        ("a.dump", DUMP.format(count=2), r"NUMBER OF ATOMS\n", dump),
    ],
)
def test_a_count_that_the_file_has_no_room_for(tmp_path, name, text, before, read):
    path = tmp_path / name
    if text is None:
        ase.io.write(path, bulk("NaCl", "rocksalt", 5.6))
        text = path.read_text()
    path.write_text(text)
    read(path)  # sound
    path.write_text(re.sub(rf"({before})\d+", r"\g<1>3000000000", text, count=1))
    began = time.process_time()
    with pytest.raises(DataError, match=r"line \d+: it says that 3000000000 .* the whole file has"):
        read(path)
    assert time.process_time() - began < 2
