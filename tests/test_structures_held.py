"""The structure a command starts from: which one, whole atoms, masses, charge, what is held."""

from __future__ import annotations

import warnings
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, fcc100, molecule
from ase.calculators.emt import EMT
from ase.constraints import FixAtoms, FixBondLengths, FixedPlane, FixSymmetry, Hookean
from ase.optimize import LBFGS
from ase.vibrations import Vibrations as PeerVibrations

import ladera
from argon import argon as argon_model
from cases import case
from ladera.data import formats
from ladera.data.dataset import Dataset
from ladera.errors import DataError, LaderaError, PropertyError, SimulationError
from ladera.identity import describe_run
from ladera.potential import Potential
from ladera.properties.energy_path import energy_path
from ladera.properties.vibrations import vibrations
from ladera.report import figures
from ladera.simulation.held import degrees_of_freedom
from ladera.simulation.molecular_dynamics import run_md
from ladera.simulation.preparation import set_velocities
from ladera.simulation.records import write_structure
from ladera.simulation.relaxation import relax
from ladera.simulation.settings import MDSettings
from ladera.simulation.structures import read_structure
from ladera.structure import StructureWarning, total_charge
from ladera.training.evaluation import evaluate_dataset
from ladera.units import BOLTZMANN


@pytest.fixture(name="argon")
def model() -> Potential:
    return argon_model()


def cluster(n: int = 4) -> Atoms:
    atoms = Atoms(f"Ar{n}", np.vstack([np.eye(3), np.zeros(3)])[:n] * 3.8 / np.sqrt(2))
    return atoms


# --- which structure -----------------------------------------------------------------------------


def test_the_last_structure_is_taken_and_said(tmp_path: Path) -> None:
    path = tmp_path / "a.extxyz"
    frames = [molecule("H2O"), molecule("CH3CH2OH"), *map(Atoms, "CHO")]
    ase.io.write(path, frames)
    with pytest.warns(StructureWarning, match="several structures; frame 1, the last that is no"):
        assert len(read_structure(path)) == 9
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert [len(read_structure(path, k)) for k in (0, 1, 2, -1, -5)] == [3, 9, 1, 1, 3]
    for frame in (5, -6):
        with pytest.raises(DataError, match=f"no frame {frame}: it holds 5 structures"):
            read_structure(path, frame)
    ase.io.write(path, frames[:2])
    with pytest.warns(StructureWarning, match="the last one was taken"):
        assert len(read_structure(path)) == 9
    ase.io.write(path, frames[2:])  # nothing but free atoms
    with pytest.warns(StructureWarning, match="the last one was taken"):
        assert read_structure(path).symbols[0] == "O"


@pytest.mark.parametrize("name", ["a.cif", "a.vasp", "a.gen", "a.xsf", "a.pdb", "md@300.traj"])
def test_formats_of_one_structure_and_of_many_are_read(tmp_path: Path, name: str) -> None:
    crystal = bulk("Ar", cubic=True)
    ase.io.write(tmp_path / "plain", crystal, format=ase.io.formats.filetype(name, read=False))
    (tmp_path / "plain").rename(tmp_path / name)
    assert len(read_structure(tmp_path / name)) == len(read_structure(tmp_path / name, -1)) == 4


def test_sites_that_are_not_full_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.cif"
    ase.io.write(path, bulk("Ar", cubic=True))
    text = path.read_text()
    full = read_structure(path)
    assert len(full) == 4
    path.write_text(text.replace("1.0000", "0.5000", 1))
    with pytest.raises(DataError, match=r"the site of atom 0, at \[.*\], is occupied by Ar 0.5"):
        read_structure(path)
    pdb = tmp_path / "a.pdb"
    ase.io.write(pdb, molecule("H2O"))
    pdb.write_text(pdb.read_text().replace("  1.00  0.00           H", "  0.50  0.00           H"))
    with pytest.raises(DataError, match=r"the site of atom 1, .* is occupied by H 0.5"):
        read_structure(pdb)


