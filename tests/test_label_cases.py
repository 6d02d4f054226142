"""Labels as people's files have them: what is read wrong elsewhere is read right here, or named."""

from __future__ import annotations

import bz2
import gzip
import lzma
import warnings
from pathlib import Path
from typing import Any

import ase.db
import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

from cases import case
from ladera.data.dataset import Dataset
from ladera.data.formats import DataWarning, LabelKeys, read, write
from ladera.errors import DataError
from ladera.simulation.structures import read_structure
from ladera.units import BOHR, HARTREE, METAL

SIDE = 3.6
BLOCK = f"""\
begin
lattice {SIDE} 0 0
lattice 0 {SIDE} 0
lattice 0 0 {SIDE}
atom 0 0 0 Cu 0 0 0.1 0 0
atom 1.8 1.8 0 Cu 0 0 -0.1 0 0
energy -7.0
charge 0
end
"""
HEADER = 'Lattice="3.6 0 0 0 3.6 0 0 0 3.6" Properties=species:S:1:pos:R:3:forces:R:3'
ATOMS = "Cu 0 0 0 0.1 0 0\nCu 1.8 1.8 0 -0.1 0 0\n"


def put(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def xyz(folder: Path, keys: str = "energy=-7", header: str = HEADER, atoms: str = ATOMS) -> Path:
    return put(folder / "a.xyz", f"{atoms.count(chr(10))}\n{header} {keys}\n{atoms}")


def silently(path: Path, **options: Any) -> Dataset:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return read(path, **options)


# --- units -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("bom.data", b"\xef\xbb\xbf" + BLOCK.encode()),
        ("utf16.data", BLOCK.encode("utf-16")),
        ("hash.data", "  # by hand\n" + BLOCK),
        ("bang.data", "! by hand\n" + BLOCK.replace("energy", "! the energy\nenergy")),
        ("text.data", "Copper, two atoms\nof 2026\n\n" + BLOCK),
        ("a.data.gz", gzip.compress(BLOCK.encode(), mtime=0)),
        ("a.data.bz2", bz2.compress(BLOCK.encode())),
        ("a.data.xz", lzma.compress(BLOCK.encode())),
        ("packed-without-a-name", lzma.compress(BLOCK.encode())),
        ("windows.data", BLOCK.replace("\n", "\r\n")),
    ],
)
def test_units_said_are_units_used_however_the_file_begins(tmp_path, name, content):
    path = put(tmp_path / name, content)
    (frame,) = silently(path, units="angstrom-ev")
    assert frame.energy == -7.0
    assert frame.forces[0, 0] == 0.1
    (atomic,) = silently(path, units="bohr-hartree")
    assert atomic.energy == pytest.approx(-7 * HARTREE)
    with pytest.raises(DataError, match="does not say its units"):
        read(path)


def test_units_have_names_in_python_too(tmp_path):
    path = put(tmp_path / "a.data", BLOCK)
    with pytest.raises(DataError, match="did you mean 'bohr-hartree'"):
        read(path, units="bohr-hartre")
    write(read(path, units=METAL), tmp_path / "b.data", units="bohr-hartree")
    assert read(tmp_path / "b.data", units="bohr-hartree")[0].energy == pytest.approx(-7)


def test_the_units_of_cp2k(tmp_path):
    (frame,) = read(xyz(tmp_path), units="cp2k")
    assert frame.energy == pytest.approx(-7 * HARTREE)
    assert frame.forces[0, 0] == pytest.approx(0.1 * HARTREE / BOHR)
    assert frame.positions[1, 0] == 1.8


@pytest.mark.parametrize("name", ["a.traj", "a.json", "POSCAR"])
def test_units_of_files_that_ase_converts_are_refused(tmp_path, name):
    atoms = Atoms("Cu", cell=np.eye(3) * SIDE, pbc=True)
    atoms.calc = SinglePointCalculator(atoms, energy=-3.5, forces=np.zeros((1, 3)))
    ase.io.write(tmp_path / name, atoms)
    with pytest.raises(DataError, match="give no other units"):
        read(tmp_path / name, units="bohr-hartree")


