"""A study in pieces. Each is one file, written in one step when it is done and never made again.

What takes long inside of a piece (a relaxation, labels, a training, dynamics) has a folder of the
piece's name, in which Ladera goes on where it was killed.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import ase.io
from ase import Atoms

from ladera.files import atomic_path, write_text_atomic

SAMPLES: Final = "samples"  # the piece that times a unit of work
COSTS: Final = "costs.json"  # what pieces took


@dataclass(frozen=True)
class Piece:
    """A file of the study and how it is made.

    The suffix says what ``make`` returns: .extxyz a list of Atoms, .json what JSON can hold, .md
    text, .png a figure. ``work`` is how many units of :mod:`samples` it takes.
    """

    file: str
    make: Callable[[Folder], Any]
    work: Mapping[str, float] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Without the suffix."""
        return Path(self.file).stem

    def seconds(self, samples: Mapping[str, float]) -> float:
        """CPU seconds that it is to take, by those of a unit."""
        return sum(samples[unit] * number for unit, number in self.work.items())


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

    def run(self, pieces: Sequence[Piece]) -> None:
        """Make what is not there, in this order; what another process makes is waited for."""
        for piece in pieces:
            with self._alone(piece.name):
                if self.has(piece.file):
                    print(f"{piece.file}: there already", flush=True)
                else:
                    self._make(piece)

    def _make(self, piece: Piece) -> None:
        print(f"{piece.file} ...", flush=True)
        clock, work = time.monotonic(), _cpu_seconds()
        content = piece.make(self)
        with atomic_path(self.path / piece.file) as temporary:
            _write(temporary, content)
        took = {"cpu": _cpu_seconds() - work, "clock": time.monotonic() - clock}
        with self._alone(COSTS):
            self._note(piece.name, took)
        print(f"{piece.file}: {took['cpu']:.0f} CPU s, {took['clock']:.0f} s", flush=True)

    @contextmanager
    def _alone(self, name: str) -> Iterator[None]:
        """Hold what has this name; who is killed holds nothing any more."""
        (self.path / "locks").mkdir(exist_ok=True)
        with (self.path / "locks" / name).open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def estimate(self, pieces: Sequence[Piece]) -> list[str]:
        """Lines: what each piece that is not there will take, and all of them."""
        samples = self.record(SAMPLES)
        missing = [piece for piece in pieces if not self.has(piece.file)]
        seconds = {piece.file: piece.seconds(samples) for piece in missing}
        lines = [f"  {file}: {value:.0f} CPU s" for file, value in seconds.items() if value >= 1]
        return ["To do, by the samples:", *lines, f"  in all: {sum(seconds.values()):.0f} CPU s"]

    def _note(self, name: str, took: dict[str, float]) -> None:
        """What a piece took, of its last attempt."""
        costs = self.record("costs") if self.has(COSTS) else {}
        write_text_atomic(self.path / COSTS, json.dumps(costs | {name: took}, indent=1))


def _cpu_seconds() -> float:
    """Of this process and of those that it has waited for."""
    return sum(os.times()[:4])


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
