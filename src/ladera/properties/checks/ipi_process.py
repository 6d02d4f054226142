"""i-PI in a process of its own, which it ends when something goes wrong: what that process does.

It reads requests, a line of JSON each, and answers with one; what i-PI prints goes to the standard
error. Simulations are the files of :mod:`ladera.engines.ipi.simulation`, each made once.
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import chdir
from pathlib import Path
from typing import Any

import numpy as np
from ipi.scripting import InteractiveSimulation
from ipi.utils.depend import dstrip
from ipi.utils.units import unit_to_internal, unit_to_user


class Simulations:
    """Those that were asked for, by their folders."""

    def __init__(self) -> None:
        self._made: dict[str, Any] = {}

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Of the beads that a request says: energies, forces and virials, or those of a run.

        Energies are in eV, forces in eV/Angstrom, virials -dE/d(strain) in eV, of each bead.
        """
        folder = request["folder"]
        if folder not in self._made:
            with chdir(folder):  # files have names without folders
                self._made[folder] = InteractiveSimulation(Path("input.xml").read_text("utf-8"))
        simulation = self._made[folder]
        (system,) = simulation.syslist
        # Not by set_structures, which has another Angstrom than potentials in i-PI.
        system.cell.h = unit_to_internal("length", "angstrom", np.transpose(request["cell"]))
        for bead, positions in enumerate(request["positions"]):
            system.beads.q[bead] = unit_to_internal("length", "angstrom", np.ravel(positions))
        electronvolt = float(unit_to_user("energy", "electronvolt", 1.0))
        if "steps" in request:
            system.beads.p[0] = unit_to_internal("momentum", "ase", np.ravel(request["momenta"]))
            return _run(system, request["steps"], request["every"])
        force = electronvolt / float(unit_to_user("length", "angstrom", 1.0))
        forces, shape = system.forces, np.shape(request["positions"])
        return {
            "energies": (electronvolt * dstrip(forces.pots)).tolist(),
            "forces": (force * dstrip(forces.f)).reshape(shape).tolist(),
            "virials": (electronvolt * dstrip(forces.virs)).tolist(),
        }


def _run(system: Any, steps: int, every: int) -> dict[str, Any]:
    """Total energies, and volumes in Angstrom^3, at the start and after every so many steps."""
    electronvolt = float(unit_to_user("energy", "electronvolt", 1.0))
    angstrom = float(unit_to_user("length", "angstrom", 1.0))
    energies, volumes = [float(system.ensemble.econs)], [float(system.cell.V)]
    for step in range(1, steps + 1):
        system.motion.step(step)
        if step % every == 0:
            energies.append(float(system.ensemble.econs))
            volumes.append(float(system.cell.V))
    return {
        "energies": [electronvolt * each for each in energies],
        "volumes": [angstrom**3 * each for each in volumes],
    }


def main() -> None:
    """Answer until there are no more requests."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    simulations = Simulations()
    for line in sys.stdin:
        print(json.dumps(simulations.answer(json.loads(line))), file=answers, flush=True)
    os._exit(0)  # i-PI's threads and what it does at an end are not waited for


if __name__ == "__main__":
    main()
