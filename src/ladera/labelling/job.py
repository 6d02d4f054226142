"""Labelling a set of frames by an engine: side by side, resumed, with what failed set aside."""

from __future__ import annotations

import logging
import os
import warnings
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ladera import display, progress
from ladera.arguments import checked
from ladera.data.formats import extended_xyz
from ladera.data.formats.labels import DataWarning
from ladera.errors import ConfigError, TooManyFailedError
from ladera.executors import JOBS, ExecutorLike, opened
from ladera.files import require_place, write_text_atomic
from ladera.labelling.engines.registry import EngineLike, as_engine
from ladera.labelling.journal import Entry, Journal
from ladera.labelling.labelled import Frames, as_dataset
from ladera.labelling.plan import Plan, check, folder_of, name_spins, processes_for
from ladera.labelling.work import Outcome
from ladera.lock import locked
from ladera.processes import Results, Runner, Task

log = logging.getLogger(__name__)

_SHARE: Final = 0.1  # of the frames that may fail
_FEW: Final = 3  # that may fail in any case
_FIRST: Final = 5  # frames that failed, and none went well: the engine is to blame


@dataclass(frozen=True, repr=False)
class LabelRun:
    """What :func:`label` did, and where it is."""

    path: Path  # the data file
    labelled: int  # frames, now
    before: int  # frames that were there already
    repeated: int  # frames that are the same as another, and are labelled once
    failed: tuple[Entry, ...]  # frames that are set aside, with their reasons and logs
    wall: float  # s, of the frames that were labelled now
    cpu: float  # s

    def __repr__(self) -> str:
        """Counts."""
        counts = [f"{self.labelled:,} labelled", f"{self.before:,} before"]
        counts += [f"{len(self.failed):,} failed"] * bool(self.failed)
        return display.lines("LabelRun", [*counts, str(self.path)])


@checked
def label(
    frames: Frames,
    engine: EngineLike,
    output: str | os.PathLike[str],
    *,
    processes: int = 1,
    threads: int = 1,
    time_limit: float | None = None,
    max_failed: float | None = None,
    atoms: bool = False,
    again: bool = False,
    executor: ExecutorLike | None = None,
) -> LabelRun:
    """Label frames by an engine, and append them to a data file in extended XYZ.

    ``frames`` are a data set, files, Frames or ASE's Atoms; ``engine`` is what
    :func:`ladera.labelling.engines.as_engine` takes. ``output`` is made, or appended to. Beside it
    a folder OUTPUT.label has the journal by which the same call goes on after whatever stopped it,
    no frame being computed twice; the logs of frames that failed; and these in failed.extxyz.

    ``processes`` frames are computed at the same time, with ``threads`` threads each, or as many as
    the jobs of an ``executor`` do (:func:`ladera.executors.as_executor`). A frame that takes longer
    than ``time_limit`` s fails, as does one whose calculation ends with an error, does not converge
    or gives what is no finite number. If the settings have a ``retry`` it is tried again with that.
    When more than the share
    ``max_failed`` of the frames have failed (by default a tenth, and at least three), or all of the
    first five, the labelling stops. With ``again`` those that failed before are computed again.
    With ``atoms`` a free atom of each element is labelled, too, in its ground state.

    Raises ConfigError or DataError, before the first calculation, for settings that cannot work and
    for a frame that cannot be computed with them; LabellingError where too many frames fail.
    """
    path = Path(output)
    check(path, processes, time_limit, max_failed)
    plan = Plan.of(as_dataset(frames), as_engine(engine), atoms)
    name_spins(frames, plan.engine)
    here = processes_for(processes, threads, len(plan))
    require_place(folder_of(path) / "journal")
    with opened(executor, folder_of(path) / JOBS) as pool, locked(folder_of(path)):
        job = _Job(plan, path, time_limit, max_failed)
        return job.run(pool.runner(here), again)


