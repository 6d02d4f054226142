"""A second head of a MACE for data of another level of theory, trained beside the first."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ladera.errors import ConfigError
from ladera.models.mace import MACE, MACEConfig
from ladera.potential import Potential


def add_head(base: Potential, name: str) -> MACE:
    """The same model with one head more, which begins as the base's and is the one that predicts.

    Raises ConfigError for a model that cannot have heads, and a name that is taken.
    """
    if not isinstance(base, MACE):
        raise ConfigError(
            f"finetune.method: replay gives a MACE a second head, and the base is a "
            f"{base.config.architecture} model; take naive or frozen."
        )
    config = base.config
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
    larger = MACEConfig.model_validate(
        config.model_dump() | {"heads": (*config.heads, name), "head": name}
    )
    made = MACE(larger).to(base.dtype)
    own, old = made.state_dict(), base.state_dict()
    with torch.no_grad():
        for key, tensor in own.items():
            tensor.copy_(_extended(key, old[key], config))
    return made


def _extended(key: str, tensor: Tensor, config: MACEConfig) -> Tensor:
    """A tensor of the base with the base's head once more, behind the others."""
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
