"""What the HDNNP promises beyond the contract."""

from __future__ import annotations

import math
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from ase import Atoms

import ladera
from conftest import SPECIES, fitted, hdnnp_generated, mixed_functions, water_like
from ladera import Graph, loading, modelfile
from ladera.errors import ConfigError, DataError, ModelFileError
from ladera.kernels.activations import ACTIVATION_NUMBERS, ACTIVATIONS, activate
from ladera.models.hdnnp import HDNNP, HDNNPConfig
from ladera.models.hdnnp.config import Scaling
from ladera.models.hdnnp.scaling import principal_components
from ladera.potential import TrainingStatistics
from ladera.testing import check_contract, check_fast_path, check_forces, predict


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_of_both_paths_agree(name: str) -> None:
    for value in (-40.0, -2.0, -0.3, 0.0, 0.4, 1.7, 36.0):
        x = torch.tensor(value, dtype=torch.float64, requires_grad=True)
        y = ACTIVATIONS[name](x)
        (slope,) = torch.autograd.grad(y, x)
        number, change = activate(ACTIVATION_NUMBERS[name], value)
        assert number == pytest.approx(y.item(), rel=1e-13, abs=1e-15)
        if not (name == "relu" and value == 0.0):
            assert change == pytest.approx(slope.item(), rel=1e-12, abs=1e-14)


def test_twisted_tangent_has_the_constants_of_aenet() -> None:
    x = torch.tensor([-1.0, 1.0, 600.0], dtype=torch.float64)
    expected = [-1.7159 * np.tanh(2 / 3) - 0.1, 1.7159 * np.tanh(2 / 3) + 0.1, 1.7159 + 60.0]
    assert ACTIVATIONS["tanh_twist"](x).numpy() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("scaling", get_args(Scaling))
@pytest.mark.parametrize(
    "activation",
    ["tanh", "softplus", "tanh_twist", "tanh_weak_twist", "tanh_scaled", "leaky_relu"],
)
def test_scaling_and_activation_on_the_fast_path(scaling: str, activation: str) -> None:
    config = HDNNPConfig(
        species=SPECIES,
        cutoff=4.0,
        symmetry_functions=mixed_functions(4.0),
        hidden_layers=(5, 4, 3),
        activation=activation,
        scaling=scaling,
        scale_range=(-1.0, 1.0),
    )
    check_fast_path(fitted(config), water_like(8, 5.0, True, 1))


def test_scaled_training_set_has_the_promised_range() -> None:
    graphs = [Graph.from_atoms(water_like(9, 5.0, True, s), 4.0) for s in range(6)]
    statistics = TrainingStatistics({"H": 0.0, "O": 0.0}, 0.0, 1.0)
    for scaling in ("scale", "sigma", "center"):
        config = HDNNPConfig(species=SPECIES, cutoff=4.0, size="small", scaling=scaling)
        potential = ladera.build(config)
        assert isinstance(potential, HDNNP)
        potential.fit_statistics(graphs, statistics)
        G = torch.cat([potential.symmetry_functions(g) for g in graphs])
        index = torch.cat([potential.element_index(g) for g in graphs])
        x = potential.input_scaling().inputs(G, index)[index == 1]
        varies = potential.deviation[1] > 0
        assert int(varies.sum()) > 10
        if scaling == "scale":
            torch.testing.assert_close(
                x[:, varies].amin(0), torch.zeros(int(varies.sum())).double()
            )
            torch.testing.assert_close(x[:, varies].amax(0), torch.ones(int(varies.sum())).double())
        else:
            assert x[:, varies].mean(0).abs().max() < 1e-9
        if scaling == "sigma":
            torch.testing.assert_close(x[:, varies].std(0), torch.ones(int(varies.sum())).double())


