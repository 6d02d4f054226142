"""Steps of VASP whose self-consistency was not reached: what they print is no label."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from ladera.data.text import LineReader

_ITERATION: Final = re.compile(r"Iteration\s+\d+\(\s*(\d{1,9})\)")


def unconverged(path: Path, format_: str) -> set[int]:
    """The numbers of the ionic steps of an OUTCAR or vasprun.xml that did not converge."""
    if format_ == "vasp-out":
        return _of_outcar(path)
    return _of_vasprun(path) if format_ == "vasp-xml" else set()


def _of_outcar(path: Path) -> set[int]:
    """Ionic steps that used up NELM electronic steps, or are said not to have converged."""
    bad: set[int] = set()
    step, limit, iteration, reached, failed = 0, 0, 0, False, False
    with LineReader(path) as reader:
        for line in reader:
            if "Iteration" in line and (match := _ITERATION.search(line)):
                iteration = int(match[1])
            elif "aborting loop" in line:
                failed = "not reached" in line
                reached = not failed
            elif "NELM " in line and (match := re.search(r"NELM\s*=\s*(\d{1,9})", line)):
                limit = int(match[1])
            elif "FREE ENERGIE OF THE ION-ELECTRON SYSTEM" in line and "ML FREE" not in line:
                if failed or (not reached and iteration >= limit):
                    bad.add(step)
                step, iteration, reached, failed = step + 1, 0, False, False
    return bad


def _of_vasprun(path: Path) -> set[int]:
    """Ionic steps that used up NELM electronic steps.

    The first NELM of a run counts: that of its linear response comes after.
    """
    bad: set[int] = set()
    step, limit, steps = 0, 0, 0
    with LineReader(path) as reader:
        for line in reader:
            if "<modeling>" in line:
                limit = 0
            elif "NELM" in line and (match := re.search(r'name="NELM"\s*>\s*(\d{1,9})', line)):
                limit = limit or int(match[1])
            elif "<scstep>" in line:
                steps += 1
            elif "</calculation>" in line:
                if 0 < limit <= steps:
                    bad.add(step)
                step, steps = step + 1, 0
    return bad
