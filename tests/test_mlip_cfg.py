"""`.cfg` files of MLIP: what is read, what is refused, the way out and back."""

from __future__ import annotations

import gzip
from pathlib import Path

import ase.build
import ase.io
import numpy as np
import pytest

from cases import shared
from data_frames import copper, water
from ladera.data.dataset import Dataset
from ladera.data.formats import DataWarning, read, write
from ladera.data.formats.mlip_cfg import is_cfg
from ladera.errors import DataError

TEXT = """BEGIN_CFG
 Size
    2
 Supercell
    4.0 0.0 0.0
    0.0 5.0 0.0
    0.0 0.0 2.0
 AtomData:  id type cartes_x cartes_y cartes_z fx fy fz site_en charge nbh_grades
    1 1 0.0 0.0 0.5 0.0 0.0 0.1 -3.0 0.4 1.1
    2 0 2.0 0.0 0.0 0.0 0.0 -0.1 -4.5 -0.4 0.9
 Energy
    -7.5
 PlusStress:  xx yy zz yz xz xy
    40 80 120 4 8 12
 Feature   EFS_by VASP
 Feature   config_type hot liquid
END_CFG

BEGIN_CFG
 Size
    1
 AtomData:  id type cartes_x cartes_y cartes_z
    1 0 0.0 0.0 0.0
END_CFG
"""


def file(folder: Path, text: str = TEXT) -> Path:
    path = folder / "train.cfg"
    path.write_text(text)
    return path


def test_what_is_read(tmp_path: Path) -> None:
    first, second = read(file(tmp_path), types=("Li", "S"))
    assert first.formula == "LiS"
    np.testing.assert_array_equal(first.numbers, [16, 3])
    np.testing.assert_array_equal(first.cell, np.diag([4.0, 5.0, 2.0]))
    assert first.periodic.all()
    assert first.energy == -7.5
    np.testing.assert_array_equal(first.forces, [[0, 0, 0.1], [0, 0, -0.1]])
    np.testing.assert_array_equal(first.charges, [0.4, -0.4])
    expected = -np.array([[40, 12, 8], [12, 80, 4], [8, 4, 120]]) / 40  # tension is positive
    np.testing.assert_allclose(first.stress, expected, rtol=1e-14)
    assert first.config_type == "hot liquid"
    assert second.energy is None
    assert second.forces is None
    assert second.stress is None
    assert not second.periodic.any()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("PlusStress:  xx yy zz yz xz xy\n    40 80 120 4 8 12",
         "Stress:  xy xx yy zz yz xz\n    -12 -40 -80 -120 -4 -8"),
        ("cartes_x cartes_y cartes_z fx fy fz site_en charge nbh_grades\n"
         "    1 1 0.0 0.0 0.5 0.0 0.0 0.1 -3.0 0.4 1.1\n"
         "    2 0 2.0 0.0 0.0 0.0 0.0 -0.1 -4.5 -0.4 0.9",
         "fx fy fz charge direct_x direct_y direct_z\n"
         "    1 1 0.0 0.0 0.1 0.4 0 0 0.25\n"
         "    2 0 0.0 0.0 -0.1 -0.4 0.5 0 0"),
        ("\n", "\r\n"),
        (" Size\n", " Feature   a 1\n Size\n"),
    ],
    ids=["the other sign", "fractions of the cell", "windows", "features first"],
)  # fmt: skip
def test_the_same_in_other_words(tmp_path: Path, before: str, after: str) -> None:
    known = next(iter(read(file(tmp_path), types=("Li", "S"))))
    text = TEXT.replace(before, after) if "\r" in after else TEXT.replace(before, after, 1)
    assert text != TEXT
    (tmp_path / "train.cfg").write_bytes(text.encode())
    found = next(iter(read(tmp_path / "train.cfg", types=("Li", "S"))))
    for name in ("numbers", "positions", "cell", "forces", "stress", "charges"):
        np.testing.assert_allclose(getattr(found, name), getattr(known, name), atol=1e-14)


