"""CSV files of numbers, a row at a time: a name for each column, an empty field for no number."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ladera.arrays import Floats
from ladera.errors import DataError

Columns = Mapping[str, Floats]  # name -> values (n_rows,), NaN where a field is empty


def read(path: Path) -> Columns:
    """Columns of a CSV file of numbers; empty when there is no such file.

    A last line that was cut short, as a run in progress or a kill leaves it, is left out. Raises
    DataError for anything else that is not a number.
    """
    if not path.exists():
        return {}
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
    complete = [line for line in lines if line.endswith("\n")]
    header, *rows = [row for row in csv.reader(complete) if row] or [[]]
    columns: dict[str, list[float]] = {name: [] for name in header}
    for line, row in enumerate(rows, start=2):
        if len(row) != len(header):
            raise DataError(f"{path}, line {line}: {len(row)} fields, expected {len(header)}.")
        for name, text in zip(header, row, strict=True):
            try:
                columns[name].append(float(text) if text.strip() else float("nan"))
            except ValueError:
                raise DataError(
                    f"{path}, line {line}: '{text}' in column {name} is not a number."
                ) from None
    return {name: np.array(values) for name, values in columns.items()}


def column(columns: Columns, name: str) -> Floats:
    """A column; empty where there is none, or no number in it."""
    values = columns.get(name, np.empty(0))
    return values if np.isfinite(values).any() else np.empty(0)