def test_principal_components_are_independent_and_large_ones_stay_large() -> None:
    graphs = [Graph.from_atoms(water_like(9, 5.0, True, s), 4.0) for s in range(12)]
    config = HDNNPConfig(species=SPECIES, cutoff=4.0, size="large", scaling="principal")
    config = config.for_training(graphs)
    potential = ladera.build(config)
    assert isinstance(potential, HDNNP)
    potential.fit_statistics(graphs, TrainingStatistics({"H": 0.0, "O": 0.0}, 0.0, 1.0))
    G = torch.cat([potential.symmetry_functions(g) for g in graphs])
    index = torch.cat([potential.element_index(g) for g in graphs])
    x = potential.input_scaling().inputs(G, index)
    for element, count in enumerate(potential.input_counts):
        own = x[index == element, :count]
        assert own.mean(0).abs().max() < 1e-9
        covariance = own.T @ own / len(own)
        variances = covariance.diag()
        assert (covariance - variances.diag()).abs().max() < 1e-9 * variances.max()
        assert variances.mean().item() == pytest.approx(1.0)
        raw = G[index == element, : potential.plan.counts[element]]
        expected = torch.linalg.eigvalsh((raw - raw.mean(0)).T @ (raw - raw.mean(0)) / len(raw))
        expected = expected.flip(0)[:count] ** 0.7
        torch.testing.assert_close(variances, expected / expected.mean(), rtol=1e-5, atol=0)
    assert config.components == dict(zip(SPECIES, potential.input_counts, strict=True))
    assert all(
        n < m for n, m in zip(potential.input_counts, potential.plan.counts, strict=True)
    )  # functions of a few frames depend on one another


def test_principal_components_keep_the_contract(tmp_path: Path) -> None:
    config = HDNNPConfig(
        species=SPECIES, cutoff=4.0, size="huge", scaling="principal", components={"H": 30, "O": 9}
    )
    potential = fitted(config)
    check_contract(potential, water_like(8, 5.0, True, 1))
    modelfile.save(potential, tmp_path / "model.ladera")
    expected = predict(potential, water_like(8, 5.0, True, 1)).energy
    assert predict(ladera.load(tmp_path / "model.ladera"), water_like(8, 5.0, True, 1)).energy == (
        expected
    )


def test_dependent_and_constant_functions_make_no_component() -> None:
    generator = np.random.default_rng(1)
    G = generator.normal(size=(50, 4)) * [3.0, 1.0, 0.3, 0.1]
    twice = np.column_stack([G, G[:, :1], np.full(50, 0.7)])
    found = principal_components(twice)
    assert found.shape == (6, 4)
    assert np.abs(found[5]).max() < 1e-12
    assert found[0] == pytest.approx(found[4])
    assert principal_components(twice, 6)[:, :4] == pytest.approx(found)
    assert not principal_components(twice, 6)[:, 4:].any()
    assert principal_components(twice, 2).shape == (6, 2)
    assert principal_components(generator.normal(size=(700, 600))).shape == (600, 512)
    assert principal_components(np.full((5, 3), 0.7) + 1e-15 * G[:5, :3]).tolist() == [[0.0]] * 3


def test_components_without_their_scaling_are_refused() -> None:
    with pytest.raises(ValueError, match="components are for scaling: principal, not sigma"):
        HDNNPConfig(species=SPECIES, cutoff=4.0, scaling="sigma", components={"H": 3, "O": 3})
    with pytest.raises(ValueError, match="components has no entry for O; add it"):
        HDNNPConfig(species=SPECIES, cutoff=4.0, scaling="principal", components={"H": 3})
    many = HDNNPConfig(species=SPECIES, cutoff=4.0, components={"H": 9999, "O": 3})
    with pytest.raises(ConfigError, match="components of H are 9999, but it has 76 symmetry"):
        ladera.build(many)


def test_a_function_that_never_varies_brings_no_noise() -> None:
    """One molecule has one O: the O-O functions are rounding errors and must not be scaled up."""
    molecule = Atoms("OHH", [[0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]])
    graphs = []
    for seed in range(10):
        moved = molecule.copy()
        moved.rattle(0.05, seed=seed)
        graphs.append(Graph.from_atoms(moved, 4.0))
    torch.manual_seed(0)
    potential = ladera.build(HDNNPConfig(species=SPECIES, cutoff=4.0))
    potential.fit_statistics(graphs, TrainingStatistics({"H": 0.0, "O": 0.0}, 0.0, 1.0))
    check_forces(potential, molecule)
    assert predict(potential, molecule).forces.abs().max() < 1e3


