"""Dynamics that rises in temperature until the model is lost: where its ignorance is found.

Every walk begins at one of the structures, with velocities of its own, and goes through the
temperatures one after the other, each in a folder of :mod:`ladera.simulation.run_folder`:

    walks/C2H6O-0-walker-1/300K, walks/C2H6O-0-walker-1/600K, ...

A walk ends where an atom's grade, or a committee's deviation, is beyond the limit, or where the
structure is none any more. One walk of each structure, the judge's, is not for learning: what it
comes through tells how good the model is.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from ase import Atoms
from ase.io.trajectory import Trajectory

from ladera import progress
from ladera.active.config import ActiveConfig, Explore
from ladera.active.descent import Descent
from ladera.active.folder import Walk
from ladera.active.walker import ENDED, Met, Walker, explained, first_sentence, how_ended
from ladera.data.frame import Frame
from ladera.errors import DataError, LabellingError, SimulationError, StoppedError
from ladera.files import write_text_atomic
from ladera.potential import Potential
from ladera.processes import Pool, Processes, Task, run_all
from ladera.simulation.held import require_honoured
from ladera.simulation.molecular_dynamics import run_md
from ladera.simulation.preparation import SimulationWarning
from ladera.simulation.run_folder import RunFolder
from ladera.simulation.settings import MDSettings
from ladera.simulation.structures import read_structure, read_structures
from ladera.structure import StructureWarning

_LOOK: Final = 2.0  # s between looks at how far the walks are
_LOOKS: Final = 4  # at the grade, between structures that are kept
_LAST: Final = ("stopped.extxyz", "last_good.extxyz")  # of a walk that ended before its time
_STOPPED = "the walks are at restart points; the same command goes on"


@dataclass(frozen=True)
class Plan:
    """One walk."""

    atoms: Atoms
    walker: Walker
    stages: tuple[MDSettings, ...]
    folder: Path
    judges: bool
    pressure: float | None

    def stage(self, number: int) -> Path:
        """The folder of a temperature."""
        return self.folder / f"{self.stages[number].temperature:g}K"

    @property
    def n_steps(self) -> int:
        """Of all temperatures."""
        return sum(settings.n_steps for settings in self.stages)

    def steps_done(self) -> int:
        """So far; all where it has ended."""
        if (self.folder / ENDED).exists():
            return self.n_steps
        return sum(RunFolder(self.stage(k)).steps_done() for k in range(len(self.stages)))

    def explain(self, error: Exception) -> Exception:
        """Its error, or what it means that its process was killed."""
        return explained(error, self.folder)

    def walk(self) -> Walk:
        """Go, in a process of its own."""
        potential = self.walker.load()
        ended, reason, reached = "finished", "", None
        atoms = self.atoms
        for number, settings in enumerate(self.stages):
            stage = self.stage(number)
            ended, reason = _through(atoms, potential, settings, stage)
            if ended != "finished":
                break
            reached = settings.temperature
            atoms = read_structure(stage / "final.extxyz")
        return Walk(
            folder=str(self.folder.name),
            structure=self.atoms.get_chemical_formula(),
            pressure=self.pressure,
            reached=reached,
            ended=ended,
            reason=reason,
        )

    def met(self) -> Iterator[Met]:
        """What it came through; where it began is known."""
        for number, settings in enumerate(self.stages):
            stage = self.stage(number)
            for step, atoms in _frames(stage, settings.trajectory_interval):
                source = f"{self.folder.name}, {settings.temperature:g} K, step {step}"
                yield Met(Frame.from_atoms(atoms, source), settings.temperature, step)


def starts_of(config: ActiveConfig, frames: Sequence[Frame]) -> list[Atoms]:
    """Where walks begin: the ``frames`` of the configuration's files, with what these hold.

    Raises DataError for a structure that is none, such as one with partly filled sites, and for a
    constraint that the walks cannot honour.
    """
    starts = [frame.to_atoms() for frame in frames]
    held = [each.constraints for file in config.structures for each in read_structures(file)]
    if len(held) != len(starts):
        raise DataError(
            f"{', '.join(config.structures)} hold {len(starts)} structures, or {len(held)} as ASE "
            "reads them; make one file of them (ladera data convert), and begin with that."
        )
    for atoms, constraints in zip(starts, held, strict=True):
        atoms.set_constraint(constraints)
        moves_cell = config.explore.pressures and atoms.pbc.all()
        require_honoured(atoms, "npt" if moves_cell else "langevin", DataError)
        if config.explore.relax and moves_cell:
            require_honoured(atoms, "cell relaxation", DataError)
    return starts


def plans(
    config: ActiveConfig,
    starts: Sequence[Atoms],
    walker: Walker,
    folder: Path,
    number: int,
    lost: float | None,
) -> list[Plan | Descent]:
    """The walks of a round, which end above the score ``lost``; those of round 0 are a walker's.

    Who walks before there is a model is believed where it rests: only a model relaxes.
    """
    explore = config.explore
    if number == 0 and config.begin.time is not None:
        explore = explore.model_copy(update={"time": config.begin.time})
    found: list[Plan | Descent] = []
    for place, atoms in enumerate(starts):
        if len(atoms) < 2:  # a free atom among them
            continue
        formula = Frame.from_atoms(atoms).formula
        pressures = explore.pressures if atoms.pbc.all() and explore.pressures else (None,)
        for pressure in pressures:
            of_pressure = "" if pressure is None else f"-{pressure:g}GPa"
            for k in range(explore.walkers + 1):  # the last one judges
                judges = k == explore.walkers
                name = "judge" if judges else f"walker-{k + 1}"
                draw = np.random.default_rng([config.seed, number, place, k, len(found)])
                seed = int(draw.integers(2**31))
                found.append(
                    Plan(
                        atoms.copy(),
                        walker,
                        tuple(_stages(explore, config.select.by, pressure, seed, lost)),
                        folder / f"{formula}-{place}{of_pressure}-{name}",
                        judges,
                        pressure,
                    )
                )
        if explore.relax and number:
            limit = lost if config.select.by == "grade" else None
            there = folder / f"{formula}-{place}-relaxation"
            cell = bool(explore.pressures and atoms.pbc.all())
            found.append(Descent(atoms.copy(), walker, explore.relax, cell, there, limit))
    return found


def _stages(
    explore: Explore, by: str, pressure: float | None, seed: int, lost: float | None
) -> Iterator[MDSettings]:
    """The settings at each temperature."""
    every = max(1, round(explore.interval / explore.timestep))
    limits: dict[str, Any] = {"stop_grade": 0.0}
    if lost is not None:
        limits = {"stop_grade": lost} if by == "grade" else {**limits, "stop_deviation": lost}
    ensemble: dict[str, Any] = {"ensemble": "nvt-langevin"}
    if pressure is not None:
        ensemble = {"ensemble": "npt", "pressure": float(pressure)}
    for k, temperature in enumerate(explore.temperatures):
        yield MDSettings(
            **ensemble,
            temperature=float(temperature),
            timestep=float(explore.timestep),
            time=float(explore.time),
            initial_velocities="structure" if k else "maxwell-boltzmann",
            seed=seed + k,
            log_interval=max(1, every // _LOOKS),
            trajectory_interval=every,
            restart_interval=10 * every,
            max_extrapolating=1.0,
            **limits,
        )


def walk_all(plans: Sequence[Plan | Descent], processes: int, pool: Pool) -> list[Walk]:
    """Do the walks, or what is left of them."""
    left = [plan for plan in plans if not (plan.folder / ENDED).exists()]
    tasks = [
        Task(partial(_walk, plan), output=plan.folder / "messages.txt", explain=plan.explain)
        for plan in left
    ]

    def done() -> int:
        return sum(plan.steps_done() for plan in plans)

    steps = sum(plan.n_steps for plan in plans)
    for plan in left:
        plan.folder.mkdir(parents=True, exist_ok=True)
    if left:
        here = Processes(min(processes, len(left)), interval=_LOOK, stopped=_STOPPED)
        with progress.Task(f"{len(plans)} walks, steps", steps, done=done()) as task:
            run_all(pool.runner(here), tasks, lambda: task.show(done()))
    return [how_ended(plan.folder) for plan in plans]


def _walk(plan: Plan | Descent) -> None:
    """A walk, in a process of its own."""
    write_text_atomic(plan.folder / ENDED, plan.walk().model_dump_json(indent=1) + "\n")


def _through(
    atoms: Atoms, potential: Potential, settings: MDSettings, stage: Path
) -> tuple[str, str]:
    """One temperature of a walk: how it ended, and why."""
    if (stage / "final.extxyz").exists():
        return "finished", ""
    if (stage / "stopped.extxyz").exists():  # it was killed behind its end
        return "lost", f"beyond the limit of {settings.stop_grade or settings.stop_deviation:g}"
    try:
        with warnings.catch_warnings():
            # That it extrapolates is why it walks; how far stands in its files.
            warnings.simplefilter("ignore", SimulationWarning)
            # Its labels are of structures with this charge, which it need not be told.
            warnings.filterwarnings("ignore", "The structure has a total charge", StructureWarning)
            run_md(atoms, potential, settings, stage, resume=RunFolder(stage).holds_run)
    except StoppedError as error:
        return "lost", first_sentence(error)
    except (SimulationError, LabellingError) as error:
        return "broken", first_sentence(error)
    return "finished", ""


def _frames(stage: Path, interval: int) -> Iterator[tuple[int, Atoms]]:
    path, step = stage / "trajectory.traj", 0
    if not path.exists():
        return
    with Trajectory(path) as frames:
        for k in range(1, len(frames)):
            step = k * interval
            yield step, frames[k]
    for last in (stage / name for name in _LAST):
        if last.exists() and (at := RunFolder(stage).steps_done()) > step:
            yield at, read_structure(last)
