"""Nested state (dicts, lists, tensors, numbers) in one safetensors file. No pickle, ever.

Tensors are stored as they are; everything else is JSON in the header, with each tensor replaced by
its name. JSON keeps a float exactly, so that what is read is bit for bit what was written. Since
version 2 a hash of the JSON stands beside it: a value of another kind would be noticed late, or
never.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ladera.errors import ModelFileError
from ladera.files import atomic_path
from ladera.identity import sha256

FORMAT_VERSION: Final = 2
_KEY: Final = "ladera_checkpoint"
_HASH: Final = "sha256"

_TENSOR, _TUPLE, _DICT = "$tensor", "$tuple", "$dict"


def save(path: Path, state: Mapping[str, Any]) -> None:
    """Write ``state`` in one step: the file is the old one or the whole new one.

    Raises ModelFileError when that fails, say on a full disk.
    """
    tensors: dict[str, Tensor] = {}
    header = json.dumps({"format_version": FORMAT_VERSION, "state": _pack(state, tensors)})
    metadata = {_KEY: header, _HASH: sha256(header)}
    try:
        with atomic_path(path) as temporary:
            save_file(tensors, temporary, metadata=metadata)
    except (OSError, SafetensorError) as error:
        raise ModelFileError(
            f"The checkpoint could not be written to {path}: {error}; the one before is intact."
        ) from error


def load(path: Path) -> dict[str, Any]:
    """Read what :func:`save` wrote, tensors on the CPU.

    Raises ModelFileError for a file that is missing, cut short, foreign or from a newer version.
    """
    if not path.is_file():
        raise ModelFileError(f"There is no checkpoint {path}; start without --resume.")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            header = json.loads(metadata[_KEY])
            version = int(header["format_version"])
            if version == FORMAT_VERSION and metadata.get(_HASH) != sha256(metadata[_KEY]):
                raise ValueError("its contents are not those of its hash")
            if version <= FORMAT_VERSION:
                state: dict[str, Any] = _unpack(header["state"], file)
    except (SafetensorError, OSError, KeyError, ValueError, TypeError, RecursionError) as error:
        raise ModelFileError(
            f"{path} is no complete Ladera checkpoint ({error!r}); start again in a new folder."
        ) from error
    if version > FORMAT_VERSION:
        raise ModelFileError(
            f"{path} has format version {version}, this Ladera reads up to {FORMAT_VERSION}; "
            "upgrade Ladera."
        )
    return state


def _pack(value: Any, tensors: dict[str, Tensor]) -> Any:
    """``value`` for JSON; its tensors go into ``tensors``."""
    match value:
        case Tensor():
            name = f"t{len(tensors)}"
            tensors[name] = value.detach().cpu().clone().contiguous()
            return {_TENSOR: name}
        case tuple():
            return {_TUPLE: [_pack(item, tensors) for item in value]}
        case list():
            return [_pack(item, tensors) for item in value]
        case Mapping():
            return {_DICT: [[key, _pack(item, tensors)] for key, item in value.items()]}
        case None | bool() | int() | float() | str():
            return value
    raise TypeError(f"A checkpoint cannot hold a {type(value).__name__}.")


def _unpack(value: Any, file: Any) -> Any:
    if isinstance(value, list):
        return [_unpack(item, file) for item in value]
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()  # ValueError for any other
    if kind == _TENSOR:
        return file.get_tensor(content)
    if kind == _TUPLE:
        return tuple(_unpack(item, file) for item in content)
    return {key: _unpack(item, file) for key, item in content}
