"""Cells of molecules kept whole: their dipoles, infrared spectra, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.calculator import Calculator, all_changes
from ase.io import write
from ase.optimize import BFGS

import ladera
from ladera import Committee, Graph, evaluate, loading
from ladera.cli import main
from ladera.errors import DataError, PropertyError
from ladera.models.hdnnp.dipole import HDNNPDipole, HDNNPDipoleConfig
from ladera.models.hdnnp_4g import HDNNP4G, HDNNP4GConfig
from ladera.models.mace import MACE, MACEConfig
from ladera.molecules import Molecules, NetworkError, hydrogen_bonds
from ladera.potential.moments import moments_of_molecules
from ladera.properties import result
from ladera.properties.dipoles import WholeDipoles, along, dipoles_of, left_out
from ladera.properties.infrared import infrared
from ladera.properties.marks import Marks, read_marks
from ladera.properties.spectrum import spectrum
from ladera.properties.trajectory import Trajectory
from ladera.properties.vibrations import vibrations
from ladera.structure import Structure, StructureWarning

STIFFNESS, CHARGE = 30.0, 0.4  # eV/Angstrom^2, e
SIZES = {"channels": 4, "max_l": 2, "correlation": 2, "num_radial": 4, "radial_layers": (8,)}


def mace(seed: int = 0, **changes) -> MACE:
    torch.manual_seed(seed)
    config = MACEConfig(
        species=("H", "O"), cutoff=4.0, outputs=("energy", "dipole"), **SIZES | changes
    )
    return MACE(config).eval()


def hdnnp() -> HDNNPDipole:
    torch.manual_seed(0)
    return HDNNPDipole(HDNNPDipoleConfig(species=("H", "O"), cutoff=4.0, size="small")).eval()


def hdnnp_4g() -> HDNNP4G:
    torch.manual_seed(0)
    return HDNNP4G(HDNNP4GConfig(species=("H", "O"), cutoff=4.0, size="small")).eval()


def committee() -> Committee:
    return Committee([mace(0), mace(1)])


MODELS = pytest.mark.parametrize("make", [mace, hdnnp, hdnnp_4g, committee])


def two_waters() -> Atoms:
    """A crystal of two molecules in a skewed, left-handed cell, all atoms folded into it."""
    one = molecule("H2O")
    two = one.copy()
    two.rotate(70, (1, 2, 3))
    two.positions += [2.9, 0.4, 0.6]
    cell = np.array([[0.3, 0.2, 4.4], [5.9, 0.1, 0.5], [0.4, 4.7, -0.3]])
    atoms = Atoms(one + two, cell=cell[[1, 0, 2]] * [[1], [1], [1]], pbc=True)
    assert np.linalg.det(atoms.cell.array) < 0
    atoms.positions += [0.2, 0.1, 0.1]
    atoms.wrap()
    return atoms


def moment(potential, atoms: Atoms) -> np.ndarray:
    """mu of the molecules of a cell, and their charges."""
    structure = Structure.from_atoms(atoms)
    with torch.no_grad():
        said = evaluate(potential, Graph.of(structure, potential.cutoff), gradients=False)
        return moments_of_molecules(said, Molecules.of(structure))[0].numpy()


def scale_charges(potential: MACE, factor: float) -> None:
    with torch.no_grad():
        for name, value in potential.named_parameters():
            if "dipole.charges" in name:
                value *= factor


@MODELS
def test_neither_images_nor_origin_nor_the_choice_of_the_cell_matter(make) -> None:
    potential, atoms = make(), two_waters()
    assert Molecules.of(Structure.from_atoms(atoms)).images.any()
    before = moment(potential, atoms)
    assert np.abs(before[:3]).max() > 1e-3
    images, moved, other = atoms.copy(), atoms.copy(), atoms.copy()
    images.positions += np.random.default_rng(3).integers(-2, 3, (6, 3)) @ atoms.cell.array
    moved.positions += [1.3, -2.7, 0.4]
    moved.wrap()
    other.set_cell(np.array([[1, 0, 0], [1, 1, 0], [0, -1, 1]]) @ atoms.cell.array)
    for same in (images, moved, other):
        assert moment(potential, same) == pytest.approx(before, abs=1e-10)
    turn = np.linalg.qr(np.random.default_rng(5).normal(size=(3, 3)))[0]
    turned = Atoms(atoms.symbols, atoms.positions @ turn, cell=atoms.cell @ turn, pbc=True)
    assert moment(potential, turned)[:3] == pytest.approx(before[:3] @ turn, abs=1e-10)
    assert moment(potential, atoms * (2, 1, 1))[:3] == pytest.approx(2 * before[:3], abs=1e-6)


@pytest.mark.parametrize("make", [mace, hdnnp])
def test_molecules_far_from_each_other_have_the_sum_of_their_dipoles(make) -> None:
    potential, one = make(), molecule("H2O")
    two = Atoms("OHH", [[0, 0, 0], [0.9, 0.3, 0], [-0.4, 0.8, 0.3]])
    alone = [potential.calculator().get_property("dipole", each) for each in (one, two)]
    two.positions += [9, 9, 9]
    cell = Atoms(one + two, cell=[20, 20, 20], pbc=True)
    found = moment(potential, cell)
    assert found[:3] == pytest.approx(sum(alone), abs=1e-7)
    assert abs(found[3]) > 1e-4  # as the model has it, charge flows over any distance


@MODELS
def test_slopes_are_those_of_the_moment(make) -> None:
    potential, atoms = make(), two_waters()
    structure = Structure.from_atoms(atoms)
    found = WholeDipoles(potential, Molecules.of(structure)).slopes(structure, None)
    assert found.words == "derivatives of the model, of molecules kept whole"
    step = np.random.default_rng(1).normal(size=(6, 3))
    ends = []
    for h in (1e-4, -1e-4):
        copy = atoms.copy()
        copy.positions += h * step
        ends.append(moment(potential, copy))
    numeric = (ends[0] - ends[1]) / 2e-4
    assert step.ravel() @ found.dipole == pytest.approx(numeric[:3], rel=1e-5, abs=1e-7)
    assert step.ravel() @ found.flows == pytest.approx(numeric[3:], rel=1e-5, abs=1e-7)
    assert found.dipole.reshape(-1, 3, 3).sum(axis=0) == pytest.approx(0, abs=1e-10)


class Springs(Calculator):
    """Two charges on a spring of 1 Angstrom for each pair of atoms (0, 1), (2, 3), ..."""

    implemented_properties = ["energy", "forces", "dipole"]  # noqa: RUF012

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        forces, energy, dipole = np.zeros((len(self.atoms), 3)), 0.0, np.zeros(3)
        for i in range(0, len(self.atoms), 2):
            bond = self.atoms.get_distance(i, i + 1, mic=self.atoms.pbc.any(), vector=True)
            length = np.linalg.norm(bond)
            pull = STIFFNESS * (length - 1) * bond / length
            forces[i], forces[i + 1] = pull, -pull
            energy += 0.5 * STIFFNESS * (length - 1) ** 2
            dipole += CHARGE * bond
        assert not (self.atoms.pbc.any() and "dipole" in properties)
        self.results = {"energy": energy, "forces": forces, "dipole": dipole}


def hydroxyls() -> Atoms:
    """Two pairs in a cell, each across one of its faces."""
    places = [[3.8, 2, 2], [0.8, 2, 2], [2, 5.7, 5], [2, 0.7, 5]]
    return Atoms("OHOH", places, cell=[4, 6, 7], pbc=True)


def test_another_calculators_dipoles_are_those_of_each_molecule_by_itself(tmp_path) -> None:
    crystal = hydroxyls()
    crystal.calc = Springs()
    found = infrared(crystal, dipoles=Springs(), marks=Marks(np.array([2800.0]), ("stretch",)))
    reduced = 15.999 * 1.008 / (15.999 + 1.008)
    exact = 521.471 * np.sqrt(STIFFNESS / reduced)
    assert len(found.frequencies) == 9  # three translations of the cell are none
    assert found.frequencies[-2:] == pytest.approx(exact, rel=1e-3)
    strongest = 2 * 974.880 * CHARGE**2 / reduced
    assert found.intensities[-2:].sum() == pytest.approx(strongest, rel=1e-3)
    assert "each molecule by itself in vacuum" in found.table().notes[0]
    assert "per cell (2 molecules)" in found.table().notes[1]
    marks = found.tables()[1].records()
    assert marks["computed (cm^-1)"] == pytest.approx([exact], abs=1.5)
    assert marks["difference (cm^-1)"] == pytest.approx([exact - 2800], abs=1.5)
    assert found.plot().axes[0].texts[0].get_text() == "stretch 2800"
    with pytest.raises(DataError, match="its dipole moment depends"):  # and is not zero
        loading.as_potential(Springs()).calculator().get_property("dipole", crystal)
    with pytest.raises(PropertyError, match=r"no dipole of a cell.*--vacuum"):
        infrared(crystal)
    assert infrared(crystal, vacuum=True).intensities == pytest.approx(found.intensities)
    crystal.pbc = False
    crystal.positions[1::2] = crystal.positions[::2] + np.eye(3)[:2]
    apart = vibrations(crystal, infrared=True, dipoles=Springs())
    assert apart.intensities[-2:].sum() == pytest.approx(strongest, rel=1e-3)
    assert apart.of_cell == ""


def test_a_molecule_in_a_large_cell_has_the_spectrum_of_the_molecule() -> None:
    alone = molecule("CH3CH2OH")
    alone.calc = ladera.load("ethanol-mace").calculator()
    BFGS(alone, logfile=None).run(fmax=1e-5, steps=200)
    one = vibrations(alone, infrared=True)
    box = Atoms(alone.symbols, alone.positions, cell=[14, 15, 16], pbc=True)
    box.wrap()
    assert np.ptp(box.positions, axis=0).max() > 10  # across its faces
    found = vibrations(box, "ethanol-mace", infrared=True)
    assert found.frequencies[3:] == pytest.approx(one.frequencies, rel=1e-6)
    assert found.intensities[3:] == pytest.approx(one.intensities, rel=1e-4, abs=1e-3)
    assert found.charge_flow == 0


def test_a_cell_of_ions_and_what_bonds_run_through_are_refused() -> None:
    salt = bulk("NaCl", "rocksalt", a=5.64)
    with pytest.raises(NetworkError, match=r"Bonds run through the cell along \[.*charges: false"):
        Molecules.of(Structure.from_atoms(salt))
    chain = Atoms("HOHO", [[0.5, 2, 2], [1.5, 2, 2], [2.6, 2, 2], [3.7, 2, 2]], cell=[4.4, 9, 9])
    chain.pbc = (True, False, False)
    with pytest.raises(NetworkError, match=r"along \[-?1 0 0\]"):
        Molecules.of(Structure.from_atoms(chain))
    chain.pbc = False
    assert Molecules.of(Structure.from_atoms(chain)).count == 1
    potential, atoms = mace(), two_waters()
    scale_charges(potential, 1e4)
    with pytest.raises(DataError, match=r"has a charge of [+-].* more than 0.5: of ions"):
        moment(potential, atoms)
    atoms.info["total_charge"] = 1.0
    with pytest.raises(DataError, match=r"cell has a charge of \+1 e"):
        moment(mace(), atoms)


def test_a_model_without_charges_has_a_dipole_in_any_cell() -> None:
    potential = mace(charges=False)
    ice = Atoms("OH", [[0, 0, 0], [0, 0, 1.1]], cell=[2.9, 2.9, 2.2], pbc=True)
    found = WholeDipoles(potential, None).slopes(Structure.from_atoms(ice), None)
    assert np.abs(found.dipole).max() > 0
    assert not len(found.charges)


def test_what_molecules_are() -> None:
    bonded = Atoms("OHHO", [[0, 0, 0], [0.96, 0, 0], [-0.3, 0.9, 0], [2.6, 0, 0]])  # H...O 1.64
    assert Molecules.of(Structure.from_atoms(bonded)).index.tolist() == [0, 0, 0, 1]
    shared = Atoms("OHO", [[0, 0, 0], [1.2, 0, 0], [2.4, 0, 0]])  # a proton in the middle
    assert Molecules.of(Structure.from_atoms(shared)).count == 1
    argon = bulk("Ar", "fcc", a=5.3, cubic=True)
    assert Molecules.of(Structure.from_atoms(argon)).count == 4
    iodine = Atoms("I4", [[0, 0, 0], [2.72, 0, 0], [6.22, 0, 0], [8.94, 0, 0]])
    assert Molecules.of(Structure.from_atoms(iodine)).index.tolist() == [0, 0, 1, 1]


def test_what_is_left_out_is_no_more_than_is_said() -> None:
    potential, pair = mace(), molecule("H2O") + molecule("H2O")
    pair.positions[3:] += [0.5, 2.2, 1.9]
    structure = Structure.from_atoms(pair)
    molecules = Molecules.of(structure)
    kept, whole = (
        WholeDipoles(potential, each).slopes(structure, None) for each in (molecules, None)
    )
    moves = np.linalg.qr(np.random.default_rng(4).normal(size=(18, 18)))[0]
    with pytest.warns(StructureWarning, match=r"charge flow between.*charges: false"):
        part = left_out(pair, molecules, kept, moves)
    missing = np.linalg.norm(whole.dipole - kept.dipole) / np.linalg.norm(kept.dipole)
    assert 0.1 < missing <= part < 2 * missing
    assert left_out(pair, None, whole, moves) == 0


def test_hydrogen_bonds_that_molecules_by_themselves_leave_out_are_said() -> None:
    """Across a face of the cell as well; none is told of where the molecules are apart."""
    water = molecule("H2O")
    along_bond = water.positions[1] - water.positions[0]
    along_bond /= np.linalg.norm(along_bond)
    other = water.copy()
    other.rotate(180, "x")
    for distance, shift in ((2.8, 0), (2.8, 4.5), (4.5, 0)):
        other.positions += water.positions[0] + distance * along_bond - other.positions[0]
        crystal = Atoms(water + other, cell=[12, 9, 9], pbc=True)
        crystal.positions += [0, shift, 0]
        crystal.wrap()
        structure = Structure.from_atoms(crystal)
        if distance > 4:
            assert hydrogen_bonds(structure, Molecules.of(structure)) == 0
            dipoles_of(crystal, mace(), True)  # warnings are errors here
            continue
        with pytest.warns(StructureWarning, match=r"hydrogen bonds? between.*too weak"):
            dipoles_of(crystal, mace(), True)


def test_commands_take_dipoles_from_elsewhere(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    crystal = hydroxyls()
    crystal.calc = Springs()
    monkeypatch.setattr("ladera.cli.vibrations.with_model", lambda *paths: crystal)
    (tmp_path / "bands.txt").write_text("2800 O-H stretch\n")
    (tmp_path / "model.ladera").write_bytes(b"\0 a model, in the place of which springs answer")
    crystal.write("crystal.extxyz")
    source = ["--dipoles", "test_molecular_crystals:Springs"]
    with pytest.raises(SystemExit, match=r"^0$"):
        main(["ir", "model.ladera", "crystal.extxyz", *source, "--marks", "bands.txt"])
    said = capsys.readouterr().out
    assert "each molecule by itself in vacuum" in said
    assert "O-H stretch" in said
    rng = np.random.default_rng(0)
    frames = []
    for _ in range(60):
        frame = hydroxyls()
        frame.positions += 0.01 * rng.normal(size=(4, 3))
        frames.append(frame)
    write("run.extxyz", frames)
    with pytest.raises(SystemExit, match=r"^0$"):
        main(["spectrum", "run.extxyz", "--interval", "1", "--resolution", "1500", *source,
              "--marks", "bands.txt"])  # fmt: skip
    found = result.load("spectrum")
    assert found.infrared.max() > 0
    assert found.mark_labels == ("O-H stretch",)
    assert result.load("ir").plot()
    assert found.plot()


def test_dipoles_along_a_trajectory_are_those_of_its_frames() -> None:
    potential, atoms = mace(), two_waters()
    rng, frames = np.random.default_rng(2), []
    for shift in range(5):
        copy = atoms.copy()
        copy.positions += 0.02 * rng.normal(size=(6, 3)) + 0.9 * shift
        copy.wrap()
        frames.append(copy)
    run = Trajectory.from_positions(
        atoms.numbers,
        np.array([frame.positions for frame in frames]),
        atoms.cell.array,
        1.0,
    )
    scale_charges(potential, 0.1)
    kept, words = along(run, potential)
    found = kept.dipoles
    assert words == "of molecules kept whole"
    expected = np.array([moment(potential, frame)[:3] for frame in frames])
    assert found == pytest.approx(expected, abs=1e-9)
    with pytest.raises(PropertyError, match="vacuum says how"):
        spectrum(run, vacuum=True)
    ends = run.positions.copy()
    ends[-1, 1] = ends[-1, 3] + [0.9, 0, 0]
    with pytest.warns(StructureWarning, match="bonded with each other in the last one"):
        along(Trajectory(run.numbers, ends, run.cells, 1.0), potential)


def test_marks_are_read_and_bad_ones_named(tmp_path) -> None:
    path = tmp_path / "bands.txt"
    path.write_text("# of hematin\n1664: C=O stretch\n\n1211 'C-O'\n1711\n")
    marks = read_marks(path)
    assert marks.wavenumbers.tolist() == [1211, 1664, 1711]
    assert marks.labels == ("C-O", "C=O stretch", "")
    for text in ("1664 a\n1664 b\n", "C=O 1664\n", "0 none\n", ""):
        path.write_text(text)
        with pytest.raises(DataError, match=r"bands.txt.*'1664 C=O stretch'"):
            read_marks(path)
    with pytest.raises(DataError, match="no file"):
        read_marks(tmp_path / "none.txt")
