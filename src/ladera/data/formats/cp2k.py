"""Outputs of CP2K, which ASE does not read: energies, forces, stresses, and where the atoms were.

The log of a run has the positions of its first step only. Those of molecular dynamics and of
optimisations are in ``PROJECT-pos-1.xyz`` beside it, the forces, where the log has none, in
``PROJECT-frc-1.xyz``, and cells that change in ``PROJECT-1.cell``. Steps are matched by their
energies, which the log and these files share.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.data import atomic_numbers

from ladera.arrays import Floats
from ladera.data.text import LineReader
from ladera.errors import DataError
from ladera.units import BOHR, GIGAPASCAL, HARTREE

_STRESS_UNITS: Final = {"GPa": GIGAPASCAL, "kbar": GIGAPASCAL / 10, "bar": GIGAPASCAL / 1e4}
_PRINTED: Final = 1e-9  # Hartree: the energies beside positions have ten digits
_STATIC: Final = ("ENERGY", "ENERGY_FORCE")
_MARKS: Final = re.compile(
    r"(?P<started>PROGRAM STARTED AT)|(?P<project>GLOBAL\| Project name)"
    r"|(?P<kind>GLOBAL\| Run type)|(?P<vector>^ CELL\| Vector)"
    r"|(?P<periodic>^ (?:CELL|POISSON)\| Periodicity)|(?P<charge>DFT\| Charge )"
    r"|(?P<atoms>ATOMIC COORDINATES IN ANGSTROM)|(?P<failed>SCF run NOT converged)"
    r"|(?P<energy>ENERGY\| Total FORCE_EVAL)|(?P<table>ATOMIC FORCES in \[a\.u\.\])"
    r"|(?P<row>^ FORCES\|\s+\d)|(?P<stress>^ STRESS TENSOR \[|STRESS\| Analytical stress tensor \[)"
    r"|(?P<ensemble>\bEnsemble type\s+NP|RUN TYPE\s+CELL_OPT)",
    re.IGNORECASE,
)


@dataclass
class _Step:
    """What the log says of one calculation, in Hartree and Bohr; a stress in eV/Angstrom^3."""

    energy: float
    converged: bool
    forces: list[list[float]] = field(default_factory=list)
    stress: Floats | None = None


@dataclass
class _Run:
    """What the log says of one run of the program."""

    project: str = ""
    kind: str = ""
    cell: list[Floats] = field(default_factory=list)
    periodic: str = "XYZ"
    charge: float = 0.0
    variable: bool = False  # whether the cell changes
    numbers: list[int] = field(default_factory=list)
    positions: list[list[float]] = field(default_factory=list)
    steps: list[_Step] = field(default_factory=list)


def read(path: Path) -> tuple[list[Atoms], list[str]]:
    """The steps of a log that converged, in eV and Angstrom, and what was left out of it.

    Raises DataError for numbers that cannot be read and for a run over several steps whose
    positions are not beside the log.
    """
    steps: list[Atoms] = []
    remarks: list[str] = []
    for run in _runs(path):
        _require_structure(run, path)
        failed = [k for k, step in enumerate(run.steps) if not step.converged]
        if failed:
            remarks.append(
                f"the self-consistency of {len(failed)} of {len(run.steps)} steps was not reached "
                f"(first: step {failed[0]}); they were left out"
            )
        if run.kind in _STATIC or (len(run.steps) == 1 and not _beside(path, run, "pos-1.xyz")):
            good = (step for step in run.steps if step.converged)
            steps += [_atoms(run, step, np.array(run.positions)) for step in good]
        else:
            steps += _of_trajectory(path, run, remarks)
    return steps, remarks


def _require_structure(run: _Run, path: Path) -> None:
    """Raise DataError for a run whose log does not say all of its structure."""
    missing = ""
    if set(run.periodic) & set("XYZ") and len(run.cell) != 3:
        missing = "the three vectors of its cell"
    elif not run.numbers and run.kind in _STATIC:
        missing = "the coordinates of its atoms"
    if missing:
        raise DataError(
            f"{path}: this output of CP2K does not say {missing}; it is cut short, or of an "
            "unknown version."
        )


def _runs(path: Path) -> list[_Run]:
    runs = [_Run()]
    converged = True
    with LineReader(path) as reader:
        for line in reader:
            match = _MARKS.search(line)
            if match is None:
                continue
            run, words = runs[-1], line.split()
            try:
                if match.lastgroup == "started":
                    if run.steps:
                        runs.append(_Run())
                elif match.lastgroup == "failed":
                    converged = False
                elif match.lastgroup == "energy":
                    run.steps.append(_Step(float(words[-1]), converged))
                    converged = True
                elif match.lastgroup is not None:
                    _take(match.lastgroup, run, words, reader)
            except (ValueError, IndexError, KeyError, TypeError):
                raise reader.error(
                    f"'{line.strip()[:60]}': the numbers of this output of CP2K cannot be read; it "
                    "is cut short or of an unknown version."
                ) from None
    return [run for run in runs if run.steps]


def _take(what: str, run: _Run, words: list[str], reader: LineReader) -> None:
    """Put what a line of the log says, and those that belong to it, into the run."""
    if what == "project":
        run.project = words[-1]
    elif what == "kind":
        run.kind = words[-1]
    elif what == "ensemble":
        run.variable = True
    elif what == "periodic":
        run.periodic = words[-1].upper()
    elif what == "charge":
        run.charge = float(words[-1])
    elif what == "vector" and len(run.cell) < 3:
        # Of the components three digits are printed, of the length sometimes six.
        vector = np.array(_three(words[4:7]))
        run.cell.append(vector / np.linalg.norm(vector) * float(words[-1]))
    elif what == "atoms" and not run.numbers:
        for row in _table(reader):
            run.numbers.append(atomic_numbers[row[2]] if row[2].isalpha() else int(row[3]))
            run.positions.append(_three(row[4:7]))
    elif what == "table" and run.steps:
        run.steps[-1].forces = [_three(row[3:6]) for row in _table(reader)]
    elif what == "row" and run.steps:
        run.steps[-1].forces.append(_three(words[2:5]))
    elif what == "stress" and run.steps:
        unit = _STRESS_UNITS[re.search(r"\[(\w+)\]", " ".join(words))[1]]  # type: ignore[index]
        rows = [row[-3:] for row in _table(reader) if row[-4].lower() in ("x", "y", "z")][:3]
        # CP2K prints the pressure tensor: positive where the cell wants to grow.
        run.steps[-1].stress = -unit * np.array(rows, dtype=np.float64).reshape(3, 3)


def _three(words: list[str]) -> list[float]:
    """The components of a vector; ValueError for anything else."""
    x, y, z = map(float, words)
    return [x, y, z]


def _table(reader: LineReader) -> Iterator[list[str]]:
    """The words of the lines of a table, from its first row of numbers on to its end."""
    begun = False
    while (line := reader.line()) is not None:
        words = line.split()
        numbers = len(words) >= 4 and re.fullmatch(r"[-+]?\d+\.\d+([ED][-+]?\d+)?", words[-1])
        if not numbers or words[0] == "SUM":
            if begun:
                return
            if words and line.startswith((" SCF", " ENERGY|")):
                raise ValueError(line)
            continue
        begun = True
        yield words


def _atoms(run: _Run, step: _Step, positions: Floats, cell: Floats | None = None) -> Atoms:
    """A step with its labels in the units of ASE."""
    labels: dict[str, object] = {"energy": step.energy * HARTREE, "stress": step.stress}
    if step.forces:
        forces = np.array(step.forces) * HARTREE / BOHR
        if len(forces) == len(run.numbers):
            labels["forces"] = forces
    vectors = np.array(run.cell) if cell is None else cell
    periodic = [axis in run.periodic for axis in "XYZ"]
    atoms = Atoms(run.numbers, positions, cell=vectors if any(periodic) else None, pbc=periodic)
    atoms.calc = SinglePointCalculator(atoms, **labels)
    if run.charge:
        atoms.info["total_charge"] = run.charge
    return atoms


# --- molecular dynamics and optimisations --------------------------------------------------------


def _of_trajectory(path: Path, run: _Run, remarks: list[str]) -> Iterator[Atoms]:
    """The steps of a log whose positions are in a file beside it."""
    places = _beside(path, run, "pos-1.xyz")
    if places is None:
        raise DataError(
            f"{path} is the log of a {run.kind} run of CP2K, which has positions of the first of "
            f"its {len(run.steps)} steps only; put {run.project}-pos-1.xyz (and "
            f"{run.project}-frc-1.xyz, if the log has no forces) beside it."
        )
    cells = _cells(path, run)
    forces = _beside(path, run, "frc-1.xyz")
    tables = {} if forces is None else {energy: rows for _, energy, _, rows in _xyz(forces)}
    steps = sorted(run.steps, key=lambda step: step.energy)
    known = np.array([step.energy for step in steps])
    missing = 0
    for number, energy, symbols, positions in _xyz(places):
        if len(run.numbers) != len(symbols):  # else the log knows what names of kinds stand for
            run.numbers = _numbers(symbols, places)
        place = min(int(np.searchsorted(known, energy - _PRINTED)), len(steps) - 1)
        step = steps[place]
        if abs(step.energy - energy) > _PRINTED or (cells is not None and number not in cells):
            missing += 1
        elif step.converged:
            if not step.forces and energy in tables:
                step.forces = tables[energy].tolist()
            yield _atoms(run, step, positions, None if cells is None else cells[number])
    if missing:
        remarks.append(
            f"{missing} steps of {places.name} were left out, which the log does not have"
        )


def _cells(path: Path, run: _Run) -> dict[int, Floats] | None:
    """The cell of each step, if there is a file of them; None for that of the log."""
    file = _beside(path, run, "1.cell")
    if file is None:
        if run.variable:
            raise DataError(
                f"{path}: the cell of this run changes, and is written to {run.project}-1.cell, "
                "which is not beside it; have CP2K print it (MOTION/PRINT/CELL)."
            )
        return None
    try:
        rows = np.loadtxt(file, ndmin=2)
        return {int(row[0]): row[2:11].reshape(3, 3) for row in rows}
    except (ValueError, IndexError, OverflowError):  # the last of a step called inf
        raise DataError(
            f"{file} is no list of cells as CP2K writes it: number, time, nine components and the "
            "volume on each line; it is damaged."
        ) from None


def _beside(path: Path, run: _Run, ending: str) -> Path | None:
    file = path.parent / f"{run.project}-{ending}"
    return file if file.exists() else None


def _numbers(symbols: list[str], path: Path) -> list[int]:
    plain = [re.sub(r"\d+$", "", symbol) for symbol in symbols]
    for symbol in plain:
        if symbol not in atomic_numbers:
            raise DataError(
                f"{path} names an atom '{symbol}', which is no element, and the log has no list of "
                "the kinds; have CP2K print its coordinates at the beginning, or name elements."
            )
    return [atomic_numbers[symbol] for symbol in plain]


def _xyz(path: Path) -> Iterator[tuple[int, float, list[str], Floats]]:
    """Number, energy (Hartree), names of the atoms and rows of each frame of a file of CP2K's."""
    with LineReader(path) as reader:
        while (line := reader.line()) is not None:
            said = re.search(r"i =\s*(\d+).*E =\s*(\S+)", reader.line() or "")
            try:
                rows = [row.split() for row in reader.lines(int(line))]
                if said is None or len(rows) < int(line):
                    return  # cut short
                table = np.array([row[1:4] for row in rows], dtype=np.float64)
                table = table.reshape(len(rows), 3)  # ValueError for rows of another length
                yield int(said[1]), float(said[2]), [row[0] for row in rows], table
            except (IndexError, ValueError):
                raise reader.error(
                    "expected the number of atoms, or a symbol and three numbers."
                ) from None