@pytest.mark.parametrize("element", ["", "D"])
def test_a_dummy_is_no_deuterium(tmp_path: Path, element: str) -> None:
    path = tmp_path / "a.pdb"
    ase.io.write(path, molecule("H2O"))
    lines = path.read_text().splitlines()
    atoms = [k for k, line in enumerate(lines) if line.startswith("ATOM")]
    line = lines[atoms[-1]]
    for name, said in (("D1 ", ""), ("H2 ", ""), ("DUM", r"atom 2 is called 'DUM', .* no atom")):
        if name == "H2 " and not element:
            continue
        lines[atoms[-1]] = f"{line[:12]} {name}{line[16:76]}{element:>2}"
        path.write_text("\n".join(lines))
        if said:
            with pytest.raises(DataError, match=said):
                read_structure(path)
        else:
            assert read_structure(path).get_masses()[2] == pytest.approx(2.0141018)


def test_deuterium_and_tritium_are_hydrogen_of_their_masses(tmp_path: Path) -> None:
    water = molecule("H2O")
    rows = [" ".join(map(str, row)) for row in water.positions]
    (tmp_path / "a.xyz").write_text(
        "3\n\n" + "\n".join(map(" ".join, zip("ODT", rows, strict=True)))
    )
    ase.io.write(tmp_path / "a.pdb", water)
    text = (tmp_path / "a.pdb").read_text()
    (tmp_path / "a.pdb").write_text(text.replace("           H", "           D"))
    atoms = read_structure(tmp_path / "a.xyz")
    assert str(atoms.symbols) == "OH2"
    assert atoms.get_masses() == pytest.approx([15.999, 2.0141018, 3.0160493])
    assert read_structure(tmp_path / "a.pdb").get_masses()[1:] == pytest.approx(2.0141018)
    write_structure(tmp_path / "b.extxyz", atoms)
    assert read_structure(tmp_path / "b.extxyz").get_masses() == pytest.approx(atoms.get_masses())
    with pytest.raises(KeyError):
        Atoms("D")  # ASE knows them while a file is read, and no longer


# --- what ASE's readers leave --------------------------------------------------------------------


def test_whatever_a_structure_carries_its_results_can_be_read(
    argon: Potential, tmp_path: Path
) -> None:
    atoms = cluster()
    atoms.info = {
        "occupancy": {"0": {"Ar": 1.0}},
        "nested": {"a": [1, {"b": 2}]},
        "quoted": 'say "so"',
        "empty": "",
        5: 3,
        "pbc": "T",
        "energy": 3.0,
        "kept": 2.5,
    }
    atoms.set_array("names", np.array(["a b", "", "c", "d"]))
    atoms.set_array("tensors", np.zeros((4, 3, 3)))
    atoms.set_array("forces", np.ones((4, 3)))
    atoms.set_array("labels", np.array(["a", "b", "c", "d"]))
    relax(atoms, argon, folder=tmp_path / "relax", fmax=0.05)
    found = read_structure(tmp_path / "relax" / "relaxed.extxyz")
    assert found.info == {"kept": 2.5}
    assert found.arrays["labels"].tolist() == ["a", "b", "c", "d"]
    assert np.abs(found.get_forces()).max() < 0.05
    figures.structure(atoms)  # as the report draws it


@pytest.mark.parametrize("kind", ["plane", "bond", "spring", "symmetry", "atom"])
def test_what_is_held_is_kept_in_files(kind: str, tmp_path: Path) -> None:
    atoms = bulk("Ar", cubic=True)
    held = {
        "plane": FixedPlane([0, 1], [0, 0, 1]),
        "bond": FixBondLengths([(0, 1)]),
        "spring": Hookean(0, 1, 5.0, rt=2.0),
        "symmetry": FixSymmetry(atoms),
        "atom": FixAtoms([2]),
    }[kind]
    atoms.set_constraint([FixAtoms([3]), held])
    write_structure(tmp_path / "a.extxyz", atoms)
    found = read_structure(tmp_path / "a.extxyz")
    forces = np.random.default_rng(0).standard_normal((4, 3))
    expected, got = forces.copy(), forces.copy()
    for structure, array in ((atoms, expected), (found, got)):
        for constraint in structure.constraints:
            constraint.adjust_forces(structure, array)
    assert np.allclose(expected, got)
    assert "ase_constraints" not in found.info
    assert ("ase_constraints" in (tmp_path / "a.extxyz").read_text()) == (kind != "atom")


