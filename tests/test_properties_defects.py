"""Vacancies and surfaces: closed forms, calculations by hand, and what is refused."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, fcc100, fcc110, fcc111
from ase.calculators.emt import EMT
from ase.filters import FrechetCellFilter
from ase.io import write
from ase.optimize import BFGS

import ladera
from ladera.cli import main
from ladera.errors import PropertyError
from ladera.models.lennard_jones import LennardJones, LennardJonesConfig
from ladera.properties import result
from ladera.properties.surfaces import JOULE_PER_SQUARE_METRE, low_index_facets, surfaces
from ladera.properties.vacancies import vacancies
from ladera.symmetry import symmetry_dataset


def at_rest(atoms: Atoms) -> Atoms:
    BFGS(FrechetCellFilter(atoms), logfile=None).run(fmax=1e-5, steps=200)
    return atoms


@pytest.fixture(scope="module")
def copper() -> Atoms:
    atoms = bulk("Cu")
    atoms.calc = EMT()
    return at_rest(atoms)


def argon(structure: str, a: float, **how: float) -> Atoms:
    atoms = bulk("Ar", structure, a=a, **how)
    config = LennardJonesConfig(
        species=("Ar",), cutoff=7.0, epsilon={"Ar": 0.0104}, sigma={"Ar": 3.4}
    )
    atoms.calc = ladera.build(config).calculator()
    return at_rest(atoms)


def pairs(atoms: Atoms) -> tuple[np.ndarray, np.ndarray]:
    """Vectors from the one atom of a cell to its neighbours, and the energies of these pairs."""
    vectors = np.array(list(product(range(-5, 6), repeat=3))) @ atoms.cell.array
    lengths = np.linalg.norm(vectors, axis=1)
    vectors = vectors[(lengths > 0) & (lengths < 7.0)]
    energies = []
    for vector in vectors:
        pair = Atoms("Ar2", [[0, 0, 0], vector])
        pair.calc = atoms.calc
        energies.append(pair.get_potential_energy())
    return vectors, np.array(energies)


class WithWaves(LennardJones):
    """One that is defined in three periodic directions alone, as with Ewald sums."""

    partly_periodic = False

    def predict(self, graph: ladera.Graph, gradients: bool = True) -> ladera.Prediction:
        assert graph.periodic.all()
        return super().predict(graph, gradients)


def test_slabs_stand_in_vacuum_where_a_potential_needs_three_directions() -> None:
    open_ = argon("fcc", 5.26)
    periodic = open_.copy()
    periodic.calc = WithWaves(open_.calc.potential.config).calculator()
    one, other = (surfaces(each, facets=[(1, 1, 1)], thickness=6.0) for each in (open_, periodic))
    assert other.surface_energy == pytest.approx(one.surface_energy, rel=1e-6)
    committee = ladera.Committee([open_.calc.potential, periodic.calc.potential])
    assert not committee.partly_periodic


@pytest.mark.parametrize(("structure", "a"), [("fcc", 5.26), ("bcc", 4.2)])
def test_unrelaxed_surfaces_and_vacancies_of_pair_potentials(structure: str, a: float) -> None:
    """gamma = - 1 / (2 V) sum over r . n > 0 of (r . n) v(r), and E_f = - E / N."""
    atoms = argon(structure, a)
    vectors, energies = pairs(atoms)
    assert energies.sum() / 2 == pytest.approx(atoms.get_potential_energy(), rel=1e-9)
    found = surfaces(atoms, fmax=10.0)  # the atoms stay where they are
    conventional = bulk("Ar", structure, a=1.0, cubic=True)
    assert len(found.facets) == 3
    assert conventional.cell.array == pytest.approx(np.eye(3))
    for facet, gamma, slope in zip(found.facets, found.surface_energy, found.slope, strict=True):
        normal = np.array([int(i) for i in facet[1:4]])
        along = vectors @ normal / np.linalg.norm(normal)
        cut = along > 1e-9
        exact = -(along[cut] @ energies[cut]) / (2 * atoms.get_volume())
        assert gamma == pytest.approx(exact * JOULE_PER_SQUARE_METRE, rel=1e-7), facet
        assert slope == pytest.approx(0, abs=1e-8)
    assert found.unrelaxed == pytest.approx(found.surface_energy, rel=1e-7)
    empty = vacancies(atoms, heights=(9, 12), fmax=10.0)
    mu = empty.chemical_potential[0]
    assert empty.unrelaxed[0, -1] + mu == pytest.approx(-atoms.get_potential_energy(), rel=1e-6)


def test_surfaces_of_copper_are_those_of_slabs_made_by_hand(copper: Atoms) -> None:
    found = surfaces(copper)
    assert found.facets == ("(100)", "(110)", "(111)")
    assert all(found.alike)
    a, energy = np.linalg.norm(copper.cell[0]) * np.sqrt(2), copper.get_potential_energy()
    for k, build in enumerate((fcc100, fcc110, fcc111)):
        slab = build("Cu", (1, 1, 9), a=a, vacuum=10)
        slab.calc = EMT()
        area = np.linalg.norm(np.cross(*slab.cell[:2]))
        before = (slab.get_potential_energy() - 9 * energy) / (2 * area)
        BFGS(slab, logfile=None).run(fmax=1e-3)
        after = (slab.get_potential_energy() - 9 * energy) / (2 * area)
        assert found.unrelaxed[k] == pytest.approx(before * JOULE_PER_SQUARE_METRE, rel=1e-5)
        assert found.surface_energy[k] == pytest.approx(after * JOULE_PER_SQUARE_METRE, abs=2e-4)
        assert found.surface_energy_error[k] < 2e-4


def test_the_vacancy_of_copper_is_that_of_a_cell_made_by_hand(copper: Atoms) -> None:
    found = vacancies(copper, heights=(6, 8, 10))
    a, energy = np.linalg.norm(copper.cell[0]) * np.sqrt(2), copper.get_potential_energy()
    cell = bulk("Cu", a=a, cubic=True) * (3, 3, 3)
    del cell[0]
    cell.calc = EMT()
    BFGS(cell, logfile=None).run(fmax=1e-3)
    by_hand = cell.get_potential_energy() - 107 * energy
    assert found.sites == ("Cu (1a)",)
    assert found.formation[0] == pytest.approx(by_hand, abs=3e-3)
    assert found.sizes.tolist() == [27, 64, 125]
    assert found.schottky == pytest.approx(found.formation[0])
    if np.isfinite(found.limit[0]):
        assert found.limit[0] == pytest.approx(by_hand, abs=3e-3)


def test_sizes_that_are_on_no_line_are_not_extrapolated() -> None:
    from ladera.properties.vacancies import _limit

    n = np.array([32.0, 64.0, 128.0])
    assert _limit(n, 1.5 + 3.0 / n) == pytest.approx(1.5)
    assert np.isnan(_limit(n, 1.5 + np.array([0.1, -0.02, 0.05])))
    assert np.isnan(_limit(n[:2], 1.5 + 3.0 / n[:2]))


@pytest.fixture(scope="module")
def alloy() -> Atoms:
    places = [[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]
    atoms = Atoms("AuCu3", scaled_positions=places, cell=[3.7] * 3, pbc=True)
    atoms.calc = EMT()
    return at_rest(atoms)


def test_a_compound_has_sites_terminations_and_schottky_defects(alloy: Atoms) -> None:
    found = vacancies(alloy, heights=(5, 7), chemical_potentials={"Cu": -0.007})
    assert found.sites == ("Au (1a)", "Cu (3c)")
    assert np.isnan(found.formation[0])
    assert found.formation[1] == pytest.approx(found.removal[1, -1] - 0.007)
    # Schottky: its parts, whatever the chemical potentials.
    parts = found.removal[0, -1] + 3 * found.removal[1, -1] + alloy.get_potential_energy()
    assert found.schottky == pytest.approx(parts)
    table = found.table()
    assert [row[0] for row in table.rows] == ["Au (1a)", "Cu (3c)"]
    assert table.rows[0][1] == "not computed"
    assert any("Au (1a): " in line and "--reference" in line for line in table.foot)
    assert "Schottky's defect, a formula unit of AuCu3" in table.notes[1]

    cut = surfaces(alloy, facets=[(1, 0, 0), (1, 1, 1)], thickness=6)
    assert cut.terminations == ("AuCu and Cu", "AuCu3")
    assert cut.alike == (False, True)
    # The cleaved faces made by hand: planes of AuCu and Cu in turn.
    slab = alloy.repeat((1, 1, 4))
    slab.pbc = (True, True, False)
    slab.calc = EMT()
    area = np.linalg.norm(np.cross(*slab.cell[:2]))
    gamma = (slab.get_potential_energy() - 4 * alloy.get_potential_energy()) / (2 * area)
    assert cut.unrelaxed[0] == pytest.approx(gamma * JOULE_PER_SQUARE_METRE, rel=1e-6)


def test_facets_that_symmetry_makes_one() -> None:
    leaning = [[3, 0, 0], [1, 4, 0], [0.4, 1, 5]]
    cases = {
        "fcc": (bulk("Cu"), 3),
        "cubic cell": (bulk("Cu", cubic=True), 3),
        "diamond": (bulk("Si"), 3),
        "hcp": (bulk("Mg"), 5),
        "none": (Atoms("HHe", [[0, 0, 0], [1, 0.7, 0.4]], cell=leaning), 13),
    }
    for name, (atoms, count) in cases.items():
        atoms.pbc = True
        dataset = symmetry_dataset(atoms, 1e-3)
        facets = low_index_facets(dataset.rotations, dataset)
        assert len(facets) == count, (name, facets)
    assert low_index_facets(*_of(bulk("Cu")))[:3] == [(1, 0, 0), (1, 1, 0), (1, 1, 1)]


def _of(atoms: Atoms) -> tuple[object, SimpleNamespace]:
    dataset = symmetry_dataset(atoms, 1e-3)
    return dataset.rotations, dataset


def test_the_two_terminations_of_diamond() -> None:
    """(111) parts double layers, by one bond for an atom of the face, or a layer from within."""
    atoms = argon("diamond", 6.0)
    found = surfaces(atoms, facets=[(1, 1, 1)], fmax=10.0)
    assert len(found.facets) == 2
    low, high = sorted(found.unrelaxed)
    assert high > 1.5 * low


def test_commands(alloy: Atoms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write("alloy.extxyz", alloy)
    copper = bulk("Cu", a=3.59)
    write("copper.extxyz", copper)
    emt = ["--calculator", "ase.calculators.emt:EMT"]
    reference = ["--reference", "copper.extxyz"]
    heights = ["--heights", "4", "6"]
    for words in (
        ["vacancy", *emt, "alloy.extxyz", *heights, *reference],
        ["surface", *emt, "alloy.extxyz", "--facets", "001", "--thickness", "5"],
    ):
        with pytest.raises(SystemExit) as done:
            main(words)
        assert done.value.code == 0
        folder = words[0]
        assert (tmp_path / folder / "figure.svg").exists()
        again = result.load(folder)
        assert again.provenance["structure"]["formula"] == alloy.get_chemical_formula()
    with pytest.raises(SystemExit) as done:
        main(["report", "vacancy", "--properties", "surface", "--output", "page.html"])
    assert done.value.code == 0
    page = Path("page.html").read_text()
    assert "Schottky" in page
    assert "AuCu and Cu" in page


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["surface", "--facets", "11"], "'11' is no plane; give Miller indices such as 111, 0001"),
        (["surface", "--facets", "000"], "'000' is no plane"),
        (["surface", "--thickness", "-1"], "--thickness is -1 Angstrom; it must be above zero"),
        (["vacancy", "--heights", "8"], "give two or more above zero, in Angstrom, such as 8 12"),
        (["vacancy", "--reference", "alloy.extxyz"], "alloy.extxyz is AuCu3; a chemical potential"),
    ],
)
def test_mistakes(
    words: list[str],
    sentence: str,
    alloy: Atoms,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    write("alloy.extxyz", alloy)
    command, *flags = words
    with pytest.raises(SystemExit) as stop:
        main([command, "--calculator", "ase.calculators.emt:EMT", "alloy.extxyz", *flags])
    assert stop.value.code == 1
    assert sentence in " ".join(capsys.readouterr().err.split())


def test_structures_that_are_no_start(copper: Atoms) -> None:
    strained = copper.copy()
    strained.set_cell(copper.cell.array * 1.02, scale_atoms=True)
    strained.calc = EMT()
    film = copper.copy()
    film.pbc = (True, True, False)
    film.calc = EMT()
    for compute in (vacancies, surfaces):
        with pytest.raises(PropertyError, match="not relaxed"):
            compute(strained)
        with pytest.raises(PropertyError, match="belongs to a crystal"):
            compute(film)
