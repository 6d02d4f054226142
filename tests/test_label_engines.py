"""Engines: labels are derivatives in the right units, and what cannot work is refused before."""

from __future__ import annotations

import stat
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.emt import EMT
from ase.data import chemical_symbols

import ladera
from argon import argon
from ladera.data.dataset import Dataset
from ladera.data.frame import Frame
from ladera.errors import ConfigError, DataError, LabellingError
from ladera.labelling.engines import Engine, as_engine
from ladera.labelling.engines.contract import unpaired_electrons
from ladera.labelling.work import compute
from ladera.quantities import CHARGES, DIPOLE, ENERGY, FORCES, STRESS
from ladera.units import HARTREE


def frame_of(atoms: Atoms, **more: Any) -> Frame:
    return Frame.from_atoms(atoms).with_(**more)


def water(seed: int = 1) -> Atoms:
    atoms = molecule("H2O")
    atoms.rattle(0.1, seed=seed)
    return atoms


def slope(engine: Engine, atoms: Atoms, atom: int, axis: int, step: float = 1e-3) -> float:
    """-dE/dr by differences of the fourth order."""
    energies = []
    for shift in (-2, -1, 1, 2):
        moved = atoms.copy()
        moved.positions[atom, axis] += shift * step
        energies.append(engine.label(frame_of(moved)).energy)
    a, b, c, d = energies
    return -(a - 8 * b + 8 * c - d) / (12 * step)


def strain_slope(engine: Engine, atoms: Atoms, i: int, j: int, step: float = 2e-4) -> float:
    """dE/d(strain) / V."""
    energies = []
    for sign in (1, -1):
        strain = np.zeros((3, 3))
        strain[i, j] += sign * step / 2
        strain[j, i] += sign * step / 2
        moved = atoms.copy()
        moved.set_cell(atoms.cell.array @ (np.eye(3) + strain), scale_atoms=True)
        energies.append(engine.label(frame_of(moved)).energy)
    return (energies[0] - energies[1]) / (2 * step) / atoms.get_volume()


# --- xTB -----------------------------------------------------------------------------------------


def test_xtb_of_a_molecule_and_of_a_cell() -> None:
    engine = as_engine({"engine": "tblite", "accuracy": 0.01})
    assert engine.gives == (ENERGY, FORCES, STRESS, DIPOLE, CHARGES)
    atoms = water()
    found = engine.label(frame_of(atoms))
    assert found.energy == pytest.approx(-137.0600749, abs=1e-5)
    assert found.forces[0, 1] == pytest.approx(slope(engine, atoms, 0, 1), abs=1e-5)
    assert found.stress is None
    # The moment of the charges is not all of it, but points the same way: from O to the H.
    assert found.dipole @ (atoms.positions[1:].mean(0) - atoms.positions[0]) > 0
    assert 0.3 < np.linalg.norm(found.dipole) < 0.7  # 1.85 D are 0.39 e*Angstrom
    assert found.charges.sum() == pytest.approx(0, abs=1e-9)
    cell = bulk("Si", cubic=True)
    cell.rattle(0.1, seed=2)
    found = engine.label(frame_of(cell))
    assert found.dipole is None
    assert found.stress[0, 0] == pytest.approx(strain_slope(engine, cell, 0, 0), abs=1e-5)
    assert found.stress[0, 1] == pytest.approx(strain_slope(engine, cell, 0, 1), abs=1e-5)
    assert "the Gamma point alone" in found.warnings[0]


def test_labels_do_not_depend_on_what_was_labelled_before() -> None:
    engine, atoms = as_engine("tblite"), water()
    first = engine.label(frame_of(atoms))
    engine.label(frame_of(water(2)))
    again = engine.label(frame_of(atoms))
    assert again.energy == first.energy
    assert np.array_equal(again.forces, first.forces)


def test_charge_and_multiplicity_are_those_of_the_frame_and_of_the_settings() -> None:
    engine = as_engine({"engine": "tblite", "multiplicity": "lowest"})
    neutral = engine.label(frame_of(water()))
    cation = engine.label(frame_of(water(), total_charge=1.0))
    assert cation.facts["multiplicity"] == 2
    assert cation.charges.sum() == pytest.approx(1, abs=1e-9)
    assert cation.energy > neutral.energy + 5
    ion = as_engine({"engine": "tblite", "charge": 1, "multiplicity": 2})
    assert ion.label(frame_of(water())).energy == cation.energy
    with pytest.raises(DataError, match=r"total charge -1 e, and the settings say \+1"):
        ion.check(frame_of(water(), total_charge=-1.0))
    # Of an ion the dipole is about the origin.
    moved = water()
    moved.positions += [1.0, 0, 0]
    shifted = engine.label(frame_of(moved, total_charge=1.0)).dipole - cation.dipole
    assert shifted == pytest.approx([1, 0, 0], abs=1e-6)


