"""Relaxations by the model: the minima that it believes in are where its errors are.

Whatever a model has wrongly low draws a relaxation, and dynamics of a picosecond does not come
there: the cell of a soft crystal takes longer than that to find its density. So the path is met
like one of dynamics, and its end is labelled before anything else: what the reference pulls there
is what the model has to learn.
"""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np
from ase import Atoms
from ase.io.trajectory import Trajectory

from ladera.active.folder import Walk
from ladera.active.walker import ENDED, Met, Walker, explained, first_sentence, how_ended
from ladera.data.frame import Frame
from ladera.errors import SimulationError, StoppedError
from ladera.simulation.preparation import SimulationWarning
from ladera.simulation.relaxation import relax
from ladera.simulation.rows import RelaxRow
from ladera.structure import StructureWarning

_MET: Final = 20  # structures of a path, in equal steps
_FORCE: Final = 0.01  # eV/Angstrom, that is left at rest


@dataclass(frozen=True)
class Descent:
    """A relaxation of one structure."""

    atoms: Atoms
    walker: Walker
    n_steps: int  # at most
    cell: bool  # is relaxed as well
    folder: Path
    lost: float | None  # grade above which it ends
    judges: Literal[False] = False

    @property
    def _path(self) -> Path:
        return self.folder / "path"

    def steps_done(self) -> int:
        """None before it has ended: a relaxation that was killed begins again."""
        return self.n_steps if (self.folder / ENDED).exists() else 0

    def explain(self, error: Exception) -> Exception:
        """Its error, or what it means that its process was killed."""
        return explained(error, self.folder)

    def walk(self) -> Walk:
        """Go, in a process of its own."""
        shutil.rmtree(self._path, ignore_errors=True)
        ended, reason = "finished", ""
        try:
            with warnings.catch_warnings():
                # That the model makes things up on its way down is why it is sent there.
                warnings.simplefilter("ignore", SimulationWarning)
                # Its labels are of structures with this charge, which it need not be told.
                words = "The structure has a total charge"
                warnings.filterwarnings("ignore", words, StructureWarning)
                relax(
                    self.atoms,
                    self.walker.load(),
                    fmax=_FORCE,
                    steps=self.n_steps,
                    cell=self.cell,
                    folder=self._path,
                    on_row=self._check,
                )
        except StoppedError as error:
            ended, reason = "lost", str(error)
        except SimulationError as error:
            ended, reason = "broken", first_sentence(error)
        return Walk(
            folder=self.folder.name,
            structure=self.atoms.get_chemical_formula(),
            relaxation=True,
            reached=0.0 if ended == "finished" else None,
            ended=ended,
            reason=reason,
        )

    def _check(self, row: RelaxRow) -> None:
        grade = row.largest_grade
        if self.lost is not None and grade is not None and grade > self.lost:
            raise StoppedError(f"grade {grade:.3g} in step {row.step}, limit {self.lost:g}")

    def met(self) -> Iterator[Met]:
        """Structures of its path and the last one; where it began is known.

        Where the structure is none any more there is nothing that has to be labelled.
        """
        file, broken = self._path / "trajectory.traj", how_ended(self.folder).ended == "broken"
        if not file.exists():
            return
        with Trajectory(file) as frames:
            last = len(frames) - 1
            steps = np.unique(np.linspace(0, last, _MET + 1).round().astype(int))
            for step in steps[1:].tolist():
                source = f"{self.folder.name}, step {step}"
                rest = step == last and not broken
                yield Met(Frame.from_atoms(frames[step], source), 0.0, step, rest)
