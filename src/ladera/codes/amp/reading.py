r"""From an ``.amp`` file to networks on symmetry functions with the same energies.

Amp's energy of an atom (Khorshidi and Peterson, Comput. Phys. Commun. 207, 310 (2016)) is
intercept[e] + slope[e] NN_e(s), with the functions scaled to [-1, 1] over its training data; its
output node has the activation of the others. Here slope is one more, linear layer. A function that
did not vary enters its networks unscaled, which the weights of the first layer make up for here.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from ase.data import atomic_numbers
from pydantic import ValidationError

from ladera import __version__
from ladera.arrays import Floats
from ladera.codes.amp.parsing import parse
from ladera.errors import ModelFileError, first_problem
from ladera.first_bytes import is_of_amp
from ladera.kernels.symmetry_functions.functions import GaussianFunction, SymmetryFunction
from ladera.models.hdnnp import HDNNP, HDNNPConfig

_DESCRIPTOR: Final = "descriptor.gaussian.Gaussian"
_MODEL: Final = "model.neuralnetwork.NeuralNetwork"
_ACTIVATIONS: Final = {"tanh": "tanh", "sigmoid": "logistic", "linear": "linear"}
_CONSTANT: Final = 1e-8  # a range below this is none in Amp


@dataclass(frozen=True, eq=False)
class _Element:
    """What a file says of the atoms of one element."""

    functions: tuple[SymmetryFunction, ...]  # in the order of the inputs
    ranges: Floats  # (n_functions, 2)
    layers: tuple[Floats, ...]  # (in + 1, out) each, biases last
    slope: float  # eV
    intercept: float  # eV


def reads(path: Path) -> bool:
    """Whether a path is a file that begins as Amp's do."""
    try:
        with path.open("rb") as file:
            return is_of_amp(file.read(512))
    except OSError:
        return False


def load(path: str | os.PathLike[str]) -> HDNNP:
    """The potential of an ``.amp`` file, in which nothing is run.

    Raises ModelFileError for a text that is damaged or has more than numbers, texts, lists and
    dictionaries, and for descriptors other than Gaussian ones with the cosine cutoff function,
    models other than neural networks, and those that were never trained.
    """
    path = Path(path)
    descriptor, model = parse(path)
    try:
        cutoff = _cutoff(path, descriptor)
        _require(path, descriptor, model)
        elements = {
            str(symbol): _element(path, str(symbol), functions, cutoff, model)
            for symbol, functions in descriptor["Gs"].items()
        }
        potential = HDNNP(_config(model, elements, cutoff))
    except ValidationError as error:
        where, message = first_problem(error)
        raise ModelFileError(f"{path} has an impossible function ({where}: {message}).") from error
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise ModelFileError(
            f"{path} lacks something of its descriptor or its model, or has it in another form "
            f"than Amp ({type(error).__name__}: {error}); save it with Amp again."
        ) from error
    for index, symbol in enumerate(potential.symbols):
        _fill(potential, index, elements[symbol])
    potential.provenance = {
        "imported_from": "Amp",
        "file": str(path),
        "versions": {"ladera": __version__},
    }
    return potential.eval()


def _require(path: Path, descriptor: Mapping[str, Any], model: Mapping[str, Any]) -> None:
    """Refuse what is no Gaussian descriptor with a trained network of atoms."""
    for what, part, wanted in (
        ("descriptor", descriptor, _DESCRIPTOR),
        ("model", model, _MODEL),
    ):
        name = str(part.get("importname", "")).lstrip(".").removeprefix("amp.")
        if name != wanted or part.get("mode") != "atom-centered":
            raise ModelFileError(
                f"{path} has the {what} {name or '?'} ({part.get('mode')}); Ladera reads "
                f"{wanted} (atom-centered)."
            )
    if not model.get("weights") or not model.get("scalings"):
        raise ModelFileError(f"{path} has no weights, so it was never trained; train it with Amp.")
    if model.get("activation") not in _ACTIVATIONS:
        raise ModelFileError(
            f"{path} has the activation '{model.get('activation')}'; Amp has "
            f"{', '.join(_ACTIVATIONS)}."
        )


def _cutoff(path: Path, descriptor: Mapping[str, Any]) -> float:
    """Angstrom."""
    given = descriptor.get("cutoff")
    if isinstance(given, Mapping):
        if given.get("name") != "Cosine":
            raise ModelFileError(
                f"{path} has the cutoff function {given.get('name')}; Ladera has Amp's Cosine only."
            )
        given = given["kwargs"]["Rc"]
    if not isinstance(given, (int, float)) or given <= 0:
        raise ModelFileError(f"{path} has the cutoff {given}, where a length is expected.")
    return float(given)


