"""From a :class:`~ladera.models.mace.MACE` to files that mace-torch builds the same model from."""

from __future__ import annotations

import json
import os
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import torch
from ase.data import atomic_numbers
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from ladera.codes.mace_torch import constants, couplings, dipoles, names, to_model
from ladera.codes.mace_torch.settings import BLOCKS
from ladera.errors import ConfigError, ModelFileError
from ladera.files import atomic_path, write_text_atomic
from ladera.models.mace.config import MACEConfig
from ladera.potential import Potential

_CLASSES: Final = {ours: theirs for theirs, ours in BLOCKS.items()}
_TRANSFORMS: Final = {None: "None", "agnesi": "Agnesi", "soft": "Soft"}


def export(potential: Potential, place: str | os.PathLike[str]) -> tuple[Path, ...]:
    """Write a ``.model`` where the name ends so and mace-torch is installed; else a folder.

    In the folder ``model.safetensors`` is a state dict with every parameter, and of the constants
    the coupling matrices, under the names that mace-torch has for them, ``model.json`` the
    arguments of its constructor, and ``to_model.py`` a program that makes a ``.model`` of them.
    Raises ConfigError for a model that mace-torch cannot be, and where it is not installed.
    """
    place = Path(place)
    if place.suffix != ".model":
        return _export_parts(potential, place)
    if find_spec("mace") is None:
        raise ConfigError(
            f"{place} is written by mace-torch itself, which is not installed beside Ladera; "
            "install it (pip install mace-torch), or name a folder: the to_model.py in it makes "
            "the .model where mace-torch is."
        )
    with tempfile.TemporaryDirectory() as folder:
        _export_parts(potential, Path(folder))
        model = to_model.make(Path(folder))
    try:
        with atomic_path(place) as temporary:
            torch.save(model, temporary)
    except OSError as error:
        raise ModelFileError(f"{place} could not be written: {error}.") from error
    return (place,)


def _export_parts(potential: Potential, folder: Path) -> tuple[Path, ...]:
    config = potential.config
    if not isinstance(config, MACEConfig):
        raise ConfigError(f"mace-torch has no {config.architecture} models; export a MACE.")
    if config.has_dipole:
        dipoles.require_alike(config)
    settings, tensors = _settings(potential, config), _tensors(potential, config)
    if config.has_dipole:
        settings = dipoles.settings(settings)
    state, described = folder / "model.safetensors", folder / "model.json"
    program = folder / "to_model.py"
    try:
        with atomic_path(state) as temporary:
            save_file(tensors, temporary, metadata={"format": "mace-torch state_dict"})
        write_text_atomic(described, json.dumps(settings, indent=1) + "\n")
        write_text_atomic(program, Path(to_model.__file__).read_text(encoding="utf-8"))
    except (OSError, SafetensorError) as error:
        raise ModelFileError(f"The model could not be written to {folder}: {error}.") from error
    return state, described, program


def _settings(potential: Potential, config: MACEConfig) -> dict[str, Any]:
    """The arguments of mace-torch's constructor, classes and irreps by their names."""
    first, *rest = [_CLASSES[kind] for kind in config.kinds]
    neighbors = [float(value) for value in potential.average_neighbors]  # type: ignore[union-attr]
    for name, values in (("interactions", rest), ("average_neighbors", neighbors)):
        if len(set(values)) > 1:
            raise ConfigError(
                f"mace-torch has one value for {name} in all layers (after the first); this model "
                f"has {values}."
            )
    C, heads = config.channels, len(config.heads)
    energies: Tensor = potential.reference_energies.double()  # type: ignore[assignment]
    scale, shift = (getattr(potential, name).double().tolist() for name in ("scale", "shift"))
    return {
        "model": "ScaleShiftMACE",
        "atomic_numbers": [atomic_numbers[symbol] for symbol in config.species],
        "num_elements": len(config.species),
        "r_max": config.cutoff,
        "num_bessel": config.num_radial,
        "num_polynomial_cutoff": config.cutoff_power,
        "max_ell": config.max_l,
        "num_interactions": config.num_interactions,
        "correlation": config.correlation,
        "hidden_irreps": _irreps(C, config.hidden_l),
        **_edges(config),
        "MLP_irreps": f"{(config.readout_layers or (1,))[0]}x0e",
        "gate": config.gate,
        "interaction_cls_first": first,
        "interaction_cls": rest[0] if rest else first,
        "readout_cls": _readout(config),
        "avg_num_neighbors": neighbors[0],
        "radial_type": config.basis,
        "radial_MLP": list(config.radial_layers),
        "distance_transform": _TRANSFORMS[config.transform],
        "apply_cutoff": config.apply_cutoff,
        "pair_repulsion": config.zbl,
        "use_agnostic_product": not config.element_products,
        "use_reduced_cg": False,
        "heads": list(config.heads),
        "atomic_energies": energies.tolist() if heads > 1 else energies[0].tolist(),
        "atomic_inter_scale": scale if heads > 1 else scale[0],
        "atomic_inter_shift": shift if heads > 1 else shift[0],
    }


