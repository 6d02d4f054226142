"""Symmetry functions chosen by data, and the report of what those of a model do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

import ladera
import training_runs
from conftest import fitted, water_like
from ladera import Graph
from ladera.cli import main
from ladera.errors import ConfigError, DataError
from ladera.kernels.symmetry_functions.functions import (
    CUTOFF_FUNCTIONS,
    GaussianFunction,
    SymmetryFunction,
)
from ladera.kernels.symmetry_functions.plan import make_plan
from ladera.models.hdnnp import HDNNP, HDNNPConfig
from ladera.models.hdnnp.config import Scaling
from ladera.models.hdnnp.generation import (
    Family,
    Recipe,
    Size,
    generate,
    numbered_weights,
    pool,
)
from ladera.models.hdnnp.selection import (
    SelectionConfig,
    choose_columns,
    correlation,
    sample,
    select,
)
from ladera.models.hdnnp.sensitivity import examine
from ladera.training import config_file
from ladera.training.preparation import prepare
from ladera.training.trainer import train

METHODS = ("cur", "farthest_point")
GAUSSIAN_RECIPES: tuple[Recipe, ...] = (
    "grid",
    "gastegger_centered",
    "gastegger_shifted",
    "imbalzano_centered",
    "imbalzano_shifted",
)


def chosen(columns: Any, number: int, method: Any) -> list[int]:
    picks = choose_columns(correlation(np.asarray(columns, dtype=float)), number, method)
    return [int(k) for k in picks]


def wave(frequency: int) -> np.ndarray:
    """Columns of different frequency are exactly uncorrelated."""
    return np.cos(2 * np.pi * frequency * np.arange(64) / 64)


# --- the choice itself -------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_of_duplicates_and_multiples_one_is_chosen(method: str) -> None:
    a, b, c = wave(1), wave(2), wave(3)
    columns = np.stack([a, 2 * a + 1, b, -b, a, c, 1e-4 * c], axis=1)
    found = chosen(columns, 3, method)
    assert sorted({0: "a", 1: "a", 4: "a", 2: "b", 3: "b", 5: "c", 6: "c"}[k] for k in found) == [
        *"abc"
    ]
    assert len(chosen(columns, 7, method)) == 3  # and no fourth


def test_cur_never_takes_a_sum_of_chosen_functions() -> None:
    a, b, c = wave(1), wave(2), wave(3)
    columns = np.stack([a, b, a + b, a - 3 * b, c], axis=1)
    found = chosen(columns, 5, "cur")
    assert len(found) == 3
    assert 4 in found


def test_cur_begins_with_what_most_functions_have_in_common() -> None:
    """Five noisy copies of one wave and a lone other: first a copy, then the other."""
    noise = np.random.default_rng(1).standard_normal((64, 5))
    columns = np.column_stack([wave(5)] + [wave(1) + 0.1 * noise[:, k] for k in range(5)])
    first, second = chosen(columns, 2, "cur")
    assert first != 0
    assert second == 0


def test_farthest_point_takes_the_least_correlated() -> None:
    """Functions at 0, 20, 35 and 80 degrees in a plane: 35 is the nearest to all others."""
    angles = np.radians([0.0, 20.0, 35.0, 80.0])
    columns = np.outer(wave(1), np.cos(angles)) + np.outer(wave(2), np.sin(angles))
    assert chosen(columns, 4, "farthest_point") == [2, 3, 0, 1]


def test_cur_spans_the_pool_better_than_chance() -> None:
    generator = np.random.default_rng(3)
    columns = generator.standard_normal((200, 6)) @ generator.standard_normal((6, 60)) ** 3
    columns = (columns - columns.mean(0)) / columns.std(0)
    columns += 0.01 * generator.standard_normal(columns.shape)

    def unexplained(picks: Any) -> float:
        basis = columns[:, picks]
        return float(np.linalg.norm(columns - basis @ np.linalg.lstsq(basis, columns)[0]))

    by_chance = [unexplained(generator.permutation(60)[:6]) for _ in range(20)]
    assert unexplained(chosen(columns, 6, "cur")) < np.median(by_chance)


@settings(max_examples=30)
@given(st.integers(0, 10**6), st.integers(1, 12), st.sampled_from(METHODS))
def test_choices_are_distinct_nested_and_repeatable(seed: int, number: int, method: str) -> None:
    columns = np.random.default_rng(seed).standard_normal((40, 12))
    found = chosen(columns, number, method)
    assert len(set(found)) == number
    assert found == chosen(columns, number, method)
    assert chosen(columns, number - 1, method) == found[:-1]
    assert found == chosen(columns * np.linspace(0.1, 9, 12) + 5, number, method)


# --- pools and symmetry functions --------------------------------------------------------------


@pytest.mark.parametrize("recipe", [*GAUSSIAN_RECIPES, "polynomial", "shifted", "chebyshev"])
def test_recipes(recipe: Recipe) -> None:
    functions = pool(("H", "O"), 5.0, [recipe])
    assert len(set(functions)) == len(functions) > 100
    assert {f.center for f in functions} == {"H", "O"}
    assert max(f.cutoff for f in functions) <= 5.0
    assert any(f.angular for f in functions)
    assert pool(("H", "O"), 5.0, [recipe, recipe]) == functions


@pytest.mark.parametrize("family", ["shifted", "chebyshev"])
def test_families_grow_with_size(family: Family) -> None:
    counts = []
    for size in get_args(Size):
        functions = generate(("H", "O"), 4.5, size, family)
        assert len(set(functions)) == len(functions)
        assert max(f.cutoff for f in functions) <= 4.5
        assert any(f.kind.startswith(family) for f in functions)
        counts.append(len(functions))
    assert counts == sorted(counts)
    config = HDNNPConfig(species=("H", "O"), cutoff=4.5, size="small", functions=family)
    assert config.complete().symmetry_functions == generate(("H", "O"), 4.5, "small", family)


def test_weights_of_several_elements_are_those_of_aenet() -> None:
    for symbols, weights in (
        ("H", [0]),
        ("HO", [-1, 1]),
        ("HCO", [-1, 0, 1]),
        ("HCNO", [-2, -1, 1, 2]),
    ):
        assert list(numbered_weights(symbols).values()) == weights


def test_a_configuration_without_a_family_is_stored_as_before() -> None:
    assert "functions" not in HDNNPConfig(cutoff=4.5).model_dump()
    assert HDNNPConfig(cutoff=4.5, functions="shifted").model_dump()["functions"] == "shifted"


def test_recipes_follow_their_papers() -> None:
    def radial(recipe: Recipe) -> list[tuple[float, float]]:
        functions = pool(("Si",), 6.0, [recipe])
        return [(f.shift, f.eta) for f in functions if f.kind == "radial"]

    grid = np.linspace(0.8, 6.0, 12)
    np.testing.assert_allclose(
        [eta for _, eta in radial("gastegger_centered")], 0.5 / grid**2, atol=1e-6
    )
    n, m = 12, np.arange(12)
    etas = (n ** (m / n) / 6.0) ** 2
    np.testing.assert_allclose([eta for _, eta in radial("imbalzano_centered")], etas, atol=1e-6)
    r = 6.0 / n ** (np.arange(13) / n)
    shifted = np.array(radial("imbalzano_shifted"))
    np.testing.assert_allclose(shifted[:, 0], r[1:], atol=1e-6)
    np.testing.assert_allclose(shifted[:, 1], 1 / (r[:-1] - r[1:]) ** 2, atol=1e-6)
    shift, eta = np.array(radial("gastegger_shifted")).T
    np.testing.assert_allclose(np.diff(shift), shift[1] - shift[0], atol=2e-6)
    np.testing.assert_allclose(eta, 0.5 / (shift[1] - shift[0]) ** 2, rtol=1e-4)


def water(n: int = 6) -> list[Graph]:
    return [Graph.from_atoms(water_like(12, 6.0, True, seed), 4.5) for seed in range(n)]


def config(**selection: Any) -> HDNNPConfig:
    return HDNNPConfig(species=("H", "O"), cutoff=4.5, selection=SelectionConfig(**selection))


def test_sampled_values_are_those_of_the_model() -> None:
    """Of fewer atoms than the limit every one is there, once."""
    graphs = water()
    functions = generate(("H", "O"), 4.5, "small")
    plan = make_plan(("H", "O"), functions, CUTOFF_FUNCTIONS.index("poly2"))
    model = ladera.build(HDNNPConfig(species=("H", "O"), cutoff=4.5, symmetry_functions=functions))
    assert isinstance(model, HDNNP)
    expected = torch.cat([model.symmetry_functions(g)[g.numbers == 8] for g in graphs]).numpy()
    found = sample(plan, graphs)[1]
    assert found.shape == expected.shape
    np.testing.assert_allclose(np.sort(found, axis=0), np.sort(expected, axis=0), atol=1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_every_element_gets_the_number_and_always_the_same(method: str) -> None:
    wanted = config(number=9, method=method)
    functions = wanted.for_training(water()).symmetry_functions
    assert [sum(f.center == s for f in functions) for s in ("H", "O")] == [9, 9]
    assert wanted.for_training(water()).symmetry_functions == functions


def test_a_choice_made_is_kept() -> None:
    once = config(number=7).for_training(water())
    assert once.for_training(water(3)) == once


def test_given_functions_are_the_pool() -> None:
    given_ = generate(("H", "O"), 4.5, "small")
    wanted = config(number=5).model_copy(update={"symmetry_functions": given_})
    assert set(wanted.for_training(water()).symmetry_functions) < set(given_)


def test_constant_functions_are_not_chosen() -> None:
    """One O in each structure: no function of O sees another one."""
    graphs = [Graph.from_atoms(water_like(3, 6.0, False, seed), 4.5) for seed in range(40)]
    functions = config(number=12).for_training(graphs).symmetry_functions
    assert all("O" not in f.neighbors for f in functions if f.center == "O")


def test_too_many_are_refused_with_the_number_there_is() -> None:
    with pytest.raises(ConfigError, match=r"100000, but the pool has \d+ symmetry functions of H"):
        config(number=100_000).for_training(water())
    with pytest.raises(ConfigError, match=r"only \d+ differ on these frames.*at most \d+"):
        config(number=300, method="cur").for_training(water(1))


def test_a_choice_needs_data() -> None:
    with pytest.raises(ConfigError, match="there are none here"):
        ladera.build(config(number=4))


def test_other_elements_are_refused() -> None:
    plan = make_plan(("Si",), generate(("Si",), 4.5), 6)
    with pytest.raises(DataError, match=r"Atom 0 of a structure is O, but .* for Si"):
        sample(plan, water())
    plan = make_plan(("H", "O", "Si"), generate(("H", "O", "Si"), 4.5), 6)
    with pytest.raises(DataError, match="No structure has an atom of Si"):
        sample(plan, water())


def test_memory_is_bounded_and_rare_elements_are_found() -> None:
    """A thousand structures, one element in the last few of them only."""
    from ladera.models.hdnnp import selection

    common = Graph.from_atoms(water_like(2, 6.0, False, 0)[[1]], 4.5)
    rare = Graph.from_atoms(water_like(2, 6.0, False, 0)[[0]], 4.5)
    graphs = [common] * 1000 + [rare] * 3
    plan = make_plan(("H", "O"), generate(("H", "O"), 4.5, "small"), 6)
    hydrogen, oxygen = sample(plan, graphs)
    assert len(oxygen) == 3
    assert len(hydrogen) <= 1000
    assert len(sample(make_plan(("H",), generate(("H",), 4.5), 6), graphs[:1000])[0]) == (
        selection.FRAMES
    )


# --- training ----------------------------------------------------------------------------------


def written_functions(model: object) -> tuple[SymmetryFunction, ...]:
    assert isinstance(model, HDNNPConfig)
    return model.symmetry_functions


def values(folder: Path, **changes: Any) -> dict[str, Any]:
    model = training_runs.hdnnp(selection={"number": 6, "pool": ["grid", "imbalzano_shifted"]})
    return training_runs.values(folder, **{"model": model, "epochs": 2, **changes})


def test_training_chooses_on_training_frames_only(tmp_path: Path) -> None:
    prepared = prepare(config_file.parse(values(tmp_path), "config.yaml"))
    model = prepared.config.model
    assert isinstance(model, HDNNPConfig)
    assert model.selection is not None
    plan = make_plan(("Ar",), pool(("Ar",), 4.5, model.selection.pool), 6)
    graphs = [prepared.dataset[int(k)].graph(4.5) for k in prepared.train]
    assert list(model.symmetry_functions) == select(plan, sample(plan, graphs), model.selection)


def test_a_run_keeps_its_choice_and_resumes_bit_for_bit(tmp_path: Path) -> None:
    settings_ = config_file.parse(values(tmp_path), "config.yaml")
    whole = train(settings_, tmp_path / "whole")
    written = yaml.safe_load((tmp_path / "whole/config.yaml").read_text())
    assert len(written["model"]["symmetry_functions"]) == 6
    assert len(written_functions(ladera.load(tmp_path / "whole/model.ladera").config)) == 6

    class Stop:
        def step(self, epoch: int, batch: int, n_batches: int) -> None:
            if (epoch, batch) == (1, 2):
                import os
                import signal

                os.kill(os.getpid(), signal.SIGTERM)

        def epoch(self, row: Any) -> None:
            """Nothing."""

    with pytest.raises(KeyboardInterrupt):
        train(settings_, tmp_path / "parts", observer=Stop())
    parts = train(settings_, tmp_path / "parts", resume=True)
    assert training_runs.same_bits(whole, parts)
    # The written configuration trains the same again.
    again = train(config_file.load(tmp_path / "whole/config.yaml"), tmp_path / "again")
    assert training_runs.same_bits(whole, again)


def test_resuming_with_another_choice_names_the_key(tmp_path: Path) -> None:
    train(config_file.parse(values(tmp_path), "config.yaml"), tmp_path / "run")
    other = config_file.parse(values(tmp_path), "config.yaml", ["model.selection.number=5"])
    with pytest.raises(ConfigError, match=r"'model.selection.number' was 6"):
        train(other, tmp_path / "run", resume=True)


# --- the report --------------------------------------------------------------------------------


@pytest.mark.parametrize("scaling", ["sigma", "principal"])
def test_sensitivities_are_slopes_of_the_energy(scaling: Scaling) -> None:
    """Against finite differences of the network in one function over its deviation."""
    potential = fitted(HDNNPConfig(species=("H", "O"), cutoff=4.5, size="small", scaling=scaling))
    assert isinstance(potential, HDNNP)
    graphs = water(4)
    (hydrogen, _) = examine(potential, graphs)
    G = torch.cat([potential.symmetry_functions(g)[g.numbers == 1] for g in graphs])
    count, step, slopes = potential.plan.counts[0], 1e-5, []
    index, own = torch.zeros(len(G), dtype=torch.int64), potential.input_counts[0]
    with torch.no_grad():
        for k in range(count):
            shift = torch.zeros_like(G[0])
            shift[k] = step * potential.deviation[0, k]
            moved = (potential.input_scaling().inputs(G + s * shift, index) for s in (1, -1))
            up, down = (potential.networks[0](x[:, :own]) for x in moved)
            slopes.append((up - down).numpy() / (2 * step))
    rms = np.sqrt((np.array(slopes) ** 2).mean(1))
    largest = np.abs(slopes).max(1)
    np.testing.assert_allclose(hydrogen.rms, 100 * rms / rms.sum(), rtol=1e-6)
    np.testing.assert_allclose(hydrogen.maximum, 100 * largest / largest.sum(), rtol=1e-6)


def test_constant_and_redundant_functions_are_named() -> None:
    one, two = generate(("H", "O"), 4.5, "small")[:2]
    assert isinstance(one, GaussianFunction)
    twin = one.model_copy(update={"eta": one.eta * (1 + 1e-9)})
    far = [f for f in generate(("H", "O"), 4.5, "small") if f.center == "O"][:2]
    lonely = one.model_copy(update={"eta": 1e4, "shift": 0.3})  # sees no atom
    functions = (one, twin, two, lonely, *far)
    potential = fitted(HDNNPConfig(species=("H", "O"), cutoff=4.5, symmetry_functions=functions))
    hydrogen = examine(potential, water())[0]
    assert hydrogen.functions[hydrogen.constant[0]] == lonely
    assert len(hydrogen.constant) == 1
    assert hydrogen.rms[hydrogen.constant[0]] == 0
    assert {hydrogen.functions[k] for k in hydrogen.redundant[0]} == {one, twin}
    assert len(hydrogen.redundant) == 1
    assert hydrogen.rms.sum() == pytest.approx(100)


def test_a_report_of_another_model_or_other_elements_is_refused() -> None:
    from conftest import lennard_jones

    with pytest.raises(ConfigError, match="lennard_jones model has no"):
        examine(lennard_jones(), water())
    potential = fitted(HDNNPConfig(species=("H", "O"), cutoff=4.5, size="small"))
    silicon = water_like(6, 5.0, True, 0)
    silicon.symbols[:] = "Si"
    with pytest.raises(DataError, match="is Si"):
        examine(potential, [Graph.from_atoms(silicon, 4.5)])


# --- the commands ------------------------------------------------------------------------------


def command(*words: object) -> None:
    with pytest.raises(SystemExit) as end:
        main([str(word) for word in words])
    assert end.value.code == 0


def refusal(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    with pytest.raises(SystemExit) as end:
        main([str(word) for word in words])
    assert end.value.code == 1
    message = capsys.readouterr().err
    assert message.startswith("Error: ")
    assert "Traceback" not in message
    return message


def test_select_writes_what_a_configuration_takes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, output = tmp_path / "config.yaml", tmp_path / "functions.yaml"
    path.write_text(yaml.safe_dump(values(tmp_path)))
    command("functions", "select", path, "--output", output, "--set", "model.selection.number=8")
    assert "Wrote 8 symmetry functions" in capsys.readouterr().out
    block = yaml.safe_load(output.read_text())
    taken = config_file.parse(
        values(tmp_path, model={"architecture": "hdnnp", "cutoff": 4.5, **block}), "config.yaml"
    )
    chosen_ = prepare(
        config_file.parse(values(tmp_path), "config.yaml", ["model.selection.number=8"])
    )
    assert written_functions(taken.model) == written_functions(chosen_.config.model)

    path.write_text(yaml.safe_dump(values(tmp_path, model=training_runs.hdnnp())))
    capsys.readouterr()
    assert "has no model.selection" in refusal(capsys, "functions", "select", path)


def test_report_writes_table_file_and_figure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(config_file.parse(values(tmp_path), "config.yaml"), tmp_path / "run")
    words = ("functions", "report", tmp_path / "run/model.ladera", tmp_path / "argon.extxyz")
    command(*words, "--output", tmp_path / "out", "--threshold", 0.5)
    text = capsys.readouterr().out
    assert "the 6 functions of Ar" in text
    assert "pairs correlate by more than 0.5" in text
    found = json.loads((tmp_path / "out/functions.json").read_text())["elements"]["Ar"]
    assert len(found["functions"]) == len(found["correlations"]) == 6
    assert sum(f["rms_percent"] for f in found["functions"]) == pytest.approx(100)
    assert (tmp_path / "out/functions.svg").read_text().rstrip().endswith("</svg>")
    assert "another --output" in refusal(capsys, *words, "--output", tmp_path / "out")
    assert "between 0 and 1" in refusal(
        capsys, *words, "--output", tmp_path / "new", "--threshold", 3
    )
