"""What the 3D view of a page shows: a trajectory made small enough, and the script that draws it.

3Dmol.js is not part of this repository. ``scripts/fetch_3dmol.sh`` puts it, with its licence, into
``assets/``, and a built wheel contains it. Without it a report has still pictures only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Final

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

# Positions of all trajectories of a page together: each atom of each frame takes 22 bytes.
ATOM_FRAMES: Final = 90_000
# One more frame is not seen in an animation of ten seconds.
MAX_FRAMES: Final = 240


@dataclass(frozen=True)
class Script:
    """3Dmol.js as text, with the licence that must go with it."""

    code: str
    licence: str


def load_script() -> Script | None:
    """3Dmol.js, or None where it has not been fetched."""
    folder = files("ladera.report") / "assets"
    code, licence = folder / "3Dmol-min.js", folder / "3Dmol-LICENSE.txt"
    if not (code.is_file() and licence.is_file()):
        return None
    # Inside a page nothing may look like the end of the script.
    text = code.read_text(encoding="utf-8").replace("</script", "<\\/script")
    return Script(text, licence.read_text(encoding="utf-8"))


def pick_frames(n_frames: int, n_atoms: int, atom_frames: int) -> NDArray[np.int64]:
    """Evenly spaced frames, first and last among them, that fit into ``atom_frames``.

    Empty when not even one frame of ``n_atoms`` fits.
    """
    count = min(n_frames, MAX_FRAMES, atom_frames // max(n_atoms, 1))
    if count <= 1:
        return np.arange(n_frames - count, n_frames, dtype=np.int64)  # the last one, or none
    return np.unique(np.linspace(0, n_frames - 1, count).round().astype(np.int64))


def scene(frames: Sequence[Atoms], labels: Sequence[str]) -> dict[str, Any]:
    """Plain data for the page's script: frames as multi-frame XYZ, their cells and their labels.

    Atoms of periodic structures are put into the cell; open structures are centred, so that a
    molecule that wanders stays in view.
    """
    shown = [_tidy(atoms) for atoms in frames]
    periodic = bool(shown[0].pbc.any())
    return {
        "xyz": "".join(_xyz(atoms) for atoms in shown),
        "cells": [np.round(atoms.cell.array, 3).tolist() for atoms in shown] if periodic else [],
        "labels": list(labels),
        "bonds": len(shown[0]) <= 3000,
    }


def _tidy(atoms: Atoms) -> Atoms:
    tidy: Atoms = atoms.copy()
    tidy.calc = None
    if tidy.pbc.any():
        tidy.wrap()
    else:
        tidy.positions -= tidy.positions.mean(axis=0)
    return tidy


def _xyz(atoms: Atoms) -> str:
    lines = [
        f"{symbol} {x:.3f} {y:.3f} {z:.3f}\n"
        for symbol, (x, y, z) in zip(atoms.get_chemical_symbols(), atoms.positions, strict=True)
    ]
    return f"{len(atoms)}\n\n{''.join(lines)}"
