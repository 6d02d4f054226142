"""What tells models, structures and runs apart: hashes, and the record that every result has."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ladera import provenance
from ladera.structure import spin_state, total_charge

if TYPE_CHECKING:
    from pathlib import Path

    from ase import Atoms
    from numpy.typing import NDArray

    from ladera.data.dataset import Dataset
    from ladera.potential import Potential


def sha256(*parts: bytes | str | NDArray[Any]) -> str:
    """The SHA-256 of texts and of the bytes of arrays, one after the other, in hexadecimal."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, np.ndarray):
            part = np.ascontiguousarray(part).tobytes()
        digest.update(part.encode() if isinstance(part, str) else part)
    return digest.hexdigest()


def hash_of_model(potential: Potential) -> str:
    """The hash of a potential's parameters and configuration."""
    parts: list[str | NDArray[Any]] = []
    for name, tensor in potential.state_dict().items():
        parts += [name, tensor.detach().cpu().numpy()]
    config = potential.config.model_dump(mode="json")
    return sha256(*parts, json.dumps(config, sort_keys=True))


def hash_of_structure(atoms: Atoms, *more: bytes | str | NDArray[Any]) -> str:
    """The hash of elements, positions, cell, periodic directions, charge, spin, and ``more``."""
    charge, state = total_charge(atoms), spin_state(atoms)
    return sha256(
        atoms.numbers,
        atoms.positions,
        atoms.cell.array,
        atoms.pbc,
        *more,
        repr(charge) if charge else b"",  # older hashes knew no charge, and no spin
        *(part for pair in sorted(state.items()) for part in pair),
    )


def describe_run(settings: Mapping[str, Any], potential: Potential, atoms: Atoms) -> dict[str, Any]:
    """The record of a run: its settings, its model, what it begins with, and how it is made."""
    return {
        "settings": settings,
        "model": describe_model(potential),
        "structure": describe_structure(atoms),
        **provenance.how(),
    }


def describe_evaluation(
    potential: Potential, data: Dataset, files: Iterable[str | os.PathLike[str]], **settings: Any
) -> dict[str, Any]:
    """The record of what is found by a model on labelled frames, read from ``files``."""
    return {
        "settings": settings,
        "model": describe_model(potential),
        "data": describe_data(data, files),
        **provenance.how(),
    }


def describe_data(data: Dataset, files: Iterable[str | os.PathLike[str]]) -> dict[str, Any]:
    """What the record of a result says of labelled frames."""
    return {"frames": len(data), "sha256": data.hash, "files": provenance.files(*files)}


def describe_model(potential: Potential) -> dict[str, Any]:
    """What the record of a result says of its model; of a committee the files of its members."""
    sha256 = hash_of_model(potential)
    files = provenance.files_of(sha256) or [
        file for member in potential.members for file in provenance.files_of(hash_of_model(member))
    ]
    described = {
        "architecture": potential.config.architecture,
        "species": list(potential.symbols),
        "cutoff": potential.cutoff,
        "sha256": sha256,
        "files": files,
    }
    named = not potential.storable  # what no model file says
    more = {
        "config": potential.config.model_dump(mode="json") if named else None,
        "published_as": potential.provenance.get("published_as"),
        "calculator": getattr(potential.config, "calculator", None),
    }
    return described | {name: value for name, value in more.items() if value is not None}


def describe_structure(atoms: Atoms) -> dict[str, Any]:
    """What the record of a result says of a structure, and of what is held in it."""
    structure, held = hash_of_structure(atoms, atoms.get_masses()), constraints_of(atoms)
    return {
        "formula": atoms.get_chemical_formula(),
        "n_atoms": len(atoms),
        "periodic": atoms.pbc.tolist(),
        "total_charge": total_charge(atoms),
        "held_by": [name for name, _ in held],
        "held_sha256": sha256(*(text for pair in held for text in pair)),
        "sha256": structure,
        "files": provenance.files_of(structure),
    }


def constraints_of(atoms: Atoms) -> list[tuple[str, str]]:
    """Name and description of each constraint; two that hold alike are described alike."""
    return [
        (type(each).__name__, json.dumps(each.todict(), default=_described, sort_keys=True))
        for each in atoms.constraints
    ]


def _described(value: Any) -> Any:
    """Arrays, and the structures that some constraints are made of, for JSON."""
    return value.tolist() if hasattr(value, "tolist") else hash_of_structure(value)


def changes_of_run(
    path: Path, description: Mapping[str, Any], *, free: Collection[str] = ()
) -> list[tuple[str, Any, Any]]:
    """In what a run differs from the one that ``path``, a settings.json, speaks of.

    "model" and "structure" with the hashes before and now, then the names of settings with both
    values; nothing when it is the same run. What is held belongs to the structure; runs of 0.1.0
    did not note it. Settings in ``free`` may differ, and so may those that
    ``description``, made by :func:`describe_run`, does not have. Raises OSError, KeyError,
    TypeError, AttributeError or ValueError for a file that is missing or damaged.
    """
    stored = json.loads(path.read_text(encoding="utf-8"))
    pairs = [
        (what, stored[what]["sha256"], description[what]["sha256"])
        for what in ("model", "structure")
    ]
    now_held = description["structure"]["held_sha256"]
    pairs += [("structure", stored["structure"].get("held_sha256", now_held), now_held)]
    pairs += [
        (name, stored["settings"].get(name), value)
        for name, value in description["settings"].items()
        if name not in free
    ]
    return [(name, before, now) for name, before, now in pairs if before != now]
