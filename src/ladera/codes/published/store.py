"""The folder of published models: files downloaded once, held to their checksums."""

from __future__ import annotations

import http.client
import os
import re
import urllib.error
import urllib.request
import warnings
from importlib import resources
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from ladera.codes.published.registry import PublishedModel
from ladera.errors import ModelFileError
from ladera.files import atomic_path, hash_of_file, write_text_atomic
from ladera.progress import Task

FOLDER_VARIABLE: Final = "LADERA_MODELS"
_TIMEOUT: Final = 30.0  # seconds without an answer
_BLOCK: Final = 1 << 20
_ZIP: Final = b"PK\x03\x04"  # how every checkpoint of torch begins


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
        _download(model, path)
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


def _download(model: PublishedModel, path: Path) -> None:
    try:
        with atomic_path(path) as temporary:
            _receive(model, temporary)
            actual = hash_of_file(temporary)
            if model.sha256 not in (None, actual):
                raise ModelFileError(
                    f"What {model.url} sent is not {model.name}: its SHA-256 is {actual}, the "
                    f"published one is {model.sha256}; it was thrown away."
                )
    except OSError as error:
        raise ModelFileError(
            f"{model.name} is not in {path.parent} and could not be downloaded "
            f"({_reason(error)}); put {model.file_name} from {model.url} there, or name the folder "
            f"that has it in {FOLDER_VARIABLE}."
        ) from error
    pinned = "as published"
    if model.sha256 is None:
        write_text_atomic(_pin(path), f"{actual}  {path.name}\n")
        pinned = "nobody published it; the file is held to it from now on"
    warnings.warn(
        f"Downloaded {model.name} from {model.url} to {path}. Licence: {model.licence}. "
        f"SHA-256 {actual} ({pinned}).",
        DownloadNotice,
        stacklevel=2,
    )


def _receive(model: PublishedModel, path: Path) -> None:
    """Download to a path; OSError or ModelFileError when the whole file does not come."""
    request = urllib.request.Request(model.url, headers={"User-Agent": "ladera"})
    try:
        with (
            urllib.request.urlopen(request, timeout=_TIMEOUT) as answer,
            path.open("wb") as file,
        ):
            length = answer.headers.get("Content-Length")
            known = length is not None and length.strip().isdecimal()
            with Task(f"bytes of {model.name}", int(length) if known else None) as task:
                while block := answer.read(_BLOCK):
                    file.write(block)
                    task.advance(len(block))
            received = file.tell()
    except urllib.error.HTTPError as error:
        error.close()
        host = urlsplit(model.url).netloc
        raise OSError(f"{host} answers {error.code} {error.reason}") from None
    except http.client.HTTPException as error:
        raise OSError(f"the transfer broke off: {type(error).__name__}") from error
    except ValueError as error:  # an address that is none
        raise OSError(f"the server leads to no address: {error}") from error
    if length is not None and not length.strip().isdecimal():
        raise OSError(f"the server says that the file has '{length}' bytes, which is no number")
    if length is not None and received != int(length):
        raise OSError(f"the transfer broke off after {received:,} of {int(length):,} bytes")
    with path.open("rb") as file:
        start = file.read(len(_ZIP))
    if start != _ZIP:
        raise ModelFileError(
            f"What {model.url} sent is no model (it begins with {start!r}), perhaps the page of a "
            "proxy; it was thrown away."
        )


def _reason(error: OSError) -> str:
    if isinstance(error, urllib.error.URLError):
        return f"no connection: {error.reason}"
    return str(error) or type(error).__name__
