"""One round after the other: train, explore, choose, label, judge; stopped and continued at will.

Each step leaves its result in a file of :mod:`ladera.active.folder`, and is not done again where
that is there. What takes long, trainings, dynamics and labels, goes on where it was interrupted.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from ladera import display
from ladera.active import config as config_file
from ladera.active.beginning import chosen_of, distorted, first_structures, first_walks
from ladera.active.choice import Limits, choose, count_candidates, made_of, met_by, write_candidates
from ladera.active.config import ActiveConfig
from ladera.active.exploration import plans, starts_of, walk_all
from ladera.active.folder import (
    ActiveFolder,
    Round,
    RoundFolder,
    Walk,
    read_frames,
    write_frames,
)
from ladera.active.stopping import may_label, verdict
from ladera.active.teaching import judge, taught
from ladera.active.walker import Walker
from ladera.arguments import checked
from ladera.data import formats
from ladera.data.dataset import Dataset
from ladera.data.frame import Frame
from ladera.errors import DataError, LabellingError, SimulationError, TooManyFailedError
from ladera.executors import JOBS, ExecutorLike, opened
from ladera.files import atomic_path, hash_of_file
from ladera.labelling.engines.registry import as_engine
from ladera.labelling.job import label
from ladera.labelling.labelled import as_dataset
from ladera.loading import ModelSource
from ladera.lock import locked
from ladera.potential import Potential
from ladera.processes import Pool
from ladera.sampling.filtering import Conditions, filter_frames

log = logging.getLogger(__name__)


@dataclass(frozen=True, repr=False)
class ActiveRun:
    """What :func:`learn` did, and where it is."""

    folder: Path
    rounds: tuple[Round, ...]  # the first is the beginning

    @property
    def model(self) -> Path:
        """The model of the last round."""
        return ActiveFolder(self.folder).model

    @property
    def stopped(self) -> str:
        """Why there is no further round."""
        return self.rounds[-1].stopped

    def __repr__(self) -> str:
        """Rounds, labels, errors."""
        labels = sum(each.labelled for each in self.rounds)
        lines = [f"{len(self.rounds) - 1} rounds, {labels:,} labels", self.stopped]
        judged = self.rounds[-1].judged
        if judged is not None and judged.forces is not None:
            lines.append(f"force MAE {1000 * judged.forces:.3g} meV/Angstrom")
        return display.lines("ActiveRun", [*lines, str(self.model)])


@checked
def learn(
    config: ActiveConfig | Mapping[str, Any] | str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    executor: ExecutorLike | None = None,
    on_round: Callable[[Round], None] | None = None,
) -> ActiveRun:
    """Learn a potential actively: from structures and an engine to a model that was judged.

    ``config`` is a YAML file, or what would stand in one (:class:`ladera.active.config
    .ActiveConfig`). The folder ``output`` is made; where there is one already its loop goes on, to
    the same end, and ``stop`` may ask for more than it did. ``executor`` takes the place of that of
    the configuration (:func:`ladera.executors.as_executor`). ``on_round`` is called with each round
    (:class:`ladera.active.folder.Round`) when it has been judged.

    Every round trains a model on all labels so far, has it explore, labels what judges it and, if
    that is not enough yet, what is to be learned. The model of the last round is the result: what
    its errors were measured on it had never seen.

    Ctrl-C and the signals of queue systems raise KeyboardInterrupt; the same call goes on.

    Raises ConfigError for a configuration that cannot work and a folder of another one, DataError
    for structures that cannot be read or labelled, LabellingError where too many labels fail,
    SimulationError where the model comes nowhere, and TrainingError where it does not learn.
    """
    if isinstance(config, (str, os.PathLike)):
        config = config_file.read(Path(config))
    elif isinstance(config, Mapping):
        config = config_file.parse(deepcopy(dict(config)), "The configuration")
    folder = ActiveFolder(Path(output))
    # What labels and walks do their work in is started once.
    with opened(executor or config.executor, folder.path / JOBS) as pool:
        loop = _Loop(config, folder, pool)
        with locked(output):
            return loop.run(on_round or (lambda record: None))


class _Loop:
    """A loop in progress, which holds its folder."""

    def __init__(self, config: ActiveConfig, folder: ActiveFolder, pool: Pool) -> None:
        self._config, self._folder, self._pool = config, folder, pool
        structures = as_dataset(list(config.structures))
        self._structures = [frame.with_(config_type="") for frame in structures]
        self._starts = starts_of(config, self._structures)
        if structures.atom_counts.max() < 2:
            raise DataError(
                f"{config.structures[0]} has single atoms only, which go nowhere; give structures "
                "of two atoms or more."
            )
        engine = as_engine(config.engine)
        engine.check_all(structures)
        for path in config.begin.data:
            if not Path(path).is_file():
                raise DataError(f"begin.data: there is no file {path}.")
        self._inputs = {
            "structures": structures.hash,
            "engine": engine.settings_hash,
            **{f"begin.data ({path})": hash_of_file(path) for path in config.begin.data},
        }

    def run(self, on_round: Callable[[Round], None]) -> ActiveRun:
        """All rounds, as far as they are not done."""
        self._folder.begin(self._config, self._inputs)
        rounds = [self._first()]
        for number in count(1):
            folder = self._folder.round(number)
            record = self._judged(number, rounds[-1])
            learned = folder.train.exists()
            stopped = "" if learned else verdict(self._config, record)
            if not learned:
                on_round(record)
            if not (learned or stopped):
                most = may_label(self._config, record)
                self._label(folder, folder.to_learn, folder.learning, most)
                self._sort_out(folder.learning, folder.train)
            record = record.model_copy(update={"stopped": stopped})
            rounds.append(folder.write(record, rounds[-1]))
            if not learned:
                self._publish(folder)
            if stopped:
                break
        return ActiveRun(self._folder.path, tuple(rounds))

    # --- the beginning ---------------------------------------------------------------------------

    def _first(self) -> Round:
        """Labels for the first model."""
        folder = self._folder.round(0)
        folder.path.mkdir(exist_ok=True)
        if (record := folder.read()) is not None:
            return record
        record = Round(number=0, walks=self._begin(folder))
        self._label(folder, folder.to_judge, folder.judging)
        self._sort_out(folder.judging, folder.checks)
        atoms = self._config.begin.free_atoms
        self._label(folder, folder.to_learn, folder.learning, atoms=atoms)
        self._sort_out(folder.learning, folder.train)
        return folder.write(record)

    def _begin(self, folder: RoundFolder) -> list[Walk]:
        """Structures for the first labels; how the walks ended that found some of them."""
        config, structures = self._config, self._structures
        ended: list[Walk] = []
        with folder.timed("exploring"):
            if config.begin.walker is not None:
                walker, walks, ended = first_walks(config, self._starts, folder, self._pool)
            if not folder.to_judge.exists():
                learned, judges = first_structures(config, structures)
                if config.begin.walker is not None:
                    known = Dataset.from_frames([*learned, *judges])
                    choice = chosen_of(config, walker, walks, known)
                    write_candidates(folder.candidates, choice, (len(learned), len(judges)))
                    learned += choice.to_learn
                    judges += choice.to_judge
                write_frames(folder.to_learn, learned)
                write_frames(folder.to_judge, judges)
        return ended

    # --- a round ---------------------------------------------------------------------------------

    def _judged(self, number: int, last: Round) -> Round:
        """A model that is trained, has explored and is judged."""
        folder = self._folder.round(number)
        record = folder.read()
        if record is not None:
            return record
        folder.path.mkdir(exist_ok=True)
        before = [self._folder.round(k) for k in range(number)]
        with folder.timed("training"):
            potential = taught(self._config, before, folder)
        record = self._explored(folder, potential, before)
        self._label(folder, folder.to_judge, folder.judging)
        self._sort_out(folder.judging, folder.checks)
        with folder.timed("judging"):
            judged = judge(potential, folder)
        return folder.write(record.model_copy(update={"judged": judged}), last)

    def _explored(
        self, folder: RoundFolder, potential: Potential, before: Sequence[RoundFolder]
    ) -> Round:
        """What the model met, after what was chosen of it."""
        config, number = self._config, folder.number
        learned = self._given() + [frame for each in before for frame in read_frames(each.train)]
        judged = [frame for each in before for frame in read_frames(each.checks)]
        limits = Limits.of(config, potential, judged)
        walker = Walker(ModelSource.of(folder.model))
        walks = plans(config, self._starts, walker, folder.walks, number, limits.lost)
        with folder.timed("exploring"):
            ended = walk_all(walks, config.processes, self._pool)
            if not folder.to_judge.exists():
                known = Dataset.from_frames([*learned, *judged])
                frames, checks = config.select.frames, config.select.checks
                found = met_by(walks) + made_of(distorted(config, self._structures, number))
                if not found:
                    raise SimulationError(
                        f"No walk of round {number} came through a single structure "
                        f"({ended[0].reason}), and begin.rattle makes none; look more often "
                        "(explore.interval), or begin with more structures."
                    )
                choice = choose(found, potential, known, config, number, frames, checks, limits)
                write_candidates(folder.candidates, choice)
                write_frames(folder.to_learn, choice.to_learn)
                write_frames(folder.to_judge, choice.to_judge)
        met, new, largest = count_candidates(folder.candidates, limits.new)
        return Round(
            number=number,
            trained_on=len(learned),
            walks=ended,
            met=met,
            new=new,
            largest=largest,
            new_above=limits.new,
            lost_above=limits.lost,
        )

    # --- labels ----------------------------------------------------------------------------------

    def _given(self) -> list[Frame]:
        """Labelled frames that were there before."""
        begin = self._config.begin
        return list(formats.read(list(begin.data), units=begin.units)) if begin.data else []

    def _label(
        self,
        folder: RoundFolder,
        structures: Path,
        labelled: Path,
        most: int | None = None,
        *,
        atoms: bool = False,
    ) -> None:
        """Labels for the first of some structures."""
        frames = list(as_dataset([structures]))[:most] if structures.stat().st_size else []
        if not frames:
            return
        config = self._config
        with folder.timed("labelling"):
            try:
                label(
                    frames,
                    config.engine,
                    labelled,
                    processes=config.processes,
                    max_failed=config.max_failed,
                    atoms=atoms,
                    executor=self._pool,
                )
            except TooManyFailedError as error:
                raise LabellingError(
                    f"{error.found} Raise max_failed in the configuration to go on without those "
                    "that fail; or mend the engine's settings, and begin in another --output."
                ) from error

    def _sort_out(self, labelled: Path, kept: Path) -> None:
        """Keep the frames whose forces are not beyond all measure."""
        frames = Dataset.from_frames(read_frames(labelled))
        conditions = Conditions(max_force=self._config.select.max_force, findings=("none",))
        write_frames(kept, frames[filter_frames(frames, conditions).kept] if len(frames) else ())

    # --- what comes of it ------------------------------------------------------------------------

    def _publish(self, folder: RoundFolder) -> None:
        """The model where it is looked for, and what people read."""
        with atomic_path(self._folder.model) as temporary:
            shutil.copyfile(folder.model, temporary)
        self._folder.write_table()
