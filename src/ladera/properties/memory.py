"""Evaluations kept on disk, so that a property that was interrupted goes on where it was."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from ladera.array_files import read_arrays
from ladera.files import atomic_path
from ladera.identity import hash_of_model, hash_of_structure, sha256
from ladera.potential import LaderaCalculator
from ladera.quantities import ENERGY

if TYPE_CHECKING:
    from ase import Atoms

    from ladera.potential import Potential

Arrays = Mapping[str, NDArray[Any]]

FOLDER: Final = "evaluations"
_HASH: Final = "sha256"
WORTH_KEEPING: Final = 0.05  # s; what took less is as quickly computed as read


class RememberingCalculator(LaderaCalculator):
    """The calculator of a model that finds again, in ``folder``, what it has computed before.

    Properties do the same in the same order each time. So one that is started once more, with the
    same structure and model, reads what is there and computes the rest. Files carry a hash of the
    structure, of what was asked and of the model's parameters as their names: another model finds
    nothing.
    """

    def __init__(self, potential: Potential, folder: str | os.PathLike[str]) -> None:
        super().__init__(potential)
        self.folder = Path(folder)
        self._model = hash_of_model(potential)

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = ("positions", "numbers", "cell", "pbc", "total_charge"),
    ) -> None:
        """As the base class, or from the folder."""
        if atoms is None or not system_changes:
            super().calculate(atoms, properties, system_changes)
            return
        # All that properties ask of a structure, so that one file answers each of them.
        wanted = {*properties, *(["stress"] if atoms.pbc.all() else [])}
        if ENERGY in self.potential.gives:
            wanted |= {"energy", "free_energy", "forces"}

        def compute() -> Arrays:
            LaderaCalculator.calculate(self, atoms, list(wanted), system_changes)
            return {name: np.asarray(value) for name, value in self.results.items()}

        self._prediction = None  # it stays so when the results come from a file
        results = self.remember(atoms, " ".join(sorted(wanted)), compute)
        if self._prediction is None:
            self.results = {name: v if v.ndim else float(v) for name, v in results.items()}
            self._settle(atoms)

    def remember(
        self, atoms: Atoms, what: str, compute: Callable[[], Arrays], *more: NDArray[Any]
    ) -> Arrays:
        """What ``compute`` gives of a structure and ``more`` that it depends on, or gave once.

        ``what`` says in words what that is.
        """
        key = hash_of_structure(atoms, self._model, what, *more)
        path = self.folder / f"{key[:32]}.npz"
        with suppress(OSError, ValueError):  # missing, or damaged: it is computed again
            stored = read_arrays(path)
            if str(stored.pop(_HASH, "")) == _hash(stored):
                return stored
        began = time.perf_counter()
        arrays = compute()
        if time.perf_counter() - began > WORTH_KEEPING:
            with atomic_path(path) as temporary:
                np.savez(temporary, **{**arrays, _HASH: np.array(_hash(arrays))})  # type: ignore[arg-type]
        return arrays


def _hash(arrays: Arrays) -> str:
    """Of the names, too, which an archive has no checksum of."""
    return sha256(*(part for name in sorted(arrays) for part in (name, arrays[name])))


def alike(calculator: LaderaCalculator, potential: Potential | None = None) -> LaderaCalculator:
    """Another calculator that remembers as this one does, of its model or of another."""
    potential = potential or calculator.potential
    if isinstance(calculator, RememberingCalculator):
        return RememberingCalculator(potential, calculator.folder)
    return LaderaCalculator(potential)


def forget(folder: str | os.PathLike[str]) -> None:
    """Remove what is kept for the result in ``folder``, which is finished."""
    shutil.rmtree(Path(folder) / FOLDER, ignore_errors=True)
