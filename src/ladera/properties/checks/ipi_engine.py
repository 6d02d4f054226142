"""i-PI with a model as its force as an engine: in its own process, alone and among other beads."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import weakref
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, TYPE_CHECKING, Any, Final

import numpy as np
import torch

from ladera.engines.cells import standing
from ladera.engines.ipi.simulation import write_simulation
from ladera.errors import MissingPackageError, SimulationError
from ladera.properties.checks.engine import Answer, Engine, Way
from ladera.structure import total_charge

if TYPE_CHECKING:
    from ase import Atoms

    from ladera.arrays import Floats
    from ladera.potential import Potential

_TEMPERATURE: Final = 300.0  # K, of velocities that are replaced
_VACUUM: Final = 50.0  # Angstrom beside a structure in the open, which has no cell for the model
_BEADS: Final = 3
_BAROSTAT: Final = """\
<barostat mode='isotropic'>
  <tau units='femtosecond'> 500 </tau>
  <thermostat mode='langevin'> <tau units='femtosecond'> 500 </tau> </thermostat>
</barostat>
"""


class IPIEngine(Engine):
    """What i-PI computes with the files of ``ladera ipi input``, in a process that stays."""

    name = "ipi"

    def __init__(self, potential: Potential) -> None:
        if find_spec("ipi") is None:
            raise MissingPackageError(
                "The engine ipi needs i-PI, which is not installed: pip install 'ladera[ipi]'."
            )
        self.potential = potential
        self.epsilon = torch.finfo(potential.dtype).eps
        self.cutoff, self.hops = potential.cutoff, potential.hops
        self._folders: dict[tuple[Any, ...], Path] = {}
        place = TemporaryDirectory(prefix="ladera-check-")
        self._place = Path(place.name)
        self._errors = (self._place / "errors").open("w+", encoding="utf-8")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "ladera.properties.checks.ipi_process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env=os.environ | {"PYTHONWARNINGS": "ignore"},
        )
        weakref.finalize(self, _end, self._process, self._errors, place)

    def ask(self, atoms: Atoms) -> Answer:
        """One bead, as in classical dynamics.

        Raises DataError for a structure that is periodic along some directions only.
        """
        return self._ask(atoms, [atoms.positions], 0)

    def run(self, atoms: Atoms, timestep: float, steps: int) -> Floats:
        """By i-PI's own integrator."""
        return np.array(self._run(atoms, "", timestep, steps, 1)["energies"])

    def volumes(
        self, atoms: Atoms, temperature: float, timestep: float, steps: int, every: int
    ) -> Floats:
        """By i-PI's isotropic barostat."""
        found = self._run(atoms, _BAROSTAT, timestep, steps, every, temperature)
        return np.array(found["volumes"])

    def _run(
        self,
        atoms: Atoms,
        barostat: str,
        timestep: float,
        steps: int,
        every: int,
        temperature: float = _TEMPERATURE,
    ) -> dict[str, Any]:
        turn = _turn(atoms)
        return self._talk(
            folder=self._folder(atoms, 1, timestep, barostat, temperature),
            positions=[(atoms.positions @ turn).tolist()],
            momenta=(atoms.get_momenta() @ turn).tolist(),
            cell=_cell(atoms).tolist(),
            steps=steps,
            every=every,
        )

    def ways(self) -> Mapping[str, Way]:
        """All beads of a ring in one evaluation."""
        return {f"one of {_BEADS} beads": Way(self._among_beads, self.epsilon)}

    def _among_beads(self, atoms: Atoms) -> Answer:
        """The second of several, whose neighbours in the ring are elsewhere."""
        moves = np.random.default_rng(3).normal(scale=0.05, size=(_BEADS, len(atoms), 3))
        moves[1] = 0
        return self._ask(atoms, list(atoms.positions + moves), 1)

    def _ask(self, atoms: Atoms, beads: Sequence[Floats], number: int) -> Answer:
        turn = _turn(atoms)
        said = self._talk(
            folder=self._folder(atoms, len(beads)),
            positions=[(positions @ turn).tolist() for positions in beads],
            cell=_cell(atoms).tolist(),
        )
        stress = None
        if atoms.pbc.any():
            upper = np.triu(said["virials"][number])  # all that i-PI keeps of it
            virial = upper + np.triu(upper, 1).T
            stress = -turn @ virial @ turn.T / atoms.cell.volume
        forces = np.array(said["forces"][number]) @ turn.T
        return Answer(float(said["energies"][number]), forces, stress)

    def _folder(
        self,
        atoms: Atoms,
        beads: int,
        timestep: float = 1.0,
        barostat: str = "",
        temperature: float = _TEMPERATURE,
    ) -> str:
        """That of the files for these atoms, wherever they are, and for steps of this length.

        At constant energy, or with a barostat.
        """
        charge = total_charge(atoms)
        masses = tuple(atoms.get_masses())
        key = (
            tuple(atoms.numbers),
            tuple(atoms.pbc),
            charge,
            masses,
            beads,
            timestep,
            barostat,
            temperature,
        )
        if key not in self._folders:
            folder = self._place / str(len(self._folders))
            plain = atoms.copy()
            plain.set_constraint()
            write_simulation(
                self.potential,
                plain,
                folder,
                temperature=temperature,
                beads=beads,
                time_step=timestep,
            )
            path = folder / "input.xml"
            text = path.read_text("utf-8")
            text = text.replace("mode='nvt'", f"mode='{'npt' if barostat else 'nve'}'")
            text = text.replace("<thermostat", f"{barostat}<thermostat")
            text = text.replace("</ensemble>", "<pressure> 0 </pressure> </ensemble>")
            path.write_text(text, encoding="utf-8")
            self._folders[key] = folder
        return str(self._folders[key])

    def _talk(self, **request: Any) -> dict[str, Any]:
        """What the process says. Raises SimulationError where i-PI ended it."""
        asked, told = self._process.stdin, self._process.stdout
        if asked is None or told is None:
            raise SimulationError("i-PI's process has no pipes.")
        try:
            asked.write(json.dumps(request) + "\n")
            asked.flush()
            line = told.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            self._errors.seek(0)
            lines = [each.strip() for each in self._errors if each.strip()]
            raise SimulationError(f"i-PI stopped: {(lines or ['it said nothing'])[-1]}")
        said: dict[str, Any] = json.loads(line)
        return said


def _end(process: subprocess.Popen[str], errors: IO[str], place: TemporaryDirectory[str]) -> None:
    for pipe in (process.stdin, process.stdout, errors):
        if pipe is not None:
            pipe.close()
    process.kill()
    process.wait()
    place.cleanup()


def _turn(atoms: Atoms) -> Floats:
    """The rotation (3, 3) after which the cell is as i-PI wants it."""
    return standing(atoms)[1] if atoms.pbc.any() else np.eye(3)


def _cell(atoms: Atoms) -> Floats:
    if atoms.pbc.any():
        return standing(atoms)[0]
    return np.diag(np.ptp(atoms.positions, axis=0) + _VACUUM)
