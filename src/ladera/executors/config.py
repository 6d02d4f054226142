"""What an executor is: a queue and the jobs to put into it, or a configuration file of Parsl."""

from __future__ import annotations

import os
import re
import shutil
from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Final, Literal, TypeAlias

from pydantic import Field, PositiveInt, ValidationError, field_validator

from ladera import yaml_text
from ladera.errors import ArgumentError, ConfigError, did_you_mean, told
from ladera.processes import Pool
from ladera.schemas import Configured

_TIME: Final = re.compile(r"(\d+):([0-5]\d):([0-5]\d)")
_REMEDY: Final = "begin with a line such as executor: slurm"


class ExecutorConfig(Configured):
    """Where tasks are done."""

    executor: str

    @property
    @abstractmethod
    def capacity(self) -> int:
        """How many tasks it can do at the same time; 0 where that is not known."""

    def check(self) -> None:
        """Raise ConfigError where it cannot work on this machine."""


class Queue(ExecutorConfig):
    """Jobs of a queueing system, each on a node, which do one task after the other.

    The folder that Ladera is started in and the Python it runs in must be there on the nodes, under
    the same names.
    """

    command: ClassVar[str]  # that submits

    jobs: PositiveInt = Field(1, description="how many jobs there may be at the same time")
    workers: PositiveInt = Field(1, description="tasks at the same time in a job")
    threads: PositiveInt = Field(1, description="cores of a task")
    time: str = Field("01:00:00", description="what a job may take, HH:MM:SS")
    queue: str | None = Field(None, description="the partition or queue; that of the system")
    account: str | None = Field(None, description="who pays")
    options: tuple[str, ...] = Field((), description="lines of the job's head, such as --mem=8G")
    setup: str = Field("", description="shell commands before the work, such as module load")

    @field_validator("time", mode="before")
    @classmethod
    def _is_a_time(cls, value: Any) -> str:
        # YAML reads 01:00:00 as text, and 1:30 as one, too.
        if not isinstance(value, str) or not _TIME.fullmatch(value):
            raise ValueError("expected HH:MM:SS, such as '02:00:00'")
        return value

    @field_validator("options", mode="before")
    @classmethod
    def _are_lines(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @property
    def capacity(self) -> int:
        """How many tasks all jobs do at the same time."""
        return self.jobs * self.workers

    def check(self) -> None:
        """Raise ConfigError where nobody takes jobs."""
        if shutil.which(self.command) is None:
            raise ConfigError(
                f"The executor is {self.executor}, and there is no command {self.command} here; "
                "start Ladera where jobs are submitted, or leave the executor out."
            )


class Slurm(Queue):
    """Jobs of Slurm."""

    command = "sbatch"
    executor: Literal["slurm"] = "slurm"


class PBS(Queue):
    """Jobs of PBS Pro or OpenPBS."""

    command = "qsub"
    executor: Literal["pbs"] = "pbs"


class ParslFile(ExecutorConfig):
    """A Python file with a ``config`` of Parsl, which is run."""

    executor: Literal["parsl"] = "parsl"
    file: Path
    threads: PositiveInt = Field(1, description="threads of a task")

    @property
    def capacity(self) -> int:
        """Not known before it is loaded."""
        return 0

    def check(self) -> None:
        """Raise ConfigError for a file that is not there."""
        if not self.file.is_file():
            raise ConfigError(f"There is no configuration file of Parsl {self.file}.")


# What :func:`.running.opened` takes; a pool is one that was opened already.
ExecutorLike: TypeAlias = Pool | ExecutorConfig | Mapping[str, Any] | str | os.PathLike[str]

KINDS: Final[Mapping[str, type[ExecutorConfig]]] = {"slurm": Slurm, "pbs": PBS, "parsl": ParslFile}


def as_executor(
    executor: ExecutorConfig | Mapping[str, Any] | str | os.PathLike[str],
) -> ExecutorConfig:
    """The executor that somebody means; its settings are checked.

    ``"slurm"`` or ``"pbs"`` with its defaults, a YAML file or a dictionary with its settings, or a
    Python file with a configuration of Parsl. Raises ConfigError for settings that cannot be used.
    """
    config = _config(executor)
    config.check()
    return config


def _config(executor: object) -> ExecutorConfig:
    if isinstance(executor, ExecutorConfig):
        return executor
    if isinstance(executor, Mapping):
        return parse(dict(executor), "The executor")
    if not isinstance(executor, (str, os.PathLike)):
        raise ArgumentError(
            f"The executor is {told(executor)}; give slurm, pbs, a YAML file, a dictionary, or a "
            "configuration file of Parsl."
        )
    path = Path(executor)
    if path.suffix == ".py":
        return ParslFile(file=path)
    if path.suffix.lower() in (".yaml", ".yml"):
        text = yaml_text.read(path, "write one, such as executor: slurm.")
        return parse(yaml_text.keys_of(path, text, _REMEDY), str(path), text)
    return parse({"executor": str(executor)}, f"The executor {executor}")


def parse(values: Mapping[str, Any], name: str, text: str = "") -> ExecutorConfig:
    """The settings in a dictionary, which errors call ``name``; ``text`` is the YAML of it."""
    kind = values.get("executor")
    if kind is None:
        raise ConfigError(f"{name} does not say which executor; {_REMEDY}.")
    if kind not in KINDS:
        raise ConfigError(f"{name}: executor is {told(kind)}; {did_you_mean(str(kind), KINDS)}")
    try:
        return KINDS[kind].model_validate(values)
    except ValidationError as error:
        raise ConfigError(
            yaml_text.problem_of(error, KINDS[kind], name, text, "executor")
        ) from None
