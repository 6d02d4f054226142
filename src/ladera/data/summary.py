"""What a data set holds, in numbers."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from ladera.arrays import Floats
from ladera.data.dataset import Dataset
from ladera.data.reference_energies import isolated_atoms
from ladera.quantities import QUANTITIES

_UNITS = {q.name: q.unit_of_values for q in QUANTITIES} | {"total_charge": "e"}


def summarize(dataset: Dataset) -> dict[str, Any]:
    """Counts and statistics of a data set, ready for JSON.

    Statistics are over components (forces, stress, dipole), over frames (energy per atom, total
    charge) or over atoms (charges), of the frames that have the label and of finite values. Free
    atoms, whose energies are the reference energies, are counted apart and no part of them.
    """
    counts = dataset.atom_counts
    free = isolated_atoms(dataset)
    bound = dataset[np.setdiff1d(np.arange(len(dataset)), free)] if len(free) else dataset
    return {
        "n_frames": len(dataset),
        "n_atoms": int(counts.sum()),
        "atoms_per_frame": {"min": int(counts.min()), "max": int(counts.max())},
        "periodicity": _periodicity(dataset),
        "elements": {
            symbol: {"atoms": int(column.sum()), "frames": int((column > 0).sum())}
            for symbol, column in zip(dataset.symbols, dataset.compositions.T, strict=True)
        },
        "compositions": _compositions(dataset),
        "heads": dict(Counter(dataset.column("head").tolist()).most_common()),
        "config_types": dict(Counter(dataset.column("config_type").tolist()).most_common()),
        "free_atoms": dict(Counter(dataset[int(k)].formula for k in free)),
        "labels": {name: _statistics(bound, name) for name in bound.labels},
        "data_hash": dataset.hash,
    }


def _periodicity(dataset: Dataset) -> str:
    kinds, counts = np.unique(dataset.column("periodic").sum(axis=1), return_counts=True)
    names = {0: "open", 1: "periodic in 1 direction", 2: "periodic in 2 directions", 3: "periodic"}
    if len(kinds) == 1:
        return names[int(kinds[0])]
    parts = zip(kinds.tolist(), counts.tolist(), strict=True)
    return ", ".join(f"{count:,} {names[kind]}" for kind, count in parts)


def _compositions(dataset: Dataset) -> dict[str, int]:
    """Number of frames of each formula, the most frequent first."""
    _, first, counts = np.unique(
        dataset.compositions, axis=0, return_index=True, return_counts=True
    )
    order = np.argsort(-counts, kind="stable")
    return {dataset[int(first[k])].formula: int(counts[k]) for k in order}


def _statistics(dataset: Dataset, name: str) -> dict[str, Any]:
    present = dataset.has(name)
    values: Floats = dataset.column(name)
    if len(values) != len(dataset):
        values = values[np.repeat(present, dataset.atom_counts)]
    else:
        values = values[present] / (dataset.atom_counts[present] if name == "energy" else 1)
    finite = values[np.isfinite(values)]
    if finite.size == 0:
        finite = np.zeros(1)
    return {
        "frames": int(present.sum()),
        "unit": _UNITS[name],
        "mean": float(finite.mean()),
        "standard_deviation": float(finite.std()),
        "min": float(finite.min()),
        "max": float(finite.max()),
    }