class _Job:
    """A labelling in progress, which holds its folder."""

    def __init__(
        self, plan: Plan, path: Path, time_limit: float | None, max_failed: float | None
    ) -> None:
        self._plan, self._path, self._folder = plan, path, folder_of(path)
        self._time_limit = time_limit
        share = _SHARE if max_failed is None else max_failed
        self._most = max(share * len(plan), 0 if max_failed is not None else _FEW)
        self._journal = Journal(self._folder, path)
        self._labelled, self._wall, self._cpu = 0, 0.0, 0.0

    def run(self, runner: Runner, again: bool) -> LabelRun:
        """Label what is left."""
        plan, journal = self._plan, self._journal
        journal.mend()
        if again and journal.failed:
            journal.add(Entry(kind="again"))
        done = {*journal.done, *journal.failed}
        first = {key: k for k, key in reversed(list(enumerate(plan.ids)))}  # of the same frames
        left = [k for key, k in first.items() if key not in done]
        left.sort()
        before = sum(key in journal.done for key in first)
        self._require_one_level()
        if left:
            journal.begin(plan.key, **plan.describe())
            log.info("%d of %d frames are to be labelled.", len(left), len(plan))
        self._require_few()
        try:
            with progress.Task("frames labelled", len(first), done=len(first) - len(left)) as task:
                self._work(runner, deque((k, False) for k in left), task)
        finally:
            self._write_failed()
        if journal.open_session is not None:
            journal.end()
        counts = self._labelled, before, len(plan) - len(first)
        return LabelRun(self._path, *counts, self._failed(), self._wall, self._cpu)

    def _require_one_level(self) -> None:
        """Refuse labels of another level of theory, and warn of other settings of the same."""
        now = self._plan.engine.describe()
        for engine in self._journal.engines:
            if engine.get("method") != now["method"]:
                raise ConfigError(
                    f"{self._path} holds labels of {engine.get('method')}, and these would be of "
                    f"{now['method']}; give another --output, and train on one level of theory."
                )
            if engine.get("settings_hash") != now["settings_hash"]:
                warnings.warn(
                    f"{self._path} holds labels of {now['method']} with other settings "
                    f"({engine.get('settings_hash')}, now {now['settings_hash']}): frames that it "
                    "has are labelled again. Each frame says its settings.",
                    DataWarning,
                    stacklevel=4,
                )

    def _work(self, runner: Runner, queue: deque[tuple[int, bool]], task: progress.Task) -> None:
        """Compute all that is in a queue, and what comes back to it for a second attempt."""
        of: dict[Task[Outcome], tuple[int, bool]] = {}

        def tasks() -> Iterator[Task[Outcome]]:
            while queue:
                k, second = queue.popleft()
                made = self._plan.task(
                    k,
                    second=second,
                    time_limit=self._time_limit,
                    log_file=self._log(k),
                    scratch=self._folder.resolve(),
                )
                of[made] = k, second
                yield made

        while queue:  # a second attempt may come when nobody takes tasks any more
            with closing(runner.run(tasks())) as results:
                self._take(results, of, queue, task)

    def _take(
        self,
        results: Results[Outcome],
        of: dict[Task[Outcome], tuple[int, bool]],
        queue: deque[tuple[int, bool]],
        task: progress.Task,
    ) -> None:
        """Keep what comes."""
        for made, outcome in results:
            k, second = of.pop(made)
            if outcome.labels is not None:
                self._keep(k, outcome, second)
            elif not second and self._plan.second(k) is not None:
                self._note(k, f"The first attempt failed: {outcome.reason}")
                queue.append((k, True))
                continue
            else:
                self._set_aside(k, outcome, second)
            failed = len(self._failed())
            pace = self._wall / max(self._labelled, 1)
            task.advance(1, f"{pace:.3g} s each" + f", {failed} failed" * bool(failed))
            self._require_few()

    def _log(self, k: int) -> Path:
        logs = self._folder / "logs"
        logs.mkdir(exist_ok=True)
        return logs / f"{k:06d}-{self._plan.ids[k][:8]}.log"

    def _note(self, k: int, sentence: str) -> None:
        with self._log(k).open("a", encoding="utf-8") as file:
            file.write(f"\n--- {sentence}\n\n")

    def _keep(self, k: int, outcome: Outcome, second: bool) -> None:
        """Write a frame with its labels."""
        labels = outcome.labels
        if labels is None:
            return
        more: dict[str, Any] = {
            "engine": f"{outcome.version} {self._plan.engine.method}",
            "settings": outcome.settings,
            "wall_s": round(outcome.wall, 3),
            "cpu_s": round(outcome.cpu, 3),
            "converged": 1,
            **labels.facts,
        }
        if second:
            more["attempt"] = 2
        if labels.warnings:
            more["engine_warnings"] = "; ".join(labels.warnings)
        frame = labels.on(self._plan.frame(k), self._plan.charge(k))
        text = extended_xyz.as_text(frame, more)
        entry = Entry(
            kind="frame", id=self._plan.ids[k], frame=k, text=text, cpu=round(outcome.cpu, 3)
        )
        self._journal.add(entry)
        with suppress(OSError):
            self._log(k).unlink(missing_ok=True)
        self._labelled += 1
        self._wall += outcome.wall
        self._cpu += outcome.cpu

    def _set_aside(self, k: int, outcome: Outcome, second: bool) -> None:
        reason = f"{outcome.reason}{' (The second attempt.)' if second else ''}"
        self._note(k, f"Failed: {reason}")
        entry = Entry(
            kind="failed",
            id=self._plan.ids[k],
            frame=k,
            reason=reason,
            log=str(self._log(k)),
            source=self._plan.place(k),
            cpu=round(outcome.cpu, 3),
        )
        self._journal.add(entry)

    def _failed(self) -> tuple[Entry, ...]:
        mine = self._plan.known
        return tuple(each for key, each in self._journal.failed.items() if key in mine)

    def _require_few(self) -> None:
        """LabellingError where too many have failed."""
        failed = self._failed()
        none_good = len(failed) >= min(_FIRST, len(self._plan)) and not any(
            key in self._journal.done for key in self._plan.ids
        )
        if not failed or (len(failed) <= self._most and not none_good):
            return
        self._write_failed()
        reason, count = Counter(each.reason for each in failed).most_common(1)[0]
        first = next(each for each in failed if each.reason == reason)
        often = f", {count:,} times" if count > 1 else ""
        limit = (
            "and none could be labelled"
            if none_good
            else f"more than the {self._most:g} that may (--max-failed)"
        )
        good = len(self._journal.done & self._plan.known)
        raise TooManyFailedError(
            f"The labelling stopped: {len(failed):,} of {len(self._plan):,} frames failed, {limit}."
            f" {first.source}: {first.reason.rstrip('.')}{often}; its log is {first.log}. "
            f"{good:,} labelled frames are in {self._path}.",
            "Mend the settings, or add a retry to them, and run again: what is labelled stays, and "
            "--again computes those that failed.",
        )

    def _write_failed(self) -> None:
        """The frames that are set aside, with the reasons."""
        path, failed = self._folder / "failed.extxyz", self._failed()
        if not failed:
            path.unlink(missing_ok=True)
            with suppress(OSError):  # there are logs
                (self._folder / "logs").rmdir()
            return
        number = {key: k for k, key in enumerate(self._plan.ids)}
        texts = [
            extended_xyz.as_text(
                self._plan.frame(number[each.id]).with_(
                    energy=None, forces=None, stress=None, dipole=None, charges=None
                ),
                {"failed_because": each.reason, "log": each.log},
            )
            for each in failed
        ]
        with suppress(OSError):  # a full disk, of which more is said elsewhere
            write_text_atomic(path, "".join(texts))
