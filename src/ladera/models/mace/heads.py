"""One head more for a MACE: data of another level of theory, trained beside the first."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ladera.errors import ConfigError
from ladera.models.mace.config import MACEConfig


def with_head(config: MACEConfig, name: str) -> MACEConfig:
    """The configuration with one head more, which is the one that predicts.

    Raises ConfigError for a model that cannot have another head, and for a name that is taken.
    """
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
    return MACEConfig.model_validate(
        config.model_dump() | {"heads": (*config.heads, name), "head": name}
    )


def extended(key: str, tensor: Tensor, config: MACEConfig) -> Tensor:
    """A tensor of a model, by its name, with the predicting head once more behind all heads."""
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
