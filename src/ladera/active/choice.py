"""Which of the structures met are labelled: what is new and differs most, and some by chance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from ase.data import chemical_symbols

from ladera import table_files
from ladera.active.config import ActiveConfig
from ladera.active.descent import Descent
from ladera.active.exploration import Plan
from ladera.arrays import Booleans, Floats, Integers
from ladera.data.dataset import Dataset
from ladera.data.frame import Frame
from ladera.errors import SimulationError
from ladera.files import atomic_path
from ladera.potential import Potential
from ladera.sampling.generation import closest_contact
from ladera.sampling.selection import farthest_points, fingerprints, scores
from ladera.table_files import TableWriter

COLUMNS: Final = ("walk", "temperature_k", "step", "score", "contact", "became", "place")
DISTORTED: Final = "distorted"
_SAME: Final = 1e-6  # relative distance within which two structures are one


def met_by(plans: Sequence[Plan | Descent]) -> list[Candidate]:
    """All that walks came through."""
    return [
        Candidate(met.frame, plan.folder.name, met.temperature, met.step, plan.judges, met.rest)
        for plan in plans
        for met in plan.met()
    ]


def made_of(frames: Sequence[Frame]) -> list[Candidate]:
    """Structures that were made as candidates; each third one is to judge by."""
    return [Candidate(each, DISTORTED, None, k, k % 3 == 0) for k, each in enumerate(frames)]


class Limits(NamedTuple):
    """Scores above which a structure is new, and above which dynamics ends."""

    new: float
    lost: float

    @classmethod
    def of(cls, config: ActiveConfig, potential: Potential, unseen: Sequence[Frame]) -> Limits:
        """Those of the configuration, in units of what the unseen have.

            limit = max(1, median of the grades of frames kept back) * select.above or .lost

        While there are fewer atoms of an element than the last layer has inputs, every structure
        has directions that the active set has not seen, and a grade far above 1, however well it is
        predicted; a frame kept back says how far. With data enough the median is below 1.
        Deviations of a committee are in eV/Angstrom, and mean the same everywhere.
        """
        select, scale = config.select, 1.0
        if select.by == "grade" and unseen:
            marks = _scores(potential, Dataset.from_frames(unseen), config)
            scale = max(1.0, float(np.median(marks)))
        return cls(scale * select.new, scale * select.end)


class Candidate(NamedTuple):
    """A structure that was met."""

    frame: Frame
    walk: str
    temperature: float | None  # K, 0 of a relaxation; None of what was not met by a walk
    step: int
    judges: bool  # it may judge, and is not learned
    rest: bool = False  # a relaxation ended here

    @property
    def group(self) -> str:
        """What its frame is called by, and counted with."""
        if self.temperature is None:
            return self.frame.config_type
        return f"{self.temperature:g} K"


@dataclass(frozen=True, eq=False)
class Choice:
    """What becomes of candidates."""

    candidates: Sequence[Candidate]
    scores: Floats  # (n,)
    contacts: Floats  # (n,) the least d / (r_i + r_j)
    became: list[str]  # picked, check, too close, or ""
    picked: Integers  # in the order of choice
    checks: Integers

    @property
    def to_learn(self) -> Dataset:
        """The best first."""
        return Dataset.from_frames([_grouped(self.candidates[k]) for k in self.picked])

    @property
    def to_judge(self) -> Dataset:
        """In the order in which they were met."""
        return Dataset.from_frames([_grouped(self.candidates[k]) for k in self.checks])

    def rows(self, before: tuple[int, int]) -> list[dict[str, float | int | str | None]]:
        """Of ``candidates.csv``; so many structures are learned and judged before these."""
        places = [
            {int(k): first + place for place, k in enumerate(chosen)}
            for first, chosen in zip(before, (self.picked, self.checks), strict=True)
        ]
        place_of = places[0] | places[1]
        return [
            {
                "walk": each.walk,
                "temperature_k": each.temperature,
                "step": each.step,
                "score": float(self.scores[k]),
                "contact": float(self.contacts[k]),
                "became": self.became[k],
                "place": place_of.get(k),
            }
            for k, each in enumerate(self.candidates)
        ]


def choose(
    candidates: Sequence[Candidate],
    potential: Potential | None,
    known: Dataset,
    config: ActiveConfig,
    number: int,
    frames: int,
    checks: int,
    limits: Limits | None,
) -> Choice:
    """Choose so many ``frames`` to learn, and ``checks`` to judge by, among candidates.

    ``known`` are the frames that are labelled already. The judge's walk gives the checks, by
    chance, and where it came through too few, structures that were made. The other walks give what
    is learned: first where relaxations ended, then those whose score is above ``limits.new``,
    farthest from each other and from what is known, then, while there is room, others. Without
    limits there are no scores: the potential is not the one that learns. Without a potential, where
    an engine walks, those that are learned come in equal steps.

    Raises SimulationError where the potential gives scores that are no numbers.
    """
    dataset = Dataset.from_frames([each.frame for each in candidates])
    contacts = np.array([closest_contact(each.frame)[0] for each in candidates])
    sound = contacts >= config.select.closest
    judges = np.array([each.judges for each in candidates])
    marks = np.full(len(candidates), np.nan)
    if potential is not None and limits is not None:
        marks[sound] = _scores(potential, dataset[np.flatnonzero(sound)], config)
    walked = np.array([each.temperature is not None for each in candidates])
    draw = np.random.default_rng([config.seed, number, 1])
    judging = [
        draw.permutation(np.flatnonzero(judges & sound & part)) for part in (walked, ~walked)
    ]
    chosen = np.sort(np.concatenate(judging)[:checks])
    possible = sound & ~judges
    if potential is None:
        picked = _evenly(np.flatnonzero(possible), frames)
    else:
        elements = tuple(sorted({int(z) for each in candidates for z in each.frame.numbers}))
        points = fingerprints(potential, dataset, elements)
        before = fingerprints(potential, _of_elements(known, elements), elements)
        before = np.concatenate([before, points[chosen]])
        rests = np.array([each.rest for each in candidates])
        new = marks > (np.inf if limits is None else limits.new)
        picked = np.empty(0, dtype=np.int64)
        for part in (rests, ~rests & new, ~rests & ~new):
            found = _farthest(points, before, possible & part, frames - len(picked))
            before = np.concatenate([before, points[found]])
            picked = np.concatenate([picked, found])
    became = np.where(sound, "", "too close").astype(object)
    became[picked], became[chosen] = "picked", "check"
    return Choice(candidates, marks, contacts, became.tolist(), picked, chosen)


def _scores(potential: Potential, dataset: Dataset, config: ActiveConfig) -> Floats:
    """How little the potential knows of each structure."""
    marks = scores(potential, dataset, config.select.by)
    if not np.isfinite(marks).all():
        worst = dataset[int(np.flatnonzero(~np.isfinite(marks))[0])]
        raise SimulationError(
            f"The model's {config.select.by} of {worst.source} is no number, so that nobody knows "
            "what is new to it; look at its training."
        )
    return marks


def _evenly(rows: Integers, number: int) -> Integers:
    """So many of them in equal steps."""
    steps = np.linspace(0, len(rows) - 1, min(number, len(rows))).round().astype(np.int64)
    return np.asarray(rows[np.unique(steps)], dtype=np.int64)


def write_candidates(path: Path, choice: Choice, before: tuple[int, int] = (0, 0)) -> None:
    """``candidates.csv``: a row for each structure that was met.

    With its place, from 0, in the file of those to be learned or that of those that judge, where
    so many stand ``before`` them.
    """
    with atomic_path(path) as temporary, TableWriter(temporary, COLUMNS, digits=6) as table:
        for row in choice.rows(before):
            table.write(row)


def count_candidates(path: Path, limit: float) -> tuple[int, int, float | None]:
    """How many structures walks met, how many of them are new, and the largest score.

    New is what has a score above the limit, or atoms that are too close to be asked for one.
    """
    table = table_files.read(path, text=("walk", "became"))
    walked = np.array([name != DISTORTED for name in table["walk"]], dtype=bool)
    marks = np.asarray(table["score"], dtype=float)[walked]
    known = marks[np.isfinite(marks)]
    new = int((known > limit).sum()) + len(marks) - len(known)
    return len(marks), new, float(known.max()) if len(known) else None


def _farthest(points: Floats, known: Floats, among: Booleans, number: int) -> Integers:
    """Rows that differ most; none that is the same as another or as one that is known."""
    rows = np.flatnonzero(among)
    if not len(rows) or number < 1:
        return np.empty(0, dtype=np.int64)
    chosen = farthest_points(points[rows], known, number)
    size = float(np.abs(points[rows]).max()) or 1.0
    first = points[rows[chosen.indices[0]]] if len(chosen.indices) else points[:0]
    nearest = np.linalg.norm(known - first, axis=1).min() if len(known) else np.inf
    last = np.concatenate([[nearest], chosen.radii[:-1]])  # how far each was from those before
    return np.asarray(rows[chosen.indices[last > _SAME * size]], dtype=np.int64)


def _of_elements(known: Dataset, elements: Sequence[int]) -> Dataset:
    """Frames of no other elements than these."""
    wanted = {chemical_symbols[number] for number in elements}
    others = [column for column, symbol in enumerate(known.symbols) if symbol not in wanted]
    return known[np.flatnonzero(~(known.compositions[:, others] > 0).any(axis=1))]


def _grouped(candidate: Candidate) -> Frame:
    return candidate.frame.with_(config_type=candidate.group)
