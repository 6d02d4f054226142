"""From the files of an ANI potential to networks on symmetry functions with the same energies.

ANI's energy of an atom is the self energy of its element plus the output of its network, both in
Hartree: E0[e] and scale * NN_e of an :class:`HDNNP`. The factor of the radial functions goes into
the weights of the first layer; it is a power of two, so that this changes no digit.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np
import torch

from ladera import __version__
from ladera.arrays import Integers, Reals
from ladera.codes.ani import neurochem, torchani
from ladera.codes.ani.contents import RADIAL_FACTOR, Contents, Layer
from ladera.errors import ModelFileError
from ladera.kernels.symmetry_functions.functions import SymmetryFunction
from ladera.models.hdnnp import HDNNP, HDNNPConfig
from ladera.models.hdnnp.network import AtomicNetwork
from ladera.potential import Committee, Potential
from ladera.units import HARTREE

_FORMS: Final[tuple[tuple[Callable[[Path], bool], Callable[[Path], Contents]], ...]] = (
    (neurochem.reads, neurochem.read),
    (torchani.reads, torchani.read),
)


def reads(path: Path) -> bool:
    """Whether a path is NeuroChem's or TorchANI's."""
    return any(of_form(path) for of_form, _ in _FORMS)


def load(path: str | os.PathLike[str]) -> Potential:
    """The potential of ANI's files: one network of each element, or the committee of an ensemble.

    ``path`` is a folder of NeuroChem (``*.params``, ``sae_linfit.dat``, ``ANN-*.nnf``), one of an
    ensemble with such networks in ``train0``, ``train1``, ..., its ``.info`` file, or a state dict
    of TorchANI (``.pt``). Raises ModelFileError for files that are missing, damaged, do not fit
    each other, or are of networks that Ladera has not.
    """
    path = Path(path)
    read = next(read for of_form, read in _FORMS if of_form(path))
    contents = read(path)
    _check(contents)
    config = _config(contents)
    members = [_member(contents, config, number) for number in range(len(contents.members))]
    potential: Potential = members[0] if len(members) == 1 else Committee(members)
    potential.provenance = {
        "imported_from": contents.written_by,
        "file": str(path),
        "versions": {"ladera": __version__},
    }
    return potential.eval()


def _check(contents: Contents) -> None:
    """Refuse what does not fit together; the sizes of layers are checked where they are read."""
    n_inputs = contents.environment.n_functions(len(contents.symbols))
    for number, member in enumerate(contents.members):
        for symbol in contents.symbols:
            where = f"{contents.path}: the network of {symbol}"
            where += f" of member {number}" if len(contents.members) > 1 else ""
            if symbol not in member:
                raise ModelFileError(f"{where} is missing; copy the files again.")
            if symbol not in contents.self_energies:
                raise ModelFileError(f"{contents.path}: {symbol} has no self energy; add it.")
            layers = member[symbol]
            if layers[0].weights.shape[1] != n_inputs:
                raise ModelFileError(
                    f"{where} takes {layers[0].weights.shape[1]} inputs, but its symmetry "
                    f"functions for {len(contents.symbols)} elements are {n_inputs}; the files are "
                    "of different potentials."
                )
            shapes = [layer.weights.shape for layer in layers]
            chained = all(one[0] == other[1] for one, other in pairwise(shapes))
            if not chained or shapes[-1][0] != 1:
                sizes = ", ".join(f"{n_in} to {n_out}" for n_out, n_in in shapes)
                raise ModelFileError(
                    f"{where} has layers of {sizes} nodes, which do not lead from one to the next "
                    "and to one energy; the files are of different potentials."
                )
            if not all(np.isfinite(array).all() for layer in layers for array in layer):
                raise ModelFileError(f"{where} has weights that are not finite; it is damaged.")


def _config(contents: Contents) -> HDNNPConfig:
    """The configuration of all members but for the sizes of their networks."""
    parameters = contents.environment
    return HDNNPConfig(
        species=contents.symbols,
        cutoff=max(parameters.radial_cutoff, parameters.angular_cutoff),
        cutoff_function="cosine",
        symmetry_functions=tuple(
            function for symbol in contents.symbols for function in contents.functions(symbol)
        ),
        activation="celu",
        scaling="none",
    )


def _member(contents: Contents, config: HDNNPConfig, number: int) -> HDNNP:
    layers = contents.members[number]
    hidden = {
        symbol: tuple(len(layer.biases) for layer in layers[symbol][:-1])
        for symbol in contents.symbols
    }
    potential = HDNNP(config.model_copy(update={"hidden_layers": hidden}))
    potential.to(torch.float32)
    potential.forget_ranges()
    energies = [contents.self_energies[symbol] * HARTREE for symbol in potential.symbols]
    potential.reference_energies.copy_(torch.tensor(energies, dtype=torch.float64))
    potential.energy_scale.fill_(HARTREE)
    for symbol, functions, network in zip(
        potential.symbols, potential.plan.functions, potential.atomic_networks(), strict=True
    ):
        _set_network(network, layers[symbol], _columns(contents, symbol, functions))
    return potential


def _columns(
    contents: Contents, symbol: str, functions: Sequence[SymmetryFunction]
) -> tuple[Integers, Reals]:
    """Which input of the file each function is, and the factor of each."""
    place = {function: i for i, function in enumerate(contents.functions(symbol))}
    columns = np.array([place[function] for function in functions])
    radial = columns < len(contents.symbols) * len(contents.environment.radial_shifts)
    return columns, np.where(radial, np.float32(RADIAL_FACTOR), np.float32(1.0))


def _set_network(
    network: AtomicNetwork, layers: Sequence[Layer], columns: tuple[Integers, Reals]
) -> None:
    places, factors = columns
    with torch.no_grad():
        for l, (target, (weights, biases)) in enumerate(zip(network.layers(), layers, strict=True)):
            mine = weights[:, places] * factors if l == 0 else weights
            target.weight.copy_(torch.from_numpy(np.ascontiguousarray(mine)))
            target.bias.copy_(torch.from_numpy(np.ascontiguousarray(biases)))
