"""Files of Amp: numbers that Amp 1.0.1 computed from the same file, and texts that are no such."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms

import ladera
from ladera.errors import ModelFileError
from ladera.models.hdnnp import HDNNP

CUTOFF = 4.5
FUNCTIONS: dict[str, list[dict[str, Any]]] = {
    "O": [
        {"type": "G5", "elements": ["H", "O"], "eta": 0.1, "gamma": 1.0, "zeta": 2.0},
        {"type": "G2", "element": "H", "eta": 4.0, "offset": 1.2},
        {"type": "G2", "element": "O", "eta": 20.0, "offset": 0.0},
        {"type": "G4", "elements": ["H", "H"], "eta": 0.05, "gamma": -1.0, "zeta": 1.0},
    ],
    "H": [
        {"type": "G2", "element": "O", "eta": 2.0, "offset": 0.0},
        {"type": "G4", "elements": ["H", "O"], "eta": 0.005, "gamma": 1.0, "zeta": 4.0},
        {"type": "G2", "element": "H", "eta": 8.0, "offset": 1.0},
    ],
}
HIDDEN = {"O": (3,), "H": (4, 2)}
WATER = Atoms(
    "OH2OH2",
    [
        *([0.0, 0.1, 0.0], [0.96, 0, 0.1], [-0.24, 0.93, 0]),
        *([2.7, 0.3, 0.4], [3.1, 1.1, 0.5], [3.0, -0.4, 1.1]),
    ],
    cell=[7.0, 6.5, 6.0],
    pbc=[True, True, False],
)
# Energy and forces of the water, of Amp's calculator, eV and eV/Angstrom.
ENERGY = -46.4458285429
FORCES = [
    *([1.032910507, -0.051916727, 0.232843416], [-0.225963349, -0.072239286, -0.17638303]),
    *([0.054153172, 0.147882689, 0.012093974], [-0.720120205, -0.026284185, 0.259476068]),
    *([-0.051718356, 0.591862026, -0.409085525], [-0.089261769, -0.589304517, 0.081055097]),
]


def parameters() -> tuple[dict[str, Any], dict[str, Any]]:
    """Of the descriptor and of the model, as Amp's files have them."""
    generator = np.random.default_rng(8)
    weights, scalings, ranges = OrderedDict(), OrderedDict(), {}
    for symbol, functions in FUNCTIONS.items():
        nodes = (len(functions), *HIDDEN[symbol], 1)
        weights[symbol] = OrderedDict(
            (l + 1, generator.normal(0, 0.7, (nodes[l] + 1, nodes[l + 1])).round(6).tolist())
            for l in range(len(nodes) - 1)
        )
        low, width = (
            generator.uniform(0, 0.5, len(functions)),
            generator.uniform(1, 2, len(functions)),
        )
        width[1] = 0.0  # a function that did not vary
        ranges[symbol] = np.stack([low, low + width], axis=1).round(6).tolist()
        scalings[symbol] = OrderedDict(intercept=-3.0 - len(functions), slope=0.5 * len(functions))
    descriptor = {
        "Gs": FUNCTIONS,
        "cutoff": {"name": "Cosine", "kwargs": {"Rc": CUTOFF}},
        "elements": ["H", "O"],
        "importname": ".descriptor.gaussian.Gaussian",
        "mode": "atom-centered",
        "version": "2015.12",
    }
    model = {
        "activation": "tanh",
        "fprange": ranges,
        "hiddenlayers": HIDDEN,
        "importname": ".model.neuralnetwork.NeuralNetwork",
        "mode": "atom-centered",
        "scalings": scalings,
        "version": "2015.12",
        "weights": weights,
    }
    return descriptor, model


def text(descriptor: dict[str, Any], model: dict[str, Any]) -> str:
    parts = []
    for part in (descriptor, model):
        said = ",\n     ".join(f"{key}={spelled(value)}" for key, value in part.items())
        parts.append(repr(f"dict({said})"))
    return f"dict(descriptor={parts[0]},\n     model={parts[1]})\n"


