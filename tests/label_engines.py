"""Calculators that behave badly, for the tests of labelling; and who computes in this process."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.build import molecule
from ase.calculators.calculator import Calculator, all_changes

from ladera.processes import Processes, Results, Task


class Springs(Calculator):
    """Each atom on a spring to the origin; every calculation is noted in a file.

    By the first atom's x, which numbers the frames of :func:`frames`: those in ``bad`` raise an
    error, in ``nan`` give no number, in ``hang`` never end, in ``die`` end the process, and in
    ``unsure`` say that they have not converged.
    """

    implemented_properties = ["energy", "forces", "dipole"]  # noqa: RUF012

    def __init__(
        self,
        notes: str = os.devnull,
        bad: Iterable[int] = (),
        nan: Iterable[int] = (),
        hang: Iterable[int] = (),
        die: Iterable[int] = (),
        unsure: Iterable[int] = (),
        pause: float = 0.0,
        charge: int = 0,
        multiplicity: int = 1,
    ) -> None:
        super().__init__()
        self._notes, self._pause, self._state = Path(notes), pause, (charge, multiplicity)
        self._bad, self._nan, self._hang = set(bad), set(nan), set(hang)
        self._die, self._unsure, self.converged = set(die), set(unsure), True

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Any = ("energy",),
        system_changes: Any = all_changes,
    ) -> None:
        super().calculate(atoms, properties, system_changes)
        number = round(float(self.atoms.positions[0, 0]))
        with self._notes.open("a") as file:
            file.write(f"{number} {self._state[0]} {self._state[1]}\n")
        time.sleep(self._pause)
        if number in self._hang:
            time.sleep(600)
        if number in self._die:
            os.kill(os.getpid(), 9)
        if number in self._bad:
            raise RuntimeError(f"no basis for frame {number}\nand more")
        self.converged = number not in self._unsure
        positions = self.atoms.positions
        forces = -positions.copy()
        if number in self._nan:
            forces[1, 2] = np.nan
        energy = float((positions**2).sum() / 2)
        self.results = {"energy": energy, "forces": forces, "dipole": positions.sum(axis=0)}


def frames(count: int) -> list[Atoms]:
    """Molecules of water, whose first atoms are at x = 0, 1, 2, ..."""
    found = []
    for k in range(count):
        atoms = molecule("H2O")
        atoms.rattle(0.01, seed=k)
        atoms.positions += [k - atoms.positions[0, 0], 0, 0]
        found.append(atoms)
    return found


class Here:
    """Who does one task after the other, here."""

    def runner(self, here: Processes) -> Here:
        return self

    def run(self, tasks: Iterable[Task[Any]], look: Callable[[], None] = lambda: None) -> Results:
        for task in tasks:
            yield task, task.call()
            look()