def test_another_charge_or_constraint_is_another_run(argon: Potential, tmp_path: Path) -> None:
    settings = MDSettings(steps=2, temperature=10)
    atoms = cluster()
    run_md(atoms, argon, settings, tmp_path)
    held, charged, magnetic = (atoms.copy() for _ in range(3))
    held.set_constraint(FixAtoms([0]))
    charged.info["charge"] = 1
    magnetic.set_initial_magnetic_moments([1, 0, 0, 0])
    hashes = {
        (record["sha256"], record["held_sha256"])
        for record in (
            describe_run({}, argon, each)["structure"] for each in (atoms, held, charged, magnetic)
        )
    }
    assert len(hashes) == 4
    longer = settings.model_copy(update={"steps": 4})
    with pytest.raises(SimulationError, match="another charge or with other atoms held"):
        run_md(held, argon, longer, tmp_path, resume=True)
    run_md(atoms, argon, longer, tmp_path, resume=True)


# --- charge and spin -----------------------------------------------------------------------------


def test_the_charge_is_found_wherever_it_is_said() -> None:
    atoms = molecule("H2O")
    assert total_charge(atoms) == 0
    atoms.set_initial_charges([-0.8, 0.9, 0.8999])
    assert total_charge(atoms) == 1
    atoms.info["charge"] = -1
    assert total_charge(atoms) == -1
    atoms.info["total_charge"] = 2
    with pytest.raises(DataError, match="total_charge = 2 and charge = -1"):
        total_charge(atoms)
    atoms.info = {"charge": "many"}
    with pytest.raises(DataError, match="charge is 'many'"):
        total_charge(atoms)


def test_a_model_names_the_charge_and_spin_it_does_not_know(argon: Potential) -> None:
    atoms = cluster()
    atoms.calc = argon.calculator()
    atoms.info["charge"] = 1
    with pytest.warns(StructureWarning, match=r"total charge of \+1 e, which the lennard_jones"):
        atoms.get_potential_energy()
    atoms.calc = argon.calculator()
    atoms.info = {"multiplicity": 3}
    with pytest.warns(StructureWarning, match="has a multiplicity, which"):
        atoms.get_potential_energy()
    atoms.calc = argon.calculator()
    atoms.info = {}
    atoms.set_initial_magnetic_moments(np.ones(len(atoms)))
    with pytest.warns(StructureWarning, match="structure has initial magnetic moments, which"):
        atoms.get_potential_energy()
    atoms.calc = argon.calculator()
    atoms.set_initial_magnetic_moments(np.zeros(len(atoms)))
    atoms.info = {"multiplicity": 1, "charge": 0}
    atoms.get_potential_energy()


# --- atoms in one place --------------------------------------------------------------------------


def test_atoms_in_one_place_are_named_and_other_frames_evaluated(argon: Potential) -> None:
    bad = cluster()
    bad.positions[3] = bad.positions[1]
    for command in (lambda: relax(bad, argon), lambda: argon.calculator().get_forces(bad)):
        with pytest.raises(LaderaError, match="Atoms 1 and 3 are in one place"):
            command()
    frames = []
    for atoms in (cluster(), bad, cluster(3)):
        e = 1.0
        frames.append(
            formats.labels.Frame(
                atoms.numbers, atoms.positions, np.zeros((3, 3)), np.zeros(3, bool), energy=e
            )
        )
    with pytest.warns(StructureWarning, match=r"Frame 1 .* cannot be evaluated: Atoms 1 and 3"):
        found = evaluate_dataset(argon, Dataset.from_frames(frames))
    summary = found.to_json()
    assert summary["energy"]["count"] == 2
    with pytest.raises(DataError, match=r"Frame 0 .* Atoms 1 and 3"):
        evaluate_dataset(argon, Dataset.from_frames(frames[1:2]))


# --- linear molecules, wires ---------------------------------------------------------------------


def wire() -> Atoms:
    zigzag = [[0, 0, 0], [1.2, 0.5, 0.3], [2.4, 0, 0], [3.6, 0.5, 0.3]]
    return Atoms("C4", zigzag, cell=[4.8, 0, 0], pbc=[1, 0, 0])


