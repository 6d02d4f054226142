"""The ``.ladera`` model file: safetensors tensors and a JSON header. Reading it can run no code.

The header holds the format version, the model's configuration (from which it is rebuilt) and its
provenance: what data, code, seed and errors its parameters come from.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import torch
from pydantic import Field
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from ladera.errors import DataError, ModelFileError
from ladera.files import atomic_path, check_form, closest
from ladera.schemas import Record, Stored

if TYPE_CHECKING:
    from ladera.potential import Potential

FORMAT_VERSION: Final = 3  # 2: committees; 3: active sets
WITHOUT_ACTIVE_SET: Final = 2  # the version of files that have none, which older Laderas read
MODEL: Final = "model.ladera"  # what training calls it in its folder, written last
SPLIT: Final = "split.json"  # which is there from the first step on


def save(potential: Potential, path: str | os.PathLike[str]) -> None:
    """Write a potential to ``path`` in one step: the file is the old one or the whole new one.

    Raises ModelFileError when it cannot be written, and for a calculator of ASE's, which is code.
    """
    if not potential.storable:
        raise ModelFileError(
            f"{path} cannot hold an ASE calculator, which is code and not parameters; name it "
            "again where it is needed."
        )
    tensors = {
        name: tensor.detach().cpu().contiguous()
        for name, tensor in potential.stored_tensors().items()
    }
    try:
        with atomic_path(path) as temporary:
            save_file(tensors, temporary, metadata={"ladera": json.dumps(header_of(potential))})
    except (OSError, SafetensorError) as error:
        raise ModelFileError(f"The model could not be written to {path}: {error}.") from error


def header_of(potential: Potential) -> dict[str, Any]:
    """The header of a potential's file: format_version, config, provenance."""
    return {
        "format_version": FORMAT_VERSION if potential.is_active_set_known else WITHOUT_ACTIVE_SET,
        "config": potential.config.model_dump(mode="json"),
        "provenance": potential.provenance,
    }


class _Data(Stored):
    files: tuple[str, ...] = ()


class _Optimizer(Stored):
    name: str | None = None


class _FineTuning(Stored):
    base: str | None = None
    method: str | None = None


class _Config(Stored):
    data: _Data = _Data()
    optimizer: _Optimizer | None = None
    finetune: _FineTuning | None = None


class _Provenance(Record):
    """What a training adds to the record; a model of another origin has none of it."""

    config: _Config = _Config()
    published_as: str | None = None
    imported_from: str | None = None
    epoch: float | None = None
    members: tuple[dict[str, Any], ...] = ()
    errors: dict[str, Any] = Field(default_factory=dict)


class _Header(Stored):
    """The JSON in the header of a model file."""

    config: dict[str, Any]
    provenance: _Provenance = _Provenance()


def in_run(path: Path) -> Path:
    """The model file of a training run's folder; any other path as it is."""
    if (path / MODEL).is_file():
        return path / MODEL
    if (path / SPLIT).is_file():
        raise ModelFileError(
            f"The training in {path} has not come to its end, where it writes {MODEL}; continue it "
            "with 'ladera train' and --resume."
        )
    return path


def is_model(path: Path) -> bool:
    """Whether a file is Ladera's, by its ending or its header."""
    try:
        with safe_open(path, framework="pt") as file:
            return "ladera" in (file.metadata() or {}) or path.suffix == ".ladera"
    except (SafetensorError, OSError):
        return path.suffix == ".ladera"


def read(path: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """The header of a model file and its tensors by name.

    Raises ModelFileError for a file that is missing, cut short, not Ladera's, or newer than this
    version of Ladera.
    """
    if path.is_dir():
        raise ModelFileError(
            f"{path} is a folder; 'ladera import' makes a model file of one of n2p2 or RuNNer."
        )
    if not path.is_file():
        raise ModelFileError(f"There is no model file {path}; {closest(path)}")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        header = json.loads(metadata["ladera"])
        version = int(header["format_version"])
    except KeyError as error:
        raise ModelFileError(f"{path} is a safetensors file but no Ladera model.") from error
    except (SafetensorError, OSError, ValueError, TypeError, RecursionError) as error:
        raise ModelFileError(
            f"{path} is no whole model file: it is damaged or cut short; copy it or train it again."
        ) from error
    if version > FORMAT_VERSION:
        raise ModelFileError(
            f"{path} has format version {version}, this Ladera reads up to {FORMAT_VERSION}; "
            "upgrade Ladera."
        )
    try:
        check_form(metadata["ladera"], _Header, path)
    except DataError as error:
        raise ModelFileError(str(error)) from error
    return header, tensors
