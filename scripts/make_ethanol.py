"""Make the embedded data set: ethanol at the B3LYP/def2-SVP level.

Needs ``pip install pyscf tblite ase`` (an environment of its own will do; Ladera is not imported).
Run ``python scripts/make_ethanol.py`` and wait: about half an hour on one core. Interrupt it at
will; every label is kept in ``--work`` under a digest of the geometry and the method, so the next
run goes on where this one stopped, and a label can never meet a geometry it was not made for.

1. Geometries: Langevin dynamics with GFN2-xTB (its conformers levelled by a torsional bias) at
   five temperatures, from both conformers, plus the neighbourhood of the two minima and bonds
   stretched or squeezed and angles bent beyond what dynamics finds.
2. Labels: energy, forces and dipole from PySCF; the free atoms with the same functional and basis.
3. One gzipped extended XYZ file, in eV, Angstrom and e*Angstrom.

Molecular dynamics is chaotic: another processor or library version gives other, equally valid
frames. Frames of subset=test come from trajectories of their own.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import io
import json
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import pyscf
from ase import Atoms, units
from ase.build import molecule
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.mixing import SumCalculator
from ase.calculators.singlepoint import SinglePointCalculator
from ase.constraints import FixCom
from ase.geometry import get_dihedrals_derivatives
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import thermalize_momenta
from ase.optimize import BFGS
from pyscf import dft, gto, lib
from tblite.ase import TBLite

FUNCTIONAL, BASIS = "B3LYP", "def2-SVP"
# Radial and angular points (pruned by PySCF). C and O carry the angular error: with 302 points,
# the default, forces change by 4 meV/A as the molecule turns; with 434 by less than 1 meV/A.
GRID = {"H": (40, 194), "C": (60, 434), "O": (60, 434)}
ENERGY_TOLERANCE, GRADIENT_TOLERANCE = 1e-9, 3e-5  # Hartree; of the orbital gradient too
METHOD = f"{FUNCTIONAL}/{BASIS}, density fitting, PySCF {pyscf.__version__}"

# Atoms in ASE's order: C(H3) C(H2) O H(O) H H(on C1) H H H(on C0).
CONFORMERS = {"trans": 180.0, "gauche": 60.0}  # dihedral C-C-O-H, degrees
# (atom that stays, atom that moves, everything that moves with it)
BONDS = (
    (0, 1, (1, 2, 3, 4, 5)),
    (1, 2, (2, 3)),
    (2, 3, (3,)),
    *((1, hydrogen, (hydrogen,)) for hydrogen in (4, 5)),
    *((0, hydrogen, (hydrogen,)) for hydrogen in (6, 7, 8)),
)
STRETCH = (0.82, 1.35)  # range of the factor on a bond length
# (end that stays, vertex, end that moves, everything that moves with it); C-O-H is the softest,
# and a network that has not seen it bent lets the hydroxyl slip onto the carbon.
ANGLES = (
    *((1, 2, 3, (3,)),) * 5,
    (0, 1, 2, (2, 3)),
    *((0, 1, hydrogen, (hydrogen,)) for hydrogen in (4, 5)),
    *((1, 0, hydrogen, (hydrogen,)) for hydrogen in (6, 7, 8)),
)
BEND = (0.6, 1.35)  # range of the factor on an angle
DISPLACEMENTS = (0.01, 0.03, 0.06)  # standard deviations about the minima, Angstrom

# Frames per temperature (K), half from each conformer.
TEMPERATURES = {
    "train": {150: 50, 300: 150, 500: 120, 800: 80, 1000: 40},
    "test": {150: 10, 300: 40, 500: 30, 800: 20},
}
DISPLACED_PER_CONFORMER, STRETCHED, BENT = 10, 40, 66
SEEDS = {"train": 20_240, "test": 70_707}
TIME_STEP, EQUILIBRATION, SPACING = 0.5, 1000.0, 50.0  # fs
FRICTION = 0.01  # 1/fs
MULTIPLICITIES = {"H": 2, "C": 3, "O": 3}  # ground states of the free atoms


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file that is either complete or not there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".partial")
    temporary.write_bytes(content)
    os.replace(temporary, path)


def frame(atoms: Atoms, config_type: str, subset: str, **info: Any) -> Atoms:
    """Bare copy about the centre of mass, rounded to the digits that are published.

    Rounding comes before labelling: a label belongs to exactly the positions in the file.
    """
    positions = np.round(atoms.positions - atoms.get_center_of_mass(), 6)
    bare = Atoms(atoms.numbers, positions)
    bare.info = {"config_type": config_type, "subset": subset, **info, "method": METHOD}
    return bare


class TransBias(Calculator):
    """Energy (A / 2) (1 + cos phi) of the dihedral phi = C-C-O-H, A in eV.

    GFN2-xTB puts gauche 67 meV below trans, where experiment and DFT find them level: without a
    bias room-temperature dynamics leaves trans within a picosecond and hardly returns.
    """

    implemented_properties = ("energy", "forces")
    amplitude = 0.09  # eV; three quarters of it fall on gauche

    def calculate(
        self, atoms: Any = None, properties: Any = ("energy",), system_changes: Any = all_changes
    ) -> None:
        super().calculate(atoms, properties, system_changes)
        angle = np.radians(atoms.get_dihedral(0, 1, 2, 3))
        bonds = np.diff(atoms.positions[:4], axis=0)
        slopes = np.radians(get_dihedrals_derivatives(*(bond[None] for bond in bonds))[0])
        forces = np.zeros((len(atoms), 3))
        forces[:4] = self.amplitude / 2 * np.sin(angle) * slopes
        self.results = {"energy": self.amplitude / 2 * (1 + np.cos(angle)), "forces": forces}


def relaxed_conformer(name: str) -> Atoms:
    """A GFN2-xTB minimum, with its calculator."""
    atoms = molecule("CH3CH2OH")
    atoms.set_dihedral(0, 1, 2, 3, CONFORMERS[name], indices=[3])
    atoms.calc = TBLite(method="GFN2-xTB", verbosity=0)
    BFGS(atoms, logfile=None).run(fmax=1e-3, steps=500)
    return atoms


def trajectory(start: Atoms, temperature: float, count: int, seed: int) -> Iterator[Atoms]:
    """``count`` frames, ``SPACING`` fs apart, of Langevin dynamics at ``temperature`` (K)."""
    rng = np.random.default_rng(seed)
    atoms = start.copy()
    atoms.calc = SumCalculator([TBLite(method="GFN2-xTB", verbosity=0), TransBias()])
    atoms.set_constraint(FixCom())
    thermalize_momenta(atoms, temperature, rng=rng)
    step, friction = TIME_STEP * units.fs, FRICTION / units.fs
    # FixCom instead of fixcm: the latter spoils the temperature of so small a molecule.
    dynamics = Langevin(
        atoms, step, temperature_K=temperature, friction=friction, fixcm=False, rng=rng
    )
    dynamics.run(round(EQUILIBRATION / TIME_STEP))
    for _ in range(count):
        dynamics.run(round(SPACING / TIME_STEP))
        yield atoms


def make_geometries() -> list[Atoms]:
    """All unlabelled frames, those of one config_type and conformer in time order."""
    minima = {name: relaxed_conformer(name) for name in CONFORMERS}
    frames: list[Atoms] = []
    for subset, counts in TEMPERATURES.items():
        for temperature, count in counts.items():
            for index, (conformer, start) in enumerate(minima.items()):
                seed = SEEDS[subset] + 10 * temperature + index
                for step, atoms in enumerate(trajectory(start, temperature, count // 2, seed)):
                    time = EQUILIBRATION + SPACING * (step + 1)
                    label = f"md_{temperature}K"
                    frames.append(frame(atoms, label, subset, start=conformer, time_fs=time))
    rng = np.random.default_rng(SEEDS["train"])
    for conformer, minimum in minima.items():
        for index in range(DISPLACED_PER_CONFORMER):
            moved = minimum.copy()
            if index > 0:  # the first is the minimum itself
                spread = DISPLACEMENTS[index % len(DISPLACEMENTS)]
                moved.positions += rng.normal(scale=spread, size=moved.positions.shape)
            frames.append(frame(moved, "displaced", "train", start=conformer))
    wanted = {"config_type": "md_300K", "subset": "train"}
    thermal = [atoms for atoms in frames if wanted.items() <= atoms.info.items()]
    frames += [*stretched(thermal, rng), *bent(thermal, rng)]
    return frames + [frame(Atoms(symbol), "IsolatedAtom", "train") for symbol in MULTIPLICITIES]


def stretched(thermal: list[Atoms], rng: np.random.Generator) -> Iterator[Atoms]:
    """Thermal frames with one bond stretched or squeezed, each bond in turn."""
    for index, source in enumerate(rng.choice(len(thermal), size=STRETCHED, replace=False)):
        atoms = thermal[source].copy()
        fixed, moving, group = BONDS[index % len(BONDS)]
        length = atoms.get_distance(fixed, moving) * rng.uniform(*STRETCH)
        atoms.set_distance(fixed, moving, length, fix=0, indices=list(group))
        yield frame(atoms, "stretched", "train", start=thermal[source].info["start"])


def bent(thermal: list[Atoms], rng: np.random.Generator) -> Iterator[Atoms]:
    """Thermal frames with one angle opened or closed, each angle in turn."""
    for index, source in enumerate(rng.choice(len(thermal), size=BENT, replace=False)):
        atoms = thermal[source].copy()
        fixed, vertex, moving, group = ANGLES[index % len(ANGLES)]
        angle = atoms.get_angle(fixed, vertex, moving) * rng.uniform(*BEND)
        atoms.set_angle(fixed, vertex, moving, angle, indices=list(group))
        yield frame(atoms, "bent", "train", start=thermal[source].info["start"])


def converged(method: Any, guess: Any = None) -> Any:
    """Run a self-consistent field; second order where the first-order one does not settle."""
    method.kernel(dm0=guess)
    if not method.converged:
        method = method.newton()
        method.kernel(dm0=method.make_rdm1())
    if not method.converged:
        raise RuntimeError("the self-consistent field did not converge")
    return method


def label_molecule(mol: gto.Mole) -> dict[str, Any]:
    """Energy (Hartree), forces (Hartree/Bohr) and dipole (e*Bohr) of a closed-shell molecule."""
    method = dft.RKS(mol, xc=FUNCTIONAL).density_fit()
    # A coarse grid brings the density close at a fifth of the cost; the real one finishes it.
    method.grids.level = 0
    method.conv_tol = 1e-6
    method.kernel()
    method.grids.reset()
    method.grids.atom_grid = GRID
    method.conv_tol, method.conv_tol_grad = ENERGY_TOLERANCE, GRADIENT_TOLERANCE
    method = converged(method, method.make_rdm1())
    gradient = method.nuc_grad_method()
    gradient.grid_response = True  # forces are the exact derivative of the quadrature: no net force
    return {
        "energy": float(method.e_tot),
        "forces": (-gradient.kernel()).tolist(),
        "dipole": method.dip_moment(unit="AU", verbose=0).tolist(),
    }


def label_atom(mol: gto.Mole) -> dict[str, Any]:
    """Energy (Hartree) of a free atom's ground state; force and dipole vanish by symmetry."""
    method = dft.UKS(mol, xc=FUNCTIONAL).density_fit()
    method.grids.atom_grid = GRID
    method.conv_tol = ENERGY_TOLERANCE
    method = converged(method).newton()
    for _ in range(5):  # follow unstable directions: open p shells have saddle points
        orbitals = method.stability()[0]
        before = method.e_tot
        method.kernel(orbitals, method.mo_occ)
        if before - method.e_tot < 1e-7:
            break
    return {"energy": float(method.e_tot), "forces": [[0.0] * 3], "dipole": [0.0] * 3}


