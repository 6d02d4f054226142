"""How long a labelling would take, by a timed sample."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ladera import progress
from ladera.errors import LabellingError
from ladera.labelling.engines.registry import EngineLike, as_engine
from ladera.labelling.journal import Journal
from ladera.labelling.labelled import Frames, as_dataset
from ladera.labelling.plan import Plan, check, folder_of, processes_for
from ladera.processes import Runner

if TYPE_CHECKING:
    from ladera.arrays import Floats


class Estimate(NamedTuple):
    """What a labelling would take."""

    frames: int  # to be labelled
    before: int  # that are there already
    sample: tuple[tuple[str, float], ...]  # formula and seconds of frames that were tried
    seconds: float  # of all, on so many processes


def estimate(
    frames: Frames,
    engine: EngineLike,
    output: str | os.PathLike[str],
    *,
    processes: int = 1,
    threads: int = 1,
    time_limit: float | None = None,
    atoms: bool = False,
    runner: Runner | None = None,
) -> Estimate:
    """How long :func:`ladera.label` would take, by the time of a few frames.

    Nothing of them is kept. They are the smallest, one in the middle and the largest, by their
    electrons. Raises what :func:`ladera.label` raises, and LabellingError where one of them fails.
    """
    path = Path(output)
    check(path, processes, time_limit, None)
    plan = Plan.of(as_dataset(frames), as_engine(engine), atoms)
    done = Journal(folder_of(path), path).done if folder_of(path).is_dir() else set()
    left = [k for k in range(len(plan)) if plan.ids[k] not in done]
    if not left:
        return Estimate(0, len(plan), (), 0.0)
    sizes = np.array([plan.electrons(k) for k in left], dtype=float)
    order = np.argsort(sizes, kind="stable")
    chosen = sorted({int(order[0]), int(order[len(order) // 2]), int(order[-1])})
    tasks = {plan.task(left[k], time_limit=time_limit): k for k in chosen}
    seconds = {}
    with progress.Task("frames tried", len(chosen)) as task:
        for each, outcome in (runner or processes_for(processes, threads, len(chosen))).run(tasks):
            k = tasks[each]
            if outcome.labels is None:
                place = plan.place(left[k])
                raise LabellingError(f"{place} could not be labelled: {outcome.reason}")
            seconds[k] = outcome.wall
            task.advance()
    total = float(_times(sizes, sizes[chosen], np.array([seconds[k] for k in chosen])).sum())
    sample = tuple((plan.frame(left[k]).formula, seconds[k]) for k in chosen)
    return Estimate(len(left), len(plan) - len(left), sample, total / min(processes, len(left)))


def _times(sizes: Floats, known: Floats, seconds: Floats) -> Floats:
    """Seconds of frames by their sizes: a power law between those that are known."""
    distinct = np.unique(known)
    means = np.array([max(float(seconds[known == size].mean()), 1e-4) for size in distinct])
    times: Floats = np.exp(np.interp(np.log(sizes), np.log(distinct), np.log(means)))
    return times
