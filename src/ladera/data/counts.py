"""Counts that a text file states: no more than it has room for.

Some readers of ASE make room for as many atoms as a file says, or read as many lines, before they
find that there are fewer: a wrong digit then takes all memory, or hours.
"""

from __future__ import annotations

import mmap
import re
from pathlib import Path
from typing import Final

from ladera.errors import DataError

# What a large count looks like, by ASE's names of formats; smaller ones do no harm.
_COUNTS: Final = {
    format_: re.compile(pattern, re.MULTILINE)
    for format_, pattern in {
        "xyz": rb"^[ \t]*(\d{8,})[ \t\r]*$",
        "extxyz": rb"^[ \t]*(\d{8,})[ \t\r]*$|:[RILS]:(\d{8,})",
        "lammps-dump-text": rb"NUMBER OF ATOMS\s+(\d{8,})",
        "vasp": rb"^[ \t\d]*?(?<!\d)(\d{8,})[ \t\d\r]*$",
        "vasp-out": rb"(?:ions per type|NKPTS|NBANDS)[^\n]*?(?<!\d)(\d{8,})(?!\d*\.)",
        "orca-output": rb"^Number of atoms\D*(\d{8,})",
        "aims-output": rb"^ *\| Number of [^:\n]*: *(\d{8,})",
    }.items()
}


def require_counts(path: Path, format_: str) -> None:
    """Raise DataError where a file of a format counts more things than it has bytes."""
    pattern = _COUNTS.get(format_)
    size = path.stat().st_size
    if pattern is None or not size:
        return
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text:
        for match in pattern.finditer(text):
            digits = match[match.lastindex or 0]
            if len(digits) > 18 or int(digits) > size:
                line = text[: match.start()].count(b"\n") + match[0].rstrip().count(b"\n") + 1
                raise DataError(
                    f"{path}, line {line}: it says that {digits[:20].decode()} of something are to "
                    f"come, and the whole file has {size} bytes; it is damaged, so correct the "
                    "number or write the file again."
                )
