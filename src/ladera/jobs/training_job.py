"""A training that another code's files ask for: read, trained, and told in that code's files."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ladera.training.config import TrainingConfig
from ladera.training.preparation import prepare
from ladera.training.processes import is_first_process
from ladera.training.run_folder import RunFolder
from ladera.units import UnitSystem

if TYPE_CHECKING:
    from ladera.data.dataset import Dataset
    from ladera.potential import Potential
    from ladera.training.observer import Observer
    from ladera.training.prepared import Prepared


@dataclass(frozen=True)
class TrainingJob(ABC):
    """The training in Ladera's words, and what the other code would write of it."""

    config: TrainingConfig
    units: UnitSystem  # of the other code's files, those that are written too

    def train(
        self,
        output: str | os.PathLike[str],
        *,
        resume: bool = False,
        observer: Observer | None = None,
    ) -> Potential:
        """Train and return the best potential.

        ``output`` receives the files of :mod:`ladera.training.run_folder`, and those of the other
        code. Raises what :func:`ladera.training.trainer.train` raises.
        """
        folder = Path(output)
        if not resume:
            RunFolder(folder).require_new()
        prepared = prepare(self.config)
        potential = self.run(prepared, folder, resume, observer)
        if is_first_process():
            self.write_outputs(folder, potential, prepared.dataset)
        return potential

    @abstractmethod
    def run(
        self, prepared: Prepared, folder: Path, resume: bool, observer: Observer | None
    ) -> Potential:
        """Train, from first parameters as the other code has them."""

    @abstractmethod
    def write_outputs(self, folder: Path, potential: Potential, dataset: Dataset) -> None:
        """Write the other code's files of a finished training on all frames of ``dataset``."""