@pytest.mark.parametrize("ensemble", ["nve", "nvt-bussi", "nvt-langevin"])
@pytest.mark.parametrize(
    ("atoms", "motions"),
    [(molecule("CO2"), 5), (molecule("N2"), 5), (molecule("H2O"), 6), (wire(), 4)],
    ids=["CO2", "N2", "H2O", "wire"],
)
def test_runs_start_at_their_temperature(ensemble: str, atoms: Atoms, motions: int) -> None:
    free = 3 if ensemble == "nvt-langevin" else motions
    assert degrees_of_freedom(atoms, ensemble) == 3 * len(atoms) - free
    settings, energies = MDSettings(ensemble=ensemble, temperature=300, steps=1), []
    for seed in range(400):
        moving = atoms.copy()
        set_velocities(moving, settings, np.random.default_rng(seed))
        energies.append(
            2 * moving.get_kinetic_energy() / BOLTZMANN / degrees_of_freedom(atoms, ensemble)
        )
    error = np.std(energies) / 20
    assert abs(np.mean(energies) - 300) < 4 * error


class Springs(EMT):  # type: ignore[misc]
    """A chain of springs that wants to be straight, with bends as soft as asked for."""

    implemented_properties = ("energy", "forces")
    bend = 0.3  # eV/Angstrom^2

    def calculate(self, atoms=None, properties=(), changes=()) -> None:  # type: ignore[no-untyped-def]
        x = atoms.positions
        bonds, middles = np.diff(x, axis=0), x[2:] - 2 * x[1:-1] + x[:-2]
        lengths = np.linalg.norm(bonds, axis=1, keepdims=True)
        pull = 40.0 * (lengths - 1.2) * bonds / lengths
        forces = np.zeros_like(x)
        forces[:-1] += pull
        forces[1:] -= pull
        forces[:-2] -= self.bend * middles
        forces[1:-1] += 2 * self.bend * middles
        forces[2:] -= self.bend * middles
        energy = 20.0 * ((lengths - 1.2) ** 2).sum() + self.bend / 2 * (middles**2).sum()
        self.results = {"energy": energy, "forces": forces}


def test_a_chain_beside_its_line_is_linear_and_a_bent_one_is_not() -> None:
    straight = Atoms("C5", [[1.2 * k, 0, 0] for k in range(5)])
    straight.calc = Springs()
    LBFGS(straight, logfile=None).run(fmax=1e-6)
    exact = vibrations(straight).frequencies
    beside = straight.copy()
    beside.positions[:, 1] += 0.03 * np.sin(np.linspace(0, 3, 5))
    beside.positions[:, 2] += 0.02 * np.cos(np.linspace(0, 5, 5))
    beside.calc = Springs()
    LBFGS(beside, logfile=None).run(fmax=0.015)
    found = vibrations(beside).frequencies
    assert np.linalg.svd(beside.positions - beside.positions.mean(0))[1][1] > 0.005
    assert len(exact) == len(found) == 3 * 5 - 5
    assert found == pytest.approx(exact, abs=2)
    assert found[0] == pytest.approx(found[1], abs=2)  # bends come in pairs
    water = molecule("H2O")
    water.calc = EMT()
    LBFGS(water, logfile=None).run(fmax=1e-3)
    assert len(vibrations(water).frequencies) == 3


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"symmetry_number": 0}, "symmetry_number is 0"),
        ({"spin": -1.0}, "spin is -1"),
        ({"spin": 0.3}, "spin is 0.3"),
        ({"temperatures": (300.0, -10.0)}, "temperatures is -10 K"),
        ({"temperatures": (0.0,)}, "temperatures is 0 K"),
    ],
)
def test_options_that_no_gas_has_are_refused(options: dict[str, float], sentence: str) -> None:
    pair = molecule("N2")
    pair.calc = EMT()
    LBFGS(pair, logfile=None).run(fmax=1e-3)
    with pytest.raises(PropertyError, match=sentence):
        vibrations(pair, **options)  # type: ignore[arg-type]


# --- modes of part of a structure ----------------------------------------------------------------


def test_modes_of_an_adsorbate_are_those_of_ases_indices(tmp_path: Path) -> None:
    slab = fcc100("Cu", (2, 2, 2), vacuum=6.0)
    slab.append("O")
    slab.positions[-1] = slab.positions[4:8].mean(axis=0) + np.array([0, 0, 0.9])
    slab.set_constraint(FixAtoms(range(8)))
    slab.calc = EMT()
    LBFGS(slab, logfile=None).run(fmax=1e-4)
    peer = PeerVibrations(slab, indices=[8], name=str(tmp_path / "peer"), delta=0.005)
    peer.run()
    expected = peer.get_frequencies()
    found = vibrations(slab, step=0.005)
    signed = np.where(expected.imag > 0, -expected.imag, expected.real)
    assert found.frequencies == pytest.approx(np.sort(signed), abs=0.5)
    assert found.held
    assert np.abs(found.modes[:, :8]).max() < 1e-9
    slab.pbc = True
    assert len(vibrations(slab, step=0.005).frequencies) == 3
    slab.set_constraint()
    with pytest.raises(PropertyError, match="has the modes when the rest is held"):
        vibrations(slab)


