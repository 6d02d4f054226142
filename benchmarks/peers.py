"""Another program beside Ladera, in an environment of its own, that answers cases one by one."""

from __future__ import annotations

import json
import os
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms


class Peer:
    """A script beside this one, run by another Python: lines of JSON in, lines of JSON out."""

    def __init__(self, script: str, python: str, *arguments: str | Path) -> None:
        path = Path(__file__).with_name(script)
        self._process = subprocess.Popen(
            [python, str(path), *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        )

    def time(self, repeats: int, **case: str) -> dict[str, Any]:
        """Energy, forces and seconds of a case."""
        process = self._process
        if process.stdin is None or process.stdout is None:
            raise SystemExit("The other program has no pipes.")
        with suppress(BrokenPipeError):  # then there is no answer either
            process.stdin.write(json.dumps({**case, "repeats": repeats}) + "\n")
            process.stdin.flush()
        while line := process.stdout.readline():
            if line.startswith("{"):
                return json.loads(line)  # type: ignore[no-any-return]
        raise SystemExit(f"{process.args} ended before it answered {case}.")

    def close(self) -> None:
        """End it."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait()


def fastest(atoms: Atoms, repeats: int, stress: bool = False) -> tuple[float, float]:
    """CPU and wall seconds of a call of the calculator after all atoms have moved a little."""
    generator, times = np.random.default_rng(1), []
    for _ in range(repeats):
        atoms.positions += generator.normal(scale=0.002, size=atoms.positions.shape)
        cpu, wall = time.process_time(), time.perf_counter()
        atoms.get_potential_energy()
        atoms.get_forces()
        if stress:
            atoms.get_stress()
        times.append((time.process_time() - cpu, time.perf_counter() - wall))
    cpu, wall = np.min(times, axis=0).tolist()
    return cpu, wall
