"""Names what a simulation meets outside the model's training domain, as n2p2 does."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from ladera.extrapolation import Extrapolation
from ladera.simulation.preparation import SimulationWarning
from ladera.simulation.records import writing
from ladera.tables import TableWriter

LINES_SAID: Final = 10
ROWS_KEPT: Final = 10_000

_COLUMNS: Final = ("step", *Extrapolation._fields)


class ExtrapolationLog:
    """extrapolation.csv, with a row for each descriptor outside its training range.

    There is no such file before there is a first row.
    A run that is far outside would fill the disk: after 10,000 rows it only counts. The first ten
    are warned of one by one, and the total at the end.
    """

    def __init__(self, path: Path, state: dict[str, int] | None = None) -> None:
        state = state or {}
        self._path = path
        self._table: TableWriter | None = None
        if state:
            with writing(path):
                self._table = TableWriter(path, _COLUMNS, position=state["position"])
        self._values = state.get("values", 0)
        self._structures = state.get("structures", 0)

    def record(self, step: int, found: Sequence[Extrapolation]) -> None:
        """The descriptors outside their range after a step."""
        if not found:
            return
        self._structures += 1
        with writing(self._path):
            if self._table is None:
                self._table = TableWriter(self._path, _COLUMNS)
            for each in found:
                if self._values < LINES_SAID:
                    warnings.warn(f"Step {step}, {each}", SimulationWarning, stacklevel=2)
                if self._values < ROWS_KEPT:
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
        """What has to be remembered over a restart; nothing before the first row."""
        if self._table is None:
            return {}
        with writing(self._path):
            position = self._table.position()
        return {"position": position, "values": self._values, "structures": self._structures}

    def close(self) -> None:
        """Close the file, if there is one."""
        if self._table is not None:
            self._table.close()
