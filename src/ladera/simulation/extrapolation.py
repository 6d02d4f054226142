"""Names what a simulation meets outside the model's training domain."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from ladera.arrays import Floats
from ladera.extrapolation import COLUMNS, Extrapolation, farthest, judgement, row_of
from ladera.simulation.preparation import SimulationWarning
from ladera.simulation.records import writing
from ladera.tables import TableWriter

ROWS_KEPT: Final = 10_000


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
