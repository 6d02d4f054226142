"""LAMMPS with ``pair_style ladera`` as an engine: in this process, and on two of its own."""

from __future__ import annotations

import ctypes
import subprocess
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch

from ladera.engines.lammps import building, installed, running
from ladera.engines.lammps.writing import Box, write_data
from ladera.errors import ConfigError, SimulationError
from ladera.properties.checks.ase_engine import free
from ladera.properties.checks.engine import Answer, Engine, Way
from ladera.units import FEMTOSECOND

if TYPE_CHECKING:
    from ase import Atoms

    from ladera.arrays import Floats
    from ladera.potential import Potential

_BAR: Final = 1.6021765e6  # LAMMPS's own figure of an eV/Angstrom^3
_VIRIAL: Final = ("pxx", "pyy", "pzz", "pyz", "pxz", "pxy")
_SILENT: Final = ("-screen", "none", "-log", "none")
_FEW: Final = 300  # atoms, of which all pairs are looked at
_LONGEST: Final = 600.0  # s, of a structure on two processes


class LAMMPSEngine(Engine):
    """What a script of LAMMPS with ``pair_style ladera`` computes.

    Raises ConfigError for a model that no file can hold, and what building the plugin raises.
    """

    name = "lammps"

    def __init__(self, potential: Potential) -> None:
        if not potential.storable:
            raise ConfigError(
                f"The {potential.config.architecture} model has no file of its own, which LAMMPS "
                "reads; check it by the engine ase."
            )
        self.potential = potential
        self.epsilon = torch.finfo(potential.dtype).eps
        self.cutoff, self.hops = potential.cutoff, potential.hops
        self._place = TemporaryDirectory(prefix="ladera-check-")
        self._folder = Path(self._place.name)
        potential.save(self._folder / "model.ladera")
        self._lammps: Any = running.start(_SILENT)
        weakref.finalize(self, _end, self._lammps, self._place)

    def ask(self, atoms: Atoms) -> Answer:
        """A structure read, and ``run 0``."""
        commands, box = self._setup(atoms)
        self._do(["clear", *commands, "run 0 post no"])
        thermo = [self._lammps.get_thermo(name) for name in ("pe", *_VIRIAL, "vol")]
        forces = np.array(self._lammps.gather("f", 1, 3)).reshape(-1, 3)
        return _answer(atoms, box, thermo, forces, np.array(self._lammps.gather("c_each", 1, 1)))

    def run(self, atoms: Atoms, timestep: float, steps: int) -> Floats:
        """By ``fix nve``."""
        self._start(atoms, timestep, "nve")
        energies = [self._lammps.get_thermo("etotal")]
        for _ in range(steps):
            self._do(["run 1 pre no post no"])
            energies.append(self._lammps.get_thermo("etotal"))
        return np.array(energies)

    def volumes(
        self, atoms: Atoms, temperature: float, timestep: float, steps: int, every: int
    ) -> Floats:
        """By ``fix npt``."""
        kelvin = repr(float(temperature))
        self._start(atoms, timestep, f"npt temp {kelvin} {kelvin} 0.1 iso 0 0 1")
        found = []
        for _ in range(steps // every):
            self._do([f"run {every} pre no post no"])
            found.append(self._lammps.get_thermo("vol"))
        return np.array(found)

    def ways(self) -> Mapping[str, Way]:
        """Two processes, which exchange ghosts; of a model without an end there is but one."""
        return {} if self.hops is None else {"on 2 processes": Way(self._on_two, self.epsilon)}

    def _start(self, atoms: Atoms, timestep: float, motion: str) -> None:
        """A run by a fix, from the momenta of the atoms."""
        commands, box = self._setup(atoms)
        velocities = 1000 * FEMTOSECOND * atoms.get_velocities() @ box.rotation  # Angstrom/ps
        self._do(["clear", *commands, f"timestep {timestep / 1000!r}", f"fix motion all {motion}"])
        flat = velocities.ravel()
        self._lammps.scatter("v", 1, 3, (ctypes.c_double * len(flat))(*flat))
        self._do(["run 0 post no"])

    def _setup(self, atoms: Atoms) -> tuple[list[str], Box]:
        """Commands that read a structure and the model."""
        box = write_data(free(atoms), self._folder / "atoms.data")
        return [
            "units metal",
            "atom_style atomic",
            "atom_modify map array",
            f"boundary {box.boundary}",
            "box tilt large",
            # Bins want a box that is not flat.
            f"neighbor 2.0 {'nsq' if len(atoms) < _FEW else 'bin'}",
            f'read_data "{self._folder}/atoms.data"',
            f'pair_style ladera "{self._folder}/model.ladera"',
            f"pair_coeff * * {' '.join(box.symbols)}",
            "compute each all pe/atom",
            "compute virial all pressure NULL virial",
            f"thermo_style custom step pe etotal {' '.join(_VIRIAL)} vol",
            "thermo_modify press virial",
        ], box

    def _do(self, commands: Sequence[str]) -> None:
        try:
            for command in commands:
                self._lammps.command(command)
        except Exception as error:
            words = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
            raise SimulationError(f"LAMMPS stopped: {words}.") from error

    def _on_two(self, atoms: Atoms) -> Answer:
        """By the program, started twice."""
        commands, box = self._setup(atoms)
        pressure = " ".join(f"$({name}:%.17g)" for name in ("pe", *_VIRIAL, "vol"))
        script, dump = self._folder / "in.lammps", self._folder / "two.dump"
        columns = "id fx fy fz c_each modify sort id format float %.17g"
        lines = [
            *commands,
            "run 0 post no",
            f'write_dump all custom "{dump}" {columns}',
            f'print "{pressure}" file "{self._folder}/two.thermo"',
        ]
        script.write_text("\n".join(lines), encoding="utf-8")
        lammps = installed.find_lammps()
        done = subprocess.run(
            [str(lammps.starter), "-n", "2", str(lammps.program), "-in", str(script), *_SILENT[2:]],
            cwd=self._folder,
            env=running.environment(lammps, building.build(lammps), threads=1),
            capture_output=True,
            text=True,
            timeout=_LONGEST,
            check=False,
        )
        if done.returncode:
            said = [line for line in done.stdout.splitlines() if "ERROR" in line]
            raise SimulationError(f"LAMMPS stopped on two processes: {(said or ['?'])[0]}")
        thermo = [float(x) for x in (self._folder / "two.thermo").read_text("utf-8").split()]
        rows = np.loadtxt(dump, skiprows=9, ndmin=2)
        return _answer(atoms, box, thermo, rows[:, 1:4], rows[:, 4])


def _end(lammps: Any, place: TemporaryDirectory[str]) -> None:
    lammps.close()
    place.cleanup()


def _answer(
    atoms: Atoms, box: Box, thermo: Sequence[float], forces: Floats, energies: Floats
) -> Answer:
    """What LAMMPS said, in the axes of the structure and per volume of its own cell."""
    energy, *pressure, volume = thermo
    xx, yy, zz, yz, xz, xy = (-p * volume / _BAR for p in pressure)
    virial = box.rotation @ [[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]] @ box.rotation.T
    has_volume = bool(atoms.pbc.any()) and atoms.cell.rank == 3
    stress = virial / atoms.cell.volume if has_volume else None
    return Answer(energy, forces @ box.rotation.T, stress, energies)
