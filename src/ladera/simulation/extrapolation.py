"""Names what a simulation meets outside the model's training domain."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from ladera.arrays import Floats
from ladera.extrapolation import COLUMNS, Extrapolation
from ladera.simulation.preparation import SimulationWarning
from ladera.simulation.records import writing
from ladera.tables import TableWriter

ROWS_KEPT: Final = 10_000
NOTABLE_GRADES: Final = (1.0, 2.0, 10.0)  # the first atom beyond each is worth a line


class ExtrapolationLog:
    """extrapolation.csv, with a row for each number outside its range in the training data.

    There is no such file before there is a first row.
    A run that is far outside would fill the disk: after 10,000 rows it only counts. A warning
    tells of the first atom outside, others of the first beyond a grade of 2 and of 10, the last
    of the total.
    """

    def __init__(self, path: Path, state: dict[str, int] | None = None) -> None:
        state = state or {}
        self._path = path
        started = "position" in state
        with writing(path):
            self._table = (
                TableWriter(path, ("step", *COLUMNS), position=state["position"])
                if started
                else None
            )
        self._values = state.get("values", 0)
        self._structures = state.get("structures", 0)
        # Of NOTABLE_GRADES; a run of an older Ladera has warned of the first atom.
        self._passed = state.get("passed", int(self._values > 0))

    def record(
        self, step: int, symbols: Sequence[str], grades: Floats, reasons: Sequence[Extrapolation]
    ) -> None:
        """Atoms outside after a step: symbols and grades of all atoms, and what is behind them."""
        self._warn(step, symbols, grades, reasons)
        self._structures += 1
        with writing(self._path):
            if self._table is None and reasons:
                self._table = TableWriter(self._path, ("step", *COLUMNS))
            for each in reasons:
                if self._table is not None and self._values < ROWS_KEPT:
                    self._table.write({"step": step, **each._asdict()})
                self._values += 1

    def say_total(self) -> None:
        """Warn of how many there were, if any."""
        if self._values:
            warnings.warn(
                f"In all {self._values:,} values of descriptors in {self._structures:,} structures "
                f"of the log were outside their training range; the first {ROWS_KEPT:,} are in "
                f"{self._path}.",
                SimulationWarning,
                stacklevel=2,
            )

    def state(self) -> dict[str, int]:
        """What has to be remembered over a restart; nothing before the first atom outside."""
        if not self._structures:
            return {}
        with writing(self._path):
            position = {} if self._table is None else {"position": self._table.position()}
        return position | {
            "values": self._values,
            "structures": self._structures,
            "passed": self._passed,
        }

    def close(self) -> None:
        """Close the file, if there is one."""
        if self._table is not None:
            self._table.close()

    def _warn(
        self, step: int, symbols: Sequence[str], grades: Floats, reasons: Sequence[Extrapolation]
    ) -> None:
        """One line when the farthest atom is farther than any was, by a notable grade."""
        atom = int(grades.argmax())
        passed = sum(float(grades[atom]) > grade for grade in NOTABLE_GRADES)
        if passed <= self._passed:
            return
        first, self._passed = self._passed == 0, passed
        worst = max((r for r in reasons if r.atom == atom), key=lambda r: r.grade, default=None)
        what = f"atom {atom} ({symbols[atom]}), grade {grades[atom]:.3g} where 1 is the edge"
        what += "" if worst is None else f": {worst.in_words}"
        count = int((grades > 1).sum())
        warnings.warn(
            f"Step {step}: {count} of {len(grades)} atoms left the model's training domain; their "
            f"energies are extrapolated (md.csv counts them). The farthest is {what}."
            if first
            else f"Step {step}: farther outside the training domain than before is {what}.",
            SimulationWarning,
            stacklevel=3,
        )
