"""Students of published models, each for one material: how near they come, and how much faster.

    python benchmarks/distillation.py RUNS [--cases CASE ...] [--students FAMILY ...]

RUNS holds a distillation for each case and student (ladera distill); what is missing is made, what
was interrupted goes on. Errors are mean absolute ones against the teacher, on structures that the
student has not seen. Modes are all normal modes of the structure that each has relaxed for itself,
microseconds those for energy and forces of an atom on one thread, teacher and student in one go.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.build import bulk, molecule
from page import table

import ladera


@dataclass(frozen=True)
class Case:
    """A material, and who knows it."""

    structure: Callable[[], Atoms]
    teacher: str
    temperatures: tuple[float, ...]
    changes: tuple[str, ...]


CASES = {
    "silicon": Case(
        lambda: bulk("Si", cubic=True),
        "sevennet-0",
        (300.0, 600.0),
        (
            *("begin.frames=20", "explore.timestep=2", "explore.walkers=1", "select.frames=12"),
            *("select.checks=6", "stop.rounds=3", "stop.forces=0.02"),
        ),
    ),
    "ethanol": Case(
        lambda: molecule("CH3CH2OH"),
        "mace-spice",
        (300.0, 500.0),
        ("select.frames=30", "select.checks=10", "stop.rounds=4", "stop.forces=0.02"),
    ),
}
STUDENTS = {
    "mtp": (),
    "hdnnp": ("training.precision=float32",),
}
HEAD = (
    *("", "teacher", "student", "labels", "minutes", "forces (meV/Å)", "energies (meV/atom)"),
    *("modes, RMS (cm⁻¹)", "of up to", "µs/atom, teacher", "student", "times faster"),
)


def main() -> None:
    """Make what is missing, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", type=Path)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--students", nargs="+", choices=STUDENTS, default=list(STUDENTS))
    chosen = parser.parse_args()
    rows = list(rows_of(chosen.runs, chosen.cases, chosen.students))
    print(table(HEAD, rows))


def rows_of(runs: Path, cases: list[str], students: list[str]) -> Iterator[list[str]]:
    """A row for each case and student."""
    for name in cases:
        case = CASES[name]
        for student in students:
            done = ladera.distill(
                case.teacher,
                case.structure(),
                runs / f"{name}-{student}",
                student=student,
                temperatures=case.temperatures,
                changes=[*case.changes, *STUDENTS[student]],
            )
            print(done, flush=True)
            last, found = done.run.rounds[-1], done.agreement
            assert last.judged is not None
            errors = (last.judged.forces or np.nan, last.judged.energy or np.nan)
            yield [
                *(f"{name}, {found.atoms} atoms", case.teacher, student),
                *(str(last.labels_so_far), f"{last.seconds_so_far / 60:.0f}"),
                *(f"{1000 * errors[0]:.1f}", f"{1000 * errors[1]:.2f}"),
                *(f"{found.deviation:.1f}", f"{found.teacher_frequencies.max():.0f}"),
                *(f"{time:,.0f}" for time in found.microseconds),
                f"{found.speedup:.0f}",
            ]


if __name__ == "__main__":
    main()