def test_free_atoms_are_in_their_ground_states() -> None:
    known = {"H": 1, "C": 2, "N": 3, "O": 2, "Ne": 0, "Cr": 6, "Fe": 4, "Pd": 0, "Ce": 0, "Gd": 8}
    assert {symbol: unpaired_electrons(chemical_symbols.index(symbol)) for symbol in known} == known
    for number in range(1, 104):
        assert unpaired_electrons(number) % 2 == number % 2, chemical_symbols[number]
    engine = as_engine("tblite")
    assert engine.multiplicity_of(frame_of(Atoms("O"))) == 3
    assert engine.multiplicity_of(frame_of(Atoms("Na"), total_charge=1.0)) == 1
    assert engine.multiplicity_of(frame_of(Atoms("O"), total_charge=-1.0)) == 2
    with pytest.raises(DataError, match="free ion, Zn with the charge"):
        engine.multiplicity_of(frame_of(Atoms("Zn"), total_charge=2.0))


def test_an_iteration_that_does_not_converge_is_no_label() -> None:
    engine = as_engine({"engine": "tblite", "max_iterations": 2})
    with pytest.raises(LabellingError, match="SCF not converged in 2 cycles"):
        engine.label(frame_of(water()))


def test_how_it_iterates_is_asked_for_and_changes_no_label() -> None:
    """Steps of a hundredth take 14 iterations instead of 8; both guesses end at one energy."""
    plain, frame = {"engine": "tblite", "max_iterations": 11}, frame_of(water())
    energy = as_engine(plain).label(frame).energy
    assert as_engine(plain | {"guess": "eeq"}).label(frame).energy == pytest.approx(
        energy, abs=1e-4
    )
    small = as_engine(plain | {"mixer_damping": 0.2})
    assert small.label(frame).energy == pytest.approx(energy, abs=1e-4)
    with pytest.raises(LabellingError, match="SCF not converged in 11 cycles"):
        as_engine(plain | {"mixer_damping": 0.01}).label(frame)
    # Labels of before these keys were there go on.
    assert not {"guess", "mixer_damping"} & set(as_engine(plain).config.of_labels)
    assert small.config.of_labels["mixer_damping"] == 0.2


@pytest.mark.parametrize(
    ("atoms", "charge", "says"),
    [
        (Atoms("OH", [[0, 0, 0], [0, 0, 1]]), None, "9 electrons, an odd number, which cannot"),
        (molecule("H2O"), 1.0, r"multiplicity: 2 \(or lowest"),
        (molecule("H2O"), 0.5, "total charge 0.5 e; expected a whole"),
        (molecule("H2O"), 11.0, "fewer protons"),
        (Atoms("UF", [[0, 0, 0], [0, 0, 2]]), None, "has U as atom 0, which GFN2-xTB does not"),
        (Atoms("H2", [[0, 0, 0], [0, 0, 1]], cell=[9, 9, 9], pbc=[1, 1, 0]), None, "along a and b"),
        (Atoms("H2", [[0, 0, 0], [0, 0, 0]]), None, "is no structure: "),
    ],
)
def test_frames_that_cannot_be_computed_are_refused(
    atoms: Atoms, charge: float | None, says: str
) -> None:
    engine = as_engine("tblite")
    with pytest.raises(DataError, match=says) as error:
        engine.check_all(Dataset.from_frames([frame_of(atoms, total_charge=charge)]))
    assert str(error.value).startswith("Frame 0")


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ("tblyte", "There is no engine 'tblyte'; did you mean 'tblite'?"),
        ({"method": "GFN2-xTB"}, "does not say which engine"),
        ({"engine": "orca"}, "engine is 'orca'; choose one of"),
        ({"engine": "tblite", "methd": "x"}, "'methd' is no key of this engine; did you mean 'me"),
        ({"engine": "tblite", "method": "GFN2"}, "method is 'GFN2'; did you mean 'GFN2-xTB'?"),
        ({"engine": "tblite", "accuracy": -1}, "accuracy: it is -1 and should be greater than 0"),
        ({"engine": "tblite", "multiplicity": 0}, "multiplicity: it is 0 and should be greater"),
        ({"engine": "tblite", "max_iterations": True}, "max_iterations: it is true"),
        ({"engine": "tblite", "retry": {"accurcy": 1}}, "retry: 'accurcy' is no key"),
        ({"engine": "tblite", "retry": {"accuracy": 1.0}}, "retry changes nothing"),
        ({"engine": "tblite", "retry": {"engine": "pyscf"}}, "by the same engine"),
        ({"engine": "calculator", "calculator": "emt"}, "is no MODULE:NAME"),
        (
            {"engine": "calculator", "calculator": "a:B", "options": {"xc": EMT()}},
            "options: xc is an EMT; what a YAML file can say is expected",
        ),
        ({"engine": "calculator"}, "the key 'calculator' is missing"),
        ("no.such:Thing", "there is no module no"),
        ("mace-mp-smal", "published model 'mace-mp-smal'; did you mean"),
        ({"engine": "model", "model": "nothing.ladera"}, "There is no model file nothing.ladera"),
        (3, "The engine is 3; give the name"),
    ],
)
def test_settings_that_cannot_work_are_one_sentence(settings: Any, says: str) -> None:
    with pytest.raises(ladera.LaderaError) as error:
        as_engine(settings)
    assert says in str(error.value)


