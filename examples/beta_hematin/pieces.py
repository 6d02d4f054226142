"""A study in pieces. Each is one file, written in one step when it is done and never made again.

What takes long inside of a piece (a relaxation, labels, a training, dynamics) has a folder of the
piece's name, in which Ladera goes on where it was killed.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ase.io
from ase import Atoms

from ladera.files import atomic_path


@dataclass(frozen=True)
class Piece:
    """A file of the study and how it is made.

    The suffix says what ``make`` returns: .extxyz a list of Atoms, .json what JSON can hold, .md
    text, .png a figure.
    """

    file: str
    make: Callable[[Folder], Any]

    @property
    def name(self) -> str:
        """Without the suffix."""
        return Path(self.file).stem


class Folder:
    """The results that are there."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def atoms(self, name: str) -> list[Atoms]:
        """The structures of a piece."""
        return ase.io.read(self.path / f"{name}.extxyz", index=":")

    def record(self, name: str) -> Any:
        """The numbers of a piece."""
        return json.loads((self.path / f"{name}.json").read_text(encoding="utf-8"))

    def has(self, file: str) -> bool:
        """Whether a piece is done."""
        return (self.path / file).exists()

    def run(self, pieces: Iterable[Piece]) -> None:
        """Make what is not there, in this order."""
        for piece in pieces:
            if self.has(piece.file):
                print(f"{piece.file}: there already", flush=True)
                continue
            start = time.monotonic()
            print(f"{piece.file} ...", flush=True)
            content = piece.make(self)
            with atomic_path(self.path / piece.file) as temporary:
                _write(temporary, content)
            print(f"{piece.file}: {time.monotonic() - start:.0f} s", flush=True)


def _write(path: Path, content: Any) -> None:
    match path.suffix:
        case ".extxyz":
            ase.io.write(path, content, format="extxyz")
        case ".json":
            path.write_text(json.dumps(content, indent=1), encoding="utf-8")
        case ".md":
            path.write_text(content, encoding="utf-8")
        case ".png":
            content.savefig(path, dpi=200)
        case other:
            raise ValueError(f"A piece is no {other} file; it is .extxyz, .json, .md or .png.")