def test_a_runner_file_that_only_ase_knows_is_not_taken_for_bohr(tmp_path):
    path = put(tmp_path / "a.data", BLOCK.replace("begin", "BEGIN"))
    with pytest.raises(DataError, match="begins with 'begin'"):
        read(path, units="angstrom-ev")


@pytest.mark.parametrize(
    "declared",
    [
        "energy-unit=hartree",
        "energy_units=Ha",
        "unit_of_energy=Ry",
        "forces_unit=Hartree/Bohr",
        "length_unit=bohr",
        'stress_unit="kbar"',
        "units=real",
        "units=furlongs",
        'Units="a.u."',
    ],
)
def test_declared_units_are_honoured_or_refused(tmp_path, declared):
    with pytest.raises(DataError, match="declares another unit"):
        read(xyz(tmp_path, f"energy=-7 {declared}"))


@pytest.mark.parametrize(
    ("declared", "units"),
    [
        ("energy_unit=eV force_unit=eV/Angstrom units=metal", None),
        ("energy_unit=Hartree forces_unit=Ha/Bohr length_unit=Angstrom", "cp2k"),
        ("unit=hartree", "angstrom-hartree"),
        ("units=furlongs", "angstrom-ev"),
    ],
)
def test_declared_units_that_are_those_read_are_fine(tmp_path, declared, units):
    assert len(silently(xyz(tmp_path, f"energy=-7 {declared}"), units=units)) == 1


# --- what the second line says ----------------------------------------------------------------


@pytest.mark.parametrize("word", ["lattice", "LATTICE", "Lattice"])
def test_a_lattice_in_any_case_is_a_lattice(tmp_path, word):
    header = HEADER.replace("Lattice", word).replace("Properties", "properties")
    (frame,) = silently(xyz(tmp_path, header=header))
    assert frame.periodic.all()
    assert frame.volume == pytest.approx(SIDE**3)


@pytest.mark.parametrize("word", ["cell", "Cell", "box", "unit_cell", "Latice"])
def test_a_cell_under_another_name_does_not_leave_an_open_cluster(tmp_path, word):
    with pytest.raises(DataError, match=f"'{word}' looks like the cell"):
        read(xyz(tmp_path, header=HEADER.replace("Lattice", word)))


@pytest.mark.parametrize(
    ("words", "flags"),
    [
        ('pbc="true true false"', [1, 1, 0]),
        ("pbc=T", [1, 1, 1]),
        ("pbc=False", [0, 0, 0]),
        ('PBC="F F F"', [0, 0, 0]),
        ('Pbc="TRUE FALSE 1"', [1, 0, 1]),
        ("pbc=[t,f,T]", [1, 0, 1]),
    ],
)
def test_booleans_of_the_format(tmp_path, words, flags):
    (frame,) = silently(xyz(tmp_path, f"energy=-7 {words}"))
    assert frame.periodic.tolist() == [bool(flag) for flag in flags]


def test_vectors_of_zeros_are_open_directions(tmp_path):
    header = HEADER.replace("3.6 0 0 0 3.6 0 0 0 3.6", "0 0 0 0 0 0 0 0 0")
    assert not silently(xyz(tmp_path, header=header))[0].periodic.any()


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ("config_type= energy=-7", "'config_type' has no value"),
        ("energy=-7 note=", "'note' has no value"),
        ("energy=-7 note=x energy=-99", "'energy' is there twice"),
        ('energy=-7 lattice="1 0 0 0 1 0 0 0 1"', "Lattice is there twice"),
    ],
)
def test_empty_and_doubled_keys_are_named_with_the_line(tmp_path, keys, words):
    with pytest.raises(DataError, match=f"line 2: .*{words}"):
        read(xyz(tmp_path, keys))


def test_values_may_have_an_equals_sign(tmp_path):
    path = xyz(tmp_path, "smiles=CC(=O)O config_type = acid energy = -7")
    (frame,) = silently(path)
    assert (frame.energy, frame.config_type) == (-7, "acid")