def test_a_file_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "engine.yaml"
    path.write_text("engine: tblite\n\naccurcy: 0.1\n")
    with pytest.raises(ConfigError, match=r"engine.yaml, line 3: 'accurcy' is no key"):
        as_engine(path)
    path.write_text("engine: tblite\naccuracy: 0.1\nretry: {electronic_temperature: 1000}\n")
    assert as_engine(path).config.retry == {"electronic_temperature": 1000}
    with pytest.raises(ConfigError, match="There is no configuration file"):
        as_engine(tmp_path / "no.yaml")


def test_the_hash_is_of_what_labels_depend_on() -> None:
    plain = as_engine("tblite").settings_hash
    assert as_engine({"engine": "tblite", "time_limit": 5}).settings_hash == plain
    assert as_engine({"engine": "tblite", "retry": {"accuracy": 2}}).settings_hash == plain
    assert as_engine({"engine": "tblite", "accuracy": 0.5}).settings_hash != plain


# --- PySCF ---------------------------------------------------------------------------------------


def pyscf(**settings: Any) -> Engine:
    pytest.importorskip("pyscf")
    return as_engine({"engine": "pyscf", "basis": "sto-3g", "method": "hf", **settings})


def test_hartree_fock_of_hydrogen_is_that_of_the_textbook() -> None:
    atoms = Atoms("H2", [[0, 0, 0], [0, 0, 1.4 * 0.529177210903]])
    found = pyscf().label(frame_of(atoms))
    assert found.energy / HARTREE == pytest.approx(-1.1167143, abs=1e-6)  # Szabo and Ostlund


@pytest.mark.parametrize("method", ["hf", "svwn", "mp2"])
def test_forces_of_a_molecule_are_derivatives(method: str) -> None:
    engine, atoms = pyscf(method=method, grid=1), water()
    found = engine.label(frame_of(atoms))
    assert found.forces[1, 2] == pytest.approx(slope(engine, atoms, 1, 2), abs=1e-5)
    assert np.abs(found.forces.sum(axis=0)).max() < 1e-8
    assert (found.dipole is None) == (method == "mp2")
    assert (DIPOLE in engine.gives) == (method != "mp2")


def test_dipoles_charges_and_spins_of_pyscf() -> None:
    engine = pyscf(multiplicity="lowest", charges="mulliken")
    atoms = molecule("H2O")
    found = engine.label(frame_of(atoms))
    # STO-3G has 1.7 D, toward the hydrogens.
    assert found.dipole[2] == pytest.approx(-0.36, abs=0.02)
    assert found.charges[0] == pytest.approx(-0.37, abs=0.03)
    ion = engine.label(frame_of(atoms, total_charge=1.0))
    assert ion.facts["multiplicity"] == 2
    moved = atoms.copy()
    moved.positions += [0, 0, 1.0]
    shifted = engine.label(frame_of(moved, total_charge=1.0)).dipole - ion.dipole
    assert shifted == pytest.approx([0, 0, 1], abs=1e-5)
    triplet = engine.label(frame_of(Atoms("O")))
    assert triplet.facts["multiplicity"] == 3
    singlet = pyscf(multiplicity=1).label(frame_of(Atoms("O")))
    assert singlet.energy > triplet.energy + 1