def test_directions_that_are_not_periodic(tmp_path: Path) -> None:
    wire = TEXT.replace("    0.0 5.0 0.0\n    0.0 0.0 2.0\n", "")
    with pytest.warns(DataWarning, match="without a volume"):
        frame = read(file(tmp_path, wire), types=("Li", "S"))[0]
    assert frame.periodic.tolist() == [True, False, False]
    assert frame.stress is None


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("BEGIN_CFG\n Size\n    1", "BEGIN\n Size\n    1", "line 19: expected BEGIN_CFG, found"),
        ("    2\n", "    two\n", "line 3: Size is followed by 'two'"),
        ("    2\n", "    3\n", "line 11: Size is 3, and 2 atoms stand here"),
        ("    2\n", "    1\n", "line 10: .*is no part of a structure"),
        (" Size\n    2\n", "", "line 6: AtomData comes before Size"),
        ("0.0 5.0 0.0", "0.0 5.0", "line 6: expected a vector of the cell"),
        ("cartes_y", "y", "line 8: the columns of AtomData are"),
        ("fx fy", "fx f", "line 8: AtomData has no column fy"),
        (" 1.1\n", "\n", "line 9: 10 columns where 11 are expected"),
        ("2.0 0.0 0.0 0.0", "2.0 a 0.0 0.0", "line 10: 'a' in the column 'cartes_y' is no number"),
        ("-7.5", "Energy", "line 12: expected the energy, found 'Energy'"),
        ("xx yy zz yz xz xy", "xx yy zz yz xz zx", "line 13: the components are"),
        ("80 120 4", "80 4", "line 14: expected the six components"),
        (" PlusStress", " PlusPressure", "line 13: 'PlusPressure"),
        (TEXT[TEXT.index("END_CFG") :], "", "line 16: .*begins on line 1; it is cut short"),
        (TEXT[TEXT.index(" AtomData") : TEXT.index(" Energy")], "", "line 14: .*has no AtomData"),
        ("    1 1 0.0", "    1 2 0.0", r"line 9: type 2 has no element: types names 2, of types 0"),
        ("    1 1 0.0", "    1 -1 0.0", "line 9: type -1 has no element"),
    ],
)
def test_wrong_files(tmp_path: Path, before: str, after: str, message: str) -> None:
    assert before in TEXT
    with pytest.raises(DataError, match=message) as raised:
        read(file(tmp_path, TEXT.replace(before, after, 1)), types=("Li", "S"))
    assert "train.cfg" in str(raised.value)


def test_types_are_asked_for(tmp_path: Path) -> None:
    path = file(tmp_path)
    with pytest.raises(DataError, match=r"has types \(0, 1 in structure 0\).*--types Li P S"):
        read(path)
    with pytest.raises(DataError, match="'Lx' is no element"):
        read(path, types=("Lx", "S"))
    with pytest.raises(DataError, match="already; give no other units"):
        read(path, types=("Li", "S"), units="bohr-hartree")
    ones = file(tmp_path, TEXT.replace(" 1 1 0.0", " 1 2 0.0").replace(" 0 ", " 1 "))
    with pytest.raises(DataError, match="counts from 1, give X for type 0"):
        read(ones, types=("Li", "S"))
    assert read(ones, types=("X", "Li", "S"))[0].formula == "LiS"


@pytest.mark.filterwarnings("error")
def test_the_way_out_and_back(tmp_path: Path) -> None:
    frames = [*copper(2), *water(2)]
    frames[0] = frames[0].with_(charges=np.linspace(-1, 1, frames[0].n_atoms))
    frames[1] = frames[1].with_(energy=None, stress=None)
    frames[2] = frames[2].with_(
        config_type="md 300 K", head="pbe", subset="test", weight=2.5, total_charge=-1.0
    )
    dataset = Dataset.from_frames(frames)
    assert write(dataset, tmp_path / "a.cfg.gz") == ()
    assert gzip.decompress((tmp_path / "a.cfg.gz").read_bytes()).startswith(b"BEGIN_CFG")
    again = read(tmp_path / "a.cfg.gz")
    assert len(again) == len(dataset)
    for ours, theirs in zip(dataset, again, strict=True):
        for name in ("numbers", "positions", "cell", "energy", "forces", "charges", "weight"):
            np.testing.assert_equal(getattr(theirs, name), getattr(ours, name))
        for name in ("config_type", "head", "subset", "total_charge"):
            assert getattr(theirs, name) == getattr(ours, name)
        if ours.stress is not None:
            np.testing.assert_allclose(theirs.stress, ours.stress, rtol=1e-13, atol=1e-17)
    with pytest.raises(DataError, match="and not Li S; leave types out"):
        read(tmp_path / "a.cfg.gz", types=("Li", "S"))


def test_the_other_cfg(tmp_path: Path) -> None:
    """AtomEye's files have the same name."""
    silicon = ase.build.bulk("Si", cubic=True)
    ase.io.write(tmp_path / "a.cfg", silicon, format="cfg")
    assert not is_cfg(tmp_path / "a.cfg")


def test_files_of_mlip_itself() -> None:
    path = shared("data/mtp_golden/multi/training.cfg.gz")
    dataset = read(path, types=("Al", "Ni", "Cu"))
    assert len(dataset) == 1001
    assert dataset.has("energy").all()
