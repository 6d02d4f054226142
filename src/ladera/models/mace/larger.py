"""One head, output or element more for a MACE, which says of the rest what it said."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ladera.errors import ConfigError
from ladera.models import elements
from ladera.models.mace.config import MACEConfig
from ladera.models.mace.readout import DipoleReadout

if TYPE_CHECKING:
    from ladera.models.mace.model import MACE


def with_head(base: MACE, name: str) -> MACE:
    """With data of another level of theory in a head of their own, which predicts.

    It begins as the one that predicted before. Raises ConfigError for a model that cannot have
    another head, and for a name that is taken.
    """
    config, tensors = base.config, base.state_dict()
    if config.has_dipole:
        raise ConfigError(
            "finetune.method: replay gives a model a second head, and one with a dipole has a "
            "single one; take naive, frozen or lora."
        )
    if name in config.heads:
        raise ConfigError(
            f"finetune.head: the base has a head '{name}' already ({', '.join(config.heads)}); "
            "give the new one another name."
        )
    larger = _larger(base, heads=(*config.heads, name), head=name).to(base.dtype)
    with torch.no_grad():
        for key, tensor in larger.state_dict().items():
            tensor.copy_(_with_head(key, tensors[key], config))
    return larger


def with_elements(base: MACE, relatives: Mapping[str, str]) -> MACE:
    """With more elements; see :mod:`ladera.models.elements`."""
    larger = _larger(base, species=elements.joined(base.symbols, relatives))
    return elements.extended(base, larger, relatives, _divided_by_elements)


def with_dipole(base: MACE, charges: bool) -> MACE:
    """With dipoles, of which the last weights are zero, and the others as those of a new model.

    Raises ConfigError for a model of several heads, and for one without vectors.
    """
    config = base.config
    if len(config.heads) > 1 or config.max_l == 0:
        why = "has several heads" if len(config.heads) > 1 else "has max_l: 0, and so no vectors"
        raise ConfigError(
            f"The base {why}, and such a MACE cannot be given dipoles; take one head of it "
            "(ladera import --head), or another base."
        )
    outputs = (*config.outputs, "dipole")
    larger = _larger(base, outputs=outputs, charges=charges).to(base.dtype)
    larger.load_state_dict(larger.state_dict() | base.state_dict())
    with torch.no_grad():
        for module in larger.modules():
            for weights in module.last_weights() if isinstance(module, DipoleReadout) else ():
                weights.zero_()
    return larger.eval()


def _larger(base: MACE, **changes: Any) -> MACE:
    """A new model of another configuration."""
    return type(base)(MACEConfig.model_validate(base.config.model_dump() | changes))


def _divided_by_elements(name: str) -> bool:
    """Whether a parameter is divided by the root of the number of elements."""
    mixing = ".mix." in name or ".skip." in name
    return mixing or name.endswith(("embedding", ".source", ".target"))


def _with_head(key: str, tensor: Tensor, config: MACEConfig) -> Tensor:
    """A tensor, by its name, with the predicting head once more behind all heads."""
    if key in ("scale", "shift", "reference_energies"):
        return torch.cat([tensor, tensor[config.head_index][None]])
    if ".readout." not in key:
        return tensor
    heads, head, place = len(config.heads), config.head_index, int(key.rpartition(".")[2])
    columns = _of_head(tensor, -1, heads, head)
    if ".biases." in key or place == 0:
        return torch.cat([tensor, columns], dim=-1)
    # Heads are blocks of one wide network, whose linear layers divide by the root of all nodes.
    block = _of_head(columns, 0, heads, head)
    wide = tensor.new_zeros(tensor.shape[0] + block.shape[0], tensor.shape[1] + block.shape[1])
    wide[: tensor.shape[0], : tensor.shape[1]] = tensor
    wide[tensor.shape[0] :, tensor.shape[1] :] = block
    return wide * math.sqrt((heads + 1) / heads)


def _of_head(tensor: Tensor, axis: int, heads: int, head: int) -> Tensor:
    return tensor.chunk(heads, dim=axis)[head]
