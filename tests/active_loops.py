"""Folders like those that an active learning leaves, made of numbers instead of physics."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.build import bulk, molecule

from ladera.active import config as config_file
from ladera.active.choice import COLUMNS
from ladera.active.folder import ActiveFolder, Judgement, Round, RoundFolder, Walk, write_frames
from ladera.data.frame import Frame
from ladera.sampling.generation import closest_contact
from ladera.table_files import TableWriter

TEMPERATURES = (300.0, 600.0, 900.0)
ENDED = "the errors are as small as was asked"


def loop(
    folder: Path,
    *,
    rounds: int = 3,
    met: int = 60,
    stopped: bool = True,
    structures: tuple[Atoms, ...] = (molecule("CH3CH2OH"),),
    by: str = "grade",
    **changes: Any,
) -> Path:
    """An active learning of so many rounds after the beginning; the last one ended it."""
    training: dict[str, Any] = {
        "model": {"architecture": "mtp", "level": 8, "cutoff": 5.0},
        "epochs": 10,
    }
    if by == "deviation":
        training["committee"] = {"members": 3}
    values = {
        "structures": [f"{atoms.get_chemical_formula()}.xyz" for atoms in structures],
        "engine": {"engine": "tblite", "method": "GFN1-xTB"},
        "training": training,
        "explore": {"temperatures": TEMPERATURES},
        "select": {"by": by},
        "stop": {"forces": 0.05, "rounds": max(rounds, 1)},
    }
    config = config_file.parse(values | changes, "a test's configuration")
    files, draw = ActiveFolder(folder), np.random.default_rng(1)
    files.begin(config, {})
    first = files.round(0)
    first.path.mkdir()
    begun = [frame("given", atoms, draw) for atoms in structures for _ in range(8)]
    free = Frame.from_atoms(Atoms("H")).with_(energy=-10.0, config_type="IsolatedAtom")
    write_frames(first.train, [free, *begun])
    done = [
        Round(
            number=0,
            labelled=len(begun) + 1,
            labels_so_far=len(begun) + 1,
            seconds={"exploring": 1.0, "labelling": 40.0},
            seconds_so_far=41.0,
            engine_seconds=75.0,
        )
    ]
    for number in range(1, rounds + 1):
        last = stopped and number == rounds
        done.append(_round(files.round(number), done[-1], draw, structures, by, met, last))
    for record in done:
        files.round(record.number).record.write_text(record.model_dump_json())
    return folder


def frame(group: str, atoms: Atoms, draw: np.random.Generator) -> Frame:
    """A labelled structure."""
    moved = atoms.copy()
    moved.positions += 0.05 * draw.normal(size=moved.positions.shape)
    forces = draw.normal(size=moved.positions.shape)
    return Frame.from_atoms(moved).with_(config_type=group, energy=-1.0, forces=forces)


def _round(
    folder: RoundFolder,
    before: Round,
    draw: np.random.Generator,
    structures: tuple[Atoms, ...],
    by: str,
    met: int,
    last: bool,
) -> Round:
    folder.path.mkdir()
    number = folder.number
    scale = (1.0 if by == "grade" else 0.1) * 8.0 / number
    learned, rows = [], []
    for k in range(met):
        temperature = TEMPERATURES[k % 3]
        new = frame(f"{temperature:g} K", structures[k % len(structures)], draw)
        picked = k < 10
        if picked:
            learned.append(new)
        score = scale * float(draw.lognormal(-1.0, 0.6)) if k != 11 else float("nan")
        contact = closest_contact(new)[0]
        became = "too close" if k == 11 else "picked" if picked else ""
        place = k if picked else None
        rows.append(("C2H6O-0-walker-1", temperature, k, score, contact, became, place))
    made = frame("rattle-0.05", structures[0], draw)
    rows.append(("distorted", None, 1, 3.25, closest_contact(made)[0], "picked", 10))
    with TableWriter(folder.candidates, COLUMNS, digits=6) as table:
        for row in rows:
            table.write(dict(zip(COLUMNS, row, strict=True)))
    if not last:
        write_frames(folder.train, reversed([*learned, made]))
    hottest = TEMPERATURES[min(number, 3) - 1]
    walks = [
        Walk(folder="C2H6O-0-walker-1", structure="C2H6O", reached=hottest, ended="finished"),
        Walk(folder="C2H6O-0-walker-2", structure="C2H6O", reached=300.0, ended="finished"),
        Walk(folder="C2H6O-0-judge", structure="C2H6O", ended="lost", reason="grade 12 of <b>"),
    ]
    if last:
        walks = [each.model_copy(update={"reached": 900.0, "ended": "finished"}) for each in walks]
    seconds = {"training": 30.0 * number, "exploring": 50.0, "labelling": 200.0, "judging": 0.5}
    return Round(
        number=number,
        trained_on=before.trained_on + (11 if number > 1 else 8),
        walks=walks,
        met=met,
        new=met // (3 * number),
        largest=9.5 / number,
        new_above=2.0,
        lost_above=10.0,
        labelled=10 if last else 21,
        labels_so_far=before.labels_so_far + (10 if last else 21),
        failed=1,
        left_out=number - 1,
        engine_seconds=500.0 + 10 * number,
        judged=Judgement(
            frames=10,
            energy=0.02 / number,
            energy_rmse=0.03 / number,
            forces=0.3 / number**1.5,
            forces_rmse=0.41 / number**1.5,
            by_group={
                "rattle-0.05": 0.05,
                **{f"{t:g} K": t / 4000 / number for t in reversed(TEMPERATURES)},
            },
        ),
        seconds=seconds,
        seconds_so_far=before.seconds_so_far + sum(seconds.values()),
        stopped=ENDED if last else "",
    )


def crystal() -> Atoms:
    """One."""
    return bulk("Si", cubic=True)