def test_extrapolation_is_counted_per_atom() -> None:
    potential = hdnnp_generated()
    inside = Graph.from_atoms(water_like(12, 6.0, True, 2), potential.cutoff)
    assert int(potential.extrapolations(inside).sum()) == 0
    squeezed = Graph.from_atoms(water_like(12, 6.0, True, 2), potential.cutoff)
    atoms = water_like(12, 6.0, True, 2)
    atoms.positions[1] = atoms.positions[0] + [0.5, 0, 0]
    squeezed = Graph.from_atoms(atoms, potential.cutoff)
    counts = potential.extrapolations(squeezed)
    assert counts.shape == (12,)
    assert int(counts[0]) > 0
    assert int(counts[1]) > 0


def test_generated_functions_grow_with_size_and_stay_inside_the_cutoff() -> None:
    counts = []
    for size in ("small", "medium", "large", "huge"):
        config = HDNNPConfig(species=SPECIES, cutoff=5.0, size=size).complete()
        assert max(f.cutoff for f in config.symmetry_functions) == 5.0
        counts.append(len(config.symmetry_functions))
    assert counts == sorted(set(counts))


def test_missing_species_in_training_data_is_refused() -> None:
    potential = ladera.build(HDNNPConfig(species=("C", "H", "O"), cutoff=4.0, size="small"))
    graphs = [Graph.from_atoms(water_like(6, 4.0, False, 1), 4.0)]
    with pytest.raises(DataError, match="atom of C"):
        potential.fit_statistics(graphs, TrainingStatistics({"H": 0, "O": 0, "C": 0}, 0.0, 1.0))


def test_total_energies_keep_their_digits_in_single_precision(tmp_path: Path) -> None:
    potential = hdnnp_generated()
    path = tmp_path / "model.ladera"
    potential.save(path)
    single = ladera.load(path).float()
    single.save(path)
    again = ladera.load(path)
    assert again.dtype == torch.float32
    assert again.reference_energies.dtype == torch.float64
    atoms = water_like(30, 9.0, True, 4)
    energy = predict(potential, atoms).energy.item()
    assert abs(energy) > 2e4
    assert predict(again, atoms).energy.item() == pytest.approx(energy, abs=1e-3)


def test_configuration_survives_the_file(tmp_path: Path) -> None:
    potential = hdnnp_generated()
    potential.provenance = {"seed": 7, "errors": {"energy": 1.5}}
    path = tmp_path / "model.ladera"
    potential.save(path)
    again = ladera.load(path)
    assert again.config == potential.config
    assert again.provenance == potential.provenance
    assert loading.read_header(path)["format_version"] == modelfile.WITHOUT_ACTIVE_SET


def saved(tmp_path: Path) -> Path:
    path = tmp_path / "model.ladera"
    hdnnp_generated().save(path)
    return path


def test_a_model_file_cut_short_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path)
    content = path.read_bytes()
    for length in (0, 5, 100, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:length])
        with pytest.raises(ModelFileError, match=r"model\.ladera"):
            ladera.load(path)


def test_a_missing_or_foreign_file_is_refused(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    with pytest.raises(ModelFileError, match=r"no model file .*absent\.ladera"):
        ladera.load(tmp_path / "absent.ladera")
    foreign = tmp_path / "foreign.ladera"
    save_file({"x": torch.zeros(2)}, foreign)
    with pytest.raises(ModelFileError, match="no Ladera model"):
        ladera.load(foreign)


def test_a_newer_format_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(modelfile, "WITHOUT_ACTIVE_SET", modelfile.FORMAT_VERSION + 1)
    path = saved(tmp_path)
    monkeypatch.undo()
    with pytest.raises(ModelFileError, match="upgrade Ladera"):
        ladera.load(path)


def test_a_full_disk_keeps_the_old_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path)
    before = path.read_bytes()

    def no_space(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(modelfile, "save_file", no_space)
    with pytest.raises(ModelFileError, match="No space left"):
        hdnnp_generated().save(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_the_fast_path_sees_changed_parameters() -> None:
    potential = hdnnp_generated()
    atoms = water_like(5, 4.0, False, 3)
    before = predict(potential, atoms).energy.item()
    with torch.no_grad():
        next(iter(potential.parameters())).mul_(1.5)
    after = predict(potential, atoms).energy.item()
    assert math.isfinite(after)
    assert after != before
    graph = Graph.from_atoms(atoms, potential.cutoff)
    np.testing.assert_allclose(after, potential.atomic_energies(graph).sum().item(), rtol=1e-13)