def _edges(config: MACEConfig) -> dict[str, Any]:
    first, *rest = config.edge_channels or (config.channels,)
    if not rest or (set(rest) == {config.channels} and config.edge_l in (None, config.hidden_l)):
        return {"edge_irreps": None}
    if len(set(rest)) > 1:
        raise ConfigError(f"mace-torch has one number of edge_channels; this model has {rest}.")
    edge_l = config.hidden_l if config.edge_l is None else config.edge_l
    return {
        "edge_irreps": _irreps(rest[0], edge_l),
        "use_edge_irreps_first": first == rest[0] != config.channels,
    }


def _readout(config: MACEConfig) -> str:
    match len(set(config.readout_layers)), len(config.readout_layers), config.readout_bias:
        case _, 0, False:
            return "LinearReadoutBlock"
        case 1, 1, False:
            return "NonLinearReadoutBlock"
        case 1, 2, True:
            return "NonLinearBiasReadoutBlock"
    raise ConfigError(
        f"mace-torch has no readout with the layers {list(config.readout_layers)} and readout_bias "
        f"{config.readout_bias}; it has one layer without biases, or two equal ones with."
    )


def _irreps(channels: int, degree: int) -> str:
    return "+".join(f"{channels}x{l}{'eo'[l % 2]}" for l in range(degree + 1))


def _tensors(potential: Potential, config: MACEConfig) -> dict[str, Tensor]:
    state = {name: tensor.detach().cpu() for name, tensor in potential.state_dict().items()}
    if config.has_dipole:
        state = dipoles.unscaled(state, config)
    tensors: dict[str, Tensor] = {}
    for name, blocks in names.layout(config, gated=config.has_dipole).items():
        flat = names.join(state, blocks)
        tensors[name] = flat if _is_flat(name) else flat.reshape(blocks[0].shape)
    dtype = tensors["node_embedding.linear.weight"].dtype
    for ours, theirs, _ in names.product_names(config):
        tensors[theirs] = state[ours]
    for name, matrix in couplings.export(config):
        tensors[name] = matrix.to(dtype)
    tensors |= {name: tensor.to(dtype) for name, tensor in constants.write(state, config.species)}
    energies = state["reference_energies"]  # in float64, to lose nothing of thousands of eV
    scalars = {
        "atomic_energies_fn.atomic_energies": energies if len(energies) > 1 else energies[0],
        "r_max": torch.tensor(config.cutoff, dtype=dtype),
        "atomic_numbers": torch.tensor([atomic_numbers[s] for s in config.species]),
        "num_interactions": torch.tensor(config.num_interactions),
        "radial_embedding.cutoff_fn.p": torch.tensor(config.cutoff_power, dtype=torch.int32),
        "radial_embedding.cutoff_fn.r_max": torch.tensor(config.cutoff, dtype=dtype),
    }
    if config.basis == "chebyshev":
        orders = torch.arange(1, config.num_radial + 1, dtype=dtype)
        scalars["radial_embedding.bessel_fn.n"] = orders[None]
    if config.zbl:
        scalars["pair_repulsion_fn.p"] = torch.tensor(config.cutoff_power, dtype=torch.int32)
    for name in () if config.has_dipole else ("scale", "shift"):
        value = state[name].to(dtype)
        scalars[f"scale_shift.{name}"] = value if len(value) > 1 else value[0]
    return {name: tensor.contiguous() for name, tensor in (tensors | scalars).items()}


def _is_flat(name: str) -> bool:
    """Whether a parameter belongs to a linear layer or tensor product of e3nn."""
    return not any(part in name for part in (".layer", ".net.", ".alpha", ".beta"))