def test_part_of_a_models_hessian_is_that_part(argon: Potential) -> None:
    sheet = Atoms(
        "Ar2",
        [[0, 0, 0], [1.9, 3.2, 0.0]],
        cell=[[3.8, 0, 0], [0, 6.5, 0], [0, 0, 0]],
        pbc=[1, 1, 0],
    )
    sheet.calc = argon.calculator()
    LBFGS(sheet, logfile=None).run(fmax=1e-5)
    assert len(vibrations(sheet).frequencies) == 3  # less the translations of the whole
    sheet.set_constraint(FixAtoms([0]))
    exact, steps = vibrations(sheet), vibrations(sheet, step=0.002)
    assert exact.frequencies == pytest.approx(steps.frequencies, abs=0.05)


# --- ends of a path ------------------------------------------------------------------------------


def test_ends_that_are_no_two_states_of_one_system_are_refused(argon: Potential) -> None:
    start = cluster(3)
    start.calc = argon.calculator()
    LBFGS(start, logfile=None).run(fmax=1e-3)
    turned, shifted, charged, magnetic = (start.copy() for _ in range(4))
    turned.rotate(40, (1, 2, 3))
    shifted.positions += 1.0
    charged.info["charge"] = 1
    charged.positions[0] += 1.0
    magnetic.set_initial_magnetic_moments([1, 0, 0])
    for end in (turned, shifted):
        with pytest.raises(PropertyError, match="same structure, moved as a whole"):
            energy_path(start, end)
    for end in (charged, magnetic):
        with pytest.raises(PropertyError, match="differ in charge or spin"):
            energy_path(start, end)
    crystal = bulk("Ar", a=5.3, cubic=True)
    crystal.calc = argon.calculator()
    image = crystal.copy()
    image.positions[2] += image.cell[1]
    with pytest.raises(PropertyError, match="same structure, atoms of it in other images"):
        energy_path(crystal, image)


# --- the files of shared/cases -------------------------------------------------------------------


def test_cases_of_files() -> None:
    with pytest.raises(DataError, match=r"the site of atom 4, .* is occupied by Li 0.25"):
        read_structure(case("physics", "half_li.cif"))
    assert total_charge(read_structure(case("physics", "water_charge.extxyz"))) == 1
    assert degrees_of_freedom(read_structure(case("physics", "co2.xyz")), "nve") == 4
    with pytest.raises(DataError, match=r"ethanol_coincident\.extxyz: Atoms 7 and 8"):
        read_structure(case("physics", "ethanol_coincident.extxyz"))


def test_cases_of_runs(tmp_path: Path) -> None:
    argon = ladera.load(case("physics", "ar.ladera"))
    start, end, image = (
        read_structure(case("physics", f"neb_{name}.extxyz"))
        for name in ("start", "end_shifted", "start_image")
    )
    start.calc = argon.calculator()
    with pytest.raises(PropertyError, match="Atom 1 is held but moves"):
        energy_path(start, end)
    start.set_constraint()
    with pytest.raises(PropertyError, match="other images of the cell"):
        energy_path(start, image)
    copper = ladera.load(case("physics", "Cu.ladera"))
    relax(read_structure(case("physics", "cu_planes_held.traj")), copper, folder=tmp_path)
    assert type(read_structure(tmp_path / "relaxed.extxyz").constraints[0]) is FixedPlane
    water = ladera.load(case("physics", "w4g.ladera"))
    charged = read_structure(case("physics", "water_charge.extxyz"))
    neutral = charged.copy()
    neutral.info.clear()
    energies = [water.calculator().get_potential_energy(each) for each in (neutral, charged)]
    assert energies == pytest.approx([-2083.4457, -2085.3761], abs=1e-3)  # total_charge=1 of 0.1.0
