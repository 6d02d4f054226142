"""A second head of a MACE for data of another level of theory, trained beside the first."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ladera.errors import ConfigError
from ladera.models.mace import MACE, MACEConfig
from ladera.potential import Potential, PotentialConfig
from ladera.training.batches import Batch
from ladera.training.config import LossConfig
from ladera.training.loss import Objective


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


class TwoHeads(Objective):
    """The objective of a batch: of frames in ``replayed`` by the base's head, else by the new one.

    All frames of a batch are of one kind.
    """

    def __init__(
        self, potential: Potential, config: LossConfig, replayed: NDArray[np.int64], base_head: str
    ) -> None:
        super().__init__(potential, config)
        self._replayed, self._base_head = frozenset(replayed.tolist()), base_head

    def forward(self, batch: Batch) -> Tensor:
        """As :meth:`Objective.forward`."""
        if int(batch.frames[0]) not in self._replayed:
            return super().forward(batch)
        with predicting(self.potential, self._base_head):
            return super().forward(batch)


def head_of(config: PotentialConfig) -> str:
    """The head by which a base predicts."""
    if not isinstance(config, MACEConfig):
        raise ConfigError(f"A {config.architecture} model has no heads.")
    return config.heads[config.head_index]


@contextmanager
def predicting(potential: Potential, head: str | None) -> Iterator[None]:
    """Have a model predict with another head; None: with the one it has."""
    kept = potential.config
    if head is None:
        yield
        return
    _take(potential, kept.model_copy(update={"head": head}))
    try:
        yield
    finally:
        _take(potential, kept)


def _take(potential: Potential, config: PotentialConfig) -> None:
    potential.config = config
    potential.to(potential.dtype)  # which has it forget what it has tabulated for another head
