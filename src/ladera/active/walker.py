"""Who moves the atoms of a walk, and what a walk leaves."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

from ladera.active.folder import Walk
from ladera.data.frame import Frame
from ladera.errors import SimulationError
from ladera.files import read_json
from ladera.labelling.engines.registry import as_config, as_engine, parse
from ladera.labelling.engines.teacher import TeacherConfig
from ladera.loading import ModelSource, as_potential
from ladera.potential import Potential
from ladera.processes import ProcessEndedError

ENDED: Final = "ended.json"  # how a walk ended


@dataclass(frozen=True)
class Walker:
    """Who moves the atoms, by what another process needs to make it."""

    model: ModelSource | None = None
    engine: str = ""  # its settings, as JSON

    @classmethod
    def of(cls, walker: str | Mapping[str, Any]) -> Walker:
        """What ``begin.walker`` means; models walk faster by themselves than as engines."""
        config = as_config(walker)
        if (
            isinstance(config, TeacherConfig)
            and config.model_dump(exclude={"engine", "model"}, exclude_defaults=True) == {}
        ):
            return cls(ModelSource.of(config.model))
        return cls(engine=config.model_dump_json())

    def load(self) -> Potential:
        """It."""
        if self.model is not None:
            return self.model.load()
        return as_potential(as_engine(parse(json.loads(self.engine), "The walker")).calculator())


class Met(NamedTuple):
    """A structure that a walk came through."""

    frame: Frame
    temperature: float  # K; 0 of a relaxation
    step: int
    rest: bool = False  # where a relaxation ended


def how_ended(folder: Path) -> Walk:
    """The record of a walk in its folder."""
    return Walk.model_validate(read_json(folder / ENDED, Walk))


def explained(error: Exception, folder: Path) -> Exception:
    """The error of a walk, or what it means that its process was killed."""
    if not isinstance(error, ProcessEndedError):
        return error
    return SimulationError(
        f"The walk in {folder} was killed (exit code {error.exit_code}), perhaps because "
        "there was too little memory; take fewer processes and run it again: it goes on from "
        "its last restart point."
    )


def first_sentence(error: Exception) -> str:
    """Why a walk ended, without what to do about it."""
    said = str(error)
    return said.partition(": ")[2].partition(". ")[0] or said
