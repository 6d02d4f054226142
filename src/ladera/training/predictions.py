"""Labels and predictions of one part of the data: predictions_PART.npz."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from ase.data import chemical_symbols
from numpy.typing import NDArray

from ladera.array_files import read_arrays
from ladera.arrays import Floats, Integers
from ladera.errors import DataError
from ladera.quantities import ENERGY, QUANTITIES

_REQUIRED: Final = (
    "frame_index",
    "n_atoms",
    "config_type",
    "numbers",
    *(f"{q.name}_{kind}" for q in QUANTITIES if q.basic for kind in ("reference", "predicted")),
)


@dataclass(frozen=True, eq=False)
class Predictions:
    """Reference and predicted values of some frames; NaN where a label is missing.

    ``reference`` and ``predicted`` have the energy and forces, by name, and others that the file
    holds: of each frame or, if they are of atoms, of each of all atoms.
    """

    frame_index: Integers  # (n_frames,) numbers in the whole data set
    n_atoms: Integers  # (n_frames,)
    config_type: NDArray[np.str_]  # (n_frames,)
    numbers: Integers  # (n_atoms_total,) atomic numbers
    reference: Mapping[str, Floats]
    predicted: Mapping[str, Floats]

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Predictions:
        """Read ``predictions_*.npz``; DataError when it is damaged or arrays do not fit."""
        try:
            arrays = read_arrays(Path(path))
        except ValueError as error:
            raise DataError(
                f"{path} is no complete file of predictions ({error}); evaluate the model again."
            ) from error
        missing = [name for name in _REQUIRED if name not in arrays]
        if missing:
            raise DataError(f"{path} lacks {', '.join(missing)}; evaluate the model again.")
        pairs = {
            kind: {
                q.name: arrays[f"{q.name}_{kind}"]
                for q in QUANTITIES
                if f"{q.name}_reference" in arrays and f"{q.name}_predicted" in arrays
            }
            for kind in ("reference", "predicted")
        }
        index, n_atoms, config_type, numbers = (arrays[name] for name in _REQUIRED[:4])
        predictions = cls(
            index, n_atoms, config_type, numbers, pairs["reference"], pairs["predicted"]
        )
        predictions._check_kinds(Path(path))
        predictions._check(Path(path))
        return predictions

    @property
    def n_frames(self) -> int:
        """Number of frames."""
        return len(self.n_atoms)

    @property
    def frame_of_atom(self) -> Integers:
        """Row of the frame each atom belongs to, (n_atoms_total,)."""
        return np.repeat(np.arange(self.n_frames), self.n_atoms)

    @property
    def composition(self) -> Integers:
        """Atoms of each element in each frame, (n_frames, n_elements), elements by number."""
        elements, column = np.unique(self.numbers, return_inverse=True)
        counts = np.zeros((self.n_frames, len(elements)), dtype=np.int64)
        np.add.at(counts, (self.frame_of_atom, column), 1)
        return counts

    @property
    def symbols(self) -> NDArray[np.str_]:
        """Element of each atom, (n_atoms_total,)."""
        return np.array(chemical_symbols)[self.numbers]

    def values(self, name: str) -> tuple[Floats, Floats]:
        """Reference and predicted of a quantity; energies per atom, components as they are."""
        if name not in self.reference:
            return np.empty(0), np.empty(0)
        sizes = self.n_atoms if name == ENERGY.name else 1
        return self.reference[name] / sizes, self.predicted[name] / sizes

    def _check_kinds(self, path: Path) -> None:
        """Raise DataError unless counts and elements are such, and values are numbers."""
        counts, numbers = self.n_atoms, self.numbers
        values = [*self.reference.items(), *self.predicted.items()]
        wrong = [name for name, array in values if array.dtype.kind not in "fiu"]
        if counts.ndim != 1 or counts.dtype.kind not in "iu" or (counts < 1).any():
            wrong.append("n_atoms")
        if numbers.dtype.kind not in "iu" or ((numbers < 0) | (numbers > 118)).any():
            wrong.append("numbers")
        if wrong:
            raise DataError(
                f"{path}: {wrong[0]} holds other values than Ladera writes; evaluate the model "
                "again."
            )

    def _check(self, path: Path) -> None:
        total = int(self.n_atoms.sum())
        stored: dict[str, NDArray[Any]] = {
            "config_type": self.config_type,
            "frame_index": self.frame_index,
        }
        expected: dict[str, tuple[int, ...]] = dict.fromkeys(stored, (self.n_frames,))
        stored["numbers"], expected["numbers"] = self.numbers, (total,)
        for quantity in QUANTITIES:
            if quantity.name in self.reference:
                shape = (total if quantity.per_atom else self.n_frames, *quantity.shape)
                for kind in ("reference", "predicted"):
                    name = f"{quantity.name}_{kind}"
                    stored[name], expected[name] = getattr(self, kind)[quantity.name], shape
        for name, array in stored.items():
            if array.shape != expected[name]:
                raise DataError(
                    f"{path}: {name} has shape {array.shape}, expected {expected[name]} for "
                    f"{self.n_frames} frames of {total} atoms; evaluate the model again."
                )
