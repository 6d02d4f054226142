r"""Reference energies E0: what an atom of each element contributes whatever surrounds it.

A potential learns E - sum_i E0(Z_i), which is small and comparable between compositions. The best
E0 are the energies of free atoms, computed like the rest of the data; failing these, the least
squares solution of

    E_k / n_k = sum_s x_ks E0_s        x_ks = fraction of element s in frame k

over all frames with an energy. Every function gives a dict from chemical symbol to eV.
"""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Mapping

import numpy as np
from ase.data import atomic_numbers, chemical_symbols

from ladera.arrays import Floats, Integers
from ladera.data.dataset import Dataset
from ladera.errors import DataError, did_you_mean

# An atom this far from its images is free, Angstrom: no crystal is so wide.
ALONE = 8.0

# Energies of the same free atom may differ by this much, eV: rounding in a file.
_SAME = 1e-3


def automatic(dataset: Dataset) -> dict[str, float]:
    """From free atoms where each species has one, else by least squares.

    Warns (UserWarning) when only some species have one: theirs are of no use then.
    """
    free = {chemical_symbols[dataset[int(k)].numbers[0]] for k in isolated_atoms(dataset)}
    missing = sorted(set(dataset.symbols) - free)
    if not missing:
        return from_isolated_atoms(dataset)
    if free:
        warnings.warn(
            f"There is a free atom of {', '.join(sorted(free))} among the frames, but none of "
            f"{', '.join(missing)}: all reference energies are fitted by least squares. Add the "
            "missing ones, or give the reference energies.",
            stacklevel=2,
        )
    return least_squares(dataset)


def from_values(values: Mapping[str, float], dataset: Dataset) -> dict[str, float]:
    """Those that a user gives; DataError for one that is missing, not finite or no element's."""
    for symbol, value in values.items():
        if atomic_numbers.get(symbol, 0) == 0:
            hint = did_you_mean(symbol, dataset.symbols)
            raise DataError(f"'{symbol}' in the reference energies is no element; {hint}")
        if not math.isfinite(value):
            raise DataError(f"The reference energy of {symbol} is {value}; expected eV.")
    missing = [symbol for symbol in dataset.symbols if symbol not in values]
    if missing:
        raise DataError(
            f"The reference energies have no value for {', '.join(missing)}, which the data "
            "contain; add it."
        )
    return {symbol: float(values[symbol]) for symbol in dataset.symbols}


def isolated_atoms(dataset: Dataset) -> Integers:
    """Indices of the frames that are free atoms and have an energy.

    That is one atom without a total charge, which is open in all directions, farther than 8
    Angstrom from its own images, or in a group named IsolatedAtom (in any spelling, such as
    isolated_atom).
    """
    groups = np.char.lower(np.char.replace(dataset.column("config_type"), "_", ""))
    named = np.char.startswith(groups, "isolatedatom")
    charged = dataset.has("total_charge") & (dataset.column("total_charge") != 0)
    single = np.flatnonzero((dataset.atom_counts == 1) & dataset.has("energy") & ~charged)
    view = dataset[single]
    cells, periodic = view.column("cell"), view.column("periodic")
    images = np.where(periodic[:, :, None], cells, 0.0)
    alone = [nearest_image(cell) > ALONE for cell in images]
    free: Integers = single[named[single] | np.array(alone, dtype=bool)]
    return free


def nearest_image(vectors: Floats) -> float:
    """Distance of an atom from its nearest image, Angstrom; infinite where there is none."""
    steps = np.array(list(itertools.product((-2, -1, 0, 1, 2), repeat=3)))
    lengths = np.linalg.norm(steps @ vectors, axis=1)
    return float(np.min(lengths[lengths > 0], initial=np.inf))


def from_isolated_atoms(dataset: Dataset) -> dict[str, float]:
    """Energies of the free atoms of the data set.

    Raises DataError for an element without one, and for two that disagree.
    """
    free: dict[str, tuple[float, str]] = {}
    for index in isolated_atoms(dataset).tolist():
        frame = dataset[index]
        symbol, energy, where = frame.formula, frame.energy, dataset.place(index)
        if energy is None or not math.isfinite(energy):
            raise DataError(f"{where}, a free {symbol} atom, has the energy {energy}.")
        if symbol in free and abs(free[symbol][0] - energy) > _SAME:
            raise DataError(
                f"{free[symbol][1]} and {where} are both a free {symbol} atom but have "
                f"energies {free[symbol][0]:.6f} and {energy:.6f} eV; keep the right one."
            )
        free.setdefault(symbol, (energy, where))
    missing = [symbol for symbol in dataset.symbols if symbol not in free]
    if missing:
        raise DataError(
            f"There is no free atom of {', '.join(missing)} among the frames; add an open frame of "
            "one atom without a charge, give the reference energies, or fit them by least squares."
        )
    return {symbol: free[symbol][0] for symbol in dataset.symbols}


def least_squares(dataset: Dataset) -> dict[str, float]:
    """Fit the energies per atom of all frames but free atoms.

    Warns (UserWarning) when the compositions do not determine every element's value, as in a set
    of one molecule: then it takes the smallest values that fit, which are good for training on
    these compositions and mean nothing for others. Raises DataError for data without energies.
    """
    energies = dataset.column("energy")
    usable = dataset.has("energy")
    usable[isolated_atoms(dataset)] = False
    if not usable.any():
        raise DataError("No frame has an energy to fit reference energies to; give them.")
    if not np.isfinite(energies[usable]).all():
        wrong = int(np.flatnonzero(usable & ~np.isfinite(energies))[0])
        where = dataset.place(wrong)
        raise DataError(f"{where} has the energy {energies[wrong]}; remove or correct it.")
    counts = dataset.atom_counts[usable]
    fractions = dataset.compositions[usable] / counts[:, None]
    solution, _, rank, _ = np.linalg.lstsq(fractions, energies[usable] / counts, rcond=1e-10)
    if rank < len(dataset.symbols):
        warnings.warn(
            f"The {len(np.unique(fractions, axis=0))} composition(s) of the data do not determine "
            f"the reference energies of all {len(dataset.symbols)} elements "
            f"({', '.join(dataset.symbols)}); the smallest values that fit are taken. Energies of "
            "other compositions will be wrong: add free atoms, or give the values.",
            stacklevel=2,
        )
    return dict(zip(dataset.symbols, solution.tolist(), strict=True))
