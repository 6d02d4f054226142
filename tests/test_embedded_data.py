"""The ethanol frames that ship with the package, read with plain ASE."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from itertools import pairwise
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms, units

FOLDER = Path(__file__).resolve().parent.parent / "src" / "ladera" / "data" / "embedded"
FILE = FOLDER / "ethanol.extxyz.gz"
SYMBOLS = ["C", "C", "O", "H", "H", "H", "H", "H", "H"]
CARBON_CARBON, CARBON_OXYGEN, OXYGEN_HYDROGEN = (0, 1), (1, 2), (2, 3)
CARBON_HYDROGEN = ((1, 4), (1, 5), (0, 6), (0, 7), (0, 8))


@pytest.fixture(scope="module")
def frames() -> list[Atoms]:
    return ase.io.read(FILE, ":")


@pytest.fixture(scope="module")
def molecules(frames: list[Atoms]) -> list[Atoms]:
    return [atoms for atoms in frames if len(atoms) > 1]


@pytest.fixture(scope="module")
def atom_energies(frames: list[Atoms]) -> dict[str, float]:
    free = [atoms for atoms in frames if atoms.info["config_type"] == "IsolatedAtom"]
    return {str(atoms.symbols): atoms.get_potential_energy() for atoms in free}


def of_type(molecules: list[Atoms], config_type: str) -> list[Atoms]:
    return [atoms for atoms in molecules if atoms.info["config_type"] == config_type]


def test_file_is_small_enough_to_ship() -> None:
    assert FILE.stat().st_size < 500_000


def test_every_frame_is_ethanol_or_a_free_atom(frames: list[Atoms]) -> None:
    for atoms in frames:
        assert not atoms.pbc.any()
        if len(atoms) == 1:
            assert atoms.info["config_type"] == "IsolatedAtom"
            assert atoms.info["subset"] == "train"
        else:
            assert atoms.get_chemical_symbols() == SYMBOLS


def test_splits_have_the_promised_sizes(molecules: list[Atoms]) -> None:
    assert Counter(atoms.info["subset"] for atoms in molecules) == {"train": 566, "test": 100}


def test_readme_counts_what_is_there(frames: list[Atoms]) -> None:
    rows = re.findall(r"^\| (\w+) \| `(\w+)` \| (\d+) \|", (FOLDER / "README.md").read_text(), re.M)
    promised = {(split, config_type): int(count) for split, config_type, count in rows}
    found = Counter((atoms.info["subset"], atoms.info["config_type"]) for atoms in frames)
    assert promised == dict(found)


def test_every_label_is_there_and_finite(frames: list[Atoms]) -> None:
    for atoms in frames:
        results = atoms.calc.results
        assert np.isfinite(results["energy"])
        assert results["forces"].shape == (len(atoms), 3)
        assert np.isfinite(results["forces"]).all()
        assert results["dipole"].shape == (3,)
        assert np.isfinite(results["dipole"]).all()
        assert atoms.info["method"].startswith("B3LYP/def2-SVP")


def test_free_atoms_bind_to_ethanol_with_the_known_energy(
    molecules: list[Atoms], atom_energies: dict[str, float]
) -> None:
    assert set(atom_energies) == {"H", "C", "O"}
    lowest = min(atoms.get_potential_energy() for atoms in molecules)
    binding = sum(atom_energies[symbol] for symbol in SYMBOLS) - lowest
    # Measured: 33.0 eV at 0 K, and 2.1 eV of zero-point energy that these labels do not hold.
    assert binding == pytest.approx(35.1, abs=0.5)


def test_energies_are_electronvolts_above_one_minimum(molecules: list[Atoms]) -> None:
    lowest = min(atoms.get_potential_energy() for atoms in molecules)
    for temperature in (150, 300, 500, 800, 1000):
        thermal = of_type(molecules, f"md_{temperature}K")
        mean = np.mean([atoms.get_potential_energy() for atoms in thermal]) - lowest
        # Equipartition gives 21 vibrations kT/2 each; another method's geometries cost a little.
        assert 0.6 < mean / (10.5 * units.kB * temperature) < 1.6
    assert max(atoms.get_potential_energy() for atoms in molecules) - lowest < 6.0


def test_bonds_at_the_minimum_have_textbook_lengths(molecules: list[Atoms]) -> None:
    minimum = min(of_type(molecules, "displaced"), key=Atoms.get_potential_energy)
    assert minimum.get_distance(*CARBON_CARBON) == pytest.approx(1.51, abs=0.03)
    assert minimum.get_distance(*CARBON_OXYGEN) == pytest.approx(1.42, abs=0.03)
    assert minimum.get_distance(*OXYGEN_HYDROGEN) == pytest.approx(0.97, abs=0.03)
    for pair in CARBON_HYDROGEN:
        assert minimum.get_distance(*pair) == pytest.approx(1.10, abs=0.03)
    assert np.abs(minimum.get_forces()).max() < 0.8  # a GFN2-xTB minimum, eV/A


def test_thermal_bonds_keep_their_order(molecules: list[Atoms]) -> None:
    thermal = of_type(molecules, "md_300K")
    mean = {
        pair: np.mean([atoms.get_distance(*pair) for atoms in thermal])
        for pair in (CARBON_CARBON, CARBON_OXYGEN, OXYGEN_HYDROGEN, *CARBON_HYDROGEN)
    }
    longest_hydrogen = max(mean[pair] for pair in CARBON_HYDROGEN)
    shortest_hydrogen = min(mean[pair] for pair in CARBON_HYDROGEN)
    assert mean[OXYGEN_HYDROGEN] < shortest_hydrogen
    assert longest_hydrogen < mean[CARBON_OXYGEN] < mean[CARBON_CARBON]


def test_nothing_collides_and_nothing_falls_apart(molecules: list[Atoms]) -> None:
    for atoms in molecules:
        distances = atoms.get_all_distances()[np.triu_indices(len(atoms), 1)]
        assert distances.min() > 0.7
        assert distances.max() < 5.0


def test_forces_neither_push_nor_turn_the_whole_molecule(molecules: list[Atoms]) -> None:
    for atoms in molecules:
        forces = atoms.get_forces()
        assert np.abs(forces.sum(axis=0)).max() < 1e-4  # eV/A, from rounding
        torque = np.cross(atoms.positions, forces).sum(axis=0)
        assert np.abs(torque).max() < 5e-3  # eV, from the quadrature's fixed axes


def test_mean_dipole_is_near_the_measured_one(molecules: list[Atoms]) -> None:
    thermal = of_type(molecules, "md_300K")
    dipoles = [np.linalg.norm(atoms.get_dipole_moment()) / units.Debye for atoms in thermal]
    assert np.mean(dipoles) == pytest.approx(1.69, abs=0.25)


def test_both_conformers_are_well_represented(molecules: list[Atoms]) -> None:
    for config_type in ("md_300K", "md_500K"):
        angles = [atoms.get_dihedral(0, 1, 2, 3) for atoms in of_type(molecules, config_type)]
        counts, _ = np.histogram(angles, bins=[0, 120, 240, 360])  # gauche, trans, gauche
        assert counts.min() > 0.1 * len(angles)


def test_no_frame_occurs_twice(molecules: list[Atoms]) -> None:
    shapes = np.array([atoms.get_all_distances()[np.triu_indices(9, 1)] for atoms in molecules])
    for index, shape in enumerate(shapes[:-1]):
        assert np.abs(shapes[index + 1 :] - shape).max(axis=1).min() > 1e-3


def test_trajectories_are_in_time_order(molecules: list[Atoms]) -> None:
    times: dict[tuple[str, ...], list[float]] = defaultdict(list)
    for atoms in molecules:
        if atoms.info["config_type"].startswith("md_"):
            key = tuple(atoms.info[name] for name in ("subset", "config_type", "start"))
            times[key].append(atoms.info["time_fs"])
    assert len(times) == 18
    for series in times.values():
        assert all(earlier < later for earlier, later in pairwise(series))
