"""How a result was made: the record of :mod:`ladera.provenance` in words, and whole."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

Record = Mapping[str, Any]


def section(record: Record) -> dict[str, Any] | None:
    """What the template shows of a record; None where there is none, as before version 0.3."""
    if not record:
        return None
    return {
        "facts": list(_facts(record)),
        "record": json.dumps(record, indent=2, ensure_ascii=False),
    }


def _facts(record: Record) -> Iterator[tuple[str, str]]:
    if record.get("command"):
        yield "Command", str(record["command"])
    for name in ("model", "structure", "end", "data", "measured"):
        part = record.get(name)
        if isinstance(part, Mapping):
            yield name.capitalize(), _described(part)
    versions = record.get("versions")
    if isinstance(versions, Mapping):
        yield "Versions", ", ".join(f"{name} {which}" for name, which in versions.items())
    if record.get("date"):
        yield "Made on", str(record["date"]).replace("T", " ").replace("+00:00", " UTC")
    machine = record.get("machine")
    if isinstance(machine, Mapping):
        yield "Machine", f"{machine.get('host')}, {machine.get('system')}"


def _described(part: Record) -> str:
    """A model, a structure or data in a line: what it is, its files, its hash."""
    words = [part.get(key) for key in ("architecture", "calculator", "formula")]
    parts = part.get("trajectories", [part])
    words += [file.get("path") for each in parts for file in each.get("files") or ()]
    if part.get("sha256"):
        words.append(f"SHA-256 {str(part['sha256'])[:16]}…")
    return ", ".join(str(word) for word in words if word)
