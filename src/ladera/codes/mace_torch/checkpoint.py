"""A MACE of mace-torch as its files hold it: settings and tensors, in three kinds of files.

A pickled module (``.model``) has both. A state dict (``torch.save(model.state_dict(), ...)``, the
checkpoints of mace_run_train, or safetensors) has the tensors; what they do not tell stands in a
JSON or YAML file of the same name beside it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

from ladera.codes.mace_torch import settings as settings_of
from ladera.codes.mace_torch.modules import Module
from ladera.codes.mace_torch.settings import Settings
from ladera.codes.torch_archive import (
    Archive,
    Foreign,
    is_tensor,
    kind_of,
    pickle_of,
    read_archive,
)
from ladera.errors import ModelFileError

_KINDS: Final = ("ScaleShiftMACE", "MACE", "EnergyDipolesMACE", "AtomicDipolesMACE")
_EMBEDDING: Final = "node_embedding.linear.weight"  # a tensor that every MACE has
_BESIDE: Final = (".json", ".yaml", ".yml")
# Where training codes keep the model among other things.
_INNER: Final = ("model", "state_dict", "model_state_dict")


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """The settings of a model and its tensors, under the names that mace-torch has for them."""

    path: Path
    settings: Settings
    tensors: Mapping[str, Tensor]


def reads(path: Path) -> bool:
    """Whether a file is mace-torch's, by the names of its classes or tensors."""
    if path.suffix == ".safetensors":
        try:
            with safe_open(path, framework="pt") as file:
                return _EMBEDDING in file.keys()  # noqa: SIM118
        except (SafetensorError, OSError):
            return False
    pickled = pickle_of(path)
    return b"mace.modules" in pickled or _EMBEDDING.encode() in pickled


def read_checkpoint(path: str | os.PathLike[str]) -> Checkpoint:
    """Read a file of mace-torch; nothing in it is run.

    Raises ModelFileError for a file that is missing, damaged, or of a kind that Ladera has not.
    """
    path = Path(path)
    if path.suffix == ".safetensors":
        try:
            tensors = load_file(path)
        except (OSError, SafetensorError) as error:
            raise ModelFileError(f"{path} cannot be read ({error}); copy it again.") from error
        stated = _beside(path)
    else:
        tensors, stated = _unpickled(read_archive(path))
    if "atomic_numbers" not in tensors and "atomic_numbers" not in stated:
        raise ModelFileError(
            f"{path} does not say for which elements it is; write atomic_numbers, such as [1, 8], "
            f"in {path.with_suffix('.json').name} beside it."
        )
    return Checkpoint(path, settings_of.complete(path, tensors, stated), tensors)


def _unpickled(archive: Archive) -> tuple[dict[str, Tensor], dict[str, Any]]:
    stored = archive.root
    for key in _INNER:
        if isinstance(stored, Mapping) and key in stored:
            stored = stored[key]
    if isinstance(stored, Mapping) and any(is_tensor(value) for value in stored.values()):
        tensors = {str(k): archive.tensor(v) for k, v in stored.items() if is_tensor(v)}
        return {k: v for k, v in tensors.items() if v.numel()}, _beside(archive.path)
    if not isinstance(stored, Foreign):
        raise ModelFileError(
            f"{archive.path} holds neither a model nor a state dict, but {kind_of(stored)}."
        )
    module = Module(archive, stored)
    if module.kind not in _KINDS:
        raise ModelFileError(
            f"{archive.path} holds a {stored.path}, which Ladera does not have; it reads "
            f"{', '.join(_KINDS)} of mace-torch."
        )
    return module.tensors(), settings_of.of_module(module)


def _beside(path: Path) -> dict[str, Any]:
    """The settings in the file of the same name beside a state dict; none without one."""
    for suffix in _BESIDE:
        beside = path.with_suffix(suffix)
        if beside.is_file():
            return settings_of.read(beside)
    return {}
