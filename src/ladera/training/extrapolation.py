"""Which atoms of a data set a model does not know: what is outside its training range."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from ladera.arrays import Integers
from ladera.data.dataset import Dataset
from ladera.extrapolation import COLUMNS, Extrapolation, in_words, judgement, row_of
from ladera.files import atomic_path

ROWS_KEPT: Final = 10_000  # in extrapolation.csv
N_WORST: Final = 20


@dataclass
class _OfFunction:
    """What is known of one symmetry function of one element."""

    kind: int | None
    minimum: float
    maximum: float
    atoms: int = 0
    frames: int = 0
    last_frame: int = -1
    lowest: float = np.inf
    highest: float = -np.inf

    def add(self, frame: int, found: Extrapolation) -> None:
        self.atoms += 1
        self.frames += frame != self.last_frame
        self.last_frame = frame
        self.lowest = min(self.lowest, found.value)
        self.highest = max(self.highest, found.value)


class ExtrapolationReport:
    """All values outside their training range in a data set, counted, the first ones kept.

    Nothing is kept of each frame: there may be millions, and all of them outside.
    """

    def __init__(self, dataset: Dataset, frame_index: Integers) -> None:
        self.rows: list[tuple[int, Extrapolation]] = []  # frame number; atom inside the frame
        self.n_values = self.n_atoms = self.n_frames = 0  # and how many atoms and frames have one
        self._worst: tuple[int, Extrapolation, str] | None = None  # frame number, farthest, why
        self._dataset, self._frame_index = dataset, frame_index
        self._functions: dict[tuple[str, int | None, str], _OfFunction] = {}
        # Values outside, position of the frame in the data set, and atoms; the most values first.
        self._worst_frames: list[tuple[int, int, int]] = []

    def add(self, position: int, found: Sequence[Extrapolation]) -> None:
        """What was found in the frame at ``position`` of the data set; each once."""
        if not found:
            return
        frame = int(self._frame_index[position])
        most = max(found, key=lambda each: each.grade)
        if self._worst is None or most.grade > self._worst[1].grade:
            self._worst = frame, most, in_words(each for each in found if each.atom == most.atom)
        for each in found:
            key = each.element, each.function, each.name
            stored = self._functions.setdefault(
                key, _OfFunction(each.kind, each.minimum, each.maximum)
            )
            stored.add(position, each)
        room = max(0, ROWS_KEPT - len(self.rows))
        self.rows += [(frame, each) for each in found[:room]]
        self.n_values += len(found)
        n_atoms = len({each.atom for each in found})
        self.n_atoms += n_atoms
        self.n_frames += 1
        self._worst_frames.append((len(found), position, n_atoms))
        self._worst_frames.sort(key=lambda each: -each[0])  # stable
        del self._worst_frames[N_WORST:]

    def __len__(self) -> int:
        """Frames that were looked at."""
        return len(self._dataset)

    def in_one_line(self) -> str:
        """How many atoms were outside, the farthest of them, and what that means."""
        if self._worst is None:
            return "Extrapolation: no atom is outside the model's training domain."
        frame, worst, why = self._worst
        return (
            f"Extrapolation: {self.n_atoms:,} atoms in {self.n_frames:,} of {len(self):,} frames "
            f"are outside the model's training domain; the farthest, in frame {frame}, is atom "
            f"{worst.atom} ({worst.element}), grade {worst.grade:.4g} where 1 is the edge: "
            f"{why}. {judgement(worst.grade)}"
        )

    def to_json(self) -> dict[str, Any]:
        """Totals, each function by element (the most atoms first), and the worst frames."""
        counts = self._dataset.compositions.sum(axis=0).tolist()
        totals = dict(zip(self._dataset.symbols, counts, strict=True))
        functions = sorted(
            self._functions.items(),
            key=lambda item: (-item[1].atoms, item[0][0], item[0][1] or 0),
        )
        return {
            "n_values": self.n_values,
            "n_atoms": self.n_atoms,
            "n_frames": self.n_frames,
            "functions": [
                {
                    "element": element,
                    "name": name,
                    "function": function,
                    "type": of.kind,
                    "atoms": of.atoms,
                    "share_of_atoms": of.atoms / totals[element],
                    "frames": of.frames,
                    "minimum": of.minimum,
                    "maximum": of.maximum,
                    "lowest": of.lowest,
                    "highest": of.highest,
                }
                for (element, function, name), of in functions
            ],
            "worst_frames": [
                {
                    "frame": int(self._frame_index[position]),
                    "source": self._dataset[position].source,
                    "config_type": self._dataset[position].config_type,
                    "atoms": n_atoms,
                    "values": values,
                }
                for values, position, n_atoms in self._worst_frames
            ],
        }

    def save(self, path: Path) -> None:
        """Write the values as CSV, the first 10,000 of them."""
        with (
            atomic_path(path) as temporary,
            temporary.open("w", newline="", encoding="utf-8") as file,
        ):
            writer = csv.DictWriter(file, ("frame", *COLUMNS), extrasaction="ignore")
            writer.writeheader()
            writer.writerows({"frame": frame, **row_of(found)} for frame, found in self.rows)
