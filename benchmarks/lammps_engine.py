"""What `pair_style ladera` costs: beside the bare loops, on two processes, for a million atoms.

    python benchmarks/lammps_engine.py [--short]
    python benchmarks/lammps_engine.py --mace    # 97,336 atoms by one and by two processes

Claims, of a moment tensor potential and of a network for silicon (random coefficients; what they
are changes no time):

- the pair style takes at most 10 % more processor time for 10,648 atoms than the compiled loops
  alone take for the same edges: it copies the edges within the cutoff out of LAMMPS's list, and
  adds up energy and forces;
- two processes, of one thread each, are at least 1.8 times as fast as one (this takes two cores
  with nothing else to do; what two runs that know nothing of each other do at the same time, in
  runs of one, is what the machine gives);
- a million atoms run for 100 steps, and the memory per atom is told; so it is of 97,336 atoms of a
  MACE of 64 channels with messages of l <= 1, which ask for more memory than anything else.

A line is MISSED where a claim does not hold. --short takes fewer steps and 64,000 atoms for the
last, and tells no more than that all works.
"""

from __future__ import annotations

import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from time import process_time

import torch
from ase import Atoms
from ase.build import bulk
from page import table

import ladera
from ladera.engines.lammps import building, installed, running
from ladera.graph import Graph
from ladera.models.hdnnp import HDNNPConfig
from ladera.models.mace import MACEConfig
from ladera.models.mtp import MTP, MTPConfig
from ladera.potential import Potential, TrainingStatistics, evaluate

SHORT = "--short" in sys.argv
STEPS = 5 if SHORT else 20
MOST, SPEEDUP = 0.10, 1.8
LATTICE = 5.43  # Angstrom
SCRIPT = """
units metal
lattice diamond {lattice}
region box block 0 {n} 0 {n} 0 {n}
create_box 1 box
create_atoms 1 box
mass 1 28.0855
displace_atoms all random 0.1 0.1 0.1 7
pair_style ladera {model}
pair_coeff * * Si
neighbor 1.0 bin
timestep 0.001
velocity all create 300 1 loop geom
fix nve all nve
thermo {steps}
run 1 post no
run {steps} pre no
"""


def moment_tensor() -> Potential:
    """Of level 16."""
    torch.manual_seed(1)
    potential = MTP(MTPConfig(species=("Si",), cutoff=5.0, level=16))
    with torch.no_grad():
        potential.moment_coefficients.normal_()
        atoms = bulk("Si", cubic=True, a=LATTICE) * (2, 2, 2)
        atoms.rattle(0.1)
        forces = evaluate(potential.eval(), Graph.from_atoms(atoms, potential.cutoff)).forces
        potential.moment_coefficients.mul_(0.1 / float(forces.std()))  # eV/Angstrom
    return potential


def network() -> Potential:
    """What a user gets who names a cutoff."""
    potential = ladera.build(HDNNPConfig(species=("Si",), cutoff=5.0, size="small"))
    atoms = bulk("Si", cubic=True, a=LATTICE) * (2, 2, 2)
    frames = []
    for seed in range(3):
        atoms.rattle(0.1, seed=seed)
        frames.append(Graph.from_atoms(atoms, potential.cutoff))
    potential.fit_statistics(frames, TrainingStatistics({"Si": 0.0}, 0.0, 1e-3))
    return potential.eval()


def costs(potential: Potential, model: Path, n: int) -> tuple[float, float, float]:
    """Processor seconds of a step: of the compiled loops, of the pair style around them, its share.

    They take turns, on the same atoms, since other programs disturb both: the means of the fastest
    turn of each, and the median of the ratios of the turns. The pair style's seconds are LAMMPS's
    own accounting.
    """
    lammps = running.start(("-screen", "none", "-log", "none"))
    for line in SCRIPT.format(n=n, model=model, steps=1, lattice=LATTICE).splitlines():
        lammps.command(line)
    lammps.command("thermo 1000000")  # no pressure is asked for
    loops, inside, log = [], [], model.with_suffix(".log")
    for _ in range(2 if SHORT else 9):
        lammps.command(f"log {log}")
        start = process_time()
        lammps.command(f"run {STEPS} pre no")
        used = (process_time() - start) / STEPS
        lammps.command("log none")
        (share,) = re.findall(r"^Pair .*\|\s*(\S+)$", log.read_text(), re.MULTILINE)
        inside.append(used * float(share) / 100)
        positions = lammps.numpy.extract_atom("x")[: 8 * n**3].copy()
        atoms = Atoms(f"Si{8 * n**3}", positions, cell=[n * LATTICE] * 3, pbc=True)
        graph = Graph.from_atoms(atoms, potential.cutoff)
        with torch.no_grad():
            start = process_time()
            for _ in range(STEPS):
                potential.energies_and_edge_gradients(graph)
            loops.append((process_time() - start) / STEPS)
    lammps.close()
    ratios = [one / other for one, other in zip(inside, loops, strict=True)]
    return min(loops), min(inside), statistics.median(ratios)


