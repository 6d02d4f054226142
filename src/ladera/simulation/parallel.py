"""One structure at several temperatures, in processes side by side that can be interrupted."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ladera.errors import SimulationError
from ladera.simulation.settings import MDSettings

if TYPE_CHECKING:
    from ase import Atoms


def run_temperatures(
    atoms: Atoms,
    model: Sequence[str | os.PathLike[str]],
    temperatures: Sequence[float],
    settings: MDSettings,
    folder: str | os.PathLike[str],
    *,
    processes: int | None = None,
    on_done: Callable[[Path], None] | None = None,
) -> list[Path]:
    """Molecular dynamics of ``atoms`` at each temperature (K); the folders, in their order.

    ``model`` are the files of a model or of a committee; ``settings`` are those of all runs but for
    the temperature, each with a seed of its own. ``processes`` run at a time, one core each, as
    many as there are cores by default. Runs in ``folder`` that were interrupted go on where they
    were, finished ones stay as they are.

    Raises SimulationError for temperatures that are equal or not positive, and what a run raises.
    """
    if len(set(temperatures)) < len(temperatures) or min(temperatures, default=0) <= 0:
        raise SimulationError(f"The temperatures {list(temperatures)} must differ and be positive.")
    count = min(processes or os.cpu_count() or 1, len(temperatures))
    folders = [Path(folder) / f"md-{temperature:g}K" for temperature in temperatures]
    # Spawned: what torch and Numba have running cannot be forked.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(count, mp_context=context) as pool:
        jobs = {
            pool.submit(
                _run,
                atoms,
                [os.fspath(path) for path in model],
                replace(settings, temperature=temperature, seed=settings.seed + k),
                place,
            ): place
            for k, (temperature, place) in enumerate(zip(temperatures, folders, strict=True))
        }
        for job in as_completed(jobs):
            job.result()
            if on_done is not None:
                on_done(jobs[job])
    return folders


def _run(atoms: Atoms, model: list[str], settings: MDSettings, folder: Path) -> None:
    """One run, in a process of its own."""
    import numba
    import torch

    from ladera.simulation.calculator import load_potential
    from ladera.simulation.molecular_dynamics import run_md

    torch.set_num_threads(1)
    numba.set_num_threads(1)
    resume = (folder / "restart.npz").exists()
    run_md(atoms, load_potential(model), settings, folder, resume=resume)