def label(atoms: Atoms, folder: Path) -> dict[str, Any]:
    """Labels in atomic units, computed once for each geometry and method."""
    symbols = atoms.get_chemical_symbols()
    geometry = [
        (s, (p / units.Bohr).tolist()) for s, p in zip(symbols, atoms.positions, strict=True)
    ]
    identity = json.dumps([METHOD, GRID, ENERGY_TOLERANCE, GRADIENT_TOLERANCE, geometry])
    path = folder / f"{hashlib.sha256(identity.encode()).hexdigest()[:24]}.json"
    if not path.exists():
        spin = MULTIPLICITIES[symbols[0]] - 1 if len(symbols) == 1 else 0
        mol = gto.M(atom=geometry, basis=BASIS, spin=spin, unit="Bohr", verbose=0)
        labels = label_molecule(mol) if len(symbols) > 1 else label_atom(mol)
        write_atomically(path, json.dumps(labels).encode())
    return json.loads(path.read_bytes())


def with_labels(atoms: Atoms, labels: dict[str, Any]) -> Atoms:
    """The frame with its labels in eV, eV/Angstrom and e*Angstrom."""
    atoms.calc = SinglePointCalculator(
        atoms,
        energy=round(labels["energy"] * units.Hartree, 8),
        forces=np.round(np.array(labels["forces"]) * units.Hartree / units.Bohr, 6),
        dipole=np.round(np.array(labels["dipole"]) * units.Bohr, 6),
    )
    return atoms


