"""Checks of the structures themselves."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from hashlib import blake2b

import numpy as np
import vesin
from ase.data import atomic_numbers, chemical_symbols, covalent_radii
from numpy.typing import NDArray

from ladera.arrays import Booleans, Floats, Integers
from ladera.data.dataset import Dataset
from ladera.data.doctor.findings import Finding, Severity, counted

_OVERLAP = 0.3  # of the sum of covalent radii: two atoms in one place
_CLOSE = 0.6  # closer than a bond is ever compressed at ordinary pressure
_FEW_FRAMES = 10
_SMALLEST_CELL = 0.5  # Angstrom between opposite faces
_FARTHEST = 1e4  # Angstrom


def impossible(dataset: Dataset) -> tuple[list[Finding], Booleans]:
    """Cells without extent and atoms far out in space; and which frames are free of them.

    A neighbour search in those would fail, or never end.
    """
    flat, remote = dataset.of_frames(_flat_and_remote).T
    findings = []
    for wrong, code, problem in (
        (
            flat,
            "no-cell",
            f"periodic along a direction whose cell vector is missing, or is less than "
            f"{_SMALLEST_CELL} Angstrom from the plane of the others; give the cell or switch the "
            "periodicity off",
        ),
        (
            remote,
            "far-away",
            f"with an atom or cell vector that reaches beyond {_FARTHEST:.0e} Angstrom; correct or "
            "remove it",
        ),
    ):
        frames = np.flatnonzero(wrong)
        if len(frames):
            findings.append(
                Finding.about(
                    "error",
                    code,
                    f"{counted(frames)} {problem}.",
                    frames,
                )
            )
    return findings, ~(flat | remote)


def _flat_and_remote(view: Dataset) -> Booleans:
    """Of each frame: is its cell without extent, is something far out; (n_frames, 2)."""
    periodic = view.column("periodic")
    cells = np.where(periodic[:, :, None], view.column("cell"), 0.0)
    dependent = np.linalg.matrix_rank(cells) < periodic.sum(axis=1)
    # The columns of the pseudo-inverse are the normals of the cell's faces over their distances.
    normals = np.linalg.norm(np.linalg.pinv(cells), axis=1)
    flat = dependent | (normals.max(axis=1) > 1 / _SMALLEST_CELL)
    far = np.abs(view.column("positions")).max(axis=1)
    remote = np.maximum.reduceat(far, view.offsets[:-1]) > _FARTHEST
    remote |= np.abs(view.column("cell")).max(axis=(1, 2)) > _FARTHEST
    return np.column_stack([flat, remote])


def periodicity(dataset: Dataset) -> Iterator[Finding]:
    """Open and periodic frames in one set."""
    periodic = dataset.column("periodic")
    kinds, group = np.unique(periodic[dataset.atom_counts > 1], axis=0, return_inverse=True)
    if len(kinds) > 1:
        counts = np.bincount(group.ravel())
        names = ", ".join(
            f"{count:,} {_periodicity_name(kind)}"
            for kind, count in zip(kinds, counts, strict=True)
        )
        rarest = np.flatnonzero((periodic == kinds[int(np.argmin(counts))]).all(axis=1))
        yield Finding.about(
            "warning",
            "mixed-periodicity",
            f"The frames are not all periodic in the same way: {names}. Check that no file lost "
            "its lattice.",
            rarest,
        )


def rare_species(dataset: Dataset) -> Iterator[Finding]:
    """Elements that too few frames contain to learn from."""
    several = dataset.atom_counts > 1
    present = (dataset.compositions > 0) & several[:, None]
    counts = present.sum(axis=0)
    rare = np.flatnonzero(counts < min(_FEW_FRAMES, several.sum()))
    if len(rare) == 0:
        return
    names = ", ".join(f"{dataset.symbols[index]} ({counts[index]})" for index in rare)
    frames = np.flatnonzero(present[:, rare].any(axis=1))
    yield Finding.about(
        "warning",
        "rare-species",
        f"Fewer than {_FEW_FRAMES} frames of several atoms contain {names}; a potential learns "
        "little from so few. Add some, or leave the element out.",
        frames,
    )


def close_atoms(dataset: Dataset) -> Iterator[Finding]:
    """Atoms closer than a fraction of the sum of their covalent radii."""
    elements = [atomic_numbers[symbol] for symbol in dataset.symbols]
    cutoff = 2 * _CLOSE * float(covalent_radii[elements].max())
    closest = dataset.of_frames(partial(_closest_pairs, cutoff=cutoff))
    ratios, distances = closest[:, 0], closest[:, 1]
    atoms, partners = closest[:, 2:].astype(np.int64).T
    levels: tuple[tuple[Severity, str, float, float, str], ...] = (
        ("error", "overlap", 0.0, _OVERLAP, "two atoms are in one place; remove it"),
        ("warning", "close-atoms", _OVERLAP, _CLOSE, "look at the structure"),
    )
    for severity, code, low, high, remark in levels:
        frames = np.flatnonzero((ratios >= low) & (ratios < high))
        if len(frames) == 0:
            continue
        worst = int(frames[np.argmin(ratios[frames])])
        numbers = dataset[worst].numbers
        names = [chemical_symbols[numbers[atom]] for atom in (atoms[worst], partners[worst])]
        yield Finding.about(
            severity,
            code,
            f"{counted(frames)} with atoms too close: {names[0]} {atoms[worst]} and {names[1]} "
            f"{partners[worst]} of frame {worst} are {distances[worst]:.3f} Angstrom apart, "
            f"{ratios[worst]:.0%} of the sum of their covalent radii; {remark}.",
            frames,
            worst=worst,
            atom=int(atoms[worst]),
        )


def duplicates(dataset: Dataset) -> Iterator[Finding]:
    """Structures that are there twice, wherever in space; worse, with different energies."""
    first_of, again = _repeats(dataset)
    if len(again) == 0:
        return
    energies = dataset.column("energy") / dataset.atom_counts
    difference = np.abs(np.nan_to_num(energies[again] - energies[first_of]))
    differ = difference > 1e-3
    if differ.any():
        worst = int(np.argmax(difference))
        yield Finding.about(
            "error",
            "contradiction",
            f"{counted(again[differ])} repeating a structure with another energy: frames "
            f"{first_of[worst]} and {again[worst]} differ by {1000 * difference[worst]:.1f} "
            "meV/atom; one of them is wrong, or was computed in another way.",
            again[differ],
            worst=int(again[worst]),
        )
    if not differ.all():
        same, original = again[~differ], first_of[~differ]
        yield Finding.about(
            "warning",
            "duplicate",
            f"{counted(same)} repeating an earlier structure: frame {same[0]} is frame "
            f"{original[0]}. Remove them, lest a structure be both trained on and tested.",
            same,
        )


def _periodicity_name(kind: Booleans) -> str:
    if kind.all():
        return "periodic"
    return f"periodic in {int(kind.sum())} directions" if kind.any() else "open"


def _closest_pairs(dataset: Dataset, cutoff: float) -> Floats:
    """The pair closest relative to its radii of each frame, (n_frames, 4).

    Its ratio (inf: none), distance, and atoms.
    """
    numbers, positions = dataset.column("numbers"), dataset.column("positions")
    cells, periodic = dataset.column("cell"), dataset.column("periodic")
    radii = covalent_radii[numbers]
    neighbors = vesin.NeighborList(cutoff=cutoff, full_list=False)
    closest = np.tile([np.inf, 0.0, 0.0, 0.0], (len(dataset), 1))
    for index in range(len(dataset)):
        if dataset.atom_counts[index] == 1 and not periodic[index].any():
            continue
        rows = slice(dataset.offsets[index], dataset.offsets[index + 1])
        i, j, d = neighbors.compute(
            np.ascontiguousarray(positions[rows]), cells[index], periodic[index], "ijd"
        )
        if len(d) == 0:
            continue
        relative = d / (radii[rows][i] + radii[rows][j])
        worst = int(np.argmin(relative))
        closest[index] = relative[worst], d[worst], i[worst], j[worst]
    return closest


def _repeats(dataset: Dataset) -> tuple[Integers, Integers]:
    """Frames that repeat an earlier one, and which: (first, again), to 1e-4 Angstrom.

    The same structure with another total charge is another system; its labels of another level
    of theory are no repetition.
    """
    _, first, kind = np.unique(
        dataset.of_frames(_fingerprints), return_index=True, return_inverse=True
    )
    original = first[kind.ravel()]
    again = np.flatnonzero(original != np.arange(len(dataset)))
    return original[again], again


def _fingerprints(view: Dataset) -> NDArray[np.bytes_]:
    """Of each frame 16 bytes that only those of the same structure share."""
    numbers, positions = view.column("numbers"), view.column("positions")
    charges, heads = view.column("total_charge"), view.column("head")
    cells = np.where(view.column("periodic")[:, :, None], view.column("cell"), 0.0)
    prints = []
    for index in range(len(view)):
        rows = slice(view.offsets[index], view.offsets[index + 1])
        relative = positions[rows] - positions[rows.start]
        geometry = np.concatenate([relative, cells[index]])
        # Adding zero makes -0 the same bytes as 0.
        key = numbers[rows].tobytes() + (np.round(geometry, 4) + 0.0).tobytes()
        key += charges[index].tobytes() + heads[index].encode()
        prints.append(blake2b(key, digest_size=16).digest())
    return np.array(prints, dtype="S16")
