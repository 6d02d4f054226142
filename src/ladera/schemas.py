"""What configurations, and the records in Ladera's JSON files, are made of.

Each file's own schema is where it is read. Keys that the schema of a record does not name may be
there: older and newer versions write others.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, JsonValue, model_validator


class Configured(BaseModel):
    """What people write: an unknown key is refused, and so is a truth where a number is wanted.

    YAML reads yes, on and true as one and the same, and Python counts it as 1.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _no_truth_for_a_number(cls, values: Any) -> Any:
        if not isinstance(values, Mapping):
            return values
        fields = {field.alias or name: field for name, field in cls.model_fields.items()}
        return {
            key: value if _holds(kind, bool) else _without_truths(value)
            for key, value in values.items()
            for kind in [fields[key].annotation if key in fields else Any]
        }


class Truth:
    """Stands for a truth where none is wanted: nothing takes it."""

    def __init__(self, value: bool) -> None:
        self.in_words = "true" if value else "false"

    def __repr__(self) -> str:
        return self.in_words


def _without_truths(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_truths(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_without_truths(each) for each in value]
    return Truth(value) if isinstance(value, bool) else value


def _holds(kind: Any, wanted: type) -> bool:
    """Whether a type is, or is made of, another, a section of keys, or anything."""
    section = isinstance(kind, type) and issubclass(kind, BaseModel)
    anything = kind in (Any, object)
    return (
        kind is wanted
        or (wanted is bool and (section or anything))
        or any(_holds(each, wanted) for each in get_args(kind))
    )


class Stored(BaseModel):
    """An object in a JSON file."""

    model_config = ConfigDict(strict=True, extra="allow")


class StoredFile(Stored):
    """A file that something was read from."""

    path: str


class Described(Stored):
    """What was used: a model, a structure or data, with its hash and files."""

    sha256: str | None = None
    files: list[StoredFile] | None = None
    trajectories: tuple[Described, ...] = ()
    architecture: str | None = None  # of a model
    calculator: str | None = None
    published_as: str | None = None


class StoredSettings(Stored):
    """The settings of a run that say which methods it used."""

    ensemble: str | None = None
    optimizer: str | None = None


class Record(Stored):
    """The record of :mod:`ladera.provenance`: how something was made."""

    command: str | None = None
    versions: dict[str, str] | None = None
    date: str | None = None
    machine: dict[str, JsonValue] | None = None
    model: Described | None = None
    structure: Described | None = None
    end: Described | None = None
    data: Described | None = None
    measured: Described | None = None
    settings: StoredSettings = StoredSettings()
    results: tuple[Record, ...] = ()
