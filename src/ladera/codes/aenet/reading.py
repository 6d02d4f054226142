"""From the network files of aenet to networks on symmetry functions with the same energies.

aenet's energy of an atom is E_atom[e] + shift + NN_e((G - mean) / sigma) / scale: that of an
:class:`HDNNP` with ``scaling: sigma``, term by term. Functions that did not vary in its training
data count nothing there, whatever they are; here their weights are zero.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from ladera import __version__
from ladera.arrays import Floats
from ladera.codes.aenet.contents import NetworkFile, read
from ladera.errors import ModelFileError
from ladera.first_bytes import is_of_aenet, networks_of_aenet
from ladera.models.hdnnp import HDNNP, HDNNPConfig

# Below this standard deviation a function does not count in aenet.
_CONSTANT = 1e-10
_Set = Mapping[str, NetworkFile]


def reads(path: Path) -> bool:
    """Whether a path is a network file, or a folder that has some."""
    if path.is_dir():
        return any(True for _ in networks_of_aenet(path))
    try:
        with path.open("rb") as file:
            return is_of_aenet(file.read(512))
    except OSError:
        return False


def load(path: str | os.PathLike[str]) -> HDNNP:
    """The potential of a folder with one network file for each element, binary or text.

    Or of one such file, with those of the other elements beside it: their names differ in the
    element alone, such as ``Ti.15t-15t.nn`` and ``O.15t-15t.nn``. Raises ModelFileError for files
    that are damaged, of the other byte order, missing, or of several potentials.
    """
    path = Path(path)
    files = _of_folder(path) if path.is_dir() else _beside(path)
    potential = HDNNP(_config(files))
    _set_energies(potential, files)
    for element, symbol in enumerate(potential.symbols):
        _set_network(potential, element, files[symbol])
    potential.provenance = {
        "imported_from": "aenet",
        "file": str(path),
        "versions": {"ladera": __version__},
    }
    return potential.eval()


def _of_folder(folder: Path) -> _Set:
    """The files of the only potential in a folder."""
    potentials: dict[str, dict[str, NetworkFile]] = defaultdict(dict)
    for path in networks_of_aenet(folder):
        file = read(path)
        potentials[path.name.removeprefix(file.symbol)][file.symbol] = file
    if len(potentials) > 1:
        endings = ", ".join(f"X{ending}" for ending in potentials)
        first = next(file for files in potentials.values() for file in files.values())
        raise ModelFileError(
            f"{folder} has the networks of several potentials ({endings}); name a file of the one "
            f"you want, such as {first.path}."
        )
    (files,) = potentials.values()
    return _complete(folder, files)


def _beside(path: Path) -> _Set:
    """A file, and those of the other elements of its potential."""
    first = read(path)
    ending = path.name.removeprefix(first.symbol)
    files = {first.symbol: first}
    for symbol in first.neighbors:
        other = path.with_name(symbol + ending)
        if symbol not in files and other.is_file():
            files[symbol] = read(other)
    return _complete(path, files)


def _complete(path: Path, files: _Set) -> _Set:
    for file in files.values():
        missing = [symbol for symbol in file.neighbors if symbol not in files]
        if missing:
            ending = file.path.name.removeprefix(file.symbol)
            raise ModelFileError(
                f"{path}: the network of {file.symbol} has neighbours {missing[0]}, whose network "
                f"is not there; put {missing[0]}{ending} beside {file.path.name}."
            )
    return files


def _config(files: _Set) -> HDNNPConfig:
    return HDNNPConfig(
        species=tuple(files),
        cutoff=max(file.cutoff for file in files.values()),
        cutoff_function="cosine",
        symmetry_functions=tuple(f for file in files.values() for f in file.functions),
        hidden_layers={
            symbol: tuple(len(biases) for _, biases in file.layers[:-1])
            for symbol, file in files.items()
        },
        activation={symbol: file.activations for symbol, file in files.items()},
        scaling="sigma",
    )


def _set_energies(potential: HDNNP, files: _Set) -> None:
    """Constants of each element; what files say otherwise than the first is put into theirs."""
    first = files[potential.symbols[0]]
    potential.energy_shift.fill_(first.shift)
    potential.energy_scale.fill_(first.scale)
    for element, symbol in enumerate(potential.symbols):
        file = files[symbol]
        energy = file.atom_energies[symbol] + file.shift - first.shift
        potential.reference_energies[element] = energy
        if file.scale != first.scale and file.activations[-1] != "linear":
            raise ModelFileError(
                f"{file.path} scales its energies otherwise than {first.path} and has no linear "
                "output; train the networks of a potential together."
            )


def _set_network(potential: HDNNP, element: int, file: NetworkFile) -> None:
    order = _order(file, potential)
    count = len(order)
    constant = file.deviation <= _CONSTANT
    for buffer, values in (
        (potential.minimum, file.minimum),
        (potential.maximum, file.maximum),
        (potential.mean, file.mean),
        (potential.deviation, np.where(constant, 0.0, file.deviation)),
    ):
        buffer[element] = 0.0
        buffer[element, :count] = torch.from_numpy(values[order])
    network = potential.atomic_networks()[element]
    last = len(file.layers) - 1
    for l, (target, (weights, biases)) in enumerate(
        zip(network.layers(), file.layers, strict=True)
    ):
        factor = file.scale / float(potential.energy_scale) if l == last else 1.0
        mine = np.where(constant, 0.0, weights)[:, order] if l == 0 else weights
        _fill(target.weight, mine * factor)
        _fill(target.bias, biases * factor)


def _fill(parameter: torch.Tensor, values: Floats) -> None:
    with torch.no_grad():
        parameter.copy_(torch.from_numpy(np.ascontiguousarray(values)))


def _order(file: NetworkFile, potential: HDNNP) -> Sequence[int]:
    """Which input of the file each function of the model is; equal ones each once."""
    places: dict[object, list[int]] = defaultdict(list)
    for i, function in enumerate(file.functions):
        places[function].append(i)
    functions = potential.plan.functions[potential.symbols.index(file.symbol)]
    return [places[function].pop(0) for function in functions]
