"""Readers and writers: round trips, conventions, and one clear sentence for every bad file."""

from __future__ import annotations

import gzip
import string

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from data_frames import assert_same_frames, copper, water
from ladera.data.dataset import Dataset
from ladera.data.formats import LabelKeys, read, write
from ladera.data.frame import Frame
from ladera.errors import DataError, LaderaError
from ladera.units import ATOMIC, BOHR, HARTREE, METAL

RELAXED = {"deadline": None, "suppress_health_check": [HealthCheck.function_scoped_fixture]}

XYZ = """\
2
Lattice="4 0 0 0 4 0 0 0 5" Properties=species:S:1:pos:R:3:forces:R:3 pbc="T T F" energy=-1 {extra}
H 0.0 0.0 0.0 0.1 0.2 0.3
O 1.0 0.0 0.0 -0.1 -0.2 -0.3
"""

INPUT_DATA = """\
begin
comment a water
lattice 10 0 0
lattice 0 10 0
lattice 0 0 10
atom 1.0 2.0 3.0 O -0.8 -75.0 0.1 0.2 0.3
atom 2.0 2.0 3.0 H  0.4  -0.5 0.0 0.0 -0.1
atom 1.0 3.0 3.0 H  0.4  -0.5 -0.1 -0.2 -0.2 7 8
energy -76.0
charge 0.0
end
"""


def put(path, text):
    path.write_text(text)
    return path


finite = st.floats(-1e6, 1e6)
words = st.text(
    st.characters(blacklist_categories=("C",), blacklist_characters="\u2028\u2029\x85"), max_size=12
) | st.sampled_from(["md_300K", 'a "b" \\', "two words", "x=1", "line\nbreak", "'"])


@st.composite
def frames(draw, complete=False):
    """Any frame that the formats can hold, with any label missing, NaN and infinities included."""
    n_atoms = draw(st.integers(1, 4))
    real = st.floats(-1e8, 1e8) if complete else st.floats()

    def label(shape):
        values = arrays(np.float64, shape, elements=real)
        return draw(values if complete else st.none() | values)

    is_periodic = draw(st.booleans())
    cell = draw(arrays(np.float64, (3, 3), elements=finite)) if is_periodic else np.zeros((3, 3))
    return Frame(
        numbers=np.array(draw(st.lists(st.integers(1, 118), min_size=n_atoms, max_size=n_atoms))),
        positions=draw(arrays(np.float64, (n_atoms, 3), elements=finite)),
        cell=cell,
        periodic=np.full(3, is_periodic),
        energy=draw(real if complete else st.none() | real),
        forces=label((n_atoms, 3)),
        stress=None if complete or not np.linalg.det(cell) else label((3, 3)),
        dipole=None if complete else label((3,)),
        charges=draw(
            st.none()
            | arrays(np.float64, n_atoms, elements=st.floats(0.1, 5) if complete else real)
        ),
        total_charge=draw(st.none() | real),
        config_type=draw(words),
        head=draw(words),
        subset=draw(st.sampled_from(["", "train", "test"])),
        weight=1.0 if complete else draw(st.floats(0, 1e3)),
    )


@settings(max_examples=80, **RELAXED)
@given(st.lists(frames(), min_size=1, max_size=4), st.sampled_from(["a.extxyz", "a.xyz.gz"]))
def test_extended_xyz_round_trip(tmp_path, originals, name):
    assert write(Dataset.from_frames(originals), tmp_path / name) == ()
    labels = Dataset.from_frames(originals).labels
    keys = LabelKeys(**{key: None for key in ("energy", "forces") if key not in labels})
    back = read(tmp_path / name, keys=keys)
    for original, frame in zip(originals, back, strict=True):
        assert_same_frames(original, frame)


@settings(max_examples=60, **RELAXED)
@given(st.lists(frames(complete=True), min_size=1, max_size=4), st.sampled_from([METAL, ATOMIC]))
def test_input_data_round_trip(tmp_path, originals, units):
    write(Dataset.from_frames(originals), tmp_path / "input.data", units=units)
    back = read(tmp_path / "input.data", units=units)
    for original, frame in zip(originals, back, strict=True):
        assert_same_frames(original, frame, tolerance=1e-14)


