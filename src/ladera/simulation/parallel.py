"""One structure at several temperatures, in processes side by side that can be interrupted."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ladera.errors import SimulationError
from ladera.interrupt import StopRequest
from ladera.loading import load_committee
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
    potential = load_committee(model)
    check_species(atoms, potential)
    n_members = len(potential.members)
    runs = [_folders(Path(folder) / f"md-{value:g}K", n_members) for value in temperatures]
    files = [os.fspath(path) for path in model]
    # The means come first: what they give is there when the members are not yet.
    pieces = [
        _Piece(
            atoms,
            files,
            member,
            _settings(settings, temperature, member),
            of_one.mean if member is None else of_one.members[member],
        )
        for member in (None, *range(n_members))
        for of_one, temperature in zip(runs, temperatures, strict=True)
    ]

    def look() -> None:
        if on_progress is not None:
            done = sum(_steps_done(piece.folder) for piece in pieces)
            on_progress(done, settings.n_steps * len(pieces))

    _run_all(pieces, min(processes or os.cpu_count() or 1, len(pieces)), look)
    return runs


class _Piece(NamedTuple):
    """One run."""

    atoms: Atoms
    model: list[str]
    member: int | None  # of a committee; None for its mean
    settings: MDSettings
    folder: Path


def _run_all(pieces: list[_Piece], count: int, look: Callable[[], None]) -> None:
    """Run the pieces, ``count`` at a time, each in a process of its own.

    Ctrl-C, SIGTERM and the error of a run stop the others at a restart point.
    """
    waiting = deque(pieces)
    running: dict[Any, tuple[_Piece, BaseProcess]] = {}
    with StopRequest() as stop:
        try:
            while (waiting or running) and not stop.requested:
                while waiting and len(running) < count:
                    piece = waiting.popleft()
                    connection, process = _start(piece)
                    running[connection] = piece, process
                for ended in wait(list(running), timeout=_LOOK):
                    _finish(ended, *running.pop(ended))
                look()
        finally:
            for _, process in running.values():
                process.terminate()  # which a run takes as a request to stop
            for _, process in running.values():
                process.join()
        if stop.requested:
            raise KeyboardInterrupt("the runs are at restart points; the same command goes on")


def _start(piece: _Piece) -> tuple[Connection, BaseProcess]:
    """A process at work, and the connection that says how it ended."""
    # Spawned: what torch and Numba have running cannot be forked.
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(piece, sender))
    # Ctrl-C reaches all processes of a terminal, but it is ours to stop the runs: they do not hear
    # it. The tracker must be there before, for its own start lets signals through again.
    resource_tracker.ensure_running()
    heard = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, heard)
    sender.close()
    return receiver, process


def _finish(connection: Any, piece: _Piece, process: BaseProcess) -> None:
    """Raise what a run has raised. SimulationError when it ended without a word."""
    try:
        error: Exception | None = connection.recv()
    except EOFError:
        process.join()
        raise SimulationError(
            f"The run in {piece.folder} was killed (exit code {process.exitcode}), perhaps because "
            "there was too little memory for so many; take fewer --processes and run it again: it "
            "goes on from its last restart point."
        ) from None
    process.join()
    if error is not None:
        raise error


def _work(piece: _Piece, connection: Connection) -> None:
    """What a process does."""
    try:
        _run(piece)
    except KeyboardInterrupt:
        return  # stopped: nobody listens any more
    except Exception as error:  # it is raised again where it can be told
        connection.send(error)
    else:
        connection.send(None)


def _folders(mean: Path, n_members: int) -> Runs:
    members = (mean.with_name(f"{mean.name}-member-{m + 1}") for m in range(n_members))
    return Runs(mean, tuple(members))


def _settings(settings: MDSettings, temperature: float, member: int | None) -> MDSettings:
    """Those of one run, with a seed that does not depend on what other runs there are."""
    seed = settings.seed + round(1000 * temperature) + (0 if member is None else member + 1)
    return settings.model_copy(update={"temperature": temperature, "seed": seed})


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


def _run(piece: _Piece) -> None:
    """One run, in a process of its own."""
    import numba
    import torch

    from ladera.simulation.molecular_dynamics import run_md

    torch.set_num_threads(1)
    numba.set_num_threads(1)
    potential = load_committee(piece.model)
    if piece.member is not None:
        potential = potential.members[piece.member]
    resume = (piece.folder / "restart.npz").exists()
    run_md(piece.atoms, potential, piece.settings, piece.folder, resume=resume)
