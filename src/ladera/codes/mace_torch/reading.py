"""From a checkpoint of mace-torch to a :class:`~ladera.models.mace.MACE` with the same energies."""

from __future__ import annotations

import os
import re
from typing import Any, Final

import torch
from ase.data import chemical_symbols
from pydantic import ValidationError
from torch import Tensor

from ladera import __version__
from ladera.codes.mace_torch import constants, couplings, names
from ladera.codes.mace_torch.checkpoint import Checkpoint, read_checkpoint
from ladera.codes.mace_torch.settings import DIPOLES, READOUTS, Settings
from ladera.errors import ModelFileError, did_you_mean
from ladera.models import registry
from ladera.models.mace.config import MACEConfig
from ladera.potential import Potential
from ladera.units import DEBYE

_TRANSFORMS: Final = {"None": None, "Agnesi": "agnesi", "Soft": "soft"}
# Tensors that are no parameters: constants of the method, and settings that stand elsewhere.
_CONSTANTS: Final = re.compile(
    r"atomic_numbers|r_max|num_interactions|atomic_energies_fn\.atomic_energies|scale_shift\.\w+"
    r"|(radial_embedding|pair_repulsion_fn|spherical_harmonics)\..*"
    r"|.*\.(output_mask|U_matrix_\d+|weights\w*_zeroed)"
    r"|interactions\.\d+\.(conv_tp|equivariant_nonlin|reshape)\..*"
    r"|readouts\.\d+\.equivariant_nonlin\..*"
)


def load(path: str | os.PathLike[str], *, head: str | None = None) -> Potential:
    """The potential in a file of mace-torch: a pickled model, a state dict, or safetensors.

    Nothing in the file is run, and mace-torch need not be there. ``head`` chooses a level of theory
    of a model with several; the first is taken without it. The precision is that of the file.

    Raises ModelFileError for a file that cannot be read and for a model of a kind that Ladera does
    not have, naming its block; ConfigError for a head that does not exist.
    """
    checkpoint = read_checkpoint(path)
    potential = registry.build(config_of(checkpoint, head))
    dtype = checkpoint.tensors["node_embedding.linear.weight"].dtype
    potential.to(dtype if dtype in (torch.float32, torch.float64) else torch.float32)
    _set_parameters(potential, checkpoint)
    potential.provenance = {
        "imported_from": "mace-torch",
        "file": str(checkpoint.path),
        "versions": {"ladera": __version__},
    }
    return potential.eval()


def config_of(checkpoint: Checkpoint, head: str | None = None) -> MACEConfig:
    """The configuration of a checkpoint; ModelFileError for what Ladera does not have."""
    given, path = checkpoint.settings, checkpoint.path
    if head is not None and head not in given.heads:
        raise ModelFileError(f"{path} has no head '{head}'; {did_you_mean(head, given.heads)}")
    hidden = degrees(path, given.hidden_irreps)
    try:
        return MACEConfig(
            species=tuple(chemical_symbols[number] for number in given.atomic_numbers),
            cutoff=given.r_max,
            channels=hidden[0],
            max_l=given.max_ell,
            hidden_l=len(hidden) - 1,
            correlation=given.correlation,
            num_interactions=given.num_interactions,
            interactions=tuple(given.kind(t) for t in range(given.num_interactions)),
            basis=given.radial_type,
            num_radial=given.num_bessel,
            cutoff_power=given.num_polynomial_cutoff,
            transform=_TRANSFORMS[given.distance_transform],
            radial_layers=given.radial_MLP,
            apply_cutoff=given.apply_cutoff,
            element_products=not given.use_agnostic_product,
            readout_layers=(_nodes(path, given),) * READOUTS[given.readout_cls],
            readout_bias=given.readout_cls == "NonLinearBiasReadoutBlock",
            gate=given.gate,
            heads=given.heads,
            head=head,
            average_neighbors=given.neighbors,
            zbl=given.pair_repulsion,
            outputs=DIPOLES.get(given.model, ("energy",)),
            charges=given.model not in DIPOLES,
            **_edges(path, given, hidden[0]),
        )
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        message = first["msg"].removeprefix("Value error, ")
        raise ModelFileError(
            f"{path}: it is a MACE that Ladera does not have ({where}: {message})."
        ) from error


def _nodes(path: os.PathLike[str], given: Settings) -> int:
    """Hidden nodes of the last readout, of each kind."""
    if given.model in DIPOLES:
        return int(given.MLP_irreps.partition("x")[0])
    nodes = degrees(path, given.MLP_irreps)
    if len(nodes) > 1:
        raise ModelFileError(f"{path}: its readout has vectors ({given.MLP_irreps}), not numbers.")
    return nodes[0]