@settings(max_examples=20, **RELAXED)
@given(st.lists(frames(), min_size=1, max_size=4))
def test_hdf5_round_trip(tmp_path, originals):
    write(Dataset.from_frames(originals), tmp_path / "set.h5")
    for original, frame in zip(originals, read(tmp_path / "set.h5"), strict=True):
        assert_same_frames(original, frame)


def test_ase_reads_what_is_written(tmp_path):
    original = copper(1)[0].with_(config_type="bulk")
    write(Dataset.from_frames([original]), tmp_path / "a.extxyz")
    atoms = ase.io.read(tmp_path / "a.extxyz")
    np.testing.assert_allclose(atoms.positions, original.positions)
    np.testing.assert_allclose(atoms.get_forces(), original.forces)
    np.testing.assert_allclose(atoms.get_stress(voigt=False), original.stress)
    assert atoms.get_potential_energy() == original.energy
    assert atoms.info["config_type"] == "bulk"


def test_what_ase_writes_is_read(tmp_path):
    stress = np.array([0.1, 0.2, 0.3, 0.04, 0.05, 0.06])  # xx yy zz yz xz xy
    atoms = Atoms("NaCl", [[0, 0, 0], [2.8, 0, 0]], cell=[5, 5, 6], pbc=[True, True, False])
    atoms.calc = SinglePointCalculator(atoms, energy=-3.0, forces=np.eye(2, 3), stress=stress)
    atoms.info["config_type"] = "salt"
    for name in ("a.extxyz", "a.traj"):
        ase.io.write(tmp_path / name, atoms)
        (frame,) = read(tmp_path / name)
        assert frame.energy == -3.0
        np.testing.assert_array_equal(frame.forces, np.eye(2, 3))
        expected = [[0.1, 0.06, 0.05], [0.06, 0.2, 0.04], [0.05, 0.04, 0.3]]
        np.testing.assert_allclose(frame.stress, expected)
        np.testing.assert_array_equal(frame.periodic, [True, True, False])
        assert frame.config_type == "salt"


def test_keys_can_be_named(tmp_path):
    path = put(
        tmp_path / "a.xyz",
        "1\nProperties=species:S:1:pos:R:3:dft_force:R:3 dft_energy=-2 mass=3 config_weight=0.5\n"
        "H 0 0 0 1 2 3\n",
    )
    keys = LabelKeys(energy="dft_energy", forces="dft_force", weight="config_weight")
    (frame,) = read(path, keys=keys)
    assert (frame.energy, frame.weight) == (-2.0, 0.5)
    np.testing.assert_array_equal(frame.forces, [[1, 2, 3]])


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"energy": "enregy"}, "no 'enregy' for the energy; did you mean 'energy'"),
        ({"forces": "force"}, "no 'force' for the forces; did you mean 'forces'"),
        ({"stress": "stress_dft"}, "no 'stress_dft' for the stress; its labels are energy"),
        ({"dipole": "mu"}, "no 'mu'"),
    ],
)
def test_a_key_that_is_not_in_the_file_is_refused(tmp_path, keys, words):
    path = put(tmp_path / "a.xyz", XYZ.format(extra=""))
    with pytest.raises(DataError, match=words) as caught:
        read(path, keys=LabelKeys(**keys))
    assert "a.xyz" in str(caught.value)


def test_labels_are_never_missing_unnoticed(tmp_path):
    plain = put(tmp_path / "plain.xyz", "1\njust a comment\nH 0 0 0\n")
    with pytest.raises(DataError, match="energy"):
        read(plain)
    (frame,) = read(plain, keys=LabelKeys(energy=None, forces=None))
    assert frame.energy is None
    energy_only = put(tmp_path / "e.xyz", "2\nenergy=-1\nH 0 0 0\nH 0 0 1\n")
    with pytest.raises(DataError, match="'forces' for the forces"):
        read(energy_only)
    free_atom = put(tmp_path / "atom.xyz", "1\nenergy=-1\nH 0 0 0\n")
    assert read(free_atom)[0].forces is None


