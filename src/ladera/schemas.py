"""What the records in Ladera's JSON files are made of; each file's own schema is where it is read.

Keys that a schema does not name may be there: older and newer versions write others.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, JsonValue


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