def degrees(path: os.PathLike[str], irreps: str) -> tuple[int, ...]:
    """Channels of each l = 0, 1, ... of irreps such as 16x0e+16x1o; ModelFileError for others."""
    terms = re.findall(r"(?:(\d+)x)?(\d+)([eo])", irreps)
    natural = [f"{l}{'eo'[l % 2]}" for l in range(len(terms))]
    channels = tuple(int(mul or 1) for mul, _, _ in terms)
    if [l + parity for _, l, parity in terms] != natural or len(set(channels)) != 1:
        raise ModelFileError(
            f"{path}: its features are {irreps}; Ladera has those with as many channels of each "
            "l = 0, 1, ... of the parity of l."
        )
    return channels


def _edges(path: os.PathLike[str], given: Settings, channels: int) -> dict[str, Any]:
    """Channels and degrees of the messages where they are others than those of the features."""
    if given.edge_irreps is None:
        return {}
    own = degrees(path, given.edge_irreps)
    first = own[0] if given.use_edge_irreps_first else channels
    return {
        "edge_channels": (first, *[own[0]] * (given.num_interactions - 1)),
        "edge_l": len(own) - 1,
    }


def _set_parameters(potential: Potential, checkpoint: Checkpoint) -> None:
    path, tensors = checkpoint.path, checkpoint.tensors
    config = potential.config
    assert isinstance(config, MACEConfig)
    found: dict[str, Tensor] = {}
    plan = names.layout(config, "1o" in checkpoint.settings.MLP_irreps)
    missing = [name for name in plan if name not in tensors]
    if missing:
        raise ModelFileError(f"{path} lacks the parameter {missing[0]}; it is no whole model.")
    for name, blocks in plan.items():
        try:
            found |= dict(names.split(tensors[name], blocks))
        except ValueError as error:
            raise ModelFileError(f"{path}: its {name} {error}; its settings are wrong.") from error
    found |= dict(couplings.weights(config, checkpoint))
    known = {*plan, *(theirs for _, theirs, _ in names.product_names(config))}
    for name in tensors:
        if name not in known and not _CONSTANTS.fullmatch(name):
            raise ModelFileError(
                f"{path} has the parameter {name}, of a part Ladera does not have."
            )
    if config.has_energy:
        found |= _energies(checkpoint, len(config.heads))
    found |= dict(constants.read(checkpoint))
    own = potential.state_dict()
    if config.has_dipole:
        _complete_dipoles(config, found, own)
    undetermined = {name for name, _ in potential.named_parameters()} - set(found)
    if undetermined:
        raise ModelFileError(f"{path} does not determine {min(undetermined)} of Ladera's MACE.")
    with torch.no_grad():
        for name, tensor in found.items():
            own[name].copy_(tensor)


def _complete_dipoles(config: MACEConfig, found: dict[str, Tensor], own: dict[str, Tensor]) -> None:
    """Dipoles in e*Angstrom, and zero for the paths that mace-torch leaves out at the end.

    Its last readout has vectors only where MLP_irreps say so, and gates only beside scalars:
    without these the vectors are multiplied by gate(0) = 0.
    """
    last = f"layers.{config.num_interactions - 1}."
    for layer in range(config.num_interactions):
        weights = f"layers.{layer}.dipole.weights."
        final = max(name for name in own if name.startswith(weights))
        if final in found:
            found[final] = found[final] * DEBYE
    left_out = [f"{last}dipole."]
    if not config.has_energy:
        left_out += [f"{last}{part}.weights.0" for part in ("product", "linear", "skip")]
    for name, tensor in own.items():
        if name not in found and name.startswith(tuple(left_out)):
            found[name] = torch.zeros_like(tensor)


def _energies(checkpoint: Checkpoint, heads: int) -> dict[str, Tensor]:
    """Reference energies, scale and shift of each head."""
    tensors = checkpoint.tensors
    references = tensors["atomic_energies_fn.atomic_energies"].double()
    constant = {"scale": 1.0, "shift": 0.0}
    found = {
        name: tensors.get(f"scale_shift.{name}", torch.tensor(value)).double().reshape(-1)
        for name, value in constant.items()
    }
    found = {name: value.expand(heads) for name, value in found.items()}
    return found | {"reference_energies": references.reshape(-1, references.shape[-1])}
