"""Replay frames: what the base was trained on, or something like it, and which of it to repeat."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from ase.data import atomic_numbers

from ladera.arrays import Integers
from ladera.data import doctor, formats
from ladera.data.dataset import Dataset
from ladera.data.formats import LabelKeys
from ladera.errors import DataError
from ladera.potential import Potential
from ladera.sampling.selection import farthest_points, fingerprints
from ladera.training.finetune import base as bases
from ladera.training.finetune.config import Method, MultiHeadReplay, ReplayConfig


def _none() -> Integers:
    return np.empty(0, dtype=np.int64)


@dataclass(frozen=True, eq=False)
class Replay:
    """The replay frames, with the labels that count, and those of them that are trained on."""

    frames: Dataset
    chosen: Integers = field(default_factory=_none)  # indices in frames, ascending

    @property
    def judged(self) -> Dataset:
        """The frames on which forgetting is measured: those not trained on, if there are any."""
        rest = np.setdiff1d(np.arange(len(self.frames)), self.chosen)
        return self.frames[rest] if len(rest) else self.frames


def prepare_replay(method: Method, section: ReplayConfig, base: Potential, new: Dataset) -> Replay:
    """The replay frames of a fine-tuning of ``base`` on ``new`` frames.

    Raises DataError for frames that cannot be used.
    """
    labelled = section.labels == "file"
    keys = section.keys if labelled else LabelKeys(energy=None, forces=None, stress=None)
    try:
        frames = formats.read(list(section.files), keys=keys)
    except DataError as error:
        if not labelled:
            raise
        raise DataError(
            f"{error} Frames without labels are replayed with finetune.replay.labels: base."
        ) from error
    frames = frames[frames.atom_counts > 1]  # a free atom has nothing to repeat
    if len(frames) == 0:
        raise DataError("finetune.replay.files hold no frame but free atoms.")
    if not labelled:
        frames = bases.labelled(base, frames)
    _require_sound(frames, section)
    if not isinstance(method, MultiHeadReplay):
        return Replay(frames)
    if section.frames is None or section.frames >= len(frames):
        return Replay(frames, np.arange(len(frames)))
    symbols = sorted(set(frames.symbols) | set(new.symbols), key=atomic_numbers.__getitem__)
    elements = tuple(atomic_numbers[symbol] for symbol in symbols)
    candidates, known = (fingerprints(base, each, elements) for each in (frames, new))
    chosen = farthest_points(candidates, known, section.frames).indices
    return Replay(frames, np.sort(chosen))


def _require_sound(frames: Dataset, config: ReplayConfig) -> None:
    errors = doctor.check(frames).errors
    if errors:
        raise DataError(
            f"The replay frames ({', '.join(config.files)}) have an error ({errors[0].code}): "
            f"{errors[0].message}"
        )
    if not (frames.has("energy").any() or frames.has("forces").any()):
        raise DataError(
            "No replay frame has an energy or forces; set finetune.replay.labels: base to take "
            "what the base says of them."
        )
