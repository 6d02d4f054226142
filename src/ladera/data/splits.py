"""Splitting a data set into training, validation and test frames, and keeping the split."""

from __future__ import annotations

import json
import math
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from pydantic import BaseModel, ValidationError

from ladera.arrays import Integers
from ladera.data.dataset import Dataset
from ladera.data.reference_energies import isolated_atoms
from ladera.data.store import BLOCK
from ladera.errors import ConfigError, DataError, did_you_mean
from ladera.files import closest, first_mistake, write_text_atomic

FORMAT_VERSION: Final = 1
_PARTS: Final = ("train", "validation", "test")


class StoredSplit(BaseModel, strict=True):
    """What a split file holds."""

    format_version: int
    train: list[int]
    validation: list[int]
    test: list[int]
    data_hash: str
    method: str


@dataclass(frozen=True, eq=False)
class Split:
    """Which frame belongs to which part; frames in none of them are left out."""

    train: Integers  # frame indices, ascending
    validation: Integers
    test: Integers
    data_hash: str  # Dataset.hash of the data set that was split
    method: str  # how it was made, such as "random, seed 0"

    def __post_init__(self) -> None:
        for name in _PARTS:
            indices = np.sort(np.asarray(getattr(self, name), dtype=np.int64))
            object.__setattr__(self, name, indices)
        assigned = np.concatenate([self.train, self.validation, self.test])
        values, counts = np.unique(assigned, return_counts=True)
        if len(values) and (counts > 1).any():
            raise DataError(
                f"Frame {values[counts > 1][0]} is in two parts of the split; a frame that is "
                "trained on cannot judge the result."
            )
        if len(self.train) == 0:
            raise DataError("The split leaves no frame to train on; make the other parts smaller.")

    def to_json(self) -> dict[str, Any]:
        """What :meth:`save` writes."""
        return {
            "format_version": FORMAT_VERSION,
            "method": self.method,
            "data_hash": self.data_hash,
            **{name: getattr(self, name).tolist() for name in _PARTS},
        }

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the split as JSON, in one step; a few thousand numbers at a time."""
        about = {"method": self.method, "data_hash": self.data_hash}
        lines = [f'"format_version": {FORMAT_VERSION}']
        lines += [f'"{name}": {json.dumps(text)}' for name, text in about.items()]
        lines += [f'"{name}": [{_joined(getattr(self, name))}]' for name in _PARTS]
        write_text_atomic(path, "{\n " + ",\n ".join(lines) + "\n}\n")

    @classmethod
    def load(cls, path: str | os.PathLike[str], dataset: Dataset) -> Split:
        """Read a split of ``dataset``; DataError when it is damaged or of other data."""
        try:
            stored = StoredSplit.model_validate_json(Path(path).read_bytes())
            version = stored.format_version
            parts = {name: np.array(getattr(stored, name), dtype=np.int64) for name in _PARTS}
            split = cls(**parts, data_hash=stored.data_hash, method=stored.method)
        except FileNotFoundError:
            raise DataError(f"There is no split file {path}; {closest(Path(path))}") from None
        except (OSError, ValueError, OverflowError) as error:
            why = first_mistake(error) if isinstance(error, ValidationError) else str(error)
            raise DataError(
                f"{path} is no split that Ladera wrote ({why}); make it again with "
                "'ladera data split'."
            ) from error
        if version > FORMAT_VERSION:
            raise DataError(
                f"{path} has format version {version}, this Ladera reads up to {FORMAT_VERSION}; "
                "upgrade Ladera."
            )
        split.check(dataset, str(path))
        return split

    def check(self, dataset: Dataset, name: str = "The split") -> None:
        """Raise DataError unless the split is of this data set, frame by frame."""
        if self.data_hash != dataset.hash:
            raise DataError(
                f"{name} was made for other data (hash {self.data_hash[:12]}, these frames have "
                f"{dataset.hash[:12]}); use the same files in the same order, or split again."
            )
        highest = max(int(getattr(self, part).max(initial=0)) for part in _PARTS)
        lowest = min(int(getattr(self, part).min(initial=0)) for part in _PARTS)
        if lowest < 0 or highest >= len(dataset):
            wrong = lowest if lowest < 0 else highest
            raise DataError(f"{name} names frame {wrong}; the data set has {len(dataset)} frames.")


def random_split(
    dataset: Dataset, validation: float = 0.1, test: float = 0.1, seed: int = 0
) -> Split:
    """Draw validation and test frames at random.

    Each part is a fraction below 1 or a number of frames. Free atoms are always trained on: each
    is all there is to learn of its element's energy. The same seed and data give the same split.
    Warns (UserWarning) where a fraction is of so few frames that it comes to none.
    """
    if seed < 0:
        raise ConfigError.of("seed", seed, "it must be zero or more")
    free = np.isin(np.arange(len(dataset)), isolated_atoms(dataset))
    drawn = np.random.default_rng(seed).permutation(np.flatnonzero(~free))
    n_validation = size(validation, len(drawn), "validation")
    n_test = size(test, len(drawn), "test")
    held_back = n_validation + n_test
    if held_back > len(drawn) or (held_back == len(drawn) and not free.any()):
        raise DataError(
            f"{n_validation} validation and {n_test} test frames leave none of {len(drawn)} to "
            "train on; lower --validation or --test (data.split.validation, data.split.test)."
        )
    return Split(
        train=np.concatenate([np.flatnonzero(free), drawn[held_back:]]),
        validation=drawn[:n_validation],
        test=drawn[n_validation:held_back],
        data_hash=dataset.hash,
        method=f"random, validation {validation:g}, test {test:g}, seed {seed}",
    )


def group_split(
    dataset: Dataset, validation: Sequence[str] = (), test: Sequence[str] = ()
) -> Split:
    """Put whole groups of frames, by their config_type, into validation and test.

    The rest is trained on. Raises DataError for a group that the data set does not have.
    """
    types = dataset.column("config_type")
    known = set(types.tolist())
    for group in (*validation, *test):
        if group not in known:
            hint = did_you_mean(group, known - {""}) if known - {""} else "no frame has a group."
            raise DataError(f"No frame has the config_type '{group}'; {hint}")
    in_validation, in_test = np.isin(types, list(validation)), np.isin(types, list(test))
    return Split(
        train=np.flatnonzero(~in_validation & ~in_test),
        validation=np.flatnonzero(in_validation),
        test=np.flatnonzero(in_test),
        data_hash=dataset.hash,
        method="groups"
        + "".join(
            f", {name} {' '.join(groups)}"
            for name, groups in (("validation", validation), ("test", test))
            if groups
        ),
    )


def first_split(dataset: Dataset, train: int, validation: int = 0) -> Split:
    """The first frames to train on, the next to validate, all others to test."""
    if train < 1 or validation < 0 or train + validation > len(dataset):
        raise DataError(
            f"{train} training and {validation} validation frames cannot be taken from "
            f"{len(dataset)}; give numbers that fit."
        )
    frames = np.arange(len(dataset))
    return Split(
        train=frames[:train],
        validation=frames[train : train + validation],
        test=frames[train + validation :],
        data_hash=dataset.hash,
        method=f"first {train} train, next {validation} validation",
    )


def file_split(dataset: Dataset, validation: float = 0.0, seed: int = 0) -> Split:
    """What the files say themselves (``set=train`` and ``set=test`` of an input.data).

    Frames of which they say nothing are trained on. Files that name no validation frames leave
    them to be drawn at random: ``validation`` is a fraction below 1 of the frames to train on, or
    a number of them.
    """
    subsets = dataset.column("subset")
    if not (subsets != "").any():
        raise DataError(
            "No frame says which set it belongs to (set=train or set=test of an input.data); "
            "split at random, by group or by order."
        )
    train = np.flatnonzero(~np.isin(subsets, ["validation", "test"]))
    chosen = np.flatnonzero(subsets == "validation")
    method = "as the files say"
    if validation and not len(chosen):
        drawn = random_split(dataset[train], validation, 0, seed)
        train, chosen = train[drawn.train], train[drawn.validation]
        method += f", validation {validation:g}, seed {seed}"
    return Split(
        train=train,
        validation=chosen,
        test=np.flatnonzero(subsets == "test"),
        data_hash=dataset.hash,
        method=method,
    )


def _joined(indices: Integers) -> str:
    """Numbers with commas between them; a few thousand at a time are objects of Python."""
    blocks = (indices[start : start + BLOCK] for start in range(0, len(indices), BLOCK))
    return ", ".join(", ".join(map(str, block.tolist())) for block in blocks)


def size(part: float, n_frames: int, name: str) -> int:
    """Number of frames that a fraction below 1, or a whole number, means."""
    if not 0 <= part < math.inf or (part >= 1 and part != int(part)):
        raise DataError.of(name, f"{part:g}", "give a fraction below 1 or a number of frames")
    count = round(part * n_frames) if part < 1 else int(part)
    if part and not count:
        warnings.warn(
            f"The {name} part is {part:g} of {n_frames} frames, which comes to none; give a "
            "number of frames, or 0.",
            stacklevel=3,
        )
    return count