def main() -> None:
    """Make what is not yet made."""
    here = Path(__file__).resolve().parent.parent
    parser = argparse.ArgumentParser(description="Make the embedded ethanol data set.")
    parser.add_argument("--work", type=Path, default=here / "build/ethanol", help="kept results")
    output = here / "src/ladera/data/embedded/ethanol.extxyz.gz"
    parser.add_argument("--output", type=Path, default=output)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--limit", type=int, help="label and write only so many frames")
    arguments = parser.parse_args()
    lib.num_threads(arguments.threads)

    geometries = arguments.work / "geometries.extxyz"
    if not geometries.exists():
        text = io.StringIO()
        ase.io.write(text, make_geometries(), format="extxyz")
        write_atomically(geometries, text.getvalue().encode())
    frames = ase.io.read(geometries, ":")
    # In random order, atoms first, so that any part of the work is a fair sample of the whole.
    order = np.random.default_rng(0).permutation(len(frames)).tolist()
    order = sorted(order, key=lambda index: len(frames[index]) > 1)[: arguments.limit]
    for done, index in enumerate(order, start=1):
        with_labels(frames[index], label(frames[index], arguments.work / "labels"))
        print(f"{done}/{len(order)}", frames[index].get_potential_energy(), "eV", flush=True)

    labelled = [frames[index] for index in sorted(order)]
    text = io.StringIO()
    ase.io.write(text, labelled, format="extxyz")
    # No time stamp in the archive: the same frames make the same bytes.
    write_atomically(arguments.output, gzip.compress(text.getvalue().encode(), 9, mtime=0))
    counts = Counter((atoms.info["subset"], atoms.info["config_type"]) for atoms in labelled)
    for (subset, config_type), count in counts.items():
        print(f"| {subset} | `{config_type}` | {count} |")


if __name__ == "__main__":
    main()