def test_a_free_atom_whose_open_shell_turns_converges() -> None:
    engine = pyscf(method="pbe", basis="def2-svp")  # by the first order it swings for ever
    found = engine.label(frame_of(Atoms("O")))
    assert found.facts["multiplicity"] == 3
    assert found.energy == pytest.approx(-2038.53, abs=0.01)


def test_heavy_atoms_get_the_potentials_of_their_cores() -> None:
    engine = pyscf(basis="def2-svp")
    atoms = Atoms("IH", [[0, 0, 0], [0, 0, 1.6]])
    assert engine._molecule(frame_of(atoms)).nelectron == 26  # of 54
    assert pyscf()._molecule(frame_of(atoms)).nelectron == 54


def test_an_scf_that_does_not_converge_is_no_label() -> None:
    engine = pyscf(max_iterations=2)
    with pytest.raises(LabellingError, match="did not converge in 2 iterations"):
        engine.label(frame_of(water()))
    assert pyscf(second_order=True).label(frame_of(water())).energy < 0


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"method": "pbr"}, "method is 'pbr', which PySCF does not know"),
        ({"method": "pbe-d3bj"}, "write method: pbe and dispersion: pbe"),
        ({"method": "lda"}, "exchange without correlation"),
        ({"method": "mp2", "density_fitting": True}, "no forces of mp2 with density_fitting"),
        ({"method": "pbe", "dispersion": "pbf"}, "no parameters for the functional 'pbf'"),
    ],
)
def test_what_pyscf_does_not_have_is_refused(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError) as error:
        pyscf(**settings)
    assert says in str(error.value)


def test_a_basis_is_asked_for_each_element() -> None:
    data = Dataset.from_frames([frame_of(Atoms("AuH", [[0, 0, 0], [0, 0, 1.5]]))])
    with pytest.raises(ConfigError, match="basis sto-3g has no functions for Au"):
        pyscf().check_all(data)
    with pytest.raises(ConfigError, match="basis is 'def2-svpp', which PySCF does not know; did"):
        pyscf(basis="def2-svpp").check_all(data)
    cell = Atoms("H2", [[0, 0, 0], [0, 0, 1]], cell=[9, 9, 9], pbc=True)
    with pytest.raises(DataError, match="is periodic, and HF/sto-3g is for molecules"):
        pyscf().check(frame_of(cell))


# --- calculators, models, programs ---------------------------------------------------------------


def test_any_calculator_of_ase() -> None:
    engine = as_engine("ase.calculators.emt:EMT")
    atoms = bulk("Cu", cubic=True)
    atoms.rattle(0.1, seed=3)
    found = engine.label(frame_of(atoms))
    atoms.calc = EMT()
    assert found.energy == atoms.get_potential_energy()
    assert np.array_equal(found.forces, atoms.get_forces())
    assert found.stress == pytest.approx(atoms.get_stress(voigt=False), abs=1e-12)
    assert engine.version.startswith("ase ")
    with pytest.raises(DataError, match=r"charge \+1 e, which ase.calculators.emt:EMT would not"):
        engine.check(frame_of(atoms, total_charge=1.0))


