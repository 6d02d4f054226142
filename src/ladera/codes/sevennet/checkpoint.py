"""A checkpoint of SevenNet as its file holds it: settings, and tensors by their names there.

A file is what ``torch.save`` wrote of a dictionary with ``config`` and ``model_state_dict``. The
first versions of SevenNet had other names for the parts, some with blanks; here they have the later
ones.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from ase.data import chemical_symbols
from torch import Tensor

from ladera.codes.sevennet.settings import Settings, settings_of
from ladera.codes.torch_archive import Archive, is_tensor, kind_of, pickle_of, read_archive
from ladera.errors import ModelFileError, did_you_mean

_STATE: Final = "model_state_dict"
_OLD_NAMES: Final = {
    "EdgeEmbedding": "edge_embedding",
    "reducing nn input to hidden": "reduce_input_to_hidden",
    "reducing nn hidden to energy": "reduce_hidden_to_energy",
    "rescale atomic energy": "rescale_atomic_energy",
    "denumerator": "denominator",
}
# Of old parts of a layer: "3 self connection intro".
_OLD_PART: Final = re.compile(r"(\d+) (self connection intro|convolution|self interaction 2)\.")


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """The settings of a model and its tensors, float64, under the names of later versions."""

    path: Path
    settings: Settings
    tensors: Mapping[str, Tensor]

    def tensor(self, name: str, *shape: int) -> Tensor:
        """A tensor, in a shape for which it must have the right number of entries.

        Raises ModelFileError, with its name, for one that is missing or of another size.
        """
        if name not in self.tensors:
            raise ModelFileError(f"{self.path} lacks the parameter {name}; it is no whole model.")
        found = self.tensors[name]
        if found.numel() != torch.Size(shape).numel():
            raise ModelFileError(
                f"{self.path}: its {name} has {found.numel():,} numbers, and by its settings "
                f"{torch.Size(shape).numel():,}; the file is damaged."
            )
        if not found.isfinite().all():
            raise ModelFileError(
                f"{self.path}: its {name} has entries that are no numbers; the file is damaged."
            )
        return found.reshape(shape)

    def has(self, name: str) -> bool:
        """Whether there is a tensor of a name, with any entries."""
        return name in self.tensors

    def symbols(self) -> tuple[str, ...]:
        """The elements in the order of the file."""
        return tuple(chemical_symbols[number] for number in self.settings.numbers)

    def task(self, head: str | None) -> str | None:
        """The level of theory to predict: the one asked for, or else the file's own default.

        None of a model with one for everything. Raises ModelFileError where there is none such.
        """
        known = self.settings.tasks
        if not known:
            if head is not None:
                raise ModelFileError(
                    f"{self.path} has no head '{head}'; it has one for everything; leave it out."
                )
            return None
        default = self.settings.default_modal
        if head is None and default in known:
            return default
        if head not in known:
            asked = f"no head '{head}'" if head is not None else "several heads and no default"
            hint = did_you_mean(head or "", known)
            raise ModelFileError(f"{self.path} has {asked}; {hint}")
        return head


def reads(path: Path) -> bool:
    """Whether a file is a checkpoint of SevenNet, by the names that stand in it."""
    pickled = pickle_of(path)
    return all(word in pickled for word in (b"model_state_dict", b"onehot_to_feature_x"))


def read_checkpoint(path: str | os.PathLike[str]) -> Checkpoint:
    """Read a checkpoint; nothing in it is run.

    Raises ModelFileError for a file that is missing, damaged, or of a kind that Ladera has not.
    """
    archive = read_archive(path)
    root = archive.root
    for key in ("config", _STATE):
        if not isinstance(root, Mapping) or not isinstance(root.get(key), Mapping):
            found = kind_of(root.get(key) if isinstance(root, Mapping) else root)
            raise ModelFileError(
                f"{archive.path} is no checkpoint of SevenNet: its {key} is {found}, not a "
                "dictionary."
            )
    settings = settings_of(archive.path, root["config"])
    return Checkpoint(archive.path, settings, _tensors(archive, root[_STATE]))


def _tensors(archive: Archive, state: Mapping[Any, Any]) -> dict[str, Tensor]:
    found = {}
    for name, value in state.items():
        if is_tensor(value):
            tensor = archive.tensor(value)
            if tensor.numel():
                found[_present_name(str(name))] = tensor.double()
    return found


def _present_name(name: str) -> str:
    """What later versions of SevenNet call a tensor."""
    name = _OLD_PART.sub(lambda match: match[0].replace(" ", "_"), name)
    for old, new in _OLD_NAMES.items():
        name = name.replace(old, new)
    return name
