"""A model that teaches a faster one, for one material: active learning with a model as engine."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from ase import Atoms
from ase.io import write

from ladera.active import config as config_file
from ladera.active.config import ActiveConfig
from ladera.active.folder import Round
from ladera.active.loop import ActiveRun, learn
from ladera.arguments import checked
from ladera.errors import ConfigError, DataError, did_you_mean
from ladera.executors import ExecutorLike
from ladera.files import atomic_path
from ladera.loading import load
from ladera.properties.agreement import Agreement, agreement, require_comparable
from ladera.properties.result import FILE
from ladera.properties.result import load as load_result
from ladera.simulation.structures import StructureLike, as_atoms
from ladera.training.config_file import set_value

STRUCTURE: Final = "structure.extxyz"
AGREEMENT: Final = "agreement"  # the folder of that result
_HEIGHT: Final = 9.0  # Angstrom, of a cell in which atoms move
_MOST_ATOMS: Final = 200  # to which a cell is repeated for that

# What is trained of each family, unless somebody says otherwise.
STUDENTS: Final[dict[str, dict[str, Any]]] = {
    "mtp": {"model": {"architecture": "mtp", "level": 16, "cutoff": 5.0}, "epochs": 60},
    "hdnnp": {"model": {"architecture": "hdnnp", "cutoff": 6.0}, "epochs": 200},
    "mace": {"model": {"architecture": "mace", "cutoff": 5.0, "channels": 32}, "epochs": 100},
    "nequip": {"model": {"architecture": "nequip", "cutoff": 5.0}, "epochs": 100},
}
_STRESS: Final = 100.0  # weight in the loss of a student of crystals
_WALK: Final = 0.25  # ps of the teacher at each temperature; the student's walks are longer
_TIMESTEPS: Final = (0.5, 1.0)  # fs, with hydrogen and without


@dataclass(frozen=True, repr=False)
class Distilled:
    """What :func:`distill` did, and how teacher and student agree."""

    run: ActiveRun
    agreement: Agreement

    def __repr__(self) -> str:
        """Both."""
        return f"{self.run!r}\n{self.agreement!r}"


def distilling(
    teacher: str,
    student: str,
    structure: Path,
    temperatures: Sequence[float],
    atoms: Atoms,
    changes: Sequence[str] = (),
) -> ActiveConfig:
    """The active learning that makes a student of a teacher; ``changes`` are key=value.

    ``atoms`` are what is in the file ``structure``.

    Raises ConfigError for a student that is none, and for what is wrong in the changes.
    """
    if student not in STUDENTS:
        raise ConfigError(f"There is no student '{student}'; {did_you_mean(student, STUDENTS)}")
    crystal = {"loss": {"stress": _STRESS}} if atoms.pbc.all() else {}
    values: dict[str, Any] = {
        "structures": str(structure),
        "engine": {"engine": "model", "model": teacher},
        "training": {**STUDENTS[student], **crystal},
        "begin": {"number": 10, "walker": teacher, "time": _WALK, "contacts": False},
        "explore": {
            "temperatures": list(temperatures),
            "timestep": _TIMESTEPS[0 if 1 in atoms.numbers else 1],
        },
        "stop": {"forces": 0.03, "rounds": 6},
    }
    for change in changes:
        set_value(values, change)
    return config_file.parse(values, "The distillation")


@checked
def distill(
    teacher: str | os.PathLike[str],
    structure: StructureLike,
    output: str | os.PathLike[str],
    *,
    student: str = "mtp",
    temperatures: Sequence[float] = (300.0, 600.0),
    changes: Sequence[str] = (),
    executor: ExecutorLike | None = None,
    on_round: Callable[[Round], None] | None = None,
) -> Distilled:
    """Make a fast student of a slow teacher, for the neighbourhood of one structure.

    ``teacher`` is a model file or the name of a published model, ``student`` a family: mtp, hdnnp,
    mace or nequip. An active learning (:func:`ladera.active.learn`) in ``output`` with the teacher
    as engine, whose configuration ``changes`` such as "explore.time=5" change; then both are
    compared on the structure (:func:`ladera.properties.agreement.agreement`). Atoms move in a cell
    that is repeated until it is 9 Angstrom high.

    The same call goes on where it was interrupted. What could not be compared, such as the modes of
    a structure that the teacher does not relax, stands in ``agreement.not_compared``; the same call
    tries it again. Raises what these functions raise; PropertyError at once for a structure on
    which models cannot be compared at all.
    """
    atoms, folder = as_atoms(structure), Path(output)
    require_comparable(atoms)
    place = folder / STRUCTURE
    # Written anew each time: the loop refuses one that is another than it began with.
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_path(place) as temporary:
        write(temporary, _repeated(atoms), format="extxyz")
    name = os.fspath(teacher)
    config = distilling(name, student, place, list(temperatures), atoms, list(changes))
    run = learn(config, folder, executor=executor, on_round=on_round)
    results = folder / AGREEMENT
    if (results / FILE).exists():
        found = load_result(results)
        if not isinstance(found, Agreement):
            raise DataError(f"{results} holds a result of another kind; move it away.")
        if not found.not_compared:
            return Distilled(run, found)
    names = Path(name).name, f"{student} student"
    found = agreement(as_atoms(place), load(name), load(run.model), names=names)
    found.save(results)
    return Distilled(run, found)


def _repeated(atoms: Atoms) -> Atoms:
    """The cell repeated along each periodic vector until it is high enough for dynamics."""
    atoms = atoms.copy()
    # Of what is said besides a file holds plain values, and not how ASE has built a surface.
    atoms.info = {key: value for key, value in atoms.info.items() if np.isscalar(value)}
    if not atoms.pbc.any():
        return atoms
    whole = atoms.cell.complete()  # of a slab the third vector may be left out
    volume, cell = whole.volume, whole.array
    heights = [volume / np.linalg.norm(np.cross(cell[k - 2], cell[k - 1])) for k in range(3)]
    counts = [
        max(1, int(np.ceil(_HEIGHT / height))) if periodic else 1
        for height, periodic in zip(heights, atoms.pbc, strict=True)
    ]
    while len(atoms) * np.prod(counts) > _MOST_ATOMS and max(counts) > 1:
        counts[int(np.argmax(counts))] -= 1
    repeated: Atoms = atoms.repeat(counts)
    return repeated
