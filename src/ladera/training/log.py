"""log.csv: one row per epoch, none lost and none twice, however often a run is interrupted."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from ladera.files import write_text_atomic
from ladera.training.observer import Row


class EpochLog:
    """Appends rows to a CSV file; None is an empty field."""

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        self._path = path
        self._columns = list(columns)

    def start(self, finished_epochs: int = 0) -> None:
        """Keep the rows of the epochs before the checkpoint and drop the others.

        A run killed after its checkpoint has logged epochs that it will do again, the last of them
        perhaps by half.
        """
        lines = [",".join(self._columns) + "\n"]
        if finished_epochs and self._path.exists():
            with self._path.open(encoding="utf-8") as file:
                lines += file.readlines()[1 : finished_epochs + 1]
        write_text_atomic(self._path, "".join(lines))

    def append(self, row: Row) -> None:
        """Add the row of an epoch; on disk when this returns."""
        line = io.StringIO()
        writer = csv.DictWriter(line, self._columns, extrasaction="ignore", lineterminator="\n")
        writer.writerow({key: _text(value) for key, value in row.items()})
        with self._path.open("a", encoding="utf-8") as file:
            file.write(line.getvalue())


def _text(value: float | int | None) -> str:
    if value is None:
        return ""
    return str(value) if isinstance(value, int) else f"{value:.8g}"
