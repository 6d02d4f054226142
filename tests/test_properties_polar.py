"""LO-TO splitting, beside phonopy asked directly with its own example."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import phonopy
import pytest
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.io import read

import ladera
from ladera.errors import DataError, PropertyError
from ladera.models.mace import MACEConfig
from ladera.properties import result
from ladera.properties.born_charges import polar_crystal, with_directions
from ladera.properties.phonons import Phonons, force_constants, phonons

NACL = Path(__file__).parent / "data" / "nacl"  # example/NaCl of phonopy 4.8 (BSD), PBE by VASP


class Harmonic(Calculator):
    """Forces by the force constants of phonopy's example, in its supercell."""

    implemented_properties = ["energy", "forces"]  # noqa: RUF012

    def __init__(self, example: Any) -> None:
        super().__init__()
        self.supercell, self.constants = example.supercell, example.force_constants

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        atoms = self.atoms
        if len(atoms) != len(self.supercell):
            self.results = {"energy": 0.0, "forces": np.zeros((len(atoms), 3))}
            return
        away = atoms.positions[:, None] - self.supercell.positions
        away -= (away @ np.linalg.inv(atoms.cell.array)).round() @ atoms.cell.array
        place = np.linalg.norm(away, axis=2).argmin(axis=1)
        moves = np.zeros((len(atoms), 3))
        moves[place] = away[np.arange(len(atoms)), place]
        forces = -np.einsum("ijab,jb->ia", self.constants, moves)
        self.results = {"energy": -0.5 * np.sum(forces * moves), "forces": forces[place]}


@pytest.fixture(scope="module")
def example() -> Any:
    return phonopy.load(
        unitcell_filename=NACL / "POSCAR-unitcell",
        supercell_matrix=np.diag([2, 2, 2]),
        primitive_matrix="F",
        force_sets_filename=NACL / "FORCE_SETS",
        born_filename=NACL / "BORN",
        is_compact_fc=False,
        log_level=0,
    )


@pytest.fixture(scope="module")
def salt(example: Any) -> Atoms:
    atoms = read(NACL / "POSCAR-unitcell", format="vasp")
    assert isinstance(atoms, Atoms)
    atoms.calc = Harmonic(example)
    return atoms


@pytest.fixture(scope="module")
def found(salt: Atoms) -> Phonons:
    return phonons(salt, supercell=(2, 2, 2), born=NACL / "BORN")


def test_frequencies_are_those_of_phonopy(example: Any, found: Phonons) -> None:
    example.run_qpoints([[0, 0, 0]], nac_q_direction=[1, 0, 1])
    split = example.qpoints.frequencies[0]
    assert split[3:] == pytest.approx([4.616, 4.616, 7.396], abs=1e-3)  # the published figure
    # phonopy takes 14.400 from the file for the constant 14.39965.
    assert found.bands[0] == pytest.approx(split, abs=2e-3)
    assert found.without_field[3:] == pytest.approx([split[3]] * 3, abs=2e-3)
    example.run_qpoints([[0.5, 0, 0.5], [0.375, 0.375, 0.75], [0.5, 0.5, 0.5]])  # X, K, L
    for label, expected in zip("XKL", example.qpoints.frequencies, strict=True):
        tick = found.ticks[found.labels.index(label if label != "K" else "K")]
        bands = found.bands[np.argmin(np.abs(found.distances - tick))]
        assert bands == pytest.approx(expected, abs=3e-3), label


def test_bands_come_to_the_centre_without_a_step(found: Phonons) -> None:
    """Longitudinal modes do not fall to the transverse ones at the centre itself."""
    for label in np.flatnonzero(np.array(found.labels) == "Γ"):
        rows = np.flatnonzero(np.abs(found.distances - found.ticks[label]) < 1e-9)
        for row in rows:
            assert found.bands[row, -1] == pytest.approx(7.396, abs=2e-3)
            for near in (row - 1, row + 1):
                if 0 <= near < len(found.bands):
                    assert np.abs(found.bands[near, 3:] - found.bands[row, 3:]).max() < 0.1


def test_the_result_is_stored(found: Phonons, tmp_path: Path) -> None:
    found.save(tmp_path)
    again = result.load(tmp_path)
    assert isinstance(again, Phonons)
    assert again.born.shape == (2, 3, 3)
    assert again.born.sum(axis=0) == pytest.approx(0, abs=1e-9)
    assert again.born[0, 0, 0] == pytest.approx(1.087, abs=1e-3)
    assert again.dielectric[1, 1] == pytest.approx(2.43534, abs=1e-5)
    assert again.provenance["settings"]["born"]["sha256"]
    rows = {row[0]: row[1] for row in again.table().rows}
    assert rows["highest frequency (THz)"] == "7.396"
    assert rows["highest at Γ without the field (THz)"] in ("4.616", "4.617")
    at_centre = [row for row in again.tables()[1].rows if row[0] == "Γ"]
    assert at_centre[-1][1] == "7.396"


