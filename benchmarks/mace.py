"""MACE side by side: Ladera, mace-torch and symmetrix-xl; energy and forces, one thread each.

    LADERA_BENCH_MACE=/env1/bin/python LADERA_BENCH_SYMMETRIX=/env2/bin/python \
        OMP_NUM_THREADS=1 python benchmarks/mace.py [SYSTEM ...]

The variables name the Pythons of two environments: one with mace-torch (and the package
symmetrix-xl, whose converter reads mace-torch's models), one with symmetrix-xl and matscipy. The
second may be left out. With --write, the table goes into docs/performance.md.

The models have the sizes of published ones and random weights (``../shared/workloads/mace``). All
programs must compute the same energies and forces, which is checked first. mace-torch is timed on a
graph that is there already; the step of Ladera and of symmetrix-xl is that of their ASE calculators
after every atom has moved, neighbour list included. CPU time, the fastest of several runs, which
alternate between the programs.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import torch
from page import DATA, table, write_section
from peers import Peer, fastest

import ladera
from ladera.simulation.calculator import LaderaCalculator

WORKLOAD = DATA / "workloads" / "mace"
MACE, SYMMETRIX = "LADERA_BENCH_MACE", "LADERA_BENCH_SYMMETRIX"
SIZES = {"off_small": "96x0e", "mp_small": "128x0e", "mp_medium": "128x0e + 128x1o"}
CASES = [
    (model, system, dtype)
    for model in SIZES
    for system in ("aspirin21", "water192", "si216")
    for dtype in ("float32", "float64")
    if (model, system) != ("off_small", "si216")  # it has no silicon
]
ROUNDS, SHARE = 3, 2.0  # seconds of each round


class Ladera:
    """Ladera, in the manner of the others."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._prepared: dict[tuple[str, ...], tuple[Any, float, Any]] = {}

    def time(self, repeats: int, **case: str) -> dict[str, Any]:
        """Energy, forces and seconds of a case."""
        key = tuple(case.values())
        if key not in self._prepared:
            potential = ladera.load(self._folder / f"{case['model']}.model")
            potential.to(getattr(torch, case["dtype"]))
            atoms = systems()[case["system"]]
            atoms.calc = LaderaCalculator(potential)
            start = time.process_time()
            self._prepared[key] = atoms, atoms.get_potential_energy(), atoms.get_forces()
            print(f"{case}: first call {time.process_time() - start:.1f} s of CPU", flush=True)
        atoms, energy, forces = self._prepared[key]
        cpu, wall = fastest(atoms, repeats)
        return {"energy": energy, "forces": forces, "cpu": cpu, "wall": wall}


class Times(NamedTuple):
    """Milliseconds of CPU time; None of a program that is not there, a text of one that fails."""

    ladera: float
    mace_torch: float | None
    symmetrix: float | str | None


def systems() -> Any:
    """The structures of the workload."""
    sys.path.insert(0, str(WORKLOAD))
    import common

    return common.systems()


def check(ours: dict[str, Any], theirs: dict[str, Any], dtype: str, n_atoms: int) -> None:
    """Refuse to compare programs that compute different things."""
    energy = abs(ours["energy"] - theirs["energy"]) / n_atoms
    difference = np.abs(np.array(ours["forces"]) - np.array(theirs["forces"])).max()
    force = difference / np.abs(ours["forces"]).max()
    print(f"    energies agree to {energy:.1e} eV/atom, forces to {force:.1e} of the largest")
    if force > (1e-4 if dtype == "float64" else 1e-3):  # symmetrix-xl's splines are coarse
        raise SystemExit("The programs do not compute the same potential.")


def measure(case: tuple[str, str, str], programs: dict[str, Any]) -> Times:
    """All programs, in turn."""
    arguments = dict(zip(("model", "system", "dtype"), case, strict=True))
    n_atoms = len(systems()[case[1]])
    first = {name: program.time(1, **arguments) for name, program in programs.items()}
    if "error" in first.get("symmetrix", {}):  # its compiled form takes too many elements amiss
        arguments_there = {**arguments, "mode": "non-compiled"}
        first["symmetrix"] = programs["symmetrix"].time(1, **arguments_there)
    else:
        arguments_there = arguments
    times: dict[str, list[float]] = {
        name: [answer["cpu"]] for name, answer in first.items() if "cpu" in answer
    }
    for name in times:
        if name != "ladera":
            check(first["ladera"], first[name], case[2], n_atoms)
    for _ in range(ROUNDS):
        for name, values in times.items():
            options = arguments_there if name == "symmetrix" else arguments
            repeats = min(30, max(1, int(SHARE / values[0])))
            values.append(programs[name].time(repeats, **options)["cpu"])
    best = {name: 1e3 * min(values) for name, values in times.items()}
    failed = first.get("symmetrix", {}).get("error")
    return Times(best["ladera"], best.get("mace-torch"), best.get("symmetrix", failed))


def row(case: tuple[str, str, str], times: Times) -> list[str]:
    """One line of the table: a ratio only of what was measured."""
    model, system, dtype = case
    cells = [SIZES[model], system, dtype.removeprefix("float"), f"{times.ladera:.1f}"]
    others = [other if isinstance(other, float) else None for other in times[1:]]
    cells += ["-" if other is None else f"{other:.1f}" for other in others]
    cells += ["-" if other is None else f"{other / times.ladera:.1f}" for other in others]
    return cells


def main() -> None:
    torch.set_num_threads(1)
    mace, other = os.environ.get(MACE), os.environ.get(SYMMETRIX)
    if mace is None:
        raise SystemExit(f"Set {MACE} to a Python that has mace-torch: it makes the models.")
    chosen = [name for name in sys.argv[1:] if not name.startswith("-")]
    cases = [case for case in CASES if not chosen or set(chosen) & set(case)]
    with TemporaryDirectory() as name:
        folder = Path(os.environ.get("LADERA_BENCH_MACE_MODELS", name))
        if not (folder / "mp_medium.model").exists():
            script = Path(__file__).with_name("mace_peer.py")
            subprocess.run([mace, script, "build", WORKLOAD, folder], check=True)
        programs: dict[str, Any] = {"ladera": Ladera(folder)}
        programs["mace-torch"] = Peer("mace_peer.py", mace, "mace-torch", WORKLOAD, folder)
        if other is not None:
            programs["symmetrix"] = Peer("mace_peer.py", other, "symmetrix", WORKLOAD, folder)
        rows = []
        for case in cases:
            rows.append(row(case, measure(case, programs)))
            print(" | ".join(rows[-1]), flush=True)
        for program in list(programs.values())[1:]:
            program.close()
    header = ["model", "system", "bits", "Ladera", "mace-torch", "symmetrix-xl"]
    text = table([*header, "ratio to mace-torch", "ratio to symmetrix-xl"], rows)
    print(text)
    if "--write" in sys.argv:
        if other is None or len(rows) < len(CASES):
            raise SystemExit(f"Only all measured ratios are written; set {SYMMETRIX}, name none.")
        write_section("mace", text)


if __name__ == "__main__":
    main()