def spelled(value: Any) -> str:
    """As Python 3.11, Amp's, writes ordered dictionaries: a list of pairs."""
    if isinstance(value, OrderedDict):
        return f"OrderedDict([{', '.join(f'({k!r}, {spelled(v)})' for k, v in value.items())}])"
    return repr(value)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "calc.amp"
    path.write_text(text(*parameters()))
    return path


def test_energies_and_forces_are_those_of_amp(file: Path) -> None:
    potential = ladera.load(file)
    assert isinstance(potential, HDNNP)
    assert potential.config.network("H").activations == ("tanh", "tanh", "tanh", "linear")
    atoms = WATER.copy()
    atoms.calc = ladera.LaderaCalculator(potential)
    assert atoms.get_potential_energy() == pytest.approx(ENERGY, abs=1e-9)
    np.testing.assert_allclose(atoms.get_forces(), FORCES, rtol=0, atol=1e-8)
    assert potential.knows_ranges


def test_other_spellings_of_the_same(file: Path) -> None:
    """Arrays, dictionaries in braces, a cutoff as a number, and functions without an offset."""
    expected = ladera.load(file).state_dict()
    descriptor, model = parameters()
    descriptor["cutoff"] = CUTOFF
    descriptor["importname"] = "amp.descriptor.gaussian.Gaussian"
    for symbol in FUNCTIONS:
        functions = [{k: v for k, v in f.items() if v != 0.0} for f in FUNCTIONS[symbol]]
        descriptor["Gs"] = descriptor["Gs"] | {symbol: functions}
    plain = {s: dict(layers) for s, layers in model["weights"].items()}
    whole = text(descriptor, model | {"weights": plain}).replace("[[", "array([[", 1)
    inner = whole.index("fprange")
    end = whole.index("]]", inner) + 2
    assert "array([[" in whole[inner:end]
    file.write_text(whole[:end] + ")" + whole[end:])
    found = ladera.load(file).state_dict()
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        np.testing.assert_array_equal(found[name].numpy(), tensor.numpy())


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("activation=", "activation=__import__(1).sep or ", "is neither a number, a text"),
        ("fprange=", "fprange=open(1) or ", "is neither a number, a text"),
        ("mode=", "mode=[x for x in ()] or ", "and nothing is run"),
        ("OrderedDict(", "os.system(", "'os.system"),
        ("fprange=", f"fprange={'[' * 60}{']' * 60}, old=", "too many brackets within brackets"),
        ("fprange=", f"fprange={'(' * 5000}", "no expression of dictionaries and numbers"),
        ("'kwargs'", "'kwarg'", "lacks something of its descriptor or its model"),
        ("Cosine", "Polynomial", "the cutoff function Polynomial; Ladera has Amp's Cosine only"),
        ("gaussian.Gaussian", "zernike.Zernike", "has the descriptor descriptor.zernike.Zernike"),
        ("neuralnetwork.NeuralNetwork", "tflow.NeuralNetwork", "has the model model.tflow"),
        ("tanh", "relu", "the activation 'relu'; Amp has tanh, sigmoid, linear"),
        ("'G4'", "'G9'", "has a function G9"),
        ("'gamma': -1.0", "'gamma': None", "an impossible function"),
        ("'O': (3,)", "'O': (4,)", "the weights of O have the shapes"),
        ("slope", "slop", "KeyError: 'slope'"),
        ("-7.0", "1e999", "O has numbers that are not finite"),
        ("'H'", "'Q'", "'Q' is not a chemical symbol|lacks something|impossible function"),
        ("weights=", "weights={}, old=", "has no weights, so it was never trained"),
        ("model=", "modal=", "does not give the model"),
    ],
)
def test_other_texts(file: Path, before: str, after: str, message: str) -> None:
    whole = file.read_text()
    quoted = before.replace("'", "\\'")
    before, after = (before, after) if before in whole else (quoted, after.replace("'", "\\'"))
    assert before in whole
    file.write_text(whole.replace(before, after))
    with pytest.raises(ModelFileError, match=message):
        ladera.load(file)


def test_a_file_cut_short(file: Path) -> None:
    whole = file.read_text()
    for length in (60, len(whole) // 2, len(whole) - 3):
        file.write_text(whole[:length])
        with pytest.raises(ModelFileError, match="or cut short"):
            ladera.load(file)
