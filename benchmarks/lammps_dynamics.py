"""Molecular dynamics by LAMMPS and by `ladera md`: the same averages, and a million steps.

    python benchmarks/lammps_dynamics.py averages      # 50 ps of constant energy, of pressure
    python benchmarks/lammps_dynamics.py long [STEPS]  # memory and drift, 1,000,000 steps of each
    python benchmarks/lammps_dynamics.py chains        # what 50 ps of fix npt are worth

The system is argon, a Lennard-Jones crystal of 108 atoms near melting, 5 fs a step; that of the
million steps is ethanol by the embedded network, 0.5 fs a step.

Claims: at constant energy from the same start, mean temperatures agree within three standard
errors, and neither drifts by more than 0.01 meV an atom in 50 ps; at constant pressure (100 MPa, 60
K) density, temperature and energy agree within three standard errors; in a million steps neither
takes more than 1 % more memory at the end than after a tenth of them. A line is MISSED where a
claim does not hold. `chains` makes no claim: 24 runs of the crystal by LAMMPS's own `lj/cut`, with
the chain of three thermostats that fix npt has by default and with one, tell how far the mean
temperatures of 50 ps are from each other, and how far blocks of one run say they are.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
from ase import Atoms, units
from ase.build import bulk, molecule
from ase.md.velocitydistribution import (
    MaxwellBoltzmannDistribution,
    Stationary,
    ZeroRotation,
)
from numpy.typing import NDArray

import ladera
from ladera.engines.lammps import running, writing
from ladera.models.lennard_jones import LennardJonesConfig

KELVIN, BAR, TIME_STEP, STEPS, EVERY = 60.0, 1000.0, 5.0, 10_000, 20
SIZE_OF_PAGE = os.sysconf("SC_PAGE_SIZE")


class Series(NamedTuple):
    """One row for every EVERY steps."""

    temperature: NDArray[np.float64]  # K
    energy: NDArray[np.float64]  # eV an atom, potential and kinetic
    density: NDArray[np.float64]  # g/cm^3


def argon(folder: Path, n: int) -> tuple[Atoms, Path]:
    """A crystal, and its model as a file."""
    model = ladera.build(
        LennardJonesConfig(species=("Ar",), cutoff=7.0, epsilon={"Ar": 0.0104}, sigma={"Ar": 3.4})
    )
    model.save(folder / "argon.ladera")
    return bulk("Ar", "fcc", a=5.35, cubic=True) * n, folder / "argon.ladera"


def density_of(atoms: Atoms, volume: Any) -> Any:
    return atoms.get_masses().sum() / units.mol * 1e24 / volume


def by_ladera(
    atoms: Atoms,
    model: Path,
    folder: Path,
    steps: int,
    every: int = EVERY,
    on_row: Any = None,
    **more: Any,
) -> Series:
    rows: list[tuple[float, float, float]] = []

    def keep(row: Any) -> None:
        energy, volume = row.total_energy_ev / len(atoms), row.volume_angstrom3
        rows.append((row.temperature_k, energy, density_of(atoms, volume or np.inf)))
        if on_row is not None:
            on_row(energy)

    ladera.run_md(
        atoms, model, folder=folder, steps=steps, log_interval=every, trajectory_interval=steps,
        initial_velocities="structure",
        on_row=keep, **more,
    )  # fmt: skip
    return Series(*np.array(rows).T)


def by_lammps(
    atoms: Atoms,
    model: Path,
    folder: Path,
    steps: int,
    fix: str,
    timestep: float,
    every: int = EVERY,
    on_row: Any = None,
) -> Series:
    box = writing.write_data(atoms, folder / "atoms.data")
    lammps = running.start(("-screen", "none", "-log", "none"))
    head = f"""
        units metal
        atom_modify map array
        boundary {box.boundary}
        read_data "{folder}/atoms.data"
        pair_style ladera "{model}"
        pair_coeff * * {" ".join(box.symbols)}
        timestep {timestep / 1000}
        thermo_style custom step temp etotal vol
        fix motion all {fix}
        """
    for line in filter(None, map(str.strip, head.splitlines())):
        lammps.command(line)
    velocities = 1000 * units.fs * atoms.get_velocities() @ box.rotation  # Angstrom/ps
    lammps.scatter_atoms("v", 1, 3, np.ctypeslib.as_ctypes(velocities.ravel()))
    lammps.command("run 0 post no")
    rows = []
    for _ in range(steps // every):
        lammps.command(f"run {every} pre no post no")
        temperature, energy, volume = map(lammps.get_thermo, ("temp", "etotal", "vol"))
        rows.append((temperature, energy / len(atoms), density_of(atoms, volume)))
        if on_row is not None:
            on_row(energy / len(atoms))
    lammps.close()
    return Series(*np.array(rows).T)


def error_of(values: NDArray[np.float64]) -> float:
    """Standard error of a mean, from ten blocks."""
    means = [block.mean() for block in np.array_split(values, 10)]
    return float(np.std(means, ddof=1) / np.sqrt(10))


def drift_of(series: Series) -> float:
    """meV an atom in the whole run, by a straight line through the total energy."""
    time = np.linspace(0, 1, len(series.energy))
    return float(1000 * np.polyfit(time, series.energy, 1)[0])


def averages() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        atoms, model = argon(folder, 3)
        start = ladera.run_md(
            atoms, model, folder=folder / "start", ensemble="nvt-langevin", temperature=KELVIN,
            timestep=TIME_STEP, steps=1000, log_interval=1000, trajectory_interval=1000, seed=1,
        )  # fmt: skip
        damp = 100 * TIME_STEP / 1000
        bath = f"fix bath all langevin {KELVIN} {KELVIN} {damp} 1 zero yes"
        barostat = f"nph iso {BAR} {BAR} {4 * damp}\n{bath}"
        constant = {"ensemble": "npt", "temperature": KELVIN, "pressure": BAR * 1e-4}
        for ensemble, fix, settings in (
            ("nve", "nve", {"ensemble": "nve"}),
            ("npt", barostat, constant),
        ):
            found = {
                "LAMMPS": by_lammps(start, model, folder, STEPS, fix, TIME_STEP),
                "ladera md": by_ladera(
                    start, model, folder / ensemble, STEPS, timestep=TIME_STEP, **settings
                ),
            }
            compare(ensemble, found)


def compare(ensemble: str, found: dict[str, Series]) -> None:
    print(f"{ensemble}, 108 atoms, {STEPS * TIME_STEP / 1000:.0f} ps:")
    skip = 0 if ensemble == "nve" else STEPS // EVERY // 5
    kept = {name: Series(*(values[skip:] for values in series)) for name, series in found.items()}
    names = ("temperature", "K"), ("energy", "eV an atom"), ("density", "g/cm^3")
    for column, unit in names[:1] if ensemble == "nve" else names:
        means = {name: (v := getattr(s, column), v.mean(), error_of(v)) for name, s in kept.items()}
        (_, one, d_one), (_, other, d_other) = means.values()
        apart = abs(one - other) / np.hypot(d_one, d_other)
        said = ", ".join(f"{name} {m:.5f} +- {d:.5f}" for name, (_, m, d) in means.items())
        print(f"  {column}: {said} {unit}; {apart:.1f} standard errors {verdict(apart < 3)}")
    if ensemble == "nve":
        for name, series in kept.items():
            drift, noise = drift_of(series), 1000 * series.energy.std()
            line = (
                f"  {name}: {series.energy.mean():.7f} eV an atom, drift {drift:+.5f} meV an atom"
            )
            print(f"{line}, standard deviation {noise:.5f} {verdict(abs(drift) < 0.01)}")


def chains() -> None:
    """Of one crystal and 24 seeds."""
    atoms = bulk("Ar", "fcc", a=5.35, cubic=True) * 3
    for count in (3, 1):
        fix = f"npt temp {KELVIN} {KELVIN} 0.5 iso {BAR} {BAR} 2.0 tchain {count}"
        with tempfile.TemporaryDirectory() as folder:
            writing.write_data(atoms, Path(folder, "atoms.data"))
            runs = [temperatures(Path(folder, "atoms.data"), fix, seed) for seed in range(1, 25)]
        means, errors = [run.mean() for run in runs], [error_of(run) for run in runs]
        mean, scatter = np.mean(means), np.std(means, ddof=1)
        print(
            f"  fix npt with tchain {count}: {mean:.2f} K, one run {scatter:.2f} away from that "
            f"({min(means):.1f} to {max(means):.1f}); blocks say {np.median(errors):.2f}"
        )


def temperatures(data: Path, fix: str, seed: int) -> NDArray[np.float64]:
    """The last 40 of 50 ps, after 5 ps of a Langevin thermostat."""
    lammps = running.start(("-screen", "none", "-log", "none"))
    commands = f"""
        units metal
        read_data "{data}"
        pair_style lj/cut 7.0
        pair_coeff * * 0.0104 3.4
        timestep {TIME_STEP / 1000}
        velocity all create {KELVIN} {seed} loop geom
        fix motion all nve
        fix bath all langevin {KELVIN} {KELVIN} 0.5 {seed} zero yes
        run 1000 post no
        unfix bath
        unfix motion
        fix motion all {fix}
        run 0 post no
        """
    for line in filter(None, map(str.strip, commands.splitlines())):
        lammps.command(line)
    found = []
    for _ in range(STEPS // EVERY):
        lammps.command(f"run {EVERY} pre no post no")
        found.append(lammps.get_thermo("temp"))
    lammps.close()
    return np.array(found[len(found) // 5 :])


def verdict(holds: bool) -> str:
    return "yes" if holds else "MISSED"


def memory() -> float:
    """Megabytes that this process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * SIZE_OF_PAGE / 2**20