def test_stress_in_nine_or_six_components_and_virial(tmp_path):
    volume = 4 * 4 * 5
    expected = np.array([[1.0, 6, 5], [6, 2, 4], [5, 4, 3]])
    for extra in (
        'stress="1 6 5 6 2 4 5 4 3"',
        'stress="1 2 3 4 5 6"',
        "stress=[1,2,3,4,5,6]",
        f'virial="{" ".join(str(-volume * x) for x in expected.ravel())}"',
        f'virials="{" ".join(str(-volume * x) for x in (1, 2, 3, 4, 5, 6))}"',
        'stress="_JSON [[1, 6, 5], [6, 2, 4], [5, 4, 3]]"',
    ):
        (frame,) = read(put(tmp_path / "a.xyz", XYZ.format(extra=extra)))
        np.testing.assert_allclose(frame.stress, expected)
    both = put(tmp_path / "a.xyz", XYZ.format(extra='stress="1 2 3 4 5 6" virial="0 0 0 0 0 0"'))
    with pytest.raises(DataError, match="'stress' and 'virial' contradict each other"):
        read(both)
    np.testing.assert_allclose(read(both, keys=LabelKeys(virial=None))[0].stress, expected)
    assert not read(both, keys=LabelKeys(virial="virial"))[0].stress.any()


def test_periodicity_defaults(tmp_path):
    (frame,) = read(put(tmp_path / "a.xyz", XYZ.format(extra="")))
    assert frame.periodic.tolist() == [True, True, False]
    without = XYZ.format(extra="").replace(' pbc="T T F"', "")
    assert read(put(tmp_path / "a.xyz", without))[0].periodic.all()
    lattice = 'Lattice="4 0 0 0 4 0 0 0 5" '
    assert not read(put(tmp_path / "a.xyz", without.replace(lattice, "")))[0].periodic.any()


def test_input_data_in_both_units(tmp_path):
    path = put(tmp_path / "input.data", INPUT_DATA)
    (metal,), (atomic,) = read(path, units=METAL), read(path, units=ATOMIC)
    assert metal.energy == -76.0
    assert atomic.energy == pytest.approx(-76 * HARTREE)
    np.testing.assert_allclose(atomic.positions, metal.positions * BOHR)
    np.testing.assert_allclose(atomic.forces, metal.forces * HARTREE / BOHR)
    np.testing.assert_allclose(atomic.cell, np.eye(3) * 10 * BOHR)
    np.testing.assert_array_equal(metal.charges, [-0.8, 0.4, 0.4])
    assert metal.total_charge == 0.0
    assert metal.periodic.all()


def test_input_data_with_the_atomic_energy_before_the_charge(tmp_path):
    path = put(tmp_path / "input.data", INPUT_DATA)
    (frame,) = read(path, units=ATOMIC, atom_columns="energy charge")
    np.testing.assert_array_equal(frame.charges, [-75.0, -0.5, -0.5])


def test_input_data_keeps_the_set_and_misses_what_is_missing(tmp_path):
    text = INPUT_DATA.replace("begin", "begin set=test").replace("energy -76.0\n", "")
    text = text.replace("charge 0.0\n", "").replace("-0.8", "0").replace("0.4", "0")
    (frame,) = read(put(tmp_path / "x.data", text), units=METAL)
    assert frame.subset == "test"
    assert (frame.energy, frame.charges, frame.total_charge) == (None, None, None)