def test_a_charge_goes_into_the_option_that_takes_it(tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    settings = {
        "engine": "calculator",
        "calculator": "label_engines:Springs",
        "options": {"notes": str(notes)},
        "charge_option": "charge",
        "multiplicity_option": "multiplicity",
        "multiplicity": "lowest",
    }
    engine = as_engine(settings)
    frame = frame_of(molecule("H2O"), total_charge=1.0)
    engine.check(frame)
    found = engine.label(frame)
    assert notes.read_text() == "0 1 2\n"
    assert found.dipole == pytest.approx(molecule("H2O").positions.sum(axis=0))


def test_what_says_that_it_has_not_converged_is_no_label() -> None:
    options = {"unsure": [0]}
    engine = as_engine(
        {"engine": "calculator", "calculator": "label_engines:Springs"} | {"options": options}
    )
    with pytest.raises(LabellingError, match="says that it has not converged"):
        engine.label(frame_of(molecule("H2O")))


def test_a_model_teaches(tmp_path: Path) -> None:
    potential = argon()
    potential.save(tmp_path / "argon.ladera")
    engine = as_engine(tmp_path / "argon.ladera")
    atoms = bulk("Ar", a=5.3, cubic=True)
    atoms.rattle(0.1, seed=1)
    found, expected = engine.label(frame_of(atoms)), ladera.evaluate(potential, atoms)
    assert found.energy == pytest.approx(float(expected.energy), abs=1e-12)
    assert np.abs(found.forces - expected.forces.numpy()).max() < 1e-12
    assert np.abs(found.stress - expected.stress[0].numpy()).max() < 1e-12
    with pytest.raises(ConfigError, match=r"argon.ladera does not know H, O; it was made for Ar"):
        engine.check_all(Dataset.from_frames([frame_of(molecule("H2O"))]))


def _program(path: Path, text: str) -> Path:
    path.write_text(f"#!{sys.executable}\n{text}")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


@pytest.fixture
def espresso(tmp_path: Path) -> dict[str, Any]:
    """Settings of a Quantum ESPRESSO that keeps its input and does not converge."""
    (tmp_path / "Al.UPF").write_text('<PP_HEADER element="Al" z_valence="  3.0" />')
    program = _program(
        tmp_path / "pw.x",
        "import pathlib, shutil, sys\n"
        f"shutil.copy(sys.argv[-1], {str(tmp_path / 'seen')!r})\n"
        "print('Program PWSCF v.7.2')\nprint('convergence NOT achieved after 100 iterations')\n",
    )
    return {
        "engine": "espresso",
        "command": str(program),
        "pseudo_dir": str(tmp_path),
        "pseudopotentials": {"Al": "Al.UPF"},
        "cutoff_ry": 30,
    }


def test_quantum_espresso_is_told_what_the_settings_say(
    espresso: dict[str, Any], tmp_path: Path
) -> None:
    espresso |= {"smearing_ev": 0.2, "kpoints": [4, 4, 2]}
    engine = as_engine(espresso)
    frame = frame_of(bulk("Al"))
    engine.check_all(Dataset.from_frames([frame]))
    with pytest.raises(LabellingError, match="did not converge: 'convergence NOT achieved'"):
        engine.label(frame)
    seen = (tmp_path / "seen").read_text()
    assert "4 4 2" in seen
    for line in ("ecutwfc = 30", "ecutrho = 120", "tprnfor = .true.", "tstress = .true."):
        assert line in " ".join(seen.split())
    assert "degauss = 0.01469" in " ".join(seen.split())  # 0.2 eV in Rydberg
    assert not list(Path.cwd().glob("*.pwi"))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"command": "no-pw.x -nk 4"}, "there is no program no-pw.x"),
        ({"command": "env no-pw.x"}, "there is no program no-pw.x"),
        ({"pseudo_dir": "nowhere"}, "There is no folder nowhere of pseudopotentials"),
        ({"pseudopotentials": {"Al": "A1.UPF"}}, "did you mean"),
        ({"pseudopotentials": {"Xy": "Al.UPF"}}, "'Xy', which is no element"),
        ({"pseudopotentials": {}}, "no file for Al, which the frames contain"),
        ({}, "3 valence electrons, an odd number"),
        ({"kpoints": [2, 2]}, "kpoints"),
    ],
)
def test_settings_of_quantum_espresso_are_checked(
    espresso: dict[str, Any], changes: dict[str, Any], says: str
) -> None:
    with pytest.raises(ladera.LaderaError) as error:
        as_engine(espresso | changes).check_all(Dataset.from_frames([frame_of(bulk("Al"))]))
    assert says in str(error.value)


def test_a_molecule_without_a_cell_is_not_for_quantum_espresso(espresso: dict[str, Any]) -> None:
    with pytest.raises(DataError, match="is open, and Quantum ESPRESSO at 30 Ry needs a cell"):
        as_engine(espresso).check(frame_of(Atoms("Al2", [[0, 0, 0], [0, 0, 2.5]])))


