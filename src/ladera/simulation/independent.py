"""Independent runs at constant energy from one structure, each after its own equilibration."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from ladera import progress
from ladera.errors import SimulationError
from ladera.executors import JOBS, ExecutorLike, opened
from ladera.loading import ModelSource
from ladera.potential.heat_flux import HeatFlux
from ladera.processes import ProcessEndedError, Processes, Task, available_cores, run_all
from ladera.simulation.molecular_dynamics import run_md
from ladera.simulation.preparation import check_species
from ladera.simulation.run_folder import RunFolder
from ladera.simulation.settings import MDSettings
from ladera.simulation.structures import read_structure

if TYPE_CHECKING:
    from ase import Atoms

_LOOK: Final = 2.0  # s between looks at how far the runs are
EQUILIBRATION: Final = "equilibration"  # the folder of each run that holds it


class _Piece(NamedTuple):
    """One run."""

    atoms: Atoms
    model: ModelSource
    before: MDSettings
    settings: MDSettings
    folder: Path

    @property
    def stages(self) -> tuple[Path, Path]:
        """Folders of the equilibration and of the run."""
        return self.folder / EQUILIBRATION, self.folder

    def done(self) -> int:
        """Steps so far."""
        return sum(RunFolder(stage).steps_done() for stage in self.stages)

    def explain(self, error: Exception) -> Exception:
        """Its error, or what it means that its process was killed."""
        if not isinstance(error, ProcessEndedError):
            return error
        return SimulationError(
            f"The run in {self.folder} was killed (exit code {error.exit_code}), perhaps because "
            "there was too little memory for so many; take fewer --processes and run it again: it "
            "goes on from its last restart point."
        )


def run_independent(
    atoms: Atoms,
    model: ModelSource | str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    settings: MDSettings,
    folder: str | os.PathLike[str],
    *,
    count: int,
    equilibration: float,
    processes: int | None = None,
    executor: ExecutorLike | None = None,
) -> list[Path]:
    """``count`` runs with the heat flux at constant energy; their folders run-1, run-2...

    Each begins with ``equilibration`` ps of Langevin dynamics at the temperature of the
    ``settings``, with a seed of its own, in a folder inside, and goes on with what the settings
    say. ``processes`` run at a time, one core each, as many as there are cores by default; of an
    ``executor`` (:func:`ladera.executors.as_executor`) as many as its jobs do. Runs that were
    interrupted go on where they were, finished ones stay as they are.

    Raises SimulationError for numbers that make no sense and a model without a heat flux, DataError
    for an element the model does not know, and what a run raises.
    """
    if count < 1 or not equilibration > 0:
        raise SimulationError(
            f"{count} runs after {equilibration:g} ps were asked for; take one or more, and an "
            "equilibration above zero."
        )
    source = ModelSource.of(model)
    potential = source.load()
    check_species(atoms, potential)
    HeatFlux(potential)  # or the reason why there is none
    pieces = []
    for number in range(count):
        before = MDSettings(
            ensemble="nvt-langevin",
            temperature=settings.temperature,
            timestep=settings.timestep,
            time=equilibration,
            seed=settings.seed + number,
            log_interval=settings.log_interval,
            trajectory_interval=settings.trajectory_interval,
        )
        after = settings.model_copy(update={"initial_velocities": "structure"})
        place = Path(folder) / f"run-{number + 1}"
        pieces.append(_Piece(atoms, source, before, after, place))

    def steps_done() -> int:
        return sum(piece.done() for piece in pieces)

    here = Processes(
        min(processes or available_cores(), count),
        interval=_LOOK,
        stopped="the runs are at restart points; the same command goes on",
    )
    tasks = [Task(partial(_run, piece), explain=piece.explain) for piece in pieces]
    steps = sum(piece.before.n_steps + piece.settings.n_steps for piece in pieces)
    with (
        opened(executor, Path(folder) / JOBS) as pool,
        progress.Task(f"{count} runs, steps", steps, done=steps_done()) as task,
    ):
        run_all(pool.runner(here), tasks, lambda: task.show(steps_done()))
    return [piece.folder for piece in pieces]


def _run(piece: _Piece) -> None:
    """One run, in a process of its own."""
    potential = piece.model.load()
    first, second = piece.stages
    start = piece.atoms
    for stage, settings in ((first, piece.before), (second, piece.settings)):
        run = RunFolder(stage)
        if stage is second:
            start = read_structure(first / "final.extxyz")
        if run.steps_done() < settings.n_steps or not (stage / "final.extxyz").exists():
            run_md(start, potential, settings, stage, resume=run.holds_run)
