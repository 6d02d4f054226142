"""What configurations, and the records in Ladera's JSON files, are made of.

Each file's own schema is where it is read. Keys that the schema of a record does not name may be
there: older and newer versions write others.
"""

from __future__ import annotations

from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, JsonValue, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError


class Configured(BaseModel):
    """What people write: an unknown key is refused, and so is a truth where a number is wanted.

    YAML reads yes, on and true as one and the same, and Python counts it as 1.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _no_truth_for_a_number(cls, value: Any, info: ValidationInfo) -> Any:
        field = cls.model_fields[info.field_name or ""]
        if _holds_truth(value) and not _holds(field.annotation, bool):
            kind = "int_type" if not _holds(field.annotation, float) else "float_type"
            raise PydanticCustomError(kind, "this should be a number")
        return value


def _holds_truth(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_holds_truth, value.values()))
    if isinstance(value, list | tuple):
        return any(map(_holds_truth, value))
    return isinstance(value, bool)


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


class Described(Stored):
    """What was used: a model, a structure or data, with its hash and files."""

    sha256: str | None = None
    files: list[dict[str, JsonValue]] | None = None
    trajectories: tuple[Described, ...] = ()


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
