"""What OpenMM and i-PI add to a model, and whether they give the numbers of ``ladera md``.

    python benchmarks/engines.py overhead   # CPU time of a step over that of the bare model
    python benchmarks/engines.py density    # argon at constant pressure, in OpenMM and ladera md
    python benchmarks/engines.py water MODEL [beads] [molecules] [steps]
                                            # kinetic energy of H and D in water, by a potential

Claims: a step of OpenMM (Reference) costs at most 1.5 times the bare model of nine atoms, and
i-PI's call for 16 beads at most 1.2 times the same batch; densities agree within two standard
errors. The kinetic energy of hydrogen in water stands beside that of neutron scattering, 143 +- 3
meV at 300 K (Pantalei et al., Phys. Rev. Lett. 100, 177801, 2008): that is the potential's, and a
run ends after ``steps``, or when a file EXIT appears in its folder. CPU times are medians of blocks
that take turns, since other programs disturb all of them alike. ``MODEL`` is a potential for water,
such as the one that ``ladera import`` makes of a published network of n2p2.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import process_time

import numpy as np
import openmm
from ase import Atoms, units
from ase.build import bulk, molecule
from ase.geometry import get_distances

import ladera
import ladera.openmm
from ladera.engines.evaluator import OPEN, Evaluator
from ladera.engines.ipi.beads import Beads
from ladera.engines.ipi.simulation import write_simulation
from ladera.models.lennard_jones import LennardJonesConfig

BLOCKS, STEPS, N_BEADS = 7, 20, 16


def overhead() -> None:
    """Interleaved blocks of steps."""
    model, atoms = ladera.load("ethanol-hdnnp"), molecule("CH3CH2OH")
    generator = np.random.default_rng(0)
    evaluator, beads = Evaluator(model, atoms.numbers), Beads(model, atoms)
    batch = Evaluator(model, atoms.numbers)
    topology, positions = ladera.openmm.topology_of(atoms)

    def moving(count: int) -> list[np.ndarray]:
        return [atoms.positions + 0.02 * generator.normal(size=(len(atoms), 3))] * count

    def bare(one: Evaluator, count: int) -> None:
        prediction = one(moving(count), [OPEN] * count)
        prediction.forces.numpy()
        prediction.energy.numpy()

    contexts = {}
    for platform in ("Reference", "CPU"):
        system = ladera.openmm.system_of(topology, ladera.openmm.force(model, topology))
        context = openmm.Context(
            system,
            openmm.VerletIntegrator(0.0005),
            openmm.Platform.getPlatformByName(platform),
        )
        context.setPositions(positions)
        context.setVelocitiesToTemperature(300, 1)
        contexts[platform] = context
    cell = np.eye(3) * 100
    works: dict[str, Callable[[], object]] = {
        "bare model": lambda: bare(evaluator, 1),
        "OpenMM, Reference": lambda: contexts["Reference"].getIntegrator().step(1),
        "OpenMM, CPU": lambda: contexts["CPU"].getIntegrator().step(1),
        f"bare model, batch of {N_BEADS}": lambda: bare(batch, N_BEADS),
        f"i-PI's call, {N_BEADS} beads": lambda: beads(
            [cell] * N_BEADS, [each / units.Bohr for each in moving(N_BEADS)]
        ),
        f"{N_BEADS} calls of one bead": lambda: [bare(evaluator, 1) for _ in range(N_BEADS)],
    }
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(BLOCKS):
        for name, work in works.items():
            work()
            start = process_time()
            for _ in range(STEPS):
                work()
            times[name].append((process_time() - start) / STEPS)
    median = {name: statistics.median(values) for name, values in times.items()}
    print(f"Ethanol, 9 atoms, {model.config.architecture}; load {os.getloadavg()[0]:.1f}")
    names = list(works)
    for name in names:
        base = median[names[0 if names.index(name) < 3 else 3]]
        print(f"  {name:28} {1e3 * median[name]:8.3f} ms, {median[name] / base:5.2f} times")
    steps = 200
    with tempfile.TemporaryDirectory() as folder:
        took = []
        for length in (1, 1 + steps):
            inside = Path(folder) / str(length)
            write_simulation(model, atoms, inside, temperature=300, beads=N_BEADS, steps=length)
            took.append(ipi_seconds(inside))
    (short, long) = took
    per_step = (long - short) / steps
    base = median[names[3]]
    print(
        f"  {'step of i-PI, all of it':28} {1e3 * per_step:8.3f} ms, {per_step / base:5.2f} times"
    )


def ipi_seconds(folder: Path) -> float:
    """CPU time of a run of i-PI."""
    before = os.times()
    script = str(Path(sys.executable).with_name("i-pi"))
    subprocess.run([script, "input.xml"], cwd=folder, check=True, capture_output=True)
    after = os.times()
    return (
        after.children_user + after.children_system - before.children_user - before.children_system
    )


def block_error(values: np.ndarray) -> float:
    """Standard error of a mean, from ten blocks."""
    blocks = np.array_split(values, 10)
    return float(np.std([block.mean() for block in blocks], ddof=1) / np.sqrt(10))


def density() -> None:
    """Liquid argon, 108 atoms of Lennard-Jones at 100 K and 100 MPa."""
    kelvin, bar, time_step, steps, skip = 100.0, 1000.0, 5.0, 6000, 0.25
    model = ladera.build(
        LennardJonesConfig(species=("Ar",), cutoff=7.0, epsilon={"Ar": 0.0104}, sigma={"Ar": 3.4})
    )
    atoms = bulk("Ar", "fcc", a=5.65, cubic=True) * 3
    topology, positions = ladera.openmm.topology_of(atoms)
    system = ladera.openmm.system_of(topology, ladera.openmm.force(model, topology))
    system.addForce(openmm.MonteCarloBarostat(bar, kelvin, 10))
    integrator = openmm.LangevinMiddleIntegrator(kelvin, 2, time_step / 1000)
    context = openmm.Context(system, integrator, openmm.Platform.getPlatformByName("Reference"))
    context.setPositions(positions)
    context.setVelocitiesToTemperature(kelvin, 1)
    volumes = []
    for _ in range(steps // 20):
        integrator.step(20)
        volumes.append(context.getState().getPeriodicBoxVolume()._value * 1000)
    mass = atoms.get_masses().sum() / units.mol * 1e24  # g A^3 / cm^3
    found = {"OpenMM": mass / np.array(volumes)[int(skip * len(volumes)) :]}
    with tempfile.TemporaryDirectory() as folder:
        ladera.run_md(
            atoms, model, folder=Path(folder) / "md", ensemble="npt", temperature=kelvin,
            pressure=bar * 1e-4, timestep=time_step, steps=steps, log_interval=20,
            trajectory_interval=20,
        )  # fmt: skip
        trajectory = ladera.read_trajectory(Path(folder) / "md")
        series = np.array([abs(np.linalg.det(cell)) for cell in trajectory.cells])
    found["ladera md"] = mass / series[int(skip * len(series)) :]
    means = {}
    for name, values in found.items():
        means[name] = values.mean(), block_error(values)
        print(f"  {name:10} {means[name][0]:.4f} +- {means[name][1]:.4f} g/cm^3")
    (one, one_error), (two, two_error) = means.values()
    apart = abs(one - two) / np.hypot(one_error, two_error)
    print(f"  apart by {apart:.1f} standard errors")


def water(path: str, beads: int = 32, molecules: int = 16, steps: int = 2000) -> None:
    """Kinetic energies of the hydrogens of water at 300 K."""
    model = ladera.load(path)
    edge = (molecules * 29.9) ** (1 / 3)  # Angstrom; 29.9 A^3 a molecule
    atoms = packed(molecules, edge)
    for label, mass in (("H", 1.008), ("D", 2.014)):
        atoms.set_masses(np.where(atoms.numbers == 1, mass, 15.999))
        with tempfile.TemporaryDirectory() as place:
            write_simulation(
                model, atoms, Path(place), temperature=300, beads=beads, steps=steps,
                time_step=0.5,
            )  # fmt: skip
            seconds = ipi_seconds(Path(place))
            rows = np.loadtxt(Path(place) / "run.out")
        done = int(rows[-1, 0])
        per_atom = 1e3 * rows[len(rows) // 3 :, 5] / (2 * molecules)
        oxygen = 1e3 * rows[len(rows) // 3 :, 6] / molecules
        print(
            f"  {label}: {per_atom.mean():.1f} +- {block_error(per_atom):.1f} meV an atom, O "
            f"{oxygen.mean():.1f} +- {block_error(oxygen):.1f}; classical 38.8; {beads} beads, "
            f"{molecules} molecules, {done} steps, {1e3 * seconds / done:.0f} ms of CPU a step"
        )


def packed(molecules: int, edge: float) -> Atoms:
    """Water molecules on a grid, turned at random until none touches another."""
    generator, atoms = np.random.default_rng(1), Atoms(cell=[edge] * 3, pbc=True)
    n = int(np.ceil(molecules ** (1 / 3) - 1e-9))
    sites = [(i, j, k) for i in range(n) for j in range(n) for k in range(n)][:molecules]
    for site in sites:
        for _ in range(1000):
            one = molecule("H2O")
            one.rotate(generator.uniform(0, 360), generator.normal(size=3))
            one.translate((np.array(site) + 0.5) * edge / n - one.get_center_of_mass())
            apart = [np.inf]
            if len(atoms):
                apart = get_distances(one.positions, atoms.positions, cell=atoms.cell, pbc=True)[
                    1
                ].ravel()
            if min(apart) > 1.5:
                break
        atoms += one
    return atoms


if __name__ == "__main__":
    arguments = sys.argv[1:] or ["overhead"]
    match arguments:
        case ["overhead"]:
            overhead()
        case ["density"]:
            density()
        case ["water", path, *numbers]:
            water(path, *map(int, numbers))
        case _:
            sys.exit(__doc__)