def test_a_column_named_like_a_label_of_the_frame(tmp_path):
    header = HEADER + ":energy:R:1"
    atoms = "Cu 0 0 0 0.1 0 0 -3.5\nCu 1.8 1.8 0 -0.1 0 0 -3.5\n"
    with pytest.raises(DataError, match="line 2: 'energy' is a column of the atoms"):
        read(xyz(tmp_path, "note=x", header, atoms))
    (frame,) = silently(xyz(tmp_path, "energy=-7", header, atoms))
    assert frame.energy == -7
    for name in ("virial", "stress", "config_type"):
        path = xyz(tmp_path, "energy=-7", HEADER + f":{name}:R:1", atoms)
        with pytest.raises(DataError, match=f"line 2: '{name}' is a column"):
            read(path)
        assert len(silently(path, keys=LabelKeys(**{name: None}))) == 1
    twice = header + ":energy:R:1"
    with pytest.raises(DataError, match="line 2: Properties"):
        read(xyz(tmp_path, "energy=-7", twice, atoms))


def test_an_extended_xyz_of_any_name_is_read_as_one(tmp_path):
    path = xyz(tmp_path, header=HEADER.replace("Lattice", "lattice")).rename(tmp_path / "a.txt")
    assert silently(path, units="angstrom-hartree")[0].energy == pytest.approx(-7 * HARTREE)


def test_a_second_energy_of_an_input_data(tmp_path):
    path = put(tmp_path / "a.data", BLOCK.replace("charge", "energy -99\ncharge"))
    with pytest.raises(DataError, match="line 8: structure 0 has a second energy"):
        read(path, units="angstrom-ev")


# --- what looks like a label -------------------------------------------------------------------


@pytest.mark.parametrize(
    "key",
    ["Virial", "Weight", "Config_type", "config-type", "config_weight", "REF_stress", "Energy",
     "dft_energy", "virals", "Total_Charge", "dipol", "energy_weight", "Head"],
)  # fmt: skip
def test_a_name_like_a_label_s_is_named(tmp_path, key):
    with pytest.warns(DataWarning, match=f"a.xyz: '{key}' looks like a label and was not read"):
        read(xyz(tmp_path, f'energy=-7 {key}="1 0 0 0 1 0 0 0 1"'))


def test_columns_and_databases_are_looked_at_as_well(tmp_path):
    header = HEADER + ":dft_forces:R:3"
    atoms = ATOMS.replace("\n", " 0 0 0\n")
    with pytest.warns(DataWarning, match="'dft_forces' looks"):
        read(xyz(tmp_path, header=header, atoms=atoms))
    with ase.db.connect(tmp_path / "a.db") as database:
        structure = Atoms("Cu2", [[0, 0, 0], [0, 0, 2.2]])
        structure.calc = SinglePointCalculator(structure, energy=-7.0, forces=np.zeros((2, 3)))
        database.write(structure, Weight=2.0)
    with pytest.warns(DataWarning, match="'Weight' looks"):
        read(tmp_path / "a.db")


def test_other_keys_and_those_switched_off_are_not_named(tmp_path):
    keys = 'energy=-7 free_energy=-7 step=3 virial="1 0 0 0 1 0 0 0 1" dipole=1.85 Time=2'
    off = LabelKeys(virial="none", dipole=None)
    assert silently(xyz(tmp_path, keys), keys=off)[0].stress is None


def test_a_free_energy_that_differs_is_named(tmp_path):
    path = xyz(tmp_path, "energy=-7 free_energy=-7.2")
    with pytest.warns(DataWarning, match=r"'free_energy' differs from 'energy' by 0\.2 eV"):
        read(path)
    assert silently(path, keys=LabelKeys(energy="free_energy"))[0].energy == -7.2