def test_cp2k_is_checked_before_it_starts(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no program cp2k_shell"):
        as_engine("cp2k")
    command = str(_program(tmp_path / "cp2k_shell", "raise SystemExit(3)\n"))
    with pytest.raises(ConfigError, match="neither kpoints nor smearing_ev"):
        as_engine({"engine": "cp2k", "command": command, "kpoints": [2, 2, 2]})
    engine = as_engine({"engine": "cp2k", "command": command})
    with pytest.raises(DataError, match="is open, and CP2K"):
        engine.check(frame_of(molecule("H2O")))


def test_gpaw_is_told_what_the_settings_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "gpaw" not in sys.modules:
        with pytest.raises(ConfigError, match="engine gpaw needs a package that is not installed"):
            as_engine("gpaw")
    told: dict[str, Any] = {}

    def made(**options: Any) -> EMT:
        told.update(options)
        return EMT()

    (tmp_path / "Cu.PBE.gz").touch()
    fake = types.ModuleType("gpaw")
    vars(fake).update(GPAW=made, setup_paths=[str(tmp_path)], __version__="25.1")
    monkeypatch.setitem(sys.modules, "gpaw", fake)
    engine = as_engine({"engine": "gpaw", "kpoints": [4, 4, 4], "smearing_ev": 0.1})
    frame = frame_of(bulk("Cu"))
    engine.check_all(Dataset.from_frames([frame]))
    assert engine.label(frame).stress is not None
    assert told["mode"] == {"name": "pw", "ecut": 500.0}
    assert told["kpts"] == (4, 4, 4)
    assert told["occupations"] == {"name": "fermi-dirac", "width": 0.1}
    with pytest.raises(ConfigError, match=r"GPAW has no setup O.PBE in"):
        engine.check_elements(["O"])
    film = bulk("Cu", cubic=True)
    film.pbc = [True, True, False]
    with pytest.raises(DataError, match="open along c, and kpoints asks for 4 points there"):
        engine.check(frame_of(film))
    odd = as_engine("gpaw")
    with pytest.raises(DataError, match="29 electrons, an odd number"):
        odd.check(frame)


# --- one frame, as a process does it; an engine as a calculator ----------------------------------


def test_whatever_goes_wrong_is_a_reason(capfd: pytest.CaptureFixture[str]) -> None:
    settings = '{"engine": "calculator", "calculator": "label_engines:Springs", "options": %s}'
    frame = frame_of(molecule("H2O"))
    bad = compute(settings % '{"bad": [0]}', frame)
    assert bad.labels is None
    assert bad.reason == "RuntimeError: no basis for frame 0."
    assert "Traceback" in capfd.readouterr().err
    nan = compute(settings % '{"nan": [0]}', frame)
    assert nan.reason == "the force of atom 1 is not a finite number."
    good = compute(settings % "{}", frame)
    assert good.labels is not None
    assert good.wall > 0
    assert len(good.settings) == 12


def test_an_engine_drives_whatever_takes_a_calculator(tmp_path: Path) -> None:
    engine = as_engine("tblite")
    atoms = water()
    ladera.run_md(atoms, engine.calculator(), folder=tmp_path, steps=4, trajectory_interval=2)
    frames = ladera.read(tmp_path / "trajectory.traj")
    assert len(frames) == 3
    for frame in frames:  # labels are exact
        expected = engine.label(frame)
        assert frame.energy == pytest.approx(expected.energy, abs=1e-12)
        assert np.array_equal(frame.forces, expected.forces)
        assert frame.dipole == pytest.approx(expected.dipole, abs=1e-12)
    charged = water()
    charged.info["total_charge"] = 1
    with pytest.raises(DataError, match=r"The structure .* 9 electrons, an odd number"):
        ladera.evaluate(engine.calculator(), charged)
    ion = as_engine({"engine": "tblite", "multiplicity": "lowest"})
    expected = ion.label(frame_of(water(), total_charge=1.0))
    assert float(ladera.evaluate(ion.calculator(), charged).energy) == pytest.approx(
        expected.energy
    )


def test_a_crystal_of_one_atom_is_no_free_atom() -> None:
    engine = as_engine({"engine": "tblite", "multiplicity": "lowest"})
    assert engine.multiplicity_of(frame_of(bulk("Fe"))) == 1
    assert engine.multiplicity_of(frame_of(Atoms("Fe", cell=[15, 15, 15], pbc=True))) == 5


def test_the_charge_of_tblites_own_calculator_is_an_option() -> None:
    settings = {
        "engine": "calculator",
        "calculator": "tblite.ase:TBLite",
        "options": {"method": "GFN2-xTB", "verbosity": 0},
        "charge_option": "charge",
        "multiplicity_option": "multiplicity",
        "multiplicity": "lowest",
    }
    frame = frame_of(water(), total_charge=1.0)
    one = as_engine(settings).label(frame)
    other = as_engine({"engine": "tblite", "multiplicity": "lowest"}).label(frame)
    assert one.energy == pytest.approx(other.energy, abs=1e-6)
    assert one.forces == pytest.approx(other.forces, abs=1e-5)
    assert one.dipole == pytest.approx(other.dipole, abs=1e-6)
