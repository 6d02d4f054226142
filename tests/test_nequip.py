"""NequIP: equivariance, every kind of layer and cutoff, statistics, domains, training."""

from __future__ import annotations

import csv
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from ase import Atoms
from pydantic import ValidationError

import ladera
from conftest import small_nequip, water_like
from ladera import Graph, cli, evaluate
from ladera.data import formats
from ladera.errors import DataError
from ladera.models.equivariant.irreps import wigner_d
from ladera.models.equivariant.radial import xplor_cutoff
from ladera.models.nequip import NequIP, NequIPConfig
from ladera.models.nequip.shapes import layer_shapes
from ladera.potential import TrainingStatistics
from ladera.testing import check_cutoff, check_rigid_motions, predict

MOLECULE = water_like(5, 3.0, False, 21)
KINDS: list[dict[str, Any]] = [
    {},
    {"channels": 3, "max_l": 3, "layers": 2},
    {"channels": (3, 2, 2, 2), "max_l": 1, "embedding_channels": 5},  # l = 3 is out of reach
    {"parity": "full", "channels": (3, 2, 2)},
    {"layer_norm": True, "connections": ("linear", "linear", "species"), "biases": True},
    {"connections": ("none",) * 3, "readout_layers": (6, 4), "train_basis": True},
    {"cutoff_start": 3.1, "solid_harmonics": True, "connections": ("species",) * 3},
]


def nequip(**changes: Any) -> NequIP:
    potential = small_nequip(**changes)
    assert isinstance(potential, NequIP)
    potential.scale.copy_(torch.tensor([100.0, 200.0]))  # random weights of few channels say little
    potential.average_neighbors.mul_(torch.tensor([1.0, 1.5]))
    return potential


def check_slope(potential: NequIP) -> None:
    """The forces along one displacement of all atoms against a four-point difference."""
    step = np.random.default_rng(9).normal(size=(len(MOLECULE), 3)) * 5e-4

    def energy(factor: int) -> float:
        moved = Atoms(MOLECULE.symbols, MOLECULE.positions + factor * step)
        return predict(potential, moved).energy.item()

    expected = (8 * (energy(1) - energy(-1)) - (energy(2) - energy(-2))) / 12
    work = -(predict(potential, MOLECULE).forces.numpy() * step).sum()
    assert abs(expected) > 1e-6
    assert work == pytest.approx(expected, rel=1e-6, abs=1e-9)


def orthogonal(determinant: int) -> np.ndarray:
    matrix = np.linalg.qr(np.random.default_rng(4).normal(size=(3, 3)))[0]
    return matrix * np.sign(np.linalg.det(matrix)) * determinant


@pytest.mark.parametrize(
    ("parity", "determinant"), [("natural", -1), ("full", 1), ("full", -1), ("none", 1)]
)
def test_features_turn_with_the_structure(parity: str, determinant: int) -> None:
    """h(R r) = D(R) h(r), for rotations and reflections, in every layer."""
    potential = nequip(parity=parity, layers=4, layer_norm=True)
    matrix = orthogonal(determinant)
    turned = Atoms(MOLECULE.symbols, MOLECULE.positions @ matrix.T)
    with torch.no_grad():
        before, after = (
            potential.features(Graph.from_atoms(atoms, potential.cutoff))
            for atoms in (MOLECULE, turned)
        )
    for layer, one, two in zip(potential.layers, before, after, strict=True):
        for irrep, left, right in zip(layer.shape.out, one, two, strict=True):
            d = torch.from_numpy(wigner_d(irrep, matrix))
            size = float(left.abs().max())
            assert size > 0
            torch.testing.assert_close(right, d @ left, rtol=0, atol=1e-9 * size)


def test_without_parity_a_mirror_image_differs() -> None:
    mirrored = Atoms(MOLECULE.symbols, MOLECULE.positions @ orthogonal(-1).T)
    for parity, same in (("natural", True), ("full", True), ("none", False)):
        potential = nequip(parity=parity)
        energies = [predict(potential, atoms).energy.item() for atoms in (MOLECULE, mirrored)]
        assert (abs(energies[0] - energies[1]) < 1e-8) is same


@pytest.mark.parametrize("changes", KINDS, ids=str)
def test_every_kind(changes: dict[str, Any]) -> None:
    potential = nequip(**changes)
    check_slope(potential)
    check_rigid_motions(potential, MOLECULE)
    check_cutoff(potential, ("H", "O"))
    rows = potential.descriptors(Graph.from_atoms(MOLECULE, potential.cutoff))
    assert rows.shape == (5, potential.config.layers * potential.config.widths[0])


def test_irreps_are_those_that_can_be_made_and_have_a_use() -> None:
    def out(**changes: Any) -> list[str]:
        shapes = layer_shapes(NequIPConfig(cutoff=4.0, **changes))
        return [" ".join(map(str, shape.out)) for shape in shapes]

    assert out() == ["0e 1o 2e"] * 3 + ["0e"]
    assert out(parity="none", max_l=1, channels=8) == ["0e 1e"] * 3 + ["0e"]
    assert out(parity="full") == ["0e 1o 2e", "0e 1e 1o 2e 2o", "0e 1o 2e", "0e"]
    assert out(max_l=1) == ["0e 1o", "0e 1o 2e", "0e 1o", "0e"]