def test_masses_of_another_element_are_named(tmp_path):
    header, line = HEADER + ":masses:R:1", ATOMS.splitlines()
    atoms = f"{line[0]} 63.5\n{line[1]} 197\n"
    with pytest.warns(DataWarning, match="atom 1, Cu, has the mass 197 amu"):
        read(xyz(tmp_path, header=header, atoms=atoms))
    heavy = "H 0 0 0 0.1 0 0 2.014\nLi 1.8 1.8 0 -0.1 0 0 6.015\n"
    assert len(silently(xyz(tmp_path, header=header, atoms=heavy))) == 1


# --- stress, virial and what nobody asked for ---------------------------------------------------


def test_stress_and_virial_that_contradict_each_other(tmp_path):
    volume, unit = SIDE**3, "0.1 0 0 0 0.1 0 0 0 0.1"
    virial = " ".join(str(-volume * float(x)) for x in unit.split())
    assert len(silently(xyz(tmp_path, f'energy=-7 stress="{unit}" virial="{virial}"'))) == 1
    for wrong in (virial.replace("-4", "4"), "0 0 0 0 0 0 0 0 0", virial.replace("-4.", "-6.")):
        path = xyz(tmp_path, f'energy=-7 stress="{unit}" virials="{wrong}"')
        with pytest.raises(DataError, match="'stress' and 'virials' contradict"):
            read(path)
        assert silently(path, keys=LabelKeys(virial=None))[0].stress[0, 0] == 0.1
        chosen = silently(path, keys=LabelKeys(stress=None))[0].stress[0, 0]
        assert chosen == pytest.approx(-float(wrong.split()[0]) / volume)


@pytest.mark.parametrize("key", ["virial", "stress"])
def test_placeholders_on_open_frames_are_passed_over_with_one_note(tmp_path, key):
    open_header = HEADER[HEADER.index("Prop") :]
    frame = f'2\n{open_header} energy=-7 {key}="0 0 0 0 0 0 0 0 0" pbc="F F F"\n{ATOMS}'
    path = put(tmp_path / "a.xyz", frame * 3)
    with pytest.warns(DataWarning, match=f"frame 0: '{key}' .*So in 3 frames") as said:
        assert not read(path).has("stress").any()
    assert len(said) == 1
    assert len(silently(path, keys=LabelKeys(**{key: None}))) == 3


def test_a_dipole_that_nobody_asked_for(tmp_path):
    path = xyz(tmp_path, "energy=-7 dipole=1.85")
    with pytest.warns(DataWarning, match="'dipole' has 1 numbers, expected 3"):
        assert read(path)[0].dipole is None
    with pytest.raises(DataError, match="has 1 numbers"):
        read(path, keys=LabelKeys(dipole="dipole"))
    assert silently(path, keys=LabelKeys(dipole="none"))[0].dipole is None


def test_keys_of_files_that_have_none_are_done_or_refused(tmp_path):
    data, store = put(tmp_path / "a.data", BLOCK), tmp_path / "a.h5"
    write(silently(data, units=METAL)[[0]], store)
    for path, units in ((data, METAL), (store, None)):
        assert silently(path, units=units, keys=LabelKeys(forces=None))[0].forces is None
        with pytest.raises(DataError, match="'free_energy' for the energy cannot be looked for"):
            read(path, units=units, keys=LabelKeys(energy="free_energy"))


# --- what ASE makes up --------------------------------------------------------------------------

DUMP = """\
ITEM: TIMESTEP
0
ITEM: NUMBER OF ATOMS
2
ITEM: BOX BOUNDS pp pp pp
0 3.6
0 3.6
0 3.6
ITEM: ATOMS id type x y z fx fy fz
1 1 0 0 0 0.1 0 0
2 2 1.8 1.8 0 -0.1 0 0
"""


