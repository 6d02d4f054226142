"""The folder of an active learning: its files are all of its state.

========================  ==========================================================================
``config.yaml``           what was asked for, all defaults included
``inputs.json``           hashes of the structures, the engine's settings and the data
``round_0``               the beginning; the other folders are of one round each, as below
``rounds.csv``            a row for each round, for people
``model.ladera``          the model of the last round
``report.html``           tables and figures of all rounds
========================  ==========================================================================

In the folder of a round:

========================  ==========================================================================
``model``                 the training run
``walks``                 see :mod:`~ladera.active.exploration` and ``descent``
``candidates.csv``        what was met: where, its score, and what became of it
``to_judge.extxyz``       structures whose labels judge, labelled in ``judging.extxyz``
``to_learn.extxyz``       structures to learn from, labelled in ``learning.extxyz``
``checks.extxyz``         of the former, what this model is judged and later ones validated on
``train.extxyz``          of the latter, what later rounds train on
``round.json``            what came of it
========================  ==========================================================================
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import Final

from pydantic import Field

from ladera.active import config as config_file
from ladera.active.config import ActiveConfig
from ladera.data import formats
from ladera.data.dataset import Dataset
from ladera.data.frame import Frame
from ladera.differences import first_difference
from ladera.errors import ConfigError, told
from ladera.files import read_json, require_absent, write_text_atomic
from ladera.labelling.journal import Journal
from ladera.labelling.plan import folder_of
from ladera.modelfile import MODEL
from ladera.quantities import MILLI
from ladera.schemas import Stored
from ladera.table_files import TableWriter, Value

_CONFIG: Final = "config.yaml"
_INPUTS: Final = "inputs.json"
_ROUND: Final = "round.json"
_TIMES: Final = "seconds.json"
_FREE: Final = ("stop", "processes", "executor", "max_failed")  # may change while it goes on
_UNTRAINED: Final = "training"  # may, too, until the first model is trained: labels do not ask


class Walk(Stored):
    """Dynamics of one structure, or its relaxation: how hot it became, and how it ended."""

    folder: str
    structure: str  # its formula
    pressure: float | None = None  # GPa
    relaxation: bool = False  # and no dynamics
    reached: float | None = None  # K, of the last temperature that it went through; None of none
    ended: str  # finished, lost, or broken
    reason: str = ""  # why, where it has not finished


class Judgement(Stored):
    """Mean absolute errors of a model on frames that it had never seen."""

    frames: int
    energy: float | None = None  # eV/atom
    energy_rmse: float | None = None
    forces: float | None = None  # eV/Angstrom, of components
    forces_rmse: float | None = None
    by_group: dict[str, float | None] = Field(default_factory=dict)  # of forces, eV/Angstrom


class Round(Stored):
    """What came of a round."""

    number: int
    trained_on: int = 0  # frames
    walks: list[Walk] = Field(default_factory=list)
    met: int = 0  # structures
    new: int = 0  # of these, above the limit
    largest: float | None = None  # score
    new_above: float | None = None  # score
    lost_above: float | None = None  # score, where walks ended
    labelled: int = 0
    labels_so_far: int = 0  # those of all rounds
    seconds_so_far: float = 0.0  # of a clock, of all rounds
    failed: int = 0  # the engine gave no labels
    left_out: int = 0  # labelled, and too far from anything to be trained on
    engine_seconds: float = 0.0  # of processors
    judged: Judgement | None = None
    seconds: dict[str, float] = Field(default_factory=dict)  # of a clock, by what was done
    stopped: str = ""  # why this round is the last; "" where another follows

    @property
    def share_new(self) -> float:
        """Of the structures met."""
        return self.new / self.met if self.met else 0.0

    @property
    def reached(self) -> float | None:
        """The temperature that all dynamics went through, K."""
        each = [walk.reached for walk in self.walks if not walk.relaxation]
        known = [value for value in each if value is not None]
        return min(known) if known and len(known) == len(each) else None


class RoundFolder:
    """The files of one round."""

    def __init__(self, path: Path, number: int) -> None:
        self.path, self.number = path, number
        self.run = path / "model"
        self.model = self.run / MODEL
        self.walks = path / "walks"
        self.candidates = path / "candidates.csv"
        self.to_judge = path / "to_judge.extxyz"
        self.to_learn = path / "to_learn.extxyz"
        self.judging = path / "judging.extxyz"
        self.learning = path / "learning.extxyz"
        self.train = path / "train.extxyz"
        self.checks = path / "checks.extxyz"
        self.record = path / _ROUND

    def read(self) -> Round | None:
        """What came of it; None before it is judged."""
        return Round.model_validate(read_json(self.record, Round)) if self.record.exists() else None

    def write(self, record: Round, before: Round | None = None) -> Round:
        """What came of it so far, with its labels and times; those of the rounds before add up."""
        journals = [
            Journal(folder_of(path), path)
            for path in (self.judging, self.learning)
            if folder_of(path).exists()
        ]
        labelled, times = sum(len(each.done) for each in journals), self.times()
        sorted_out = self.train.exists() or not self.learning.exists()
        kept = len(read_frames(self.train)) + len(read_frames(self.checks))
        record = record.model_copy(
            update={
                "labelled": labelled,
                "failed": sum(len(each.failed) for each in journals),
                "left_out": labelled - kept if sorted_out else 0,
                "engine_seconds": sum(each.cpu for each in journals),
                "seconds": times,
                "labels_so_far": labelled + (before.labels_so_far if before else 0),
                "seconds_so_far": sum(times.values()) + (before.seconds_so_far if before else 0.0),
            }
        )
        write_text_atomic(self.record, record.model_dump_json(indent=1) + "\n")
        return record

    @contextmanager
    def timed(self, what: str) -> Iterator[None]:
        """Add the time that something takes, also to what it took before an interruption."""
        started = perf_counter()
        try:
            yield
        finally:
            times = self.times()
            times[what] = times.get(what, 0.0) + perf_counter() - started
            write_text_atomic(self.path / _TIMES, json.dumps(times) + "\n")

    def times(self) -> dict[str, float]:
        """Seconds of a clock by what was done, so far."""
        path = self.path / _TIMES
        return (
            {name: float(value) for name, value in read_json(path).items()} if path.exists() else {}
        )


class ActiveFolder:
    """All files of an active learning."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.model = path / MODEL
        self.report = path / "report.html"
        self.table = path / "rounds.csv"

    def round(self, number: int) -> RoundFolder:
        """That of a round; 0 is the beginning."""
        return RoundFolder(self.path / f"round_{number}", number)

    def rounds(self) -> list[Round]:
        """The rounds that have been judged, from 0."""
        done: list[Round] = []
        while (record := self.round(len(done)).read()) is not None:
            done.append(record)
        return done

    @property
    def holds_loop(self) -> bool:
        """Whether there is one that can go on."""
        return (self.path / _CONFIG).exists()

    def config(self) -> ActiveConfig:
        """What was asked for."""
        return config_file.read(self.path / _CONFIG)

    def begin(self, config: ActiveConfig, inputs: Mapping[str, str]) -> None:
        """Go on with what is there, or begin; ``inputs`` are hashes of what files hold, by key.

        Raises ConfigError where the loop that is there was asked for something else, or what its
        configuration names is no longer what it was: labels of two engines must not be mixed.
        """
        if not self.holds_loop:
            require_absent(self.model, self.report, self.table, self.round(0).path)
            self.path.mkdir(parents=True, exist_ok=True)
        else:
            begun = (self.round(1).run / _CONFIG).exists()
            free = _FREE if begun else (*_FREE, _UNTRAINED)
            before, now = (
                each.model_dump(mode="json", exclude=set(free)) for each in (self.config(), config)
            )
            if difference := first_difference(before, now):
                key, old, new = difference
                raise ConfigError(
                    f"{self.path} holds another active learning: {key} was {told(old)}, and is "
                    f"{told(new)} now; give another --output, or what it began with. Only "
                    f"{', '.join(free)} may change."
                )
            known = read_json(self.path / _INPUTS) if (self.path / _INPUTS).exists() else inputs
            if changed := [key for key in inputs if known.get(key) != inputs[key]]:
                raise ConfigError(
                    f"{self.path} began with other contents of {changed[0]}, under the same name; "
                    "put back what it was, or give another --output."
                )
        config_file.save(config, self.path / _CONFIG)
        write_text_atomic(self.path / _INPUTS, json.dumps(dict(inputs), indent=1) + "\n")

    def write_table(self) -> None:
        """``rounds.csv``, made anew."""
        columns: dict[str, Callable[[Round], Value]] = {
            "round": lambda r: r.number,
            "trained_on": lambda r: r.trained_on,
            "labelled": lambda r: r.labelled,
            "force_mae_mev_per_angstrom": lambda r: _milli(r.judged, "forces"),
            "energy_mae_mev_per_atom": lambda r: _milli(r.judged, "energy"),
            "reached_k": lambda r: r.reached,
            "met": lambda r: r.met,
            "new": lambda r: r.new,
            "failed": lambda r: r.failed,
            "left_out": lambda r: r.left_out,
            "hours": lambda r: sum(r.seconds.values()) / 3600,
            "engine_cpu_hours": lambda r: r.engine_seconds / 3600,
        }
        with TableWriter(self.table, tuple(columns), digits=6) as table:
            for record in self.rounds():
                table.write({name: value(record) for name, value in columns.items()})


def _milli(judged: Judgement | None, name: str) -> float | None:
    value = None if judged is None else getattr(judged, name)
    return None if value is None else MILLI * value


def write_frames(path: Path, frames: Iterable[Frame]) -> None:
    """Write frames, in one step; an empty file of none."""
    if several := list(frames):
        formats.write(Dataset.from_frames(several), path)
    else:
        write_text_atomic(path, "")


def read_frames(path: Path) -> list[Frame]:
    """What :func:`write_frames` wrote, with labels."""
    return list(formats.read(path)) if path.exists() and path.stat().st_size else []
