"""State dicts of TorchANI: ``torch.save(model.state_dict(), ...)``, of which nothing is run.

The names of the tensors have changed from version to version; their ends have not:

    energy_shifter.self_energies                    Hartree
    aev_computer.EtaR, ShfR, EtaA, Zeta, ...        or radial.eta, radial.shifts, ...
    neural_networks.0.H.0.weight                    member, element, place among the layers
    ...neural_networks.members.0.atomics.H.layers.0.weight, final_layer.weight

Activation and cutoffs are not in the file. The activation is known of the symmetry functions that
come with the published potentials; the cutoffs follow from the even grids of their shifts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np
from ase.data import chemical_symbols
from torch import Tensor

from ladera.codes.ani.contents import Contents, Environment, Layer
from ladera.codes.torch_archive import is_tensor, kind_of, pickle_of, read_archive
from ladera.errors import ModelFileError

_WEIGHT: Final = re.compile(
    r"(?:(?:^|\.)(\d+)\.)?(?:atomics\.)?([A-Z][a-z]?)\.(?:layers\.)?(\d+|final_layer)\.weight$"
)
# The ends of the names of the functions' parameters, old and new.
_NAMES: Final = {
    "radial_eta": ("EtaR", "radial.eta"),
    "radial_shifts": ("ShfR", "radial.shifts"),
    "angular_eta": ("EtaA", "angular.eta"),
    "zeta": ("Zeta", "angular.zeta"),
    "angular_shifts": ("ShfA", "angular.shifts"),
    "angles": ("ShfZ", "angular.sections"),
}
# eta of the radial and of the angular functions, and zeta, of ANI-1x and ANI-1ccx, and of ANI-2x.
_WITH_CELU: Final = ((16.0, 8.0, 32.0), (19.7, 12.5, 14.1))
_MARKS: Final = (b"aev_computer", b"EtaR")


def reads(path: Path) -> bool:
    """Whether a file is TorchANI's, by the names of its tensors."""
    pickled = pickle_of(path)
    return any(mark in pickled for mark in _MARKS)


def read(path: Path) -> Contents:
    """What a state dict says; ModelFileError for what is missing or not known."""
    archive = read_archive(path)
    if not isinstance(archive.root, Mapping):
        raise ModelFileError(
            f"{path} holds {kind_of(archive.root)}; Ladera reads the state dict of a model of "
            "TorchANI, torch.save(model.state_dict(), PATH)."
        )
    views = {str(name): view for name, view in archive.root.items() if is_tensor(view)}
    tensors = {name: archive.tensor(view) for name, view in views.items()}
    others = {name.split(".")[1] for name in tensors if name.startswith("potentials.")} - {"nnp"}
    if others:
        raise ModelFileError(
            f"{path} adds the potential '{sorted(others)[0]}' to its networks, which Ladera does "
            "not have; it reads ANI-1x, ANI-1ccx and ANI-2x."
        )
    members = _members(path, tensors)
    symbols = _symbols(tensors, members)
    energies = _of(path, tensors, ("self_energies",)).double().numpy().ravel()
    if len(energies) != len(symbols):
        raise ModelFileError(
            f"{path} has {len(energies)} self energies for {len(symbols)} elements; it is damaged."
        )
    return Contents(
        path=path,
        written_by="TorchANI",
        symbols=symbols,
        environment=_environment(path, tensors),
        self_energies=dict(zip(symbols, map(float, energies), strict=True)),
        members=members,
    )


def _members(
    path: Path, tensors: Mapping[str, Tensor]
) -> tuple[Mapping[str, tuple[Layer, ...]], ...]:
    """The networks of each member."""
    found: dict[int, dict[str, dict[float, Layer]]] = {}
    for name, tensor in tensors.items():
        if match := _WEIGHT.search(name):
            member, symbol, place = match.groups()
            bias = tensors.get(name.removesuffix("weight") + "bias")
            if tensor.ndim != 2 or bias is None:
                raise ModelFileError(
                    f"{path}: the layer {name.removesuffix('.weight')} has no biases, as the "
                    "published networks with CELU have; the network is of another kind."
                )
            order = np.inf if place == "final_layer" else int(place)
            layer = Layer(tensor.float().numpy(), bias.float().numpy())
            found.setdefault(int(member or 0), {}).setdefault(symbol, {})[order] = layer
    if not found:
        raise ModelFileError(f"{path} has no networks of elements; expected a model of TorchANI.")
    return tuple(
        {symbol: tuple(layers[l] for l in sorted(layers)) for symbol, layers in found[m].items()}
        for m in sorted(found)
    )


def _symbols(
    tensors: Mapping[str, Tensor], members: tuple[Mapping[str, object], ...]
) -> tuple[str, ...]:
    """The elements in the order of the inputs: as the file says, or that of the networks."""
    for name, tensor in tensors.items():
        if name.rpartition(".")[2] == "atomic_numbers":
            return tuple(chemical_symbols[int(number)] for number in tensor.tolist())
    return tuple(members[0])


def _environment(path: Path, tensors: Mapping[str, Tensor]) -> Environment:
    values = {
        key: tuple(_of(path, tensors, names).double().ravel().tolist())
        for key, names in _NAMES.items()
    }
    widths = tuple(round(values[key][0], 4) for key in ("radial_eta", "angular_eta", "zeta"))
    if widths not in _WITH_CELU:
        raise ModelFileError(
            f"{path} does not say the activation of its networks, and its symmetry functions (eta "
            f"{widths[0]:g} and {widths[1]:g}, zeta {widths[2]:g}) are not those of ANI-1x, "
            "ANI-1ccx or ANI-2x; give the folder of NeuroChem, which says it."
        )
    return Environment(
        radial_cutoff=_end_of_grid(path, values["radial_shifts"]),
        angular_cutoff=_end_of_grid(path, values["angular_shifts"]),
        radial_eta=widths[0],
        radial_shifts=tuple(round(shift, 6) for shift in values["radial_shifts"]),
        angular_eta=widths[1],
        zeta=widths[2],
        angular_shifts=tuple(round(shift, 6) for shift in values["angular_shifts"]),
        angles=values["angles"],
    )


def _end_of_grid(path: Path, shifts: tuple[float, ...]) -> float:
    """Where an even grid's next point would be, Angstrom: the cutoff."""
    steps = np.diff(shifts)
    if len(steps) == 0 or np.ptp(steps) > 1e-5:
        raise ModelFileError(
            f"{path} does not say its cutoffs, and its shifts are on no even grid, from which they "
            "would follow; give the folder of NeuroChem, which says them."
        )
    return round(float(shifts[-1] + steps.mean()), 4)


def _of(path: Path, tensors: Mapping[str, Tensor], ends: tuple[str, ...]) -> Tensor:
    """The tensor whose name ends so."""
    for name, tensor in tensors.items():
        if any(name == end or name.endswith(f".{end}") for end in ends):
            return tensor
    raise ModelFileError(f"{path} has no {ends[0]}; expected the state dict of a whole model.")