def test_a_dump_has_neither_elements_nor_an_energy(tmp_path):
    path, no_energy = put(tmp_path / "a.dump", DUMP), LabelKeys(energy=None)
    with pytest.raises(DataError, match="--types"):
        read(path, keys=no_energy)
    with pytest.raises(DataError, match="no 'energy'"):
        read(path, types=["Cu", "Au"])
    (frame,) = silently(path, keys=no_energy, types=["Cu", "Au"])
    assert (frame.formula, frame.energy, frame.forces[0, 0]) == ("AuCu", None, 0.1)
    real = put(tmp_path / "b.dump", "ITEM: UNITS\nreal\n" + DUMP)
    kcal = silently(real, keys=no_energy, types=["Cu", "Au"])[0].forces[0, 0]
    assert kcal == pytest.approx(0.1 * 0.0433641, rel=1e-5)
    names = DUMP.replace("id type", "id element").replace("1 1 0", "1 Cu 0")
    named = put(tmp_path / "c.dump", names.replace("2 2 1", "2 Au 1"))
    assert silently(named, keys=no_energy)[0].formula == "AuCu"
    with pytest.raises(DataError, match="says itself which elements"):
        read(named, keys=no_energy, types=["Cu", "Au"])


def test_what_is_stored_in_a_database_is_read(tmp_path):
    plain = Atoms("Cu2", [[0, 0, 0], [0, 0, 2.2]])
    path = tmp_path / "a.db"
    with ase.db.connect(path) as database:
        database.write(plain, energy_dft=-7.0, config_type="dimer", weight=3.0,
                       data={"forces": np.eye(2, 3)})  # fmt: skip
    (frame,) = silently(path, keys=LabelKeys(energy="energy_dft"))
    assert (frame.energy, frame.config_type, frame.weight) == (-7, "dimer", 3)
    np.testing.assert_array_equal(frame.forces, np.eye(2, 3))


XSF = """\
# total energy = -7.0 eV

CRYSTAL
PRIMVEC
3.6 0 0
0 3.6 0
0 0 3.6
PRIMCOORD
2 1
Cu 0 0 0 0.1 0 0
Cu 1.8 1.8 0 -0.1 0 0
"""


def test_forces_of_aenet_are_as_they_are(tmp_path):
    (frame,) = silently(put(tmp_path / "a.xsf", XSF))
    assert frame.energy == -7
    np.testing.assert_allclose(frame.forces, [[0.1, 0, 0], [-0.1, 0, 0]])


def test_a_name_with_an_at_sign_is_a_name(tmp_path):
    for name, energy in (("md", -777.0), ("md@300.traj", -7.0), ("md@0.xyz", -8.0)):
        atoms = Atoms("Cu2", [[0, 0, 0], [0, 0, 2.2]])
        atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=np.zeros((2, 3)))
        kind = "extxyz" if name.endswith("xyz") else "traj"
        ase.io.write(str(tmp_path / name).replace("@", "-"), atoms, format=kind)
        (tmp_path / name.replace("@", "-")).rename(tmp_path / name)
        assert silently(tmp_path / name)[0].energy == energy
        assert read_structure(tmp_path / name).get_potential_energy() == energy


def outcar(folder: Path) -> str:
    source = Path(ase.__file__).parent / "test/testdata/vasp/OUTCAR_example_1"
    if not source.exists():
        pytest.skip("this ASE has no example of an OUTCAR")
    return source.read_text()


def test_a_calculation_that_did_not_converge_gives_no_label(tmp_path):
    text = outcar(tmp_path)
    path = put(tmp_path / "OUTCAR", text)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        n_frames = len(read(path))
    loops = text.count("aborting loop because EDIFF is reached")
    assert n_frames == loops
    limit = "NELM   =    120"
    assert limit in text
    broken = text.replace(limit, "NELM   =      1").replace("aborting loop because", "x")
    put(path, broken)
    with pytest.raises(DataError, match=r"OUTCAR is .* not reached \(first: frame 0\)"):
        read(path)
    put(path, text.replace("loop because EDIFF is reached", "loop EDIFF was not reached", 1))
    if n_frames > 1:
        with pytest.warns(DataWarning, match=f"of 1 of {n_frames} frames"):
            assert read(path)[0].source.endswith("frame 1")


# --- what a written file loses -----------------------------------------------------------------


