"""Training a committee: its members side by side, each in a process of its own."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Final

import numpy as np

from ladera import loading, progress
from ladera.data.dataset import Dataset
from ladera.errors import ConfigError, DataError, TrainingError
from ladera.executors import JOBS, opened
from ladera.potential.committee import CALIBRATED, Calibration, Committee
from ladera.processes import Processes, Task, available_cores, run_command
from ladera.quantities import ENERGY, FORCES
from ladera.training import config_file
from ladera.training.config import CommitteeSection, TrainingConfig
from ladera.training.evaluation import evaluate_dataset
from ladera.training.observer import Observer, Row, Teller, in_words
from ladera.training.prepared import Prepared
from ladera.training.run_folder import RunFolder, read_log
from ladera.training.uncertainty import fit_factor

if TYPE_CHECKING:
    from ladera.training.evaluation import Evaluation

# Members' seeds are far apart: the order of the frames in an epoch comes from seed + epoch.
_BETWEEN_SEEDS: Final = 1_000_000
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
    for member in members:  # before any other file, so that whoever is stopped can go on
        member.folder.path.mkdir(parents=True, exist_ok=True)
    folder.describe(prepared)
    _train_members(members, section, observer)
    return _assemble(members, prepared, folder)


@dataclass(frozen=True, eq=False)
class _Member:
    """One of the runs."""

    number: int
    config: TrainingConfig
    folder: RunFolder

    def check(self, prepared: Prepared) -> None:
        """Raise ConfigError if there is a run of another configuration or of other data."""
        if self.folder.checkpoint.exists():
            self.folder.stored(replace(prepared, config=self.config))

    @property
    def is_finished(self) -> bool:
        """Whether it is trained."""
        return self.folder.model.exists()

    def task(self) -> Task[tuple[int, str]]:
        """The process that trains it; it gives its exit code and, for a failure, the reason."""
        arguments = [json.dumps(config_file.as_json(self.config)), str(self.folder.path)]
        if self.folder.checkpoint.exists():
            arguments.append("--resume")
        command = [sys.executable, "-m", "ladera.training.member", *arguments]
        return Task(partial(run_command, command), self.folder.messages)

    def require_trained(self, code: int, reason: str) -> None:
        """TrainingError that says why it did not come to its end."""
        if code:
            reason = reason or f"it ended with the exit code {code}; see {self.folder.messages}."
            raise TrainingError(f"Member {self.number} of the committee: {reason}")

    def rows(self) -> list[Row]:
        """Those of its log so far."""
        log = read_log(self.folder.path)
        values = zip(*(column.tolist() for column in log.values()), strict=True)
        return [
            {name: None if math.isnan(x) else x for name, x in zip(log, row, strict=True)}
            for row in values
        ]


def _member_config(config: TrainingConfig, number: int) -> TrainingConfig:
    """The run of one member: nothing but the seed tells it from the others."""
    changes = {"seed": config.seed + number * _BETWEEN_SEEDS, "committee": None}
    return config.model_copy(update=changes)


def _train_members(
    members: Sequence[_Member], section: CommitteeSection, observer: Observer
) -> None:
    """Train all members that are not finished; stop all when one fails."""
    waiting = {member.task(): member for member in members if not member.is_finished}
    cores = available_cores()
    parallel = min(section.parallel or cores, max(1, len(waiting)))
    heard = {member: len(member.rows()) for member in waiting.values()}
    done = sum(member.config.epochs for member in members if member.is_finished)

    def look() -> None:
        for member in waiting.values():
            rows = member.rows()
            epochs = done + sum(heard.values())
            for epoch, row in enumerate(rows[heard[member] :], start=epochs + 1):
                told = {**row, "epoch": epoch, "member": member.number}
                teller.tell(told)
                observer.epoch(told)
                bar.show(epoch, in_words(row))
            heard[member] = len(rows)  # fewer where epochs after the checkpoint are done again

    here = Processes(
        parallel,
        threads=max(1, cores // parallel),
        interval=0.5,
        stopped="every member has written a checkpoint where it was, continue with --resume",
    )
    epochs = sum(member.config.epochs for member in members)
    teller = Teller(epochs)
    bar = progress.Task("epochs of all members", epochs, done=done + sum(heard.values()))
    with (
        opened(section.executor, members[0].folder.path.parent / JOBS) as pool,
        bar,
        closing(pool.runner(here).run(list(waiting), look)) as results,
    ):
        for task, (code, reason) in results:
            waiting[task].require_trained(code, reason)


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
