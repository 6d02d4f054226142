"""Calculations whose self-consistency was not reached: what they print is no label."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from ase import Atoms

from ladera.data.formats.labels import DataWarning
from ladera.data.text import LineReader
from ladera.errors import DataError

# What programs print when they give up, in the formats of ASE.
_GIVEN_UP: Final = {
    "espresso-out": r"convergence NOT achieved",
    "cp2k-output": r"SCF run NOT converged",
    "aims-output": r"Self-consistency cycle not converged",
    "gaussian-out": r"Convergence (failure|criterion not met)|SCF has not converged",
    "orca-output": r"SCF NOT CONVERGED|not fully converged",
    "nwchem-out": r"Calculation failed to converge",
    "castep-castep": r"SCF cycles performed but system has not reached the groundstate",
    "gamess-us-out": r"SCF IS UNCONVERGED",
    "qchem-out": r"SCF failed to converge",
    "abinit-out": r"was not enough SCF cycles to converge",
    "siesta-out": r"SCF_NOT_CONV",
}


def converged(structures: Iterable[Atoms], path: Path, format_: str) -> Iterator[tuple[int, Atoms]]:
    """The structures whose calculation converged, with their numbers in the file.

    Those that did not are left out with a warning. Raises DataError when none is left, and for a
    file that says so without saying of which structure.
    """
    bad = _unconverged(path, format_)
    skipped, index = 0, -1
    for index, atoms in enumerate(structures):
        if index in bad:
            skipped += 1
        else:
            yield index, atoms
    if not skipped:
        return
    sentence = (
        f"{path}: the electronic self-consistency of {skipped} of {index + 1} frames was not "
        f"reached (first: frame {min(bad)}); their energies and forces are no labels"
    )
    if skipped == index + 1:
        raise DataError(f"{sentence}. Repeat the calculation with more steps.")
    warnings.warn(f"{sentence}, and they were left out.", DataWarning, stacklevel=2)


def _unconverged(path: Path, format_: str) -> set[int]:
    if format_ == "vasp-out":
        return _of_outcar(path)
    if format_ == "vasp-xml":
        return _of_vasprun(path)
    if format_ in _GIVEN_UP:
        pattern = re.compile(_GIVEN_UP[format_], re.IGNORECASE)
        with LineReader(path) as reader:
            while (line := reader.line()) is not None:
                if pattern.search(line):
                    raise reader.error(
                        f"'{line.strip()[:60]}': the self-consistency was not reached, so that "
                        "energy and forces are no labels; repeat the calculation."
                    )
    return set()


def _of_outcar(path: Path) -> set[int]:
    """Ionic steps that used up NELM electronic steps, or are said not to have converged."""
    bad: set[int] = set()
    step, limit, iteration, reached, failed = 0, 0, 0, False, False
    with LineReader(path) as reader:
        while (line := reader.line()) is not None:
            if "Iteration" in line and (match := re.search(r"Iteration\s+\d+\(\s*(\d+)\)", line)):
                iteration = int(match[1])
            elif "aborting loop" in line:
                failed = "not reached" in line
                reached = not failed
            elif "NELM " in line and (match := re.search(r"NELM\s*=\s*(\d+)", line)):
                limit = int(match[1])
            elif "FREE ENERGIE OF THE ION-ELECTRON SYSTEM" in line:
                if failed or (not reached and iteration >= limit):
                    bad.add(step)
                step, iteration, reached, failed = step + 1, 0, False, False
    return bad


def _of_vasprun(path: Path) -> set[int]:
    """Ionic steps that used up NELM electronic steps."""
    bad: set[int] = set()
    step, limit, steps = 0, 0, 0
    with LineReader(path) as reader:
        while (line := reader.line()) is not None:
            if "NELM" in line and (match := re.search(r'name="NELM"\s*>\s*(\d+)', line)):
                limit = int(match[1])
            elif "<scstep>" in line:
                steps += 1
            elif "</calculation>" in line:
                if 0 < limit <= steps:
                    bad.add(step)
                step, steps = step + 1, 0
    return bad
