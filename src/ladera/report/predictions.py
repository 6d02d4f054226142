"""Labels and predictions of one part of the data, as training and evaluation leave them."""

from __future__ import annotations

import os
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np
from ase.data import chemical_symbols
from numpy.typing import NDArray

from ladera.errors import DataError

Quantity = Literal["energy", "forces", "stress", "dipole"]
FloatArray = NDArray[np.float64]

_REQUIRED: Final = (
    "frame_index",
    "n_atoms",
    "config_type",
    "energy_reference",
    "energy_predicted",
    "numbers",
    "forces_reference",
    "forces_predicted",
)
_OPTIONAL: Final = (
    "stress_reference",
    "stress_predicted",
    "dipole_reference",
    "dipole_predicted",
)


@dataclass(frozen=True, eq=False)
class Predictions:
    """Reference and predicted values of some frames; NaN where a label is missing."""

    frame_index: NDArray[np.int64]  # (n_frames,) numbers in the whole data set
    n_atoms: NDArray[np.int64]  # (n_frames,)
    config_type: NDArray[np.str_]  # (n_frames,)
    energy_reference: FloatArray  # (n_frames,) eV
    energy_predicted: FloatArray
    numbers: NDArray[np.int64]  # (n_atoms_total,) atomic numbers
    forces_reference: FloatArray  # (n_atoms_total, 3) eV/Angstrom
    forces_predicted: FloatArray
    stress_reference: FloatArray | None = None  # (n_frames, 3, 3) eV/Angstrom^3
    stress_predicted: FloatArray | None = None
    dipole_reference: FloatArray | None = None  # (n_frames, 3) e*Angstrom
    dipole_predicted: FloatArray | None = None

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Predictions:
        """Read ``predictions_*.npz``; DataError when it is damaged or arrays do not fit."""
        try:
            with Path(path).open("rb") as file, np.load(file, allow_pickle=False) as stored:
                missing = [name for name in _REQUIRED if name not in stored]
                if missing:
                    raise DataError(f"{path} lacks {', '.join(missing)}; evaluate the model again.")
                optional = [name for name in _OPTIONAL if name in stored]
                made = cls(**{name: stored[name] for name in (*_REQUIRED, *optional)})
        except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise DataError(
                f"{path} is no complete file of predictions ({error}); evaluate the model again."
            ) from error
        made._check(Path(path))
        return made

    @property
    def n_frames(self) -> int:
        """Number of frames."""
        return len(self.n_atoms)

    @property
    def frame_of_atom(self) -> NDArray[np.int64]:
        """Row of the frame each atom belongs to, (n_atoms_total,)."""
        return np.repeat(np.arange(self.n_frames), self.n_atoms)

    @property
    def composition(self) -> NDArray[np.int64]:
        """Atoms of each element in each frame, (n_frames, n_elements), elements by number."""
        elements, column = np.unique(self.numbers, return_inverse=True)
        counts = np.zeros((self.n_frames, len(elements)), dtype=np.int64)
        np.add.at(counts, (self.frame_of_atom, column), 1)
        return counts

    @property
    def symbols(self) -> NDArray[np.str_]:
        """Element of each atom, (n_atoms_total,)."""
        return np.array(chemical_symbols)[self.numbers]

    def values(self, quantity: Quantity) -> tuple[FloatArray, FloatArray]:
        """Reference and predicted: energies per atom, components of the others as they are."""
        if quantity == "energy":
            return self.energy_reference / self.n_atoms, self.energy_predicted / self.n_atoms
        if quantity == "forces":
            return self.forces_reference, self.forces_predicted
        pairs = {
            "stress": (self.stress_reference, self.stress_predicted),
            "dipole": (self.dipole_reference, self.dipole_predicted),
        }
        reference, predicted = pairs[quantity]
        if reference is None or predicted is None:
            return np.empty(0), np.empty(0)
        return reference, predicted

    def _check(self, path: Path) -> None:
        total = int(self.n_atoms.sum())
        expected = {
            "energy_predicted": (self.n_frames,),
            "energy_reference": (self.n_frames,),
            "config_type": (self.n_frames,),
            "frame_index": (self.n_frames,),
            "numbers": (total,),
            "forces_reference": (total, 3),
            "forces_predicted": (total, 3),
        }
        for name, shape in expected.items():
            found = getattr(self, name).shape
            if found != shape:
                raise DataError(
                    f"{path}: {name} has shape {found}, expected {shape} for {self.n_frames} "
                    f"frames of {total} atoms; evaluate the model again."
                )


@dataclass(frozen=True)
class Errors:
    """How far predictions are from their references, in the unit of the values."""

    count: int  # of values that have a label
    mae: float  # mean absolute error
    rmse: float  # root mean square error
    max: float  # largest absolute error
    r2: float | None  # 1 - sum of squared errors / sum of squares about the mean; None without any

    @classmethod
    def of(cls, reference: FloatArray, predicted: FloatArray) -> Errors | None:
        """Errors over the values that have a label; None when there are none."""
        labelled = np.isfinite(reference)
        reference, predicted = reference[labelled], predicted[labelled]
        if len(reference) == 0:
            return None
        error = predicted - reference
        spread = float(np.square(reference - reference.mean()).sum())
        return cls(
            count=len(error),
            mae=float(np.abs(error).mean()),
            rmse=float(np.sqrt(np.square(error).mean())),
            max=float(np.abs(error).max()),
            r2=1 - float(np.square(error).sum()) / spread if spread > 0 else None,
        )