def program(
    model: Path, n: int, processes: int, count: int, copies: int = 1
) -> tuple[float, float]:
    """Seconds of a step by LAMMPS's own clock, and megabytes of all processes together.

    Of several copies at the same time, that do not know of each other, the mean seconds.
    """
    lammps = installed.find_lammps()
    script = model.with_suffix(".in")
    script.write_text(SCRIPT.format(n=n, model=model, steps=count, lattice=LATTICE))
    words = [str(lammps.starter), "-n", str(processes), str(lammps.program), "-log", "none"]
    environment = running.environment(lammps, building.build(lammps), threads=1)
    runs = [
        subprocess.Popen([*words, "-in", str(script)], env=environment, stdout=subprocess.PIPE)
        for _ in range(copies)
    ]
    said = [run.communicate()[0].decode() for run in runs]
    if any(run.returncode for run in runs):
        raise SystemExit(said[0][-2000:])
    seconds = [float(re.findall(r"Loop time of (\S+) on", each)[-1]) for each in said]
    largest = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024  # of any process
    return sum(seconds) / copies / count, processes * largest


def verdict(holds: bool) -> str:
    return "yes" if holds else "MISSED"


def message_passing() -> Potential:
    """Two layers of 64 channels."""
    torch.manual_seed(1)
    return ladera.build(MACEConfig(species=("Si",), cutoff=4.5, channels=64, hidden_l=1)).eval()


def many_of_mace() -> None:
    """Time and memory."""
    n, steps = (8, 5) if SHORT else (23, 2)
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder, "mace.ladera")
        message_passing().save(model)
        for processes in (1, 2):
            seconds, megabytes = program(model, n, processes, steps)
            print(
                f"{8 * n**3:,} atoms, MACE, {processes} processes: {seconds:.2f} s a step, "
                f"{1e6 * seconds * processes / (8 * n**3):.0f} µs of a core an atom, "
                f"{megabytes:,.0f} MB, {1024 * megabytes / (8 * n**3):.1f} kB an atom",
                flush=True,
            )


def main() -> None:
    torch.set_num_threads(1)
    if "--mace" in sys.argv:
        many_of_mace()
        return
    n, large, count = (11, 20, 3) if SHORT else (11, 50, 100)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name, make in {"MTP, level 16": moment_tensor, "HDNNP, small": network}.items():
            potential, model = make(), Path(folder, f"{name[:3]}.ladera")
            potential.save(model)
            alone, inside, ratio = costs(potential, model, n)
            best = {"one": 1e9, "two": 1e9, "copies": 1e9}
            for _ in range(1 if SHORT else 3):  # in turns
                for key, counts in {"one": (1, 1), "two": (2, 1), "copies": (1, 2)}.items():
                    found, _ = program(model, n, counts[0], STEPS, counts[1])
                    best[key] = min(best[key], found)
            speedup, ceiling = best["one"] / best["two"], 2 * best["one"] / best["copies"]
            n_atoms = 8 * n**3
            rows.append(
                [
                    name,
                    f"{1e6 * alone / n_atoms:.2f}",
                    f"{1e6 * inside / n_atoms:.2f}",
                    f"{100 * (ratio - 1):.1f} % {verdict(ratio < 1 + MOST)}",
                    f"{speedup:.2f} {verdict(speedup > SPEEDUP)}",
                    f"{ceiling:.2f}",
                ]
            )
        header = ["", "loops, µs an atom", "the pair style", "on top", "2 processes against 1"]
        header.append("2 runs at once")
        print(table(header, rows))
        cores = min(2, os.cpu_count() or 1)
        n_atoms = 8 * large**3
        seconds, megabytes = program(Path(folder, "MTP.ladera"), large, cores, count)
    print(
        f"{n_atoms:,} atoms, MTP, {count} steps on {cores} processes: {seconds:.2f} s a step, "
        f"{1e6 * cores * seconds / n_atoms:.2f} µs of a core an atom, {megabytes:,.0f} MB, "
        f"{1024 * megabytes / n_atoms:.2f} kB an atom with all that Python is."
    )
    print(f"load of the machine: {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
