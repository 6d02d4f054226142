"""One structure at several temperatures, in processes side by side that can be interrupted."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from ladera import progress
from ladera.errors import SimulationError
from ladera.executors import JOBS, ExecutorLike, opened
from ladera.loading import ModelSource
from ladera.processes import ProcessEndedError, Processes, Task, available_cores, run_all
from ladera.simulation.preparation import check_species
from ladera.simulation.run_folder import RunFolder
from ladera.simulation.settings import MDSettings

if TYPE_CHECKING:
    from ase import Atoms

_LOOK: Final = 2.0  # s between looks at how far the runs are


@dataclass(frozen=True)
class Runs:
    """The folders of the runs at one temperature."""

    mean: Path  # of the model, or of a committee's mean
    members: tuple[Path, ...] = ()  # of a committee: those of each member alone


def run_temperatures(
    atoms: Atoms,
    model: ModelSource | str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    temperatures: Sequence[float],
    settings: MDSettings,
    folder: str | os.PathLike[str],
    *,
    processes: int | None = None,
    executor: ExecutorLike | None = None,
) -> list[Runs]:
    """Molecular dynamics of ``atoms`` at each temperature (K); the folders, in their order.

    ``model`` is its path or name, or those of a committee's members; ``settings`` are those of all
    runs but for the temperature and a seed that follows from it, so that more temperatures can be
    added later. A committee runs as its mean, and each member by itself besides. ``processes`` run
    at a time, one core each, as many as there are cores by default; of an ``executor``
    (:func:`ladera.executors.as_executor`) as many as its jobs do. Runs in ``folder`` that were
    interrupted go on where they were, finished ones stay as they are.

    Raises SimulationError for temperatures that are equal or not positive, DataError for an element
    the model does not know, and what a run raises.
    """
    if len(set(temperatures)) < len(temperatures) or min(temperatures, default=0) <= 0:
        raise SimulationError(f"The temperatures {list(temperatures)} must differ and be positive.")
    source = ModelSource.of(model)
    potential = source.load()
    check_species(atoms, potential)
    n_members = len(potential.members)
    runs = [_folders(Path(folder) / f"md-{value:g}K", n_members) for value in temperatures]
    # The means come first: what they give is there when the members are not yet.
    pieces = [
        _Piece(
            atoms,
            source,
            member,
            _settings(settings, temperature, member),
            of_one.mean if member is None else of_one.members[member],
        )
        for member in (None, *range(n_members))
        for of_one, temperature in zip(runs, temperatures, strict=True)
    ]

    def steps_done() -> int:
        return sum(RunFolder(piece.folder).steps_done() for piece in pieces)

    here = Processes(
        min(processes or available_cores(), len(pieces)),
        interval=_LOOK,
        stopped="the runs are at restart points; the same command goes on",
    )
    tasks = [Task(partial(_run, piece), explain=piece.explain) for piece in pieces]
    words, steps = f"{len(temperatures)} temperatures, steps", settings.n_steps * len(pieces)
    with (
        opened(executor, Path(folder) / JOBS) as pool,
        progress.Task(words, steps, done=steps_done()) as task,
    ):
        run_all(pool.runner(here), tasks, lambda: task.show(steps_done()))
    return runs


class _Piece(NamedTuple):
    """One run."""

    atoms: Atoms
    model: ModelSource
    member: int | None  # of a committee; None for its mean
    settings: MDSettings
    folder: Path

    def explain(self, error: Exception) -> Exception:
        """Its error, or what it means that its process was killed."""
        if not isinstance(error, ProcessEndedError):
            return error
        return SimulationError(
            f"The run in {self.folder} was killed (exit code {error.exit_code}), perhaps because "
            "there was too little memory for so many; take fewer --processes and run it again: it "
            "goes on from its last restart point."
        )


def _folders(mean: Path, n_members: int) -> Runs:
    members = (mean.with_name(f"{mean.name}-member-{m + 1}") for m in range(n_members))
    return Runs(mean, tuple(members))


def _settings(settings: MDSettings, temperature: float, member: int | None) -> MDSettings:
    """Those of one run, with a seed that does not depend on what other runs there are."""
    seed = settings.seed + round(1000 * temperature) + (0 if member is None else member + 1)
    return settings.model_copy(update={"temperature": temperature, "seed": seed})


def _run(piece: _Piece) -> None:
    """One run, in a process of its own."""
    from ladera.simulation.molecular_dynamics import run_md

    potential = piece.model.load()
    if piece.member is not None:
        potential = potential.members[piece.member]
    resume = RunFolder(piece.folder).holds_run
    run_md(piece.atoms, potential, piece.settings, piece.folder, resume=resume)
