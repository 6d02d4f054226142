"""MACE: equivariance, every kind of layer and radial basis, statistics, domains, training."""

from __future__ import annotations

import csv
from importlib.resources import as_file, files
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from ase import Atoms
from pydantic import ValidationError

import ladera
from conftest import small_mace, water_like
from ladera import Graph, cli, evaluate
from ladera.data import formats
from ladera.errors import ConfigError, DataError
from ladera.models.equivariant.irreps import Irrep, natural, slices, wigner_d
from ladera.models.equivariant.linear import Elements
from ladera.models.mace import MACE, MACEConfig
from ladera.models.mace.couplings import make_couplings, tensors
from ladera.models.mace.product import ProductBasis
from ladera.potential import TrainingStatistics
from ladera.testing import check_rigid_motions, predict

KINDS = ("agnostic", "residual", "density", "density_residual", "nonlinear_residual")
MOLECULE = water_like(5, 3.0, False, 21)


def check_slope(potential: MACE) -> None:
    """The forces along one displacement of all atoms against a four-point difference."""
    step = np.random.default_rng(9).normal(size=(len(MOLECULE), 3)) * 5e-4

    def energy(factor: int) -> float:
        moved = Atoms(MOLECULE.symbols, MOLECULE.positions + factor * step)
        return predict(potential, moved).energy.item()

    expected = (8 * (energy(1) - energy(-1)) - (energy(2) - energy(-2))) / 12
    work = -(predict(potential, MOLECULE).forces.numpy() * step).sum()
    assert abs(expected) > 1e-6
    assert work == pytest.approx(expected, rel=1e-6, abs=1e-9)


def mace(**changes: Any) -> MACE:
    potential = small_mace(**changes)
    assert isinstance(potential, MACE)
    potential.scale.fill_(100.0)  # random weights of few channels say little
    return potential


