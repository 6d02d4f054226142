"""Checks that stresses are in eV/Angstrom^3 and positive in tension, for cells of any kind."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from ladera.arrays import Floats, Integers
from ladera.data.dataset import Dataset
from ladera.data.doctor.findings import Finding
from ladera.units import BOHR, GIGAPASCAL, HARTREE

# Work of the stress, |stress| V / n in eV/atom: iron at 1 TPa has 30, at 100 GPa 6.
_MUCH: Final = 15.0
_IMPOSSIBLE: Final = 60.0
_MOST_FRAMES: Final = 60  # of one composition, that are compared with each other

_FACTORS: Final = {
    "kbar": GIGAPASCAL / 10,
    "GPa": GIGAPASCAL,
    "Hartree/Bohr^3": HARTREE / BOHR**3,
}


def stresses(dataset: Dataset) -> Iterator[Finding]:
    """Stresses against the energies of the same composition at other volumes, and their size.

    Between two volumes per atom v the energy per atom changes by the work of the mean stress,
    e_2 - e_1 = (tr s_1 + tr s_2) / 6 (v_2 - v_1), but for what the shapes and positions add. The
    work may be a part of the change; it cannot be many times as large.
    """
    usable = np.flatnonzero(dataset.has("stress") & dataset.has("energy"))
    volumes = np.abs(np.linalg.det(dataset.column("cell")[usable])) / dataset.atom_counts[usable]
    usable, volumes = usable[volumes > 0], volumes[volumes > 0]
    if len(usable) == 0:
        return
    tensors = dataset.column("stress")[usable]
    work = np.linalg.norm(tensors, axis=(1, 2)) / np.sqrt(3) * volumes
    x, y = _changes(dataset, usable, volumes, tensors)
    slope = float(x @ y) / max(float(x @ x), 1e-300)
    agreement = float(x @ y) / max(float(np.sqrt((x @ x) * (y @ y))), 1e-300)
    clear = len(x) >= 4 and max(_rms(x), _rms(y)) > 0.005
    too_large = clear and _rms(x) > 8 * _rms(y)
    # What shapes and positions add has no sign, unless it is most of the change: hot frames are
    # larger, higher in energy and pushed from inside, so there the signs are opposed by right.
    opposed = len(x) >= 10 and agreement < -0.5 and _rms(y) < 3 * _rms(x)
    if too_large or (clear and (opposed or (agreement > 0.85 and not 0.5 < slope < 2.0))):
        yield Finding.about(
            "error",
            "stress-unit",
            f"Between {len(x):,} pairs of frames of one composition and different volumes the "
            f"energy changes by {slope:.3g} times the work of the stress, expected 1. "
            f"{_probable(slope) if abs(agreement) > 0.6 else _possible(float(np.median(work)))}",
            usable,
            worst=int(usable[np.argmax(work)]),
        )
    elif np.median(work) > _MUCH:
        impossible = bool(np.median(work) > _IMPOSSIBLE)
        yield Finding.about(
            "error" if impossible else "warning",
            "stress-unit",
            f"The stress is {np.abs(tensors).max() / GIGAPASCAL:,.0f} GPa at its largest, and its "
            f"work {np.median(work):,.0f} eV/atom in the median frame: "
            f"{'no solid has that' if impossible else 'only planets have that'}. "
            f"{_possible(float(np.median(work)))}",
            usable,
            worst=int(usable[np.argmax(work)]),
        )


def _changes(
    dataset: Dataset, frames: Integers, volumes: Floats, tensors: Floats
) -> tuple[Floats, Floats]:
    """Work of the mean stress and change of the energy, eV/atom, of pairs of frames alike."""
    energies = dataset.column("energy")[frames] / dataset.atom_counts[frames]
    pressure = -np.trace(tensors, axis1=1, axis2=2) / 3
    fractions = dataset.compositions[frames] / dataset.atom_counts[frames][:, None]
    _, head = np.unique(dataset.column("head")[frames], return_inverse=True)
    kinds = np.column_stack([head.ravel(), np.round(fractions, 6)])
    _, group = np.unique(kinds, axis=0, return_inverse=True)
    x, y = [np.zeros(0)], [np.zeros(0)]
    for number in range(int(group.max()) + 1):
        members = np.flatnonzero(group.ravel() == number)
        members = members[:: max(1, len(members) // _MOST_FRAMES)]
        i, j = (members[side] for side in np.triu_indices(len(members), 1))
        strain = np.abs(np.log(volumes[j] / volumes[i]))
        near = (strain > 0.01) & (strain < 0.3)
        i, j = i[near], j[near]
        x.append(-0.5 * (pressure[i] + pressure[j]) * (volumes[j] - volumes[i]))
        y.append(energies[j] - energies[i])
    return np.concatenate(x), np.concatenate(y)


def _probable(slope: float) -> str:
    """What to multiply with: the unit whose factor is nearest to the slope, and its sign."""
    factors = _FACTORS | {"eV/Angstrom^3": 1.0}
    name = min(factors, key=lambda unit: abs(float(np.log(abs(slope) / factors[unit]))))
    if slope < 0:
        return (
            f"Probable: {name} and positive in compression, as VASP prints it; multiply it by "
            f"-{factors[name]:.6g}."
        )
    return f"Probable: {name}; multiply it by {factors[name]:.6g}."


def _possible(work: float) -> str:
    """The units in which a work (eV/atom, if the stress were in eV/Angstrom^3) is an ordinary one.

    Each with the factor to multiply by.
    """
    units = [unit for unit, factor in _FACTORS.items() if 0.002 < work * factor < 10]
    names = " or ".join(f"{unit} (multiply by {_FACTORS[unit]:.6g})" for unit in units)
    return (
        f"Is it in {names or 'a unit not known here'}? The sign may be the other one, too, as "
        "VASP prints it."
    )


def _rms(values: Floats) -> float:
    return float(np.sqrt(np.mean(values**2))) if len(values) else 0.0
