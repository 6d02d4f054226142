"""Files of other codes known by how they begin; light, for whoever must decide who reads a path."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_RECORDS: Final = (b"\4\0\0\0", b"\0\0\0\4")  # how Fortran marks a record of four bytes


def is_of_amp(head: bytes) -> bool:
    """Whether a file begins like one of Amp: a dictionary whose first key is the descriptor."""
    return bool(re.match(rb"\s*(dict\(\s*|\{\s*['\"])descriptor\b", head))


def is_of_aenet(head: bytes) -> bool:
    """Whether a file begins like a network of aenet, binary in either byte order, or text.

    Binary ones have one whole number as a record of Fortran, and another one; texts four lines of
    one whole number each, then a line of several.
    """
    if len(head) < 16 or head[:4] in _RECORDS:
        return head[:4] == head[8:12] == head[12:16] and head[:4] in _RECORDS
    lines = [line.split() for line in head.split(b"\n")[:5]]
    counts = [len(words) for words in lines]
    numbers = all(word.isdigit() for words in lines for word in words)
    return counts[:4] == [1] * 4 and len(lines) == 5 and counts[4] > 1 and numbers


def networks_of_aenet(folder: Path) -> Iterator[Path]:
    """The networks of aenet in a folder, by name: files .nn or .ann, whatever stands behind."""
    for path in sorted(folder.glob("*nn*")):
        if re.search(r"\.a?nn\b", path.name) and path.is_file():
            with path.open("rb") as file:
                if is_of_aenet(file.read(512)):
                    yield path