def test_input_data_needs_units(tmp_path):
    path = put(tmp_path / "input.data", INPUT_DATA)
    with pytest.raises(DataError, match="angstrom-ev or bohr-hartree"):
        read(path)
    with pytest.raises(DataError, match="does not say its units"):
        write(read(path, units=METAL), tmp_path / "out.data")


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ("H 0.0 0.0 0.0 0.1", "H 0.0 0.0 zero 0.1", 3, "'zero' in the column 'pos'"),
        ("O 1.0 0.0 0.0 -0.1 -0.2", "O 1.0 0.0 0.0 -0.1", 4, "6 columns where 7"),
        ("O 1.0", "O 1.0 2.0", 4, "8 columns where 7"),
        ("O 1.0", "Oh 1.0", 4, "'Oh' is no chemical symbol"),
        ("2\n", "two\n", 1, "expected the number of atoms"),
        ("2\n", "3\n", 4, "after 2 of the 3 atoms"),
        ("2\n", "-2\n", 1, "-2 atoms"),
        ("2\n", "99999999999\n", 4, "cut short"),
        ("2\n", "1\n", 4, "expected the number of atoms"),
        ("energy=-1", 'energy="-1.5', 2, "expected key=value"),
        ("energy=-1", "energy=low", 0, "'energy' is 'low', expected numbers"),
        ("energy=-1", "energy=[1,2]", 0, "has 2 numbers, expected 1"),
        ("energy=-1", 'energy=-1 stress="1 2 3"', 0, "has 3 numbers, expected 9 or 6"),
        ("forces:R:3", "forces:R:x", 2, "Properties="),
        ("forces:R:3", "forces:R:2:x:R:1", 0, "'forces' has 4 numbers, expected 6"),
        ('Lattice="4 0', 'Lattice="4', 2, "expected nine numbers"),
        ("T T F", "T T maybe", 2, "expected three of T and F"),
    ],
)
def test_malformed_extended_xyz_names_file_and_line(tmp_path, old, new, line, words):
    text = XYZ.format(extra="")
    assert old in text
    path = put(tmp_path / "bad.xyz", text.replace(old, new, 1))
    with pytest.raises(DataError) as caught:
        read(path)
    assert words in str(caught.value)
    assert f"bad.xyz, line {line}:" in str(caught.value) or f"bad.xyz, frame {line}" in str(
        caught.value
    )


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ("begin", "start", 1, "expected 'begin'"),
        ("begin", "begin set=valid", 1, "set=train or set=test"),
        ("lattice 0 0 10\n", "", 10, "2 lattice lines"),
        ("lattice 0 0 10", "lattice 0 0", 5, "expected 3 numbers"),
        ("energy -76.0", "energy", 9, "expected 1 number"),
        ("energy", "enregy", 9, "expected one of begin, comment"),
        ("end\n", "", 10, "it is cut short"),
        ("0.1 0.2 0.3", "0.1 0.2", 6, "9 columns where 10"),
        ("0.1 0.2 0.3", "0.1 0.2 x", 6, "'x' in the column 'force'"),
        ("O -0.8", "Q -0.8", 6, "'Q' is no chemical symbol"),
        ("atom 1.0 3.0", "\natom 1.0 3.0", 8, "expected one of begin"),
        ("atom 1.0 3.0", "comment\natom 1.0 3.0", 9, "must follow one another"),
    ],
)
def test_malformed_input_data_names_file_and_line(tmp_path, old, new, line, words):
    assert old in INPUT_DATA
    path = put(tmp_path / "input.data", INPUT_DATA + INPUT_DATA.replace(old, new, 1))
    with pytest.raises(DataError) as caught:
        read(path, units=METAL)
    assert words in str(caught.value)
    assert f"input.data, line {line + 11}:" in str(caught.value)


def test_files_that_are_not_there_or_empty_or_nothing(tmp_path):
    with pytest.raises(DataError, match=r"no file .*missing\.xyz"):
        read(tmp_path / "missing.xyz")
    with pytest.raises(DataError, match=r"no file .*missing\.cif"):
        read(tmp_path / "missing.cif")
    with pytest.raises(DataError, match="holds no structures"):
        read(put(tmp_path / "empty.xyz", "\n\n"))
    with pytest.raises(DataError, match="holds no structures"):
        read(put(tmp_path / "empty.data", ""), units=ATOMIC)
    with pytest.raises(DataError, match="No data file"):
        read([])
    with pytest.raises(DataError, match="could not be read as data"):
        read(put(tmp_path / "what.dat", "nonsense\n"))
    cut = gzip.compress(XYZ.format(extra="").encode())[:-20]
    (tmp_path / "cut.xyz.gz").write_bytes(cut)
    with pytest.raises(DataError, match=r"cut\.xyz\.gz cannot be read"):
        read(tmp_path / "cut.xyz.gz")