def test_without_charges_all_is_as_it_was(salt: Atoms, found: Phonons) -> None:
    plain = phonons(salt, supercell=(2, 2, 2))
    assert len(plain.without_field) == 0
    assert plain.bands[0, 3:] == pytest.approx([plain.bands[0, 3]] * 3, abs=1e-5)
    assert len(found.bands) == len(plain.bands) + 1  # the centre that the path passes with a turn


def test_a_centre_has_the_directions_of_the_path(salt: Atoms) -> None:
    """Also one that is not at the origin (https://github.com/phonopy/phonopy/issues/861)."""
    model = force_constants(salt, np.array([2, 2, 2]), 0.01, primitive=True)
    model.nac_params = {
        "born": np.array([1.087, -1.087])[:, None, None] * np.eye(3),
        "dielectric": 2.435 * np.eye(3),
        "factor": 14.4,
    }
    points = np.array([[0, 0.9, 0], [0, 1, 0], [0, 1.1, 0], [0.1, 1.1, 0]])
    plain = np.zeros((4, 6))
    bands, distances = with_directions(model, points, np.arange(4.0), plain)
    assert len(bands) == 4  # one direction, forth and back
    assert bands[1, -1] == pytest.approx(7.396, abs=3e-3)
    assert not bands[[0, 2, 3]].any()
    assert distances.tolist() == [0, 1, 2, 3]


def mace(charges: bool) -> ladera.Potential:
    import torch

    torch.manual_seed(0)
    config = MACEConfig(
        species=("Na", "Cl"),
        cutoff=4.0,
        channels=4,
        max_l=1,
        hidden_l=1,
        correlation=1,
        outputs=("energy", "dipole"),
        charges=charges,
    )
    return ladera.build(config).double()


def test_a_model_with_dipoles_of_cells_has_born_charges(salt: Atoms) -> None:
    """Those of differences of the dipole of the cell."""
    model = force_constants(salt, np.array([1, 1, 1]), 0.01, primitive=True)
    cell = Atoms("NaCl", positions=model.primitive.positions, cell=model.primitive.cell, pbc=True)
    cell.calc = mace(charges=False).calculator()
    polar = polar_crystal(model, cell, None, [2.4])
    h, slopes = 1e-4, np.zeros((2, 3, 3))
    for atom, axis in np.ndindex(2, 3):
        for sign in (1, -1):
            moved = cell.copy()
            moved.calc = cell.calc
            moved.positions[atom, axis] += sign * h
            slopes[atom, :, axis] += sign * moved.get_dipole_moment() / (2 * h)
    # Crystals shifted as a whole have the same dipole, and sites of cubic symmetry isotropic ones.
    assert slopes.sum(axis=0) == pytest.approx(0, abs=1e-7)
    assert polar.born == pytest.approx(slopes, abs=1e-6)
    assert polar.dielectric == pytest.approx(2.4 * np.eye(3))
    cell.calc = mace(charges=True).calculator()
    with pytest.raises(PropertyError, match="has no dipole of a periodic cell to take them from"):
        polar_crystal(model, cell, None, [2.4])


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda lines: lines[:3], r"no BORN file of this crystal .*not enough.*, here 2\."),
        (lambda lines: [*lines, lines[-1]], "Too many atoms"),
        (lambda lines: [lines[0], "2.4 2.4 2.4", *lines[2:]], "line 2 is incorrect"),
        (lambda lines: [*lines[:3], lines[2]], "add up to 2.17 e, which must be zero"),
        (lambda lines: [lines[0], "0.5 0 0 0 0.5 0 0 0 0.5", *lines[2:]], "principal value 0.5"),
        (
            lambda lines: [*lines[:2], "1 0 0 0 2 0 0 0 3", "-1 0 0 0 -2 0 0 0 -3"],
            "the symmetry of the crystal changes the charges",
        ),
        (lambda lines: [], "no BORN file"),
        (lambda lines: [*lines[:2], "a b c d e f g h i", lines[3]], "could not convert"),
    ],
)
def test_files_that_do_not_fit(change: Any, sentence: str, salt: Atoms, tmp_path: Path) -> None:
    lines = (NACL / "BORN").read_text().splitlines()
    path = tmp_path / "BORN"
    path.write_text("\n".join(change(lines)) + "\n")
    with pytest.raises(DataError, match=sentence):
        phonons(salt, supercell=(2, 2, 2), born=path)


def test_what_is_not_both_or_there(salt: Atoms) -> None:
    with pytest.raises(DataError, match="There is no file nowhere of Born charges"):
        phonons(salt, supercell=(2, 2, 2), born="nowhere")
    with pytest.raises(PropertyError, match="has the dielectric tensor already"):
        phonons(salt, supercell=(2, 2, 2), born=NACL / "BORN", dielectric=[2.4])
    with pytest.raises(PropertyError, match="has no dipole of a periodic cell"):
        phonons(salt, supercell=(2, 2, 2), dielectric=[2.4])