def test_published_sizes() -> None:
    """The parameters of the middle layers of Nequix and SevenNet-0, counted from their papers."""
    nequix = {"channels": (128, 64, 32, 32), "max_l": 3, "connections": ("linear",) * 4}
    middle = layer_shapes(NequIPConfig(cutoff=6.0, **nequix))[1]
    assert sum(middle.widths) == 1312
    assert middle.widths == (256, 352, 384, 320)
    assert middle.columns == (256, 64, 32, 32)
    sevennet = {"channels": (128, 64, 32), "parity": "none"}
    middle = layer_shapes(NequIPConfig(cutoff=5.0, **sevennet))[1]
    assert sum(middle.widths) == 960


def test_xplor_cutoff() -> None:
    r = torch.tensor([3.0, 4.4999, 4.5, 4.75, 5.0, 6.0], dtype=torch.float64)
    half = (25 - 4.75**2) ** 2 * (25 + 2 * 4.75**2 - 3 * 20.25) / (25 - 20.25) ** 3
    expected = torch.tensor([1, 1, 1, half, 0, 0], dtype=torch.float64)
    torch.testing.assert_close(xplor_cutoff(r, 4.5, 5.0), expected)


def test_statistics_of_the_training_frames() -> None:
    potential = nequip()
    graphs = [Graph.from_atoms(water_like(9, 5.0, True, s), 4.0) for s in range(3)]
    far = Graph.from_atoms(Atoms("OH", [[0, 0, 0], [0, 0, 9.0]]), 4.0)
    statistics = TrainingStatistics({"H": -13.6, "O": -2041.8}, energy_shift=-1.5, force_scale=0.7)
    potential.fit_statistics([*graphs, far], statistics)
    mean = sum(g.n_edges for g in graphs) / 27
    assert potential.average_neighbors.tolist() == pytest.approx([mean, mean])
    with torch.no_grad():  # without a connection in the first layer, free atoms are constants
        energies = evaluate(potential, far, gradients=False).atomic_energies
    assert energies.tolist() == pytest.approx([-2041.8 - 1.5, -13.6 - 1.5])
    with pytest.raises(DataError, match="atom of O"):
        potential.fit_statistics(graphs, TrainingStatistics({"H": -13.6}, -1.5, 0.7))
    given = nequip(average_neighbors=7.0)
    assert given.average_neighbors.tolist() == pytest.approx([7.0, 10.5])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"connections": ("linear",)}, "1 entries for 4 layers"),
        ({"channels": ()}, "channels"),
        ({"cutoff_start": 4.0}, "not below the cutoff"),
        ({"parity": "odd"}, "natural"),
        ({"l_max": 2}, "l_max"),
    ],
)
def test_impossible_configurations(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        NequIPConfig(species=("H",), cutoff=4.0, **change)


def test_training_and_fine_tuning(tmp_path: Path) -> None:
    """`ladera train` with architecture: nequip learns in float32, and `ladera finetune` goes on."""
    with as_file(files("ladera.data") / "embedded" / "ethanol.extxyz.gz") as source:
        frames = formats.read(source)[:24]
    formats.write(frames, tmp_path / "ethanol.extxyz")
    model = {"channels": [4, 3], "max_l": 1, "layers": 2, "radial_layers": [8]}
    values = {
        "data": {"files": str(tmp_path / "ethanol.extxyz"), "split": {"validation": 6}},
        "model": {"architecture": "nequip", "cutoff": 3.5, **model},
        "reference_energies": {"H": -13.6, "C": -1036.0, "O": -2041.8},
        "loss": {"energy": 0.1, "forces": 1.0},
        "optimizer": {"name": "adam", "learning_rate": 0.05},
        "epochs": 12,
        "batch_size": 4,
        "precision": "float32",
    }
    (tmp_path / "nequip.yaml").write_text(yaml.safe_dump(values))
    first, second = tmp_path / "run", tmp_path / "tuned"
    ladera_command("train", str(tmp_path / "nequip.yaml"), "--output", str(first))
    errors = force_errors(first)
    assert errors[-1] < 0.8 * errors[0]
    potential = ladera.load(first)
    assert isinstance(potential, NequIP)
    assert potential.dtype == torch.float32
    assert potential.average_neighbors.min() > 1
    data = str(tmp_path / "ethanol.extxyz")
    # Without frames to validate on, on which one epoch may be worse than none.
    kept = ("--set", "epochs=1", "--set", "data.split={validation: 0, test: 0}")
    options = ("--method", "frozen", *kept, "--output", str(second))
    ladera_command("finetune", str(first), data, *options)
    tuned = ladera.load(second)
    moved = {
        name.split(".")[0] + "." + name.split(".")[1]
        for (name, one), two in zip(potential.named_parameters(), tuned.parameters(), strict=True)
        if not torch.equal(one, two)
    }
    assert moved == {"layers.1", "readout.weights"}  # what the last layers are


def ladera_command(*words: str) -> None:
    with pytest.raises(SystemExit) as finished:
        cli.main(list(words))
    assert finished.value.code in (0, None)


def force_errors(run: Path) -> list[float]:
    with (run / "log.csv").open() as log:
        return [float(r["validation_force_rmse_mev_per_angstrom"]) for r in csv.DictReader(log)]
