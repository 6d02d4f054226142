"""Energies and forces of published and synthetic potentials against the numbers of n2p2."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import ladera
from ladera.codes.n2p2 import reading, scaling, tables, writing
from ladera.codes.n2p2.settings import SettingsWarning
from ladera.data import formats
from ladera.data.frame import Frame
from ladera.data.graphs import GraphStore
from ladera.jobs.n2p2 import outputs, training
from ladera.models.hdnnp import HDNNP
from ladera.potential import TrainingStatistics
from ladera.testing import check_forces, predict
from ladera.training.batches import Batches
from ladera.units import ATOMIC, METAL, UnitSystem

SHARED = Path(__file__).parents[2] / "shared" / "data"
N2P2 = SHARED / "n2p2"
SYNTHETIC = N2P2 / "hdnnp_synthetic"
pytestmark = pytest.mark.skipif(not N2P2.is_dir(), reason=f"there is no parity data in {SHARED}")

# The golden files below were made with these.
BOHR, HARTREE = 0.5291772083, 27.21138505


def expected_energy(path: Path) -> float:
    """energy_total of an expected_*_total.dat."""
    for line in path.read_text(encoding="utf-8").splitlines():
        words = line.split()
        if words[0] == "energy_total":
            return float(words[1])
    raise AssertionError(f"{path} has no energy_total")


def compare(folder: Path, frame: Frame, expected: Path, name: str, units: UnitSystem) -> None:
    """Energy to 1e-10, atomic energies and forces to 1e-9 of n2p2's (exact) columns."""
    potential = ladera.load(folder, units=units.name)
    prediction = predict(potential, frame.to_atoms())
    total = expected_energy(expected / f"{name}_total.dat")
    assert prediction.energy.item() / units.energy == pytest.approx(total, rel=1e-10)
    atoms = np.loadtxt(expected / f"{name}_atoms.dat")
    np.testing.assert_allclose(
        prediction.forces.numpy() / units.force, atoms[:, -3:], atol=1e-9, rtol=0
    )
    offsets = potential.reference_energies + potential.energy_shift
    own = prediction.atomic_energies - offsets[potential.element_index(prediction.graph)]
    np.testing.assert_allclose(own.numpy() / units.energy, atoms[:, 3], atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("case", sorted(p.name for p in SYNTHETIC.glob("*") if p.is_dir()))
def test_every_activation_and_scaling(case: str) -> None:
    dataset = formats.read(SYNTHETIC / "frames.data", units=ATOMIC)
    for k in range(3):
        compare(SYNTHETIC / case, dataset[k], SYNTHETIC / case, f"expected_f{k}", ATOMIC)


@pytest.mark.parametrize("case", ["water24", "water36", "water1080"])
def test_normalized_water(case: str) -> None:
    folder = N2P2 / "H2O_RPBE-D3"
    frame = formats.read(folder / case / "input.data", units=ATOMIC)[0]
    compare(folder / "potential", frame, folder / case, "expected", ATOMIC)


@pytest.mark.parametrize(("case", "units"), [("Cu2S_PBE", METAL), ("DMABN_SCAN", ATOMIC)])
def test_solid_and_molecule(case: str, units: UnitSystem) -> None:
    folder = N2P2 / case
    frame = formats.read(folder / "input.data", units=units)[0]
    compare(folder, frame, folder, "expected", units)


def test_the_comments_of_a_folder_state_its_units() -> None:
    assert ladera.load(N2P2 / "Cu2S_PBE").provenance["units"] == "angstrom-ev"
    water = N2P2 / "H2O_RPBE-D3" / "potential"
    assert ladera.load(water).provenance["units"] == "bohr-hartree"
    with pytest.warns(SettingsWarning, match="says in a comment that it is in bohr-hartree"):
        ladera.load(water, units="angstrom-ev")


def compare_golden(folder: Path, golden: Path, frames: list[Frame]) -> None:
    """Against numbers that n2p2 printed in Hartree and Bohr and somebody converted.

    That was done with other values of Bohr and Hartree: the structures are the same in Bohr. It
    prints nine digits, all of which have to be right. Its forces are wrong in cells so small that
    an atom sees its own image; there finite differences judge.
    """
    potential = ladera.load(folder, units="bohr-hartree")
    stored = np.load(golden)
    energies, forces, right = [], [], []
    for frame in frames:
        atoms = frame.to_atoms()
        atoms.set_cell(atoms.cell * (ATOMIC.length / BOHR), scale_atoms=True)
        prediction = predict(potential, atoms)
        own_images = bool((prediction.graph.centers == prediction.graph.neighbors).any())
        if own_images and all(right):
            check_forces(potential, atoms)
        energies.append(prediction.energy.item() / ATOMIC.energy)
        forces.append(prediction.forces.numpy() / ATOMIC.force)
        right += [not own_images] * len(atoms)
    found, expected = np.array(energies), stored["energy_eV"] / HARTREE
    ninth_digit = 10.0 ** (np.floor(np.log10(np.abs(expected))) - 8)
    assert (np.abs(found - expected) < 0.51 * ninth_digit).all()
    expected = stored["forces_eV_A"].reshape(-1, 3)[right] / (HARTREE / BOHR)
    assert len(expected) > 100
    np.testing.assert_allclose(np.concatenate(forces)[right], expected, atol=1e-9, rtol=5e-9)


@pytest.mark.parametrize("symbol", ["Si", "Ge", "Li", "Mo", "Ni"])
def test_published_potentials_of_mlearn(symbol: str) -> None:
    folder = SHARED / "mlearn_potentials" / symbol
    files = sorted((SHARED / "mlearn").glob(f"{symbol}_test*"))
    if not files:
        pytest.skip(f"there are no test frames of {symbol} in {SHARED / 'mlearn'}")
    frames = list(formats.read(files[0]))
    compare_golden(folder / "nnp", folder / "nnp_n2p2_golden_test.npz", frames)


def test_published_potential_of_water() -> None:
    folder = SHARED / "water_hdnnp_cc0"
    frames = formats.read(SHARED / "water_pbe0ts" / "test_even.extxyz.gz")
    compare_golden(folder, folder / "golden_n2p2_8frames.npz", [frames[k] for k in range(8)])


def test_function_data_and_scaling_data(tmp_path: Path) -> None:
    """The files that nnp-scaling made of all frames."""
    folder = SYNTHETIC / "softplus_sigma_norm"
    dataset = formats.read(SYNTHETIC / "frames.data", units=ATOMIC)
    potential = ladera.load(folder, units="bohr-hartree")
    assert isinstance(potential, HDNNP)
    outputs.write_function_data(tmp_path / "function.data", potential, dataset, ATOMIC)
    numbers = [
        [float(word) for word in (path / "function.data").read_text(encoding="utf-8").split()]
        for path in (tmp_path, folder)
    ]
    assert numbers[0] == pytest.approx(numbers[1], abs=1.01e-10)
    lines = (tmp_path / "function.data").read_text(encoding="utf-8").splitlines()
    assert (
        lines[1][:20] == (folder / "function.data").read_text(encoding="utf-8").splitlines()[1][:20]
    )

    graphs = [frame.graph(potential.cutoff) for frame in dataset]
    zeros = dict.fromkeys(potential.symbols, 0.0)
    potential.fit_statistics(graphs, TrainingStatistics(zeros, 0.0, 1.0))
    found = [writing.statistics(potential, element) for element in range(2)]
    scaling.write(tmp_path / "scaling.data", found)
    both = [np.loadtxt(path / "scaling.data") for path in (tmp_path, folder)]
    np.testing.assert_allclose(both[0], both[1], rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize("epoch", [0, 10])
def test_learning_curve_of_a_training(tmp_path: Path, epoch: int) -> None:
    """Errors of n2p2's weights on n2p2's 19 training frames and its test frame."""
    source = N2P2 / "H2O_train20"
    for name in ("input.nn", "scaling.data"):
        (tmp_path / name).write_bytes((source / name).read_bytes())
    for z in (1, 8):
        weights = source / f"weights.{z:03d}.{epoch:06d}.out"
        (tmp_path / f"weights.{z:03d}.data").write_bytes(weights.read_bytes())
    potential = ladera.load(tmp_path, units="bohr-hartree")
    dataset = formats.read(source / "input.data", units=ATOMIC)
    test = np.loadtxt(source / "testpoints.000010.out", ndmin=2)[:, 0].astype(np.int64)
    train = np.setdiff1d(np.arange(len(dataset)), test)
    _, energy, length = reading.normalization(reading.read_settings(tmp_path))
    path = tmp_path / outputs.CURVE
    outputs.LearningCurve(
        path,
        potential,
        Batches(dataset, GraphStore(dataset, potential.cutoff)),
        (train, test),
        ATOMIC,
        forces=True,
        internal=outputs.Internal(energy, energy / length),
    ).write(epoch)
    found = outputs.read_learning_curve(path)
    expected = outputs.read_learning_curve(source / "learning-curve.out")
    assert list(found) == list(expected)
    for name, column in expected.items():
        assert found[name][0] == pytest.approx(column[epoch], rel=2e-8), name


@pytest.mark.parametrize("case", ["kf_std_full_e", "kf_fading_full_e"])
def test_kalman_training_of_a_folder(tmp_path: Path, case: str) -> None:
    """The weights of nnp-train after five epochs, from its first weights.

    A run with forces has n2p2's order of updates only by chance; see test_kalman.py.
    """
    source = N2P2 / "LJ_training"
    for name in ("input.data", "scaling.data"):
        (tmp_path / name).write_bytes((source / name).read_bytes())
    weights = (source / case / "weights.010.000000.out").read_bytes()
    (tmp_path / "weights.010.data").write_bytes(weights)
    text = (source / case / "input.nn").read_text(encoding="utf-8")
    text += "\nuse_old_weights_short\n"
    (tmp_path / "input.nn").write_text(text, encoding="utf-8")
    with pytest.warns(SettingsWarning, match="is not honoured"):
        job = training.read_training(tmp_path, "angstrom-ev", ["epochs=5"])
    job.train(tmp_path / "run")
    for epoch, tolerance in ((0, 0.0), (1, 1e-9), (5, 1e-7)):
        name = f"weights.010.{epoch:06d}.out"
        found, expected = (
            np.array([float(row.words[0]) for row in tables.read(folder / name)])
            for folder in (tmp_path / "run", source / case)
        )
        np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)
