"""Memory of one evaluation: what is forecast, what is taken, and the same in parts where less is.

    OMP_NUM_THREADS=1 python benchmarks/fitting.py [MODEL:ATOMS ...] [--write]

Boxes of ethanol, 97 cubic Angstrom a molecule, turned at random. Each in a process of its own: the
forecast; energy, forces and stress by the calculator, with the growth of the resident size at its
peak; then once more with the address space limited (``ulimit -v``) to 0.6 of the forecast, so that
it is made in parts, with the largest differences. MODEL is hdnnp or mace, the ones that Ladera
brings, in float64, or mtp, of level 10 with random coefficients.

With --write the table goes into docs/memory.md.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import torch
from ase import Atoms
from ase.build import molecule
from page import ROOT, table, write_section

import ladera
from ladera.machine import GIBIBYTE, Growth, Memory
from ladera.models.mtp.config import MTPConfig
from ladera.potential import LaderaCalculator, Potential
from ladera.potential.memory import bytes_per_atom
from ladera.structure import Structure

CASES = ("hdnnp:100000", "hdnnp:1000000", "mtp:1000000", "mace:30000", "mace:100000")
LESS = 0.6  # of the forecast


def model(name: str) -> Potential:
    """One of those that the table is about."""
    if name != "mtp":
        return ladera.load(f"ethanol-{name}")
    torch.manual_seed(0)
    config = MTPConfig(species=("H", "C", "O"), cutoff=5.0, level=10, radial_basis_size=8)
    potential = ladera.build(config)
    with torch.no_grad():
        for parameter in potential.parameters():
            parameter.normal_(std=0.02)
    return potential.eval()


def box(n_atoms: int) -> Atoms:
    """Molecules of ethanol on a grid, some more than as many atoms."""
    one = molecule("CH3CH2OH")
    count, edge = int(np.ceil((n_atoms / len(one)) ** (1 / 3))), 97 ** (1 / 3)
    centred = one.positions - one.positions.mean(axis=0)
    matrices = np.random.default_rng(0).normal(size=(count**3, 3, 3))
    places = edge * np.indices((count,) * 3).reshape(3, -1).T
    positions = centred @ np.linalg.qr(matrices)[0] + places[:, None]
    symbols = np.tile(one.numbers, count**3)
    return Atoms(symbols, positions.reshape(-1, 3), cell=[count * edge] * 3, pbc=True)


def said(potential: Potential, atoms: Atoms) -> tuple[dict[str, np.ndarray], float, float, int]:
    """Results of a new calculator, seconds, bytes and the number of parts."""
    with Growth() as growth:
        start = time.perf_counter()
        calculator = LaderaCalculator(potential)
        atoms.calc = calculator
        found = {
            "forces": atoms.get_forces(),
            "energy": np.array(atoms.get_potential_energy()),
            "stress": atoms.get_stress(),
        }
        seconds = time.perf_counter() - start
    parts = calculator._division
    atoms.calc = None
    return found, seconds, growth.bytes or 0.0, 1 if parts is None else len(parts)


def one(name: str, n_atoms: int) -> list[object]:
    """A row of the table, in this process."""
    torch.set_num_threads(1)
    potential, atoms = model(name), box(n_atoms)
    said(potential, box(500))  # loads the kernels
    start = time.perf_counter()
    free = Memory(1.0, 1.0)  # so little that the larger piece is measured
    per_atom = bytes_per_atom(potential, Structure.from_atoms(atoms), 1.0, free)
    asking, forecast = time.perf_counter() - start, per_atom * len(atoms)
    whole, seconds, taken, _ = said(potential, atoms)
    with Growth():  # gives back what was freed
        pass
    status = Path("/proc/self/status").read_text()
    size = 1024 * int(status.split("VmSize:")[1].split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (int(size + LESS * forecast), -1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        parts, longer, less, count = said(potential, atoms)
    off = [float(np.abs(parts[key] - whole[key]).max()) for key in ("energy", "forces", "stress")]
    return [
        name.upper(),
        f"{len(atoms):,}",
        f"{forecast / GIBIBYTE:.2f}",
        f"{taken / GIBIBYTE:.2f}",
        f"{100 * (forecast / taken - 1):+.0f} %",
        f"{asking:.1f}",
        f"{seconds:.0f}",
        f"{count}",
        f"{less / GIBIBYTE:.2f}",
        f"{longer:.0f}",
        f"{off[0]:.0e}, {off[1]:.0e}, {off[2]:.0e}",
    ]


HEADER = (
    "model",
    "atoms",
    "forecast, GiB",
    "taken, GiB",
    "error",
    "forecast, s",
    "whole, s",
    "parts",
    "GiB",
    "in parts, s",
    "differences of energy, forces, stress",
)


def main() -> None:
    """Measure every case in a process of its own."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("cases", nargs="*", default=CASES)
    parser.add_argument("--one", action="store_true")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    if options.one:
        name, _, count = options.cases[0].partition(":")
        print(json.dumps(one(name, int(count))))
        return
    rows = []
    for case in options.cases:
        ran = subprocess.run(
            [sys.executable, __file__, "--one", case], capture_output=True, text=True, check=False
        )
        if ran.returncode:
            raise SystemExit(ran.stderr)
        rows.append(json.loads(ran.stdout.splitlines()[-1]))
        print(*rows[-1], sep="  ", flush=True)
    if options.write:
        write_section("fitting", table(HEADER, rows), ROOT / "docs" / "memory.md")


if __name__ == "__main__":
    main()
