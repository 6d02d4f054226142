"""Pictures of models: curves are the formulas, lines are the weights, bars are the atoms."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.collections import LineCollection

import ladera
from ladera import cli
from ladera.errors import ConfigError
from ladera.models.hdnnp import HDNNP, HDNNPConfig
from ladera.report import model_figures
from ladera.report.network_figure import network_figure, networks

EMBEDDED = Path(ladera.__file__).parent / "data/embedded/ethanol.extxyz.gz"
CUTOFF = 5.0
RADIAL = {"kind": "radial", "center": "O", "neighbors": ["H"], "cutoff": CUTOFF, "eta": 0.3}
ANGULAR = {**RADIAL, "kind": "wide", "neighbors": ["H", "H"], "lambda": -1.0, "zeta": 4.0}


@pytest.fixture(scope="module")
def model() -> HDNNP:
    functions = [RADIAL, ANGULAR, {**RADIAL, "center": "H", "neighbors": ["O"]}]
    config = HDNNPConfig(
        species=("H", "O"),
        cutoff=CUTOFF,
        cutoff_function="cosine",
        symmetry_functions=functions,
        hidden_layers=(40, 3),
    )
    built = ladera.build(config)
    assert isinstance(built, HDNNP)
    return built


def cosine(r: np.ndarray) -> np.ndarray:
    return 0.5 * (np.cos(np.pi * r / CUTOFF) + 1)


def panel_named(figure, title: str):
    (panel,) = [each for each in figure.axes if each.get_title("left").startswith(f"{title}:")]
    return panel


def test_functions_against_distance_and_angle_are_the_formulas(model: HDNNP) -> None:
    panel = panel_named(model_figures.distance_figure(model), "O-H")
    (line,) = panel.lines
    r, y = line.get_data()
    assert y == pytest.approx(np.exp(-0.3 * r**2) * cosine(r), abs=1e-12)
    panel = panel_named(model_figures.angle_figure(model, 2.0), "H-O-H")
    (line,) = panel.lines
    theta, y = line.get_data()
    leg = np.exp(-0.3 * 4) * cosine(np.array(2.0))
    expected = 2.0 ** (1 - 4) * (1 - np.cos(np.radians(theta))) ** 4 * leg**2
    assert y == pytest.approx(expected, abs=1e-12)


def test_cutoff_functions_and_activations(model: HDNNP) -> None:
    values, slopes = model_figures.cutoff_figure(model).axes
    (own,) = [line for line in values.lines if "of this model" in line.get_label()]
    assert own.get_ydata() == pytest.approx(cosine(own.get_xdata()), abs=1e-12)
    assert len(slopes.lines) == 9
    (panel,) = model_figures.activation_figure(["tanh", "tanh", "linear"]).axes
    tanh, slope, *_ = panel.lines
    assert len(panel.lines) == 4
    assert tanh.get_ydata() == pytest.approx(np.tanh(tanh.get_xdata()))
    assert slope.get_ydata() == pytest.approx(1 - np.tanh(slope.get_xdata()) ** 2)


def test_a_line_of_a_network_is_a_weight(model: HDNNP) -> None:
    hydrogen, oxygen = networks(model)
    assert (hydrogen.name, hydrogen.sizes) == ("H", (1, 40, 3, 1))
    assert (oxygen.name, oxygen.sizes) == ("O", (2, 40, 3, 1))
    panel = network_figure(model).axes[1]
    last = [each for each in panel.collections if isinstance(each, LineCollection)][-1]
    weights = oxygen.weights[-1].ravel()
    widths = np.sort(np.abs(weights)) / np.abs(weights).max()
    assert np.array(last.get_linewidths()) == pytest.approx(widths * max(last.get_linewidths()))
    assert "24 of 40" in [text.get_text() for text in panel.texts]


def test_histograms_count_every_atom_once() -> None:
    G = np.array([[0.0, 5.0], [1.0, 5.0], [0.5, 5.0], [1.0, 5.0]])
    counts, low, high = model_figures.histograms(G)
    assert counts.sum(axis=1).tolist() == [4, 4]
    assert (counts[0, 0], counts[0, -1], counts[1, 0]) == (1, 2, 4)
    assert (low.tolist(), high.tolist()) == ([0, 5], [1, 5])


def test_the_command_draws_models_with_and_without_functions(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*words: object) -> int:
        with pytest.raises(SystemExit) as end:
            cli.main([str(word) for word in words])
        return int(end.value.code or 0)

    assert run("draw", "ethanol-hdnnp", "--data", EMBEDDED, "--output", tmp_path / "hdnnp") == 0
    names = {path.name for path in (tmp_path / "hdnnp").glob("*.svg")}
    kinds = ("networks", "activations", "cutoff", "distances", "angles", "histograms")
    assert names == {f"{kind}.svg" for kind in kinds}
    rows = (tmp_path / "hdnnp/histograms.csv").read_text().splitlines()
    potential = ladera.load("ethanol-hdnnp")
    assert len(rows) == 1 + sum(potential.plan.counts)
    assert run("draw", "ethanol-mace", "--output", tmp_path / "mace") == 0
    assert [path.name for path in (tmp_path / "mace").glob("*.svg")] == ["networks.svg"]
    assert run("draw", "ethanol-mace", "--data", EMBEDDED, "--output", tmp_path / "other") == 1
    assert "has no symmetry functions to draw" in capsys.readouterr().err


def test_a_model_without_networks_is_not_drawn() -> None:
    from ladera.models.lennard_jones import LennardJonesConfig

    config = LennardJonesConfig(
        species=("Ar",), cutoff=6.0, epsilon={"Ar": 0.01}, sigma={"Ar": 3.4}
    )
    with pytest.raises(ConfigError, match="has no networks of layers to draw"):
        network_figure(ladera.build(config))
