"""The part of the page about a fine-tuning: what could change, and what was forgotten."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ladera.errors import DataError
from ladera.report.training_section import ERROR_UNITS


@dataclass(frozen=True)
class ForgettingRow:
    """Root mean square errors on the replay frames of one quantity."""

    quantity: str
    unit: str
    before: float
    after: float


def section(stored: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """What the page shows of ``finetune`` in evaluation.json; None of any other training.

    Raises DataError for an entry of another form.
    """
    if not stored:
        return None
    try:
        forgetting = stored["forgetting"]
        references = stored["reference_energies"]
        return {
            "base": stored["base"],
            "method": stored["method"],
            "added": _added(stored.get("added") or {}),  # which 0.2.0 did not write
            "n_trainable": int(stored["n_trainable"]),
            "n_parameters": int(stored["n_parameters"]),
            "method_of_references": references["method"] if references else None,
            "references": _references(references),
            "forgetting": forgetting and _rows(forgetting),
            "n_frames": forgetting and int(forgetting["n_frames"]),
            "labels": forgetting and forgetting["labels"],
            "trained_on": forgetting and int(forgetting["n_trained_on"]),
        }
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(
            f"'finetune' in evaluation.json is not what this Ladera writes ({error!r}); fine-tune "
            "again."
        ) from error


def _added(stored: Mapping[str, Any]) -> list[str]:
    """What the base was given."""
    known = [f"{new}, which began as {old}" for new, old in stored.get("elements", {}).items()]
    return [*known, *(f"a {name}" for name in stored.get("outputs", []))]


def _references(stored: Mapping[str, Any] | None) -> list[tuple[str, float, float]]:
    """Element, E0 of the base, new E0, eV."""
    if stored is None:
        return []
    return [(s, float(stored["base_ev"][s]), float(e)) for s, e in stored["new_ev"].items()]


def _rows(stored: Mapping[str, Any]) -> list[ForgettingRow]:
    return [
        ForgettingRow(
            name, unit, *(float(stored[when][key]["rmse"]) for when in ("before", "after"))
        )
        for key, (name, unit) in ERROR_UNITS.items()
        if stored["before"].get(key) and stored["after"].get(key)
    ]