def test_what_an_input_data_has_no_place_for(tmp_path):
    keys = "energy=-7 weight=5 subset=validation"
    frames = silently(xyz(tmp_path, keys))
    lost = write(frames, tmp_path / "a.data", units="angstrom-ev")
    assert lost == ("weight", "subset validation")
    (frame,) = frames
    zeros = Dataset.from_frames([frame.with_(weight=1.0, subset="test", charges=np.zeros(2))])
    assert write(zeros, tmp_path / "a.data", units=METAL) == ("charges that are all zero",)


@pytest.mark.parametrize("name", ["a.xyz.bz2", "a.extxyz.xz", "a.XYZ.GZ", "a.data.xz", "a.H5"])
def test_written_compressed_and_read_again(tmp_path, name):
    frames = silently(xyz(tmp_path, "energy=-7 weight=1"))
    units = METAL if ".data" in name else None
    write(frames, tmp_path / name, units=units)
    assert silently(tmp_path / name, units=units).hash == frames.hash or ".data" in name
    with pytest.raises(DataError, match="does not write"):
        write(frames, tmp_path / "a.h5.gz")


# --- hostile sizes -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "9" * 25 + "\nenergy=1\nH 0 0 0\n",
        "9" * 5000 + "\nenergy=1\nH 0 0 0\n",
        f"1\nProperties=species:S:1:pos:R:{'9' * 5000} energy=1\nH 0 0 0\n",
        f"1\nProperties=Z:I:1:pos:R:3 energy=1\n{'9' * 5000} 0 0 0\n",
        f"1\nProperties=Z:I:1:pos:R:3 energy=1\n{'9' * 25} 0 0 0\n",
        "1\nProperties=Z:R:1:pos:R:3 energy=1\n1e300 0 0 0\n",
        "1\nProperties=Z:R:1:pos:R:3 energy=1\n6.7 0 0 0\n",
    ],
)
def test_numbers_without_end_are_refused_in_a_sentence(tmp_path, text):
    with pytest.raises(DataError, match=r"a\.xyz, "):
        read(put(tmp_path / "a.xyz", text))


# --- the files themselves ------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ok.data", "f1_bom.data", "f1_hash.data", "f1.data.bz2"])
def test_cases_of_input_data(name):
    (frame,) = silently(case("formats", name), units="angstrom-ev")
    assert (frame.energy, frame.forces[0, 0]) == (-7.0, 0.1)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("f3_both.xyz", "contradict"),
        ("f15_units.xyz", "energy-unit=hartree"),
        ("f18_empty.xyz", "line 2: the key 'config_type' has no value"),
        ("f18_twice.xyz", "line 2: the key 'energy' is there twice"),
        ("f19_col.xyz", "line 2: 'energy' is a column"),
        ("f7.dump", "--types"),
    ],
)
def test_cases_that_are_named(name, words):
    with pytest.raises(DataError, match=words):
        read(case("formats", name))


@pytest.mark.parametrize(
    ("name", "n_periodic", "warned"),
    [
        ("f4_lattice.xyz", 3, ""),
        ("f4_pbc.xyz", 0, ""),
        ("f12_true.xyz", 2, ""),
        ("f5_dipole.xyz", 3, "'dipole' has 1 numbers"),
        ("f5_virial_open.xyz", 0, "'virial' of a structure without a volume"),
        ("f8_near.xyz", 3, "'Config_type', 'REF_stress', 'Virial', 'Weight', 'config_weight'"),
        ("f7.xsf", 3, ""),
        ("f7_kvp.db", None, ""),
        ("f7_data.db", None, ""),
        ("md@300.traj", None, ""),
    ],
)
def test_cases_that_are_read(name, n_periodic, warned):
    path = case("formats", name)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        frame = read(path)[0]
    assert [warned in str(one.message) for one in said] == [True] * bool(warned)
    assert frame.energy == (3.5 if "open" in name else -7.0)
    if n_periodic is not None:
        assert frame.periodic.sum() == n_periodic
    if frame.n_atoms == 2:
        np.testing.assert_allclose(frame.forces[:, 0], [0.1, -0.1])
    if name.endswith("kvp.db"):
        assert frame.config_type
        assert frame.weight != 1
