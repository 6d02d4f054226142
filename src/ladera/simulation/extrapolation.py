"""Names what a simulation meets outside the model's training domain."""

from __future__ import annotations

import logging
import math
import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import torch

from ladera.arrays import Floats
from ladera.extrapolation import COLUMNS, EDGE, Extrapolation, farthest, judgement, row_of
from ladera.files import cut_to
from ladera.graph import Graph
from ladera.potential import evaluate
from ladera.simulation.preparation import SimulationWarning
from ladera.simulation.records import structure_as_text, writing
from ladera.table_files import TableWriter

if TYPE_CHECKING:
    from ase import Atoms

    from ladera.potential import Potential

log = logging.getLogger(__name__)

ROWS_KEPT: Final = 10_000


def warn_of_structures(
    potential: Potential,
    structures: Sequence[Atoms],
    what: str,
    *,
    above: float = EDGE,
    stacklevel: int = 2,
) -> float:
    """The largest grade of an atom; SimulationWarning when it is ``above``: which, and why.

    ``what`` is what a sentence calls the structures, in the plural where there are several. NaN of
    a model that does not know its training domain.
    """
    worst, words, outside = 0.0, "", 0
    for atoms in structures:
        with torch.no_grad():
            prediction = evaluate(potential, Graph.from_atoms(atoms, potential.cutoff))
            found = potential.grade(prediction.graph, prediction)
        if found is None:
            return math.nan
        grades = found.double().cpu().numpy()
        if float(grades.max()) > worst:
            reasons = potential.explain_grade(prediction.graph, prediction)
            worst, words = farthest(grades, atoms.symbols, reasons)
            outside = int((grades > 1).sum())
    if worst > above:
        warnings.warn(
            f"Extrapolation: {outside} of {len(structures[0])} atoms of {what} are outside the "
            f"model's training domain; the farthest is {words}. {judgement(worst)}",
            SimulationWarning,
            stacklevel=stacklevel + 1,
        )
    return worst


class SelectedFrames:
    """selected.extxyz: the structures of a run that are worth a label, with the grades of atoms.

    There is no such file before there is a first one. A run that goes on cuts it to the ``length``
    (bytes) of its restart point.
    """

    def __init__(self, path: Path, length: int = 0) -> None:
        self._path, self._length, self._written = path, length, 0
        if length:
            with writing(path):
                cut_to(path, length)

    def write(self, atoms: Atoms, step: int, grades: Floats) -> None:
        """Add the structure after a step, without the results of the model."""
        text = structure_as_text(atoms, {"step": step}, {"grade": grades})
        with writing(self._path), self._path.open("ab" if self._length else "wb") as file:
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())
        self._length, self._written = self._length + len(text.encode()), self._written + 1

    def position(self) -> int:
        """Length in bytes."""
        return self._length

    def say_total(self) -> None:
        """Say where they are, if there are any."""
        if self._written:
            log.info("Kept %d frames for labelling in %s.", self._written, self._path)


class ExtrapolationLog:
    """extrapolation.csv, with a row for each number outside its range in the training data.

    There is no such file before there is a first row.
    A run that is far outside would fill the disk: after 10,000 rows it only counts. One warning at
    the end of a run tells how often atoms were outside, of the farthest, and what that means.
    """

    def __init__(self, path: Path, state: Mapping[str, Any] | None = None) -> None:
        state = state or {}
        self._path = path
        started = "position" in state
        with writing(path):
            self._table = (
                TableWriter(path, ("step", *COLUMNS), position=state["position"])
                if started
                else None
            )
        self._values = int(state.get("values", 0))
        self._structures = int(state.get("structures", 0))
        # Of the farthest atom; a run of an older Ladera does not remember it.
        self._grade, self._farthest = float(state.get("grade", 0)), str(state.get("farthest", ""))

    def record(
        self, step: int, symbols: Sequence[str], grades: Floats, reasons: Sequence[Extrapolation]
    ) -> None:
        """Atoms outside after a step: symbols and grades of all atoms, and what is behind them."""
        if float(grades.max()) > self._grade:
            self._grade, words = farthest(grades, symbols, reasons)
            self._farthest = f"in step {step}, is {words}"
        self._structures += 1
        with writing(self._path):
            if self._table is None and reasons:
                self._table = TableWriter(self._path, ("step", *COLUMNS))
            for each in reasons:
                if self._table is not None and self._values < ROWS_KEPT:
                    self._table.write({"step": step, **row_of(each)})
                self._values += 1

    def say_total(self) -> None:
        """Warn of them, if there were any."""
        if not self._structures:
            return
        kept = f" (the first {ROWS_KEPT:,})" if self._values > ROWS_KEPT else ""
        where = f" Each value{kept} is in {self._path}." if self._values else ""
        warnings.warn(
            f"Extrapolation: in {self._structures:,} rows of md.csv atoms were outside the model's "
            f"training domain; the farthest, {self._farthest}. {judgement(self._grade)}{where}",
            SimulationWarning,
            stacklevel=2,
        )

    def state(self) -> dict[str, Any]:
        """What has to be remembered over a restart; nothing before the first atom outside."""
        if not self._structures:
            return {}
        with writing(self._path):
            position = {} if self._table is None else {"position": self._table.position()}
        return position | {
            "values": self._values,
            "structures": self._structures,
            "grade": self._grade,
            "farthest": self._farthest,
        }

    def close(self) -> None:
        """Close the file, if there is one."""
        if self._table is not None:
            self._table.close()
