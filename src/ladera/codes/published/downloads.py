"""A file from where its authors offer it, over HTTP."""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from ladera.errors import ModelFileError
from ladera.progress import Task

_TIMEOUT: Final = 30.0  # seconds without an answer
_BLOCK: Final = 1 << 20
# How the files begin: a checkpoint of torch is a zip archive, one of Nequix begins with JSON.
_STARTS: Final = {".model": b"PK\x03\x04", ".nqx": b"{"}


def receive(url: str, name: str, path: Path) -> None:
    """Download to a path; OSError or ModelFileError when the whole file does not come."""
    request = urllib.request.Request(url, headers={"User-Agent": "ladera"})
    try:
        with (
            urllib.request.urlopen(request, timeout=_TIMEOUT) as answer,
            path.open("wb") as file,
        ):
            length = answer.headers.get("Content-Length")
            known = length is not None and length.strip().isdecimal()
            with Task(f"bytes of {name}", int(length) if known else None) as task:
                while block := answer.read(_BLOCK):
                    file.write(block)
                    task.advance(len(block))
            received = file.tell()
    except urllib.error.HTTPError as error:
        error.close()
        raise OSError(f"{urlsplit(url).netloc} answers {error.code} {error.reason}") from None
    except urllib.error.URLError as error:
        raise OSError(f"no connection: {error.reason}") from error
    except http.client.HTTPException as error:
        raise OSError(f"the transfer broke off: {type(error).__name__}") from error
    except ValueError as error:  # an address that is none
        raise OSError(f"the server leads to no address: {error}") from error
    if length is not None and not length.strip().isdecimal():
        raise OSError(f"the server says that the file has '{length}' bytes, which is no number")
    if length is not None and received != int(length):
        raise OSError(f"the transfer broke off after {received:,} of {int(length):,} bytes")
    _require_start(url, path)


def _require_start(url: str, path: Path) -> None:
    """Raise ModelFileError for what begins as no model does."""
    expected = _STARTS.get(path.suffix, b"")
    with path.open("rb") as file:
        start = file.read(4)
    if not start.startswith(expected):
        raise ModelFileError(
            f"What {url} sent is no model (it begins with {start!r}), perhaps the page of a proxy; "
            "it was thrown away."
        )
