"""The little of a file that tells what it is, read once and never run."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import re
import zipfile
from functools import cached_property
from pathlib import Path
from typing import IO, Any, Final

_HEAD: Final = 1 << 16  # bytes from the start, and from the end
_PICKLE: Final = 1 << 24  # bytes of a pickle that are searched for names
_MEMBERS: Final = 20_000  # of an archive
_OPENERS: Final[dict[bytes, Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ": lzma.open,
}
ZIP: Final = b"PK\x03\x04"
PICKLE: Final = re.compile(rb"\x80[\x02-\x05]")  # how a pickle begins, of protocol 2 to 5


class Look:
    """A look at a path: parts of it are read when they are asked for.

    Whatever is wrong with a file (cut short, no archive, not to be read), the part that cannot be
    had is empty: who reads the file says what is wrong.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @cached_property
    def names(self) -> frozenset[str]:
        """What is in a folder; empty of a file."""
        try:
            return frozenset(os.listdir(self.path))
        except OSError:
            return frozenset()

    @cached_property
    def head(self) -> bytes:
        """The first bytes, decompressed."""
        start = self._part(0)
        for magic, opener in _OPENERS.items():
            if start.startswith(magic):
                return self._decompressed(opener)
        return start

    @cached_property
    def tail(self) -> bytes:
        """The last bytes, as they are."""
        return self._part(-_HEAD)

    @cached_property
    def text(self) -> str:
        """The first bytes as text; empty of what is none."""
        if b"\0" in self.head[:4096]:
            return ""
        return self.head.decode("utf-8-sig", "replace").replace("\r\n", "\n")

    @cached_property
    def lines(self) -> list[str]:
        """The first lines of a text, without blank ones and blanks around them."""
        return [line.strip() for line in self.text.split("\n") if line.strip()]

    @cached_property
    def members(self) -> tuple[str, ...]:
        """The names in a zip archive."""
        if not self.head.startswith(b"PK"):
            return ()
        try:
            with zipfile.ZipFile(self.path) as archive:
                return tuple(archive.namelist()[:_MEMBERS])
        except Exception:  # a damaged archive fails in many ways
            return ()

    @cached_property
    def pickled(self) -> bytes:
        """The pickle in a checkpoint of torch, or that a file is: searched for names, not read."""
        if PICKLE.match(self.head):
            return self._part(0, _PICKLE)
        name = next((n for n in self.members if n.partition("/")[2] == "data.pkl"), "")
        return self.member(name)

    def member(self, name: str) -> bytes:
        """The first bytes of a file in a zip archive."""
        try:
            with zipfile.ZipFile(self.path) as archive, archive.open(name) as file:
                return file.read(_PICKLE)
        except Exception:
            return b""

    @cached_property
    def tensors(self) -> str:
        """The header of a safetensors file, JSON."""
        length = int.from_bytes(self.head[:8], "little")
        if not 2 <= length <= _PICKLE or self.head[8:9] != b"{":
            return ""
        return self._part(8, length).decode("utf-8", "replace")

    def _part(self, start: int, size: int = _HEAD) -> bytes:
        try:
            with self.path.open("rb") as file:
                return _from(file, start, size)
        except OSError:
            return b""

    def _decompressed(self, opener: Any) -> bytes:
        try:
            with opener(self.path, "rb") as file:
                return bytes(file.read(_HEAD))
        except Exception:
            return b""


def _from(file: IO[bytes], start: int, size: int) -> bytes:
    if start < 0:
        length = file.seek(0, os.SEEK_END)
        start = max(0, length + start)
    file.seek(start)
    return file.read(size)