def long(engine: str, steps: int) -> None:
    """A run of ethanol in this process, and its memory."""
    every = 500
    held: list[float] = []
    energies: list[float] = []

    def on_row(energy: float) -> None:
        held.append(memory())
        energies.append(energy)
        rows = steps // every // 10
        if len(held) % rows == 0:
            mean = np.mean(energies[-rows:])
            print(f"  {len(held) * every:,}: {held[-1]:.1f} MB, {mean:.7f} eV an atom", flush=True)

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        potential = ladera.load("ethanol-hdnnp")
        potential.save(folder / "model.ladera")
        atoms = molecule("CH3CH2OH")
        MaxwellBoltzmannDistribution(atoms, temperature_K=300, rng=np.random.default_rng(1))
        Stationary(atoms)
        ZeroRotation(atoms)
        run: Callable[..., Series] = by_lammps if engine == "LAMMPS" else by_ladera
        settings = {"fix": "nve"} if engine == "LAMMPS" else {"ensemble": "nve"}
        place = folder if engine == "LAMMPS" else folder / "md"
        start = perf_counter()
        series = run(
            atoms, folder / "model.ladera", place, steps, timestep=0.5, every=every,
            on_row=on_row, **settings,
        )  # fmt: skip
        seconds = perf_counter() - start
    tenth, middle = len(held) // 10, len(held) // 2
    print(
        f"{engine}, 9 atoms, {steps:,} steps in {seconds:.0f} s: {held[tenth]:.1f} MB after a "
        f"tenth, {held[middle]:.1f} in the middle, {held[-1]:.1f} at the end "
        f"{verdict(held[-1] < 1.01 * held[tenth])}; drift {drift_of(series):+.4f} meV an atom, "
        f"standard deviation {1000 * series.energy.std():.4f}",
        flush=True,
    )


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["averages"]:
            averages()
        case ["chains"]:
            chains()
        case ["long", *count]:
            for engine in ("LAMMPS", "ladera md"):
                command = [sys.executable, __file__, "one", engine, *(count or ["1000000"])]
                subprocess.run(command, check=True)
        case ["one", engine, count]:
            long(engine, int(count))
        case _:
            sys.exit(__doc__)
