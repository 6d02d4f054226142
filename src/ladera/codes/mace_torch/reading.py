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
from ladera.errors import ModelFileError, did_you_mean, first_problem
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


def load(path: str | os.PathLike[str], head: str | None = None) -> Potential:
    """The potential in a file of mace-torch: a pickled model, a state dict, or safetensors.

    Nothing in the file is run, and mace-torch need not be there. ``head`` chooses a level of theory
    of a model with several; the first is taken without it. The precision is that of the file.

    Raises ModelFileError for a file that cannot be read and for a model of a kind that Ladera does
    not have, naming its block, and for a head that does not exist.
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
    settings, path = checkpoint.settings, checkpoint.path
    if head is not None and head not in settings.heads:
        raise ModelFileError(f"{path} has no head '{head}'; {did_you_mean(head, settings.heads)}")
    hidden = degrees(path, settings.hidden_irreps)
    try:
        return MACEConfig(
            species=tuple(chemical_symbols[number] for number in settings.atomic_numbers),
            cutoff=settings.r_max,
            channels=hidden[0],
            max_l=settings.max_ell,
            hidden_l=len(hidden) - 1,
            correlation=settings.correlation,
            num_interactions=settings.num_interactions,
            interactions=tuple(settings.kind(t) for t in range(settings.num_interactions)),
            basis=settings.radial_type,
            num_radial=settings.num_bessel,
            cutoff_power=settings.num_polynomial_cutoff,
            transform=_TRANSFORMS[settings.distance_transform],
            radial_layers=settings.radial_MLP,
            apply_cutoff=settings.apply_cutoff,
            element_products=not settings.use_agnostic_product,
            readout_layers=(_nodes(path, settings),) * READOUTS[settings.readout_cls],
            readout_bias=settings.readout_cls == "NonLinearBiasReadoutBlock",
            gate=settings.gate,
            heads=settings.heads,
            head=head,
            average_neighbors=settings.neighbors,
            zbl=settings.pair_repulsion,
            outputs=DIPOLES.get(settings.model, ("energy",)),
            charges=settings.model not in DIPOLES,
            **_edges(path, settings, hidden[0]),
        )
    except ValidationError as error:
        where, message = first_problem(error)
        raise ModelFileError(
            f"{path}: it is a MACE that Ladera does not have ({where}: {message})."
        ) from error


def _nodes(path: os.PathLike[str], settings: Settings) -> int:
    """Hidden nodes of the last readout, of each kind."""
    if settings.model in DIPOLES:
        return int(settings.MLP_irreps.partition("x")[0])
    nodes = degrees(path, settings.MLP_irreps)
    if len(nodes) > 1:
        raise ModelFileError(
            f"{path}: its readout has vectors ({settings.MLP_irreps}), not numbers."
        )
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


def _edges(path: os.PathLike[str], settings: Settings, channels: int) -> dict[str, Any]:
    """Channels and degrees of the messages where they are others than those of the features."""
    if settings.edge_irreps is None:
        return {}
    of_messages = degrees(path, settings.edge_irreps)
    first = of_messages[0] if settings.use_edge_irreps_first else channels
    return {
        "edge_channels": (first, *[of_messages[0]] * (settings.num_interactions - 1)),
        "edge_l": len(of_messages) - 1,
    }


def _set_parameters(potential: Potential, checkpoint: Checkpoint) -> None:
    path, tensors = checkpoint.path, checkpoint.tensors
    config = potential.config
    assert isinstance(config, MACEConfig)
    values: dict[str, Tensor] = {}
    plan = names.layout(config, "1o" in checkpoint.settings.MLP_irreps)
    missing = [name for name in plan if name not in tensors]
    if missing:
        raise ModelFileError(f"{path} lacks the parameter {missing[0]}; it is no whole model.")
    for name, blocks in plan.items():
        try:
            values |= dict(names.split(tensors[name], blocks))
        except ValueError as error:
            raise ModelFileError(f"{path}: its {name} {error}; its settings are wrong.") from error
    values |= dict(couplings.weights(config, checkpoint))
    known = {*plan, *(theirs for _, theirs, _ in names.product_names(config))}
    for name in tensors:
        if name not in known and not _CONSTANTS.fullmatch(name):
            raise ModelFileError(
                f"{path} has the parameter {name}, of a part Ladera does not have."
            )
    if config.has_energy:
        values |= _energies(checkpoint, len(config.heads))
    values |= dict(constants.read(checkpoint))
    state = potential.state_dict()
    if config.has_dipole:
        _complete_dipoles(config, values, state)
    undetermined = {name for name, _ in potential.named_parameters()} - set(values)
    if undetermined:
        raise ModelFileError(f"{path} does not determine {min(undetermined)} of Ladera's MACE.")
    with torch.no_grad():
        for name, tensor in values.items():
            state[name].copy_(tensor)


def _complete_dipoles(
    config: MACEConfig, values: dict[str, Tensor], state: dict[str, Tensor]
) -> None:
    """Dipoles in e*Angstrom, and zero for the paths that mace-torch leaves out at the end.

    Its last readout has vectors only where MLP_irreps say so, and gates only beside scalars:
    without these the vectors are multiplied by gate(0) = 0.
    """
    last = f"layers.{config.num_interactions - 1}."
    for layer in range(config.num_interactions):
        weights = f"layers.{layer}.dipole.weights."
        final = max(name for name in state if name.startswith(weights))
        if final in values:
            values[final] = values[final] * DEBYE
    left_out = [f"{last}dipole."]
    if not config.has_energy:
        left_out += [f"{last}{part}.weights.0" for part in ("product", "linear", "skip")]
    for name, tensor in state.items():
        if name not in values and name.startswith(tuple(left_out)):
            values[name] = torch.zeros_like(tensor)


def _energies(checkpoint: Checkpoint, heads: int) -> dict[str, Tensor]:
    """Reference energies, scale and shift of each head."""
    tensors = checkpoint.tensors
    references = tensors["atomic_energies_fn.atomic_energies"].double()
    energies = {"reference_energies": references.reshape(-1, references.shape[-1])}
    for name, default in (("scale", 1.0), ("shift", 0.0)):
        stored = tensors.get(f"scale_shift.{name}", torch.tensor(default))
        energies[name] = stored.double().reshape(-1).expand(heads)
    return energies
