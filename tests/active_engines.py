"""A cheap engine for the tests of active learning, which notes what it computes and may fail."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.morse import MorsePotential


class Morse(MorsePotential):
    """A Morse potential; each calculation is noted by its energy in a file.

    Structures whose energy has the remainder 0 by ``fails`` (in units of 1e-6 eV) raise an error,
    by ``nans`` give no number, and by ``hangs`` never end. The first time that one is computed
    by a job of Slurm, the job is killed if ``kills`` says so.
    """

    def __init__(
        self,
        notes: str = os.devnull,
        fails: int = 0,
        nans: int = 0,
        hangs: int = 0,
        kills: bool = False,
        pause: float = 0.0,
        **options: Any,
    ) -> None:
        super().__init__(epsilon=0.6, r0=2.5, rho0=4.0, rcut1=4.0, rcut2=5.0, **options)
        self._notes, self._fails, self._nans, self._hangs = Path(notes), fails, nans, hangs
        self._pause, self._kills = pause, kills

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Any = ("energy",),
        system_changes: Any = all_changes,
    ) -> None:
        super().calculate(atoms, properties, system_changes)
        number = round(1e6 * self.results["energy"])
        with self._notes.open("a") as file:
            file.write(f"{self.results['energy']!r}\n")
        time.sleep(self._pause)
        if self._kills:
            self._kill_job()
        if self._hangs and number % self._hangs == 0 and number:
            time.sleep(600)
        if self._fails and number % self._fails == 0 and number:
            raise RuntimeError("it did not want to")
        if self._nans and number % self._nans == 0 and number:
            self.results["forces"] = np.full_like(self.results["forces"], np.nan)

    def _kill_job(self) -> None:
        killed = self._notes.with_name("killed")
        if "SLURM_JOB_ID" in os.environ and not killed.exists():
            killed.touch()
            job = os.environ["SLURM_JOB_ID"]
            subprocess.run(["scancel", "--signal=KILL", "--full", job], check=True)
            time.sleep(600)


class Hole(Calculator):
    """Every atom falls to where all are."""

    implemented_properties = ["energy", "forces"]  # noqa: RUF012

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Any = ("energy",),
        system_changes: Any = all_changes,
    ) -> None:
        super().calculate(atoms, properties, system_changes)
        away = self.atoms.positions - self.atoms.positions.mean(axis=0)
        self.results = {"energy": (away**2).sum() / 2, "forces": -away}


TETRAHEDRON = 2.5 * np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) / 8**0.5


def morse(folder: Path, **options: Any) -> dict[str, Any]:
    return {
        "engine": "calculator",
        "calculator": "active_engines:Morse",
        "options": {"notes": str(folder / "notes"), **options},
    }


def active_settings(
    folder: Path, engine: dict[str, Any] | None = None, **changes: Any
) -> dict[str, Any]:
    """A short loop on four atoms of copper."""
    path = folder / "copper.xyz"
    if not path.exists():
        ase.io.write(path, Atoms("Cu4", TETRAHEDRON))
    return {
        "structures": str(path),
        "engine": engine or morse(folder),
        "training": {
            "model": {"architecture": "mtp", "level": 6, "cutoff": 5.0},
            "epochs": 15,
        },
        "begin": {"number": 8, "rattle": 0.08, "contacts": False},
        "explore": {"temperatures": [150, 300], "time": 0.1, "timestep": 2, "walkers": 1},
        "select": {"frames": 5, "checks": 4, "lost": 50},
        "stop": {"rounds": 2},
        **changes,
    }