@pytest.mark.parametrize("reflected", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_features_turn_with_the_structure(kind: str, reflected: bool) -> None:
    """h(R r) = D(R) h(r), for rotations and reflections, in every layer."""
    potential = mace(interactions=(kind,) * 3, num_interactions=3, hidden_l=2, correlation=2)
    matrix = np.linalg.qr(np.random.default_rng(4).normal(size=(3, 3)))[0]
    matrix *= np.sign(np.linalg.det(matrix)) * (-1 if reflected else 1)
    turned = Atoms(MOLECULE.symbols, MOLECULE.positions @ matrix.T)
    with torch.no_grad():
        before, after = (
            potential.features(Graph.from_atoms(atoms, potential.cutoff))
            for atoms in (MOLECULE, turned)
        )
    for one, two, l_max in zip(before, after, (2, 2, 0), strict=True):
        for irrep, part in zip(natural(l_max), slices(natural(l_max)), strict=True):
            d = torch.from_numpy(wigner_d(irrep, matrix))
            size = float(one[:, part].abs().max())
            assert size > 0
            torch.testing.assert_close(two[:, part], d @ one[:, part], rtol=0, atol=1e-9 * size)


def test_descriptors_are_invariant_and_one_row_an_atom() -> None:
    potential = mace()
    matrix = np.linalg.qr(np.random.default_rng(4).normal(size=(3, 3)))[0]
    turned = Atoms(MOLECULE.symbols, MOLECULE.positions @ matrix.T + 3.0)
    with torch.no_grad():
        one, two = (
            potential.descriptors(Graph.from_atoms(atoms, potential.cutoff))
            for atoms in (MOLECULE, turned)
        )
    assert one.shape == (len(MOLECULE), 2 * 4)
    torch.testing.assert_close(one, two, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("basis", ["bessel", "gaussian", "chebyshev"])
@pytest.mark.parametrize("transform", [None, "agnesi", "soft"])
def test_forces_of_every_radial_basis(basis: str, transform: str | None) -> None:
    potential = mace(basis=basis, transform=transform, correlation=2, zbl=basis == "gaussian")
    check_slope(potential)


@pytest.mark.parametrize("cut_inputs", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_forces_of_every_kind_of_layer(kind: str, cut_inputs: bool) -> None:
    potential = mace(
        interactions=(kind, kind),
        apply_cutoff=cut_inputs,
        edge_channels=(3, 2),
        edge_l=0,
        element_products=cut_inputs,
        readout_layers=(5, 5),
        readout_bias=True,
        gate="tanh",
    )
    check_slope(potential)
    check_rigid_motions(potential, MOLECULE)


@pytest.mark.parametrize(
    "sizes",
    [
        {"num_interactions": 1, "hidden_l": 0, "correlation": 1},
        {"num_interactions": 3, "hidden_l": 0, "max_l": 1, "correlation": 2},
        {"num_interactions": 2, "hidden_l": 2, "max_l": 3, "correlation": 2},
        {"num_interactions": 2, "hidden_l": 1, "max_l": 1, "correlation": 4},
        {"num_interactions": 2, "hidden_l": 3, "max_l": 2, "correlation": 2},
    ],
)
def test_sizes(sizes: dict[str, int]) -> None:
    potential = mace(**sizes, channels=3)
    check_rigid_motions(potential, MOLECULE)


@pytest.mark.parametrize(("out", "degree"), list(product(range(3), range(1, 4))))
def test_product_basis_is_the_full_contraction(out: int, degree: int) -> None:
    """Distinct monomials give what U does, summed over all its entries."""
    generator = torch.Generator().manual_seed(3)
    U = np.stack(tensors(natural(2), Irrep(out, (-1) ** out), degree), axis=-1)
    basis = ProductBasis(2, (Irrep(out, (-1) ** out),), degree, n_species=2, channels=3)
    A = torch.randn(4, 9, 3, dtype=torch.float64, generator=generator)
    index = torch.tensor([1, 0, 1, 1])
    expected = torch.zeros(4, 2 * out + 1, 3, dtype=torch.float64)
    for atom in range(4):
        for lower in range(1, degree + 1):
            U = np.stack(tensors(natural(2), Irrep(out, (-1) ** out), lower), axis=-1)
            weight = basis.weights[0][lower - 1][index[atom]].detach()
            part = torch.einsum("m...k,kc->m...c", torch.from_numpy(U), weight)
            for _ in range(lower):
                part = (part * A[atom]).sum(-2)
            expected[atom] += part
    with torch.no_grad():
        torch.testing.assert_close(basis(A, Elements.of(index)), expected)


def test_number_of_independent_products() -> None:
    """Of the couplings of the scalars, so many are different: known numbers for l = 3."""
    counts = [make_couplings(3, 0, degree).matrix.shape for degree in (1, 2, 3)]
    assert counts == [(1, 1), (16, 4), (77, 23)]
    assert np.linalg.matrix_rank(make_couplings(3, 0, 3).matrix) == 8


def test_statistics_of_the_training_frames() -> None:
    potential = ladera.build(MACEConfig(species=("H", "O"), cutoff=4.0, channels=2, max_l=1))
    graphs = [Graph.from_atoms(water_like(9, 5.0, True, s), 4.0) for s in range(3)]
    far = Graph.from_atoms(Atoms("OH", [[0, 0, 0], [0, 0, 9.0]]), 4.0)
    statistics = TrainingStatistics({"H": -13.6, "O": -2041.8}, energy_shift=-1.5, force_scale=0.7)
    potential.fit_statistics([*graphs, far], statistics)
    assert isinstance(potential, MACE)
    mean = sum(g.n_edges for g in graphs) / 27
    assert potential.average_neighbors.tolist() == pytest.approx([mean, mean])
    with torch.no_grad():  # free atoms of an agnostic first layer have nothing but constants
        energies = evaluate(potential, far, gradients=False).atomic_energies
    assert energies.tolist() == pytest.approx([-2041.8 - 1.5, -13.6 - 1.5])
    with pytest.raises(DataError, match="atom of O"):
        potential.fit_statistics(graphs, TrainingStatistics({"H": -13.6}, -1.5, 0.7))


def test_given_average_of_neighbors_is_kept() -> None:
    assert mace(average_neighbors=(7.0, 8.0)).average_neighbors.tolist() == [7.0, 8.0]


def test_heads_have_energies_of_their_own() -> None:
    one, two, unnamed = (mace(heads=("pbe", "cc"), head=head) for head in ("pbe", "cc", None))
    energies = [predict(each, MOLECULE).energy.item() for each in (one, two, unnamed)]
    assert energies[0] == energies[2]
    assert abs(energies[0] - energies[1]) > 1e-3
    check_slope(two)


def test_the_seed_decides_the_weights() -> None:
    config = MACEConfig(species=("H",), cutoff=4.0, channels=2, max_l=1)
    states = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        states.append(ladera.build(config).state_dict()["embedding"])
    assert torch.equal(states[0], states[1])
    assert not torch.equal(states[0], states[2])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"interactions": ("agnostic",)}, "1 entries for 2 layers"),
        ({"average_neighbors": (3.0, 3.0, 3.0)}, "3 entries for 2 layers"),
        ({"heads": ("a", "b"), "head": "c"}, "no head 'c'"),
        ({"heads": ("a", "a")}, "different names"),
        ({"max_ell": 2}, "max_ell"),
        ({"interactions": ("agnostik", "residual")}, "agnostic"),
    ],
)
def test_impossible_configurations(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        MACEConfig(species=("H",), cutoff=4.0, **change)


def test_no_species() -> None:
    with pytest.raises(ConfigError, match="no species"):
        ladera.build(MACEConfig(cutoff=4.0))


def test_training_on_the_embedded_molecule(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`ladera train` with architecture: mace learns, and `ladera info` knows what came out."""
    with as_file(files("ladera.data") / "embedded" / "ethanol.extxyz.gz") as source:
        frames = formats.read(source)[:30]
    formats.write(frames, tmp_path / "ethanol.extxyz")
    model = {"channels": 4, "max_l": 1, "hidden_l": 0, "correlation": 2, "radial_layers": [8]}
    values = {
        "data": {"files": str(tmp_path / "ethanol.extxyz"), "split": {"validation": 6}},
        "model": {"architecture": "mace", "cutoff": 3.5, **model},
        "reference_energies": {"H": -13.6, "C": -1036.0, "O": -2041.8},
        "loss": {"energy": 0.1, "forces": 1.0},
        "optimizer": {"name": "adam", "learning_rate": 0.05},
        "epochs": 15,
        "batch_size": 4,
    }
    (tmp_path / "mace.yaml").write_text(yaml.safe_dump(values))
    folder = str(tmp_path / "run")
    with pytest.raises(SystemExit) as finished:
        cli.main(["train", str(tmp_path / "mace.yaml"), "--output", folder])
    assert finished.value.code in (0, None)
    with (tmp_path / "run" / "log.csv").open() as log:
        errors = [float(r["validation_force_rmse_mev_per_angstrom"]) for r in csv.DictReader(log)]
    assert errors[-1] < 0.8 * errors[0]
    potential = ladera.load(folder)
    assert isinstance(potential, MACE)
    assert potential.average_neighbors.min() > 1
    capsys.readouterr()
    with pytest.raises(SystemExit):
        cli.main(["info", folder])
    assert "mace" in capsys.readouterr().out
