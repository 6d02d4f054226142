"""One structure at several temperatures, in processes side by side that can be interrupted."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, wait
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ladera.errors import SimulationError
from ladera.models.committee import Committee
from ladera.simulation.calculator import load_potential
from ladera.simulation.preparation import check_species
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
    model: Sequence[str | os.PathLike[str]],
    temperatures: Sequence[float],
    settings: MDSettings,
    folder: str | os.PathLike[str],
    *,
    processes: int | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> list[Runs]:
    """Molecular dynamics of ``atoms`` at each temperature (K); the folders, in their order.

    ``model`` are the files of a model or of a committee; ``settings`` are those of all runs but for
    the temperature and a seed that follows from it, so that more temperatures can be added later. A
    committee runs as its mean, and each member by itself besides. ``processes`` run at a time, one
    core each, as many as there are cores by default; ``on_progress`` is called now and then with
    the steps done and those of all runs. Runs in ``folder`` that were interrupted go on where they
    were, finished ones stay as they are.

    Raises SimulationError for temperatures that are equal or not positive, DataError for an element
    the model does not know, and what a run raises.
    """
    if len(set(temperatures)) < len(temperatures) or min(temperatures, default=0) <= 0:
        raise SimulationError(f"The temperatures {list(temperatures)} must differ and be positive.")
    potential = load_potential(model)
    check_species(atoms, potential)
    n_members = len(potential.potentials) if isinstance(potential, Committee) else 0
    runs = [_folders(Path(folder) / f"md-{value:g}K", n_members) for value in temperatures]
    # The means come first: what they give is there when the members are not yet.
    pieces = [
        (of_one.mean if member is None else of_one.members[member], temperature, member)
        for member in (None, *range(n_members))
        for of_one, temperature in zip(runs, temperatures, strict=True)
    ]
    total = settings.n_steps * len(pieces)
    # Spawned: what torch and Numba have running cannot be forked.
    context = multiprocessing.get_context("spawn")
    count = min(processes or os.cpu_count() or 1, len(pieces))
    with ProcessPoolExecutor(count, mp_context=context) as pool:
        jobs = {
            pool.submit(
                _run,
                atoms,
                [os.fspath(path) for path in model],
                member,
                replace(
                    settings, temperature=temperature, seed=_seed(settings, temperature, member)
                ),
                place,
            )
            for place, temperature, member in pieces
        }
        try:
            while jobs:
                done, jobs = wait(jobs, timeout=_LOOK, return_when="FIRST_COMPLETED")
                for job in done:
                    job.result()
                if on_progress is not None:
                    on_progress(sum(_steps_done(place) for place, *_ in pieces), total)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)  # of those that have not begun
            raise
    return runs


def _folders(mean: Path, n_members: int) -> Runs:
    members = (mean.with_name(f"{mean.name}-member-{m + 1}") for m in range(n_members))
    return Runs(mean, tuple(members))


def _seed(settings: MDSettings, temperature: float, member: int | None) -> int:
    """One for each run, which does not depend on what others there are."""
    return settings.seed + round(1000 * temperature) + (0 if member is None else member + 1)


def _steps_done(folder: Path) -> int:
    """The step in the last complete row of a run's log; 0 before there is one."""
    try:
        with (folder / "md.csv").open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 2000))
            rows = file.read().decode("ascii").split("\n")[:-1]
    except OSError:
        return 0
    step = rows[-1].split(",")[0] if rows else ""
    return int(step) if step.isdecimal() else 0


def _run(
    atoms: Atoms, model: list[str], member: int | None, settings: MDSettings, folder: Path
) -> None:
    """One run, in a process of its own."""
    import numba
    import torch

    from ladera.simulation.molecular_dynamics import run_md

    torch.set_num_threads(1)
    numba.set_num_threads(1)
    potential = load_potential(model)
    if member is not None and isinstance(potential, Committee):
        potential = potential.potentials[member]
    resume = (folder / "restart.npz").exists()
    run_md(atoms, potential, settings, folder, resume=resume)
