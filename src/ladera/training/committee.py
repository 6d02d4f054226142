"""Training a committee: its members side by side, each in a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ladera import loading
from ladera.data.dataset import Dataset
from ladera.errors import ConfigError, DataError, TrainingError
from ladera.interrupt import StopRequest
from ladera.potential.committee import CALIBRATED, Calibration, Committee
from ladera.quantities import ENERGY, FORCES
from ladera.training import config_file
from ladera.training.config import CommitteeSection, TrainingConfig
from ladera.training.evaluation import evaluate_dataset
from ladera.training.observer import Observer, Row
from ladera.training.prepared import Prepared
from ladera.training.run_folder import RunFolder
from ladera.training.uncertainty import fit_factor

if TYPE_CHECKING:
    from ladera.training.evaluation import Evaluation

# Members' seeds are far apart: the order of the frames in an epoch comes from seed + epoch.
_BETWEEN_SEEDS: Final = 1_000_000
_INTERRUPTED: Final = 130
_ROUNDING: Final = 1e-6  # by which the frames of the calibration must not count as outside


def calibrate(committee: Committee, dataset: Dataset) -> Committee:
    """The committee with its spread calibrated on labelled frames it was not trained on.

    The factors of energies and forces are those of :func:`ladera.training.uncertainty.fit_factor`.
    Raises DataError when no frame has a label.
    """
    calibration = _calibration(evaluate_dataset(committee, dataset))
    return committee.calibrated(calibration)


def train_committee(prepared: Prepared, folder: RunFolder, observer: Observer) -> Committee:
    """Train the members of ``config.committee``, calibrate their spread, write one model.

    Each member is a run of its own in FOLDER/member_0, member_1, ..., which differ in the seed;
    split and test frames are the same. FOLDER itself receives the files of
    :mod:`ladera.training.run_folder`, of the mean, but for a log and a checkpoint. Every member
    that is there goes on to the parameters it would have had; there may be more of them than
    before. ``observer`` hears of epochs, counted over all members.

    Raises what :func:`ladera.training.trainer.train` raises; TrainingError names the member.
    """
    section = prepared.config.committee or CommitteeSection()
    if len(prepared.validation) == 0:
        raise ConfigError(
            "committee: its uncertainty is calibrated on validation frames, and there are none; "
            "set data.split.validation or data.validation_files."
        )
    members = [
        _Member(number, _member_config(prepared.config, number), folder.member(number))
        for number in range(section.members)
    ]
    for member in members:
        member.check(prepared)
    folder.describe(prepared)
    _train_members(members, section, observer)
    return _assemble(members, prepared, folder)


@dataclass(frozen=True)
class _Member:
    """One of the runs."""

    number: int
    config: TrainingConfig
    folder: RunFolder

    def check(self, prepared: Prepared) -> None:
        """Raise ConfigError if there is a run of another configuration or of other data."""
        if self.folder.checkpoint.exists():
            self.folder.stored(replace(prepared, config=self.config))

    def start(self, threads: int) -> subprocess.Popen[str]:
        """A process that trains it and says an epoch a line."""
        self.folder.path.mkdir(parents=True, exist_ok=True)
        arguments = [json.dumps(config_file.as_json(self.config)), str(self.folder.path)]
        if self.folder.checkpoint.exists():
            arguments.append("--resume")
        # A session of its own: Ctrl-C is for us, who then ask every member to stop.
        with self.folder.messages.open("a", encoding="utf-8") as messages:
            return subprocess.Popen(
                [sys.executable, "-m", "ladera.training.member", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=messages,
                text=True,
                env=os.environ
                | {"OMP_NUM_THREADS": str(threads), "NUMBA_NUM_THREADS": str(threads)},
                start_new_session=True,
            )

    def failure(self, code: int, said: str) -> TrainingError:
        """Why it did not come to its end."""
        reason = said or f"it ended with the exit code {code}; see {self.folder.messages}."
        return TrainingError(f"Member {self.number} of the committee: {reason}")


def _member_config(config: TrainingConfig, number: int) -> TrainingConfig:
    """The run of one member: nothing but the seed tells it from the others."""
    changes = {"seed": config.seed + number * _BETWEEN_SEEDS, "committee": None}
    return config.model_copy(update=changes)


def _train_members(
    members: Sequence[_Member], section: CommitteeSection, observer: Observer
) -> None:
    """Train all members that are not finished; stop all when one fails."""
    waiting = [member for member in members if not member.folder.model.exists()]
    cores = _cores()
    parallel = min(section.parallel or cores, max(1, len(waiting)))
    threads = max(1, cores // parallel)
    rows: SimpleQueue[Row] = SimpleQueue()
    halt = threading.Event()
    done = sum(member.config.epochs for member in members if member not in waiting)
    with StopRequest() as stop, ThreadPoolExecutor(parallel) as pool:
        tasks = [pool.submit(_run, member, threads, rows.put, halt) for member in waiting]
        while not all(task.done() for task in tasks) or not rows.empty():
            try:
                row = rows.get(timeout=0.1)
            except Empty:
                pass
            else:
                done += 1
                observer.epoch({**row, "epoch": done})
            if stop.requested or any(_failed(task) for task in tasks):
                halt.set()
    for task in tasks:
        task.result()
    if stop.requested:
        raise KeyboardInterrupt(
            "every member has written a checkpoint where it was, continue with --resume"
        )


def _run(
    member: _Member, threads: int, on_row: Callable[[Row], None], halt: threading.Event
) -> None:
    """Train one member; TrainingError when it fails, nothing when it was asked to stop."""
    if halt.is_set():
        return
    process = member.start(threads)
    watcher = threading.Thread(target=_stop_when_asked, args=(process, halt), daemon=True)
    watcher.start()
    said = ""
    with process:
        for line in process.stdout or ():
            message = _message(line)
            if "row" in message:
                on_row(message["row"])
            said = message.get("error", said)
    watcher.join()
    code = process.returncode
    stopped = halt.is_set() and code in (_INTERRUPTED, -signal.SIGTERM)
    if code != 0 and not stopped:
        raise member.failure(code, said)


def _stop_when_asked(process: subprocess.Popen[str], halt: threading.Event) -> None:
    while process.poll() is None:
        if halt.wait(0.1):
            process.terminate()
            return


def _message(line: str) -> dict[str, Any]:
    """What a member says; a line that is none of ours says nothing."""
    try:
        message = json.loads(line)
    except ValueError:
        return {}
    return message if isinstance(message, dict) else {}


def _failed(task: Future[None]) -> bool:
    return task.done() and task.exception() is not None


def _cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # not on every system
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _assemble(members: Sequence[_Member], prepared: Prepared, folder: RunFolder) -> Committee:
    """The committee of trained members: calibrated, evaluated and written."""
    potentials = [loading.load(member.folder.model) for member in members]
    committee = Committee(potentials)
    committee = calibrate(committee, prepared.dataset[prepared.validation]).eval()
    shown = ("seed", "epoch", "validation_loss", "errors")
    origins = [{key: p.provenance[key] for key in shown} for p in potentials]
    folder.finish(prepared, committee, {"epoch": None, "loss": None}, members=origins)
    return committee


def _calibration(found: Evaluation) -> Calibration:
    """The factors, and the largest standard deviation of an atom's force."""
    dataset, uncertainty = found.dataset, found.uncertainty
    labelled = [q for q in CALIBRATED if dataset.has(q.name).any()]
    if uncertainty is None or not labelled:
        raise DataError(
            "The uncertainty of a committee is calibrated on labelled frames, and none of these "
            "has an energy or forces; give frames with labels."
        )
    factors = {
        q: fit_factor(found.errors(q), found.spread(q), uncertainty.n_members) for q in labelled
    }
    largest = None
    if FORCES in factors:
        spreads = np.linalg.norm(uncertainty.spreads[FORCES], axis=1)
        largest = factors[FORCES] * float(spreads.max()) * (1 + _ROUNDING)
    return Calibration(
        energy=factors.get(ENERGY),
        forces=factors.get(FORCES),
        n_energies=int(dataset.has("energy").sum()),
        n_forces=3 * int(dataset.atom_counts[dataset.has("forces")].sum()),
        largest_force_std=largest,
    )