def test_several_files_become_one_data_set(tmp_path):
    one = put(tmp_path / "a.xyz", XYZ.format(extra=""))
    two = put(tmp_path / "input.data", INPUT_DATA)
    write(read(one), tmp_path / "set.h5")
    dataset = read([one, two], units=METAL)
    assert [frame.n_atoms for frame in dataset] == [2, 3]
    assert [frame.n_atoms for frame in read([tmp_path / "set.h5", one])] == [2, 2]
    assert dataset[1].source == f"{two}, frame 0"


def test_writers_refuse_what_they_cannot_hold(tmp_path):
    dataset = Dataset.from_frames(copper(1))
    assert write(dataset, tmp_path / "a.data", units=METAL) == ("stress",)
    no_energy = Dataset.from_frames([copper(1)[0].with_(energy=None)])
    with pytest.raises(DataError, match="has no energy"):
        write(no_energy, tmp_path / "b.data", units=METAL)
    slab = Dataset.from_frames([copper(1)[0].with_(periodic=np.array([True, True, False]))])
    with pytest.raises(DataError, match="some directions"):
        write(slab, tmp_path / "b.data", units=METAL)
    with pytest.raises(DataError, match=r"'\.cif', which Ladera does not write"):
        write(dataset, tmp_path / "b.cif")
    with pytest.raises(DataError, match="no other units"):
        write(dataset, tmp_path / "b.xyz", units=ATOMIC)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.data"]


def test_many_frames_of_changing_shape_keep_their_order(tmp_path):
    frames = [*water(700), *copper(400), *water(3, seed=1)]
    frames[5] = frames[5].with_(forces=None)
    write(Dataset.from_frames(frames), tmp_path / "a.extxyz")
    back = read(tmp_path / "a.extxyz")
    assert back.hash == Dataset.from_frames(frames).hash


def corrupted(data, text):
    """The text with bytes or lines deleted, replaced, repeated or cut off."""
    for _ in range(data.draw(st.integers(1, 3))):
        if not text:
            break
        kind = data.draw(st.sampled_from(["cut", "delete", "replace", "lines", "swap"]))
        at = data.draw(st.integers(0, len(text) - 1))
        if kind == "cut":
            text = text[:at]
        elif kind == "delete":
            text = text[:at] + text[at + data.draw(st.integers(1, 5)) :]
        elif kind == "replace":
            junk = data.draw(st.text(string.printable + "é\x00\u2028", max_size=4))
            text = text[:at] + junk + text[at + 1 :]
        else:
            lines = text.split("\n")
            one, two = (data.draw(st.integers(0, len(lines) - 1)) for _ in range(2))
            if kind == "lines":
                lines = lines[:one] + lines[two:]
            else:
                lines[one], lines[two] = lines[two], lines[one]
            text = "\n".join(lines)
    return text


@pytest.mark.filterwarnings("ignore::ladera.data.formats.DataWarning")
@settings(max_examples=250, **RELAXED)
@given(st.data())
def test_corrupted_files_raise_ladera_errors_or_give_valid_data(tmp_path, data):
    name, text = data.draw(
        st.sampled_from(
            [
                ("a.xyz", XYZ.format(extra='stress="1 2 3 4 5 6" config_type="a b"') * 2),
                ("input.data", INPUT_DATA * 2),
            ]
        )
    )
    path = tmp_path / name
    path.write_text(corrupted(data, text), encoding="utf-8", newline="")
    try:
        dataset = read(path, units=METAL)
    except LaderaError as error:
        message = str(error)
    else:
        message = name
        assert_valid(dataset)
    assert name in message


def assert_valid(dataset):
    assert len(dataset) > 0
    for frame in dataset:
        assert frame.positions.shape == (frame.n_atoms, 3)
        assert frame.forces is None or frame.forces.shape == (frame.n_atoms, 3)
