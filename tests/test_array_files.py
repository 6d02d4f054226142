"""Data sets of others in named arrays: npz and HDF5."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from ladera.data import formats
from ladera.data.formats import LabelKeys
from ladera.errors import DataError
from ladera.units import BOHR, HARTREE, KCAL_PER_MOL

R = np.random.default_rng(0).normal(size=(4, 3, 3))
E = np.array([-1.0, -2.0, -3.0, -4.0])
F = np.random.default_rng(1).normal(size=(4, 3, 3))
WATER = np.array([8, 1, 1])


@pytest.mark.parametrize(
    "names", [("R", "z", "E", "F"), ("coords", "nuclear_charges", "energies", "forces")]
)
def test_md17_and_its_revision(tmp_path, names):
    path = tmp_path / "water.npz"
    arrays = dict(zip(names, (R, WATER, E[:, None], F), strict=True))
    np.savez(path, **arrays, theory="PBE", old_indices=np.arange(4))
    frames = formats.read(path, units="angstrom-kcal/mol")
    assert [frame.formula for frame in frames] == ["H2O"] * 4
    np.testing.assert_allclose(frames.column("energy"), E * KCAL_PER_MOL)
    np.testing.assert_allclose(frames[2].forces, F[2] * KCAL_PER_MOL)
    np.testing.assert_allclose(frames[2].positions, R[2])
    with pytest.raises(DataError, match="holds arrays without units; give theirs with --units"):
        formats.read(path)


def test_cells_other_names_and_molecules_filled_up_with_zeros(tmp_path):
    path = tmp_path / "cells.npz"
    z = np.array([[8, 1, 1], [8, 1, 0], [8, 1, 1], [8, 1, 1]])
    np.savez(path, R=R, z=z, my_energy=E, F=F, cell=5 * np.eye(3), D=R[:, 0])
    with pytest.raises(DataError, match="no 'energy' for the energy"):
        formats.read(path, units="angstrom-ev")
    keys = LabelKeys(energy="my_energy")
    frames = formats.read(path, units="angstrom-ev", keys=keys)
    assert frames[1].n_atoms == 2
    assert frames[1].dipole.shape == (3,)
    assert frames[0].periodic.all()
    np.testing.assert_array_equal(frames[3].cell, 5 * np.eye(3))


def test_spice_and_ani(tmp_path):
    spice, ani = tmp_path / "spice.hdf5", tmp_path / "ani.h5"
    with h5py.File(spice, "w") as file:
        group = file.create_group("water")
        group["conformations"], group["atomic_numbers"] = R, WATER
        group["dft_total_energy"], group["dft_total_gradient"] = E, F
        group["subset"] = [b"ions"]
    frame = formats.read(spice, units="bohr-hartree")[3]
    np.testing.assert_allclose(frame.positions, R[3] * BOHR)
    np.testing.assert_allclose(frame.forces, -F[3] * HARTREE / BOHR)
    assert frame.source.endswith("spice.hdf5, /water, frame 3")
    with h5py.File(ani, "w") as file:
        for name, count in (("s01/a", 2), ("s02/b", 4)):
            group = file.create_group(name)
            group["coordinates"], group["species"] = R[:count], [b"O", b"H", b"H"]
            group["energies"] = E[:count] * [1, np.nan, 1, 1][:count]
    frames = formats.read(ani, units="angstrom-hartree", keys=LabelKeys(forces=None))
    assert len(frames) == 6
    assert frames.has("energy").tolist() == [True, False, True, False, True, True]
    np.testing.assert_allclose(frames[5].energy, E[3] * HARTREE)


def test_what_is_refused(tmp_path):
    objects, odd = tmp_path / "objects.npz", tmp_path / "odd.npz"
    np.savez(objects, R=np.array([{}], dtype=object))
    with pytest.raises(DataError, match="arrays of Python objects, which Ladera never runs"):
        formats.read(objects, units="angstrom-ev")
    np.savez(odd, R=R[0], z=WATER, E=E)
    with pytest.raises(DataError, match=r"'R' has the shape \(3, 3\); expected \(frames"):
        formats.read(odd, units="angstrom-ev")
    np.savez(odd, R=R, z=WATER[:2], E=E)
    with pytest.raises(DataError, match=r"'z' has the shape \(2,\); expected 3 atoms"):
        formats.read(odd, units="angstrom-ev")
    (tmp_path / "a.lmdb").write_bytes(b"\0" * 64)
    with pytest.raises(DataError, match=r"a\.lmdb holds Python objects"):
        formats.read(tmp_path / "a.lmdb")
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file["x"] = [1.0]
    with pytest.raises(DataError, match="no group of it has positions"):
        formats.read(tmp_path / "b.h5", units="angstrom-ev")


def test_damaged_archives_are_refused(tmp_path):
    path = tmp_path / "water.npz"
    np.savez(path, R=R, z=WATER, E=E, F=F)
    sound = path.read_bytes()
    for damaged in (sound[:-30], b"xx" + sound[2:], sound.replace(b"NUMPY", b"NUMPX", 1), b""):
        path.write_bytes(damaged)
        with pytest.raises(DataError, match=r"water\.npz cannot be read.*damaged"):
            formats.read(path, units="angstrom-ev")


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("R", np.full((4, 3, 3), b"xyz"), "'R' holds .S3, expected numbers"),
        ("z", np.array([8.0, np.nan, 1.0]), "'z' holds float64, expected atomic numbers"),
        ("z", np.array([b"\x93", b"H", b"H"]), "is no chemical symbol"),
        ("cell", np.full((3, 3), b"x"), "'cell' holds .S1, expected numbers"),
        ("pbc", np.array(["a", "b", "c"]), "'pbc' has the shape"),
    ],
)
def test_arrays_of_something_else_are_named(tmp_path, name, value, said):
    path = tmp_path / "water.npz"
    arrays = {"R": R, "z": WATER, "E": E, "F": F, "cell": 9 * np.eye(3)}
    np.savez(path, **arrays | {name: value})
    with pytest.raises(DataError, match=said):
        formats.read(path, units="angstrom-ev")


def test_links_circles_and_numbers_that_are_not_there(tmp_path):
    path = tmp_path / "ani.h5"

    def refused(change, said):
        with h5py.File(path, "w") as file:
            file.attrs["format"] = [1, 2]  # which is no word
            group = file.create_group("water")
            group["coordinates"], group["species"], group["energies"] = R, WATER, E
            change(file, group)
        with pytest.raises(DataError, match=said):
            formats.read(path, units="angstrom-ev", keys=LabelKeys(forces=None))

    other = h5py.ExternalLink("other.h5", "/forces")
    refused(lambda file, group: group.__setitem__("forces", other), "'forces' .* is a link")
    refused(lambda file, group: group.__setitem__("more", file), "/water/more stands within itself")
    refused(
        lambda file, group: group.create_dataset("x", (10**9, 10**3), "f8", chunks=(1, 10)),
        "'x' is to have 1000000000000 numbers, for which it is too short",
    )
