"""What a labelling is to do: which frames, by which settings, on how many processes."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from ase import Atoms

from ladera import provenance
from ladera.data.dataset import Dataset
from ladera.data.frame import Frame
from ladera.errors import ConfigError, LabellingError
from ladera.identity import describe_data, sha256
from ladera.labelling.engines.contract import Engine, EngineConfig
from ladera.labelling.engines.registry import build, second_attempt
from ladera.labelling.free_atoms import config_of_atoms, free_atoms
from ladera.labelling.labelled import Frames
from ladera.labelling.work import Outcome, compute, lost
from ladera.processes import Processes, Task
from ladera.structure import StructureWarning, spin_state

_PATIENCE: Final = 5.0  # s, that a frame in work is given when all is to stop
_STOPPED: Final = "what is labelled is safe; the same command goes on with the rest"


def folder_of(output: Path) -> Path:
    """The folder with the journal and the logs of a data file."""
    return output.with_name(f"{output.name}.label")


def check(path: Path, processes: int, time_limit: float | None, max_failed: float | None) -> None:
    if path.suffix.lower() not in (".xyz", ".extxyz"):
        raise ConfigError(
            f"{path} cannot be appended to frame by frame; give a file that ends in .extxyz, and "
            "convert that (ladera data convert) when all is done."
        )
    if path.is_dir():
        raise ConfigError(f"{path} is a folder; name a file, such as {path / 'data.extxyz'}.")
    if processes < 1:
        raise ConfigError.of("processes", processes, "it must be at least 1")
    if time_limit is not None and not time_limit > 0:
        raise ConfigError.of("time_limit", f"{time_limit:g}", "it must be above zero")
    if max_failed is not None and not 0 <= max_failed <= 1:
        raise ConfigError.of("max_failed", f"{max_failed:g}", "it is a share, from 0 to 1")


def name_spins(frames: Frames, engine: Engine) -> None:
    """Warn of spins of structures at hand other than those with which they are computed."""
    several = [frames] if isinstance(frames, Atoms) else frames
    for k, atoms in enumerate(several if isinstance(several, list | tuple) else ()):
        if not isinstance(atoms, Atoms) or not (said := spin_state(atoms)):
            continue
        unpaired = abs(round(float(atoms.get_initial_magnetic_moments().sum())))
        if engine.has_spin and engine.multiplicity_of(Frame.from_atoms(atoms)) == 1 + unpaired:
            continue
        warnings.warn(
            f"Frame {k} has {' and '.join(said)}, which labels are computed without: its spin is "
            "the multiplicity of the settings.",
            StructureWarning,
            stacklevel=4,
        )
        return


def processes_for(count: int, threads: int, most: int) -> Processes:
    """Processes for at most so many frames."""
    return Processes(max(1, min(count, most)), threads=threads, stopped=_STOPPED)


class Plan:
    """Frames and the settings by which each of them is computed; free atoms come first."""

    def __init__(self, dataset: Dataset, engine: Engine, free: Sequence[Frame]) -> None:
        self._dataset, self._free = dataset, free
        self.engine = engine
        self._of_atoms = build(config_of_atoms(engine.config)) if free else engine
        self.ids = [
            sha256(_hash(self.frame(k)), self._engine(k).settings_hash)[:24]
            for k in range(len(self))
        ]
        self.known = frozenset(self.ids)

    @classmethod
    def of(cls, dataset: Dataset, engine: Engine, atoms: bool) -> Plan:
        """All is checked."""
        if not len(dataset):
            raise LabellingError("There are no frames to be labelled; give some.")
        engine.check_all(dataset)
        free = free_atoms(dataset, engine) if atoms else []
        plan = cls(dataset, engine, free)
        if free:
            plan._of_atoms.check_all(Dataset.from_frames(free))
        return plan

    def __len__(self) -> int:
        return len(self._free) + len(self._dataset)

    def _engine(self, k: int) -> Engine:
        return self._of_atoms if k < len(self._free) else self.engine

    def frame(self, k: int) -> Frame:
        """One of them."""
        atoms = len(self._free)
        return self._free[k] if k < atoms else self._dataset[k - atoms]

    def place(self, k: int) -> str:
        """It in words."""
        atoms = len(self._free)
        source = self.frame(k).source
        return f"The {source}" if k < atoms else f"Frame {k - atoms} ({source})"

    def electrons(self, k: int) -> int:
        """What its cost goes by."""
        return max(1, int(self.frame(k).numbers.sum()))

    def charge(self, k: int) -> float | None:
        """The total charge to be stored with it; None of a frame that says none and has none."""
        frame = self.frame(k)
        charge = self._engine(k).charge_of(frame)
        return float(charge) if charge or frame.total_charge is not None else None

    def second(self, k: int) -> EngineConfig | None:
        """The settings of its second attempt."""
        return second_attempt(self._engine(k).config)

    def task(
        self,
        k: int,
        *,
        second: bool = False,
        time_limit: float | None = None,
        log_file: Path | None = None,
        scratch: Path | None = None,
    ) -> Task[Outcome]:
        """Its computation."""
        config = (self.second(k) if second else None) or self._engine(k).config
        return Task(
            partial(compute, config.model_dump_json(), self.frame(k), scratch),
            output=log_file or Path(os.devnull),
            limit=time_limit or config.time_limit,
            patience=_PATIENCE,
            rescue=lost,
        )

    @property
    def key(self) -> str:
        """What tells it from another."""
        return sha256(*self.ids)

    def describe(self) -> dict[str, Any]:
        """For the journal."""
        return {
            "engine": self.engine.describe(),
            "data": describe_data(self._dataset, ()),
            **provenance.how(),
        }


def _hash(frame: Frame) -> str:
    structure = frame.structure
    charge = repr(structure.total_charge)
    return sha256(
        structure.numbers, structure.positions, structure.cell, structure.periodic, charge
    )
