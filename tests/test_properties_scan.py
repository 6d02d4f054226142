"""Scans of the potential energy surface: what moves, what is held, and the energies there."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from ase.calculators.lj import LennardJones
from ase.constraints import FixAtoms

from ladera.errors import PropertyError
from ladera.properties.internal_coordinates import InternalCoordinate
from ladera.properties.result import load
from ladera.properties.scan import Scan, scan

EPSILON, SIGMA = 0.0104, 3.4
BOTTOM = 2 ** (1 / 6) * SIGMA


def argon(*positions: tuple[float, float, float]) -> Atoms:
    atoms = Atoms(f"Ar{len(positions)}", positions)
    atoms.calc = LennardJones(sigma=SIGMA, epsilon=EPSILON, rc=50.0)
    return atoms


def pair(r: np.ndarray) -> np.ndarray:
    return 4 * EPSILON * ((SIGMA / r) ** 12 - (SIGMA / r) ** 6)


def test_the_energy_of_a_pair_against_its_distance(tmp_path) -> None:
    atoms, distances = argon((0, 0, 0), (4, 0, 0)), np.linspace(3.5, 5, 7)
    found = scan(atoms, coordinates={"0-1": distances})
    expected = pair(distances)
    assert found.energies == pytest.approx(expected - expected.min(), abs=1e-9)
    assert found.coordinates == ("distance Ar0-Ar1",)
    assert np.array_equal(atoms.positions[1], (4, 0, 0))
    found.save(tmp_path)
    again = load(tmp_path)
    assert isinstance(again, Scan)
    assert np.array_equal(again.energies, found.energies)
    assert len((tmp_path / "points.csv").read_text().splitlines()) == 1 + 7
    assert found.motion()[1][0].startswith("3.50 Å: ")


def test_a_relaxed_scan_brings_all_else_to_rest() -> None:
    """A third atom goes to where it is at the bottom of both pairs, whatever their distance."""
    distances = np.linspace(3.6, 5, 5)
    atoms = argon((0, 0, 0), (4, 0, 0), (2, 3.5, 0))
    found = scan(atoms, coordinates={"0-1": distances}, relax=True, fmax=1e-4)
    expected = pair(distances)
    assert found.energies == pytest.approx(expected - expected.min(), abs=1e-6)
    for image, distance in zip(found.images, distances, strict=True):
        assert np.linalg.norm(image[1] - image[0]) == pytest.approx(distance, abs=1e-5)
        assert np.linalg.norm(image[2] - image[:2], axis=1) == pytest.approx(BOTTOM, abs=2e-2)
    assert atoms.constraints == []


def test_a_grid_of_a_distance_and_an_angle() -> None:
    atoms = argon((0, 0, 0), (4, 0, 0), (2, 3.5, 0))
    first, angles = [3.7, 4.0], [60.0, 90.0, 120.0]
    found = scan(atoms, coordinates={"0-1": first, "0-1-2": angles})
    assert found.values[:, 1].tolist() == [*angles, *angles[::-1]]  # there and back
    expected = []
    for (distance, angle), image in zip(found.values, found.images, strict=True):
        a, b, c = (np.linalg.norm(image[i] - image[j]) for i, j in ((0, 1), (1, 2), (0, 2)))
        assert a == pytest.approx(distance)
        assert c**2 == pytest.approx(a**2 + b**2 - 2 * a * b * np.cos(np.radians(angle)))
        expected.append(pair(np.array([a, b, c])).sum())
    assert found.energies == pytest.approx(np.array(expected) - min(expected), abs=1e-9)
    found.plot()


@pytest.mark.parametrize(
    ("text", "value", "moving"),
    [
        ("1-2", 1.6, {2, 3}),  # C-O: the hydroxyl group
        ("2-1", 1.6, {0, 1, 4, 5, 6, 7, 8}),
        ("1-2-3", 100.0, {3}),
        ("0-1-2-3", 40.0, {3}),
        ("3-2-1-0", 40.0, {0, 4, 5, 6, 7, 8}),  # about C-O: all at the carbon
    ],
)
def test_the_side_of_the_last_atom_moves_as_one(text: str, value: float, moving: set[int]) -> None:
    atoms = molecule("CH3CH2OH")  # C C O H, then the hydrogens of the carbons
    before, coordinate = atoms.get_all_distances(), InternalCoordinate.of(text)
    start = atoms.positions.copy()
    coordinate.set(atoms, value)
    assert coordinate.value(atoms) == pytest.approx(value)
    moved = np.linalg.norm(atoms.positions - start, axis=1) > 1e-6
    assert set(np.flatnonzero(moved)) <= moving
    rest = sorted(set(range(len(atoms))) - moving)
    for part in (sorted(moving), rest):
        block = np.ix_(part, part)
        assert atoms.get_all_distances()[block] == pytest.approx(before[block])


@pytest.mark.parametrize(
    ("coordinates", "words"),
    [
        ({"0": [1, 2]}, r"'0', expected the numbers of two, three or four atoms"),
        ({"0-0": [1, 2]}, "expected the numbers"),
        ({"0-12": [1, 2]}, "names atom 12, and the structure has 12, numbered from 0"),
        ({"0-1": [1]}, "two or more different numbers"),
        ({"0-1": [1, 1]}, "two or more different numbers"),
        ({"0-1": [1, np.nan]}, "two or more different numbers"),
        ({"0-1": [1.4, 1.5]}, r"\(a ring\).*--relax"),
        ({"0-6": [-1, 1]}, "cannot be -1 Angstrom"),
        ({"0-1-7": [90, 180]}, "cannot be scanned to 180"),
        ({}, "along one coordinate or two, and 0"),
    ],
)
def test_what_cannot_be_scanned_is_said(coordinates, words: str) -> None:
    atoms = molecule("C6H6")
    atoms.calc = LennardJones()
    with pytest.raises(PropertyError, match=words):
        scan(atoms, coordinates=coordinates)


def test_atoms_on_a_line_and_across_the_border() -> None:
    straight = molecule("CO2")
    straight.calc = LennardJones()
    with pytest.raises(PropertyError, match="lie on a line"):
        scan(straight, coordinates={"1-0-2": [100, 120]})
    cut = Atoms("Ar2", [(0.5, 5, 5), (9.5, 5, 5)], cell=[10, 10, 10], pbc=True)
    cut.calc = LennardJones()
    with pytest.raises(PropertyError, match=r"across the border of the cell \(1.00 Angstrom"):
        scan(cut, coordinates={"0-1": [1, 2]})


def test_what_is_held_stays() -> None:
    atoms = argon((0, 0, 0), (4, 0, 0))
    atoms.set_constraint(FixAtoms([1]))
    with pytest.raises(PropertyError, match="Atom 1 is held, and the coordinate 0-1 moves it; 1-0"):
        scan(atoms, coordinates={"0-1": [3.6, 5]})
    found = scan(atoms, coordinates={"1-0": [3.6, 5]})
    assert np.array_equal(found.images[:, 1], [atoms.positions[1]] * 2)


def test_a_dihedral_may_be_negative_or_beyond_a_turn() -> None:
    atoms = molecule("H2O2")
    atoms.calc = LennardJones(sigma=1.0, epsilon=0.1, rc=9.0)
    chain = "2-0-1-3"
    found = scan(atoms, coordinates={chain: [-60, 300, 660]}, relax=True, fmax=0.05)
    assert np.ptp(found.energies) == pytest.approx(0, abs=1e-2)
    rigid = scan(atoms, coordinates={chain: [-60, 300, 660]})
    assert np.ptp(rigid.energies) == pytest.approx(0, abs=1e-6)


def test_a_point_that_does_not_come_to_rest_is_refused() -> None:
    atoms = argon((0, 0, 0), (4, 0, 0), (2, 3.5, 0))
    with pytest.raises(PropertyError, match=r"point at 0-1 = 3.6 has not come to rest"):
        scan(atoms, coordinates={"0-1": [3.6, 5]}, relax=True, fmax=1e-6, steps=2)
