"""The structures that the first model learns from: distorted ones, and those of a walker."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from ase import Atoms

from ladera.active.choice import Choice, choose, met_by
from ladera.active.config import ActiveConfig
from ladera.active.descent import Descent
from ladera.active.exploration import Plan, plans, walk_all
from ladera.active.folder import RoundFolder, Walk
from ladera.active.modes import thermal
from ladera.active.walker import Walker
from ladera.data.dataset import Dataset
from ladera.data.frame import Frame
from ladera.processes import Pool
from ladera.sampling.generation import Recipe, generate

_POINTS: Final = 2  # of the way of two atoms that are pushed together
_CONTACT: Final = 0.8  # of the sum of their covalent radii, where it ends


def first_structures(
    config: ActiveConfig, structures: Sequence[Frame]
) -> tuple[list[Frame], list[Frame]]:
    """The structures that were given and what is made of them: to learn from, and to judge by."""
    begin, made = config.begin, distorted(config, structures, 0)
    if begin.modes is not None and begin.walker is not None:
        walker = Walker.of(begin.walker).load()
        for place, frame in enumerate(structures):
            generator = np.random.default_rng([config.seed, 0, place, 1])
            if frame.n_atoms > 1:
                made += thermal(frame, walker, begin.modes, begin.number, generator)
    draw = np.random.default_rng([config.seed, 0, 0])
    # Not many of few: what is left has to make a model.
    judging = set(draw.permutation(len(made))[: min(config.select.checks, len(made) // 4)].tolist())
    learned = [frame.with_(config_type="given") for frame in structures]
    learned += [frame for k, frame in enumerate(made) if k not in judging]
    if begin.contacts:
        recipe = Recipe(contacts=True, points=_POINTS, closest=_CONTACT, seed=config.seed)
        learned += generate([frame for frame in structures if frame.n_atoms > 1], recipe)
    if begin.dimers:
        learned += generate(structures, Recipe(dimers=True, seed=config.seed))
    return learned, [made[k] for k in sorted(judging)]


def distorted(config: ActiveConfig, structures: Sequence[Frame], number: int) -> list[Frame]:
    """Structures with their atoms moved and their cells strained, others in each round.

    Half of them by half as much: near the start a model has to be better.
    """
    begin = config.begin
    made: list[Frame] = []
    for place, frame in enumerate(structures):
        strain = begin.strain if frame.periodic.all() else 0.0
        if frame.n_atoms < 2 or not (begin.rattle or strain):
            continue
        for part, share in ((begin.number // 2, 1.0), (begin.number - begin.number // 2, 0.5)):
            recipe = Recipe(
                rattle=share * begin.rattle or None,
                strain=share * strain or None,
                number=max(1, part),
                seed=int(np.random.default_rng([config.seed, number, place]).integers(2**31)),
            )
            made += generate([frame], recipe)
    return made


def first_walks(
    config: ActiveConfig,
    starts: Sequence[Atoms],
    folder: RoundFolder,
    pool: Pool,
) -> tuple[Walker, list[Plan | Descent], list[Walk]]:
    """The walks of who moves the atoms before there is a model."""
    assert config.begin.walker is not None
    walker = Walker.of(config.begin.walker)
    walks = plans(config, starts, walker, folder.walks, 0, None)
    return walker, walks, walk_all(walks, config.processes, pool)


def chosen_of(
    config: ActiveConfig,
    walker: Walker,
    walks: Sequence[Plan | Descent],
    known: Dataset,
) -> Choice:
    """What is chosen of the structures that these came through."""
    model = walker.load() if walker.model is not None else None
    if model is not None and model.descriptors(known[0].graph(model.cutoff)) is None:
        model = None
    frames, checks = config.begin.frames, config.select.checks
    return choose(met_by(walks), model, known, config, 0, frames, checks, None)