def _element(
    path: Path,
    symbol: str,
    functions: Sequence[Mapping[str, Any]],
    cutoff: float,
    model: Mapping[str, Any],
) -> _Element:
    if symbol not in atomic_numbers:
        raise ModelFileError(f"{path}: '{symbol}' is not a chemical symbol.")
    stored = model["weights"][symbol]
    layers = tuple(np.array(stored[l], dtype=np.float64) for l in sorted(stored))
    ranges = np.array(model["fprange"][symbol], dtype=np.float64)
    scaling = model["scalings"][symbol]
    found = _Element(
        functions=tuple(_function(path, symbol, each, cutoff) for each in functions),
        ranges=ranges,
        layers=layers,
        slope=float(scaling["slope"]),
        intercept=float(scaling["intercept"]),
    )
    nodes = [len(functions), *map(int, model["hiddenlayers"][symbol]), 1]
    expected = [(n_in + 1, n_out) for n_in, n_out in pairwise(nodes)]
    shapes = [layer.shape for layer in layers]
    if shapes != expected or ranges.shape != (len(functions), 2):
        raise ModelFileError(
            f"{path}: the weights of {symbol} have the shapes {shapes} and its ranges "
            f"{ranges.shape}; {len(functions)} functions and its hidden layers ask for {expected}."
        )
    numbers = (*layers, ranges, np.array([found.slope, found.intercept]))
    if not all(np.isfinite(array).all() for array in numbers):
        raise ModelFileError(f"{path}: {symbol} has numbers that are not finite.")
    return found


def _function(path: Path, symbol: str, said: Mapping[str, Any], cutoff: float) -> SymmetryFunction:
    """A function; its eta is in units of the cutoff."""
    values: dict[str, Any] = {"center": symbol, "cutoff": cutoff, "eta": said["eta"] / cutoff**2}
    match said["type"]:
        case "G2":
            values |= {"kind": "radial", "neighbors": [said["element"]]}
            values["shift"] = said.get("offset", 0.0)
        case "G4" | "G5":
            values |= {"kind": "narrow" if said["type"] == "G4" else "wide"}
            values |= {"neighbors": said["elements"], "lambda": said["gamma"], "zeta": said["zeta"]}
        case other:
            raise ModelFileError(
                f"{path} has a function {other} of {symbol}; Amp's Gaussian descriptor has G2, G4 "
                "and G5."
            )
    return GaussianFunction.model_validate(values)


def _config(
    model: Mapping[str, Any], elements: Mapping[str, _Element], cutoff: float
) -> HDNNPConfig:
    activation = _ACTIVATIONS[model["activation"]]
    return HDNNPConfig.model_validate(
        {
            "species": tuple(elements),
            "cutoff": cutoff,
            "cutoff_function": "cosine",
            "symmetry_functions": tuple(f for each in elements.values() for f in each.functions),
            "hidden_layers": {
                symbol: tuple(layer.shape[1] for layer in each.layers)
                for symbol, each in elements.items()
            },
            "activation": activation,
            "scaling": "scale",
            "scale_range": (-1.0, 1.0),
        }
    )


def _fill(potential: HDNNP, index: int, element: _Element) -> None:
    """Put the numbers of an element where the model has them."""
    left = list(range(len(element.functions)))
    order = []
    for function in potential.plan.functions[index]:  # of equal ones each once
        place = next(i for i in left if element.functions[i] == function)
        left.remove(place)
        order.append(place)
    low, high = element.ranges[order].T
    constant = high - low <= _CONSTANT
    potential.minimum[index, : len(order)] = torch.from_numpy(low)
    potential.maximum[index, : len(order)] = torch.from_numpy(np.where(constant, low, high))
    potential.reference_energies[index] = element.intercept
    first = element.layers[0][:-1][order]
    biases = element.layers[0][-1] + (first * (constant * (0.5 + low))[:, None]).sum(0)
    first = np.where(constant[:, None], 0.5 * first, first)
    layers = [(first, biases), *((layer[:-1], layer[-1]) for layer in element.layers[1:])]
    layers.append((np.array([[element.slope]]), np.zeros(1)))
    network = potential.atomic_networks()[index]
    with torch.no_grad():
        for target, (weights, bias) in zip(network.layers(), layers, strict=True):
            target.weight.copy_(torch.from_numpy(np.ascontiguousarray(weights.T)))
            target.bias.copy_(torch.from_numpy(np.ascontiguousarray(bias)))
