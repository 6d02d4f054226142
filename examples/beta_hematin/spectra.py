"""Infrared marks of the dimer: which mode is which stretch, beside what was measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
from ase import Atoms
from ase.data import atomic_masses, atomic_numbers
from numpy.typing import NDArray

import crystal
import ladera
import molecule
from ladera.potential import Potential
from ladera.properties.vibrations import Vibrations

# Measured on the crystal, cm^-1 (docs/beta-hematin.md), and the bond that stretches
MARKS: Final = {
    "C=O, bound propionate": ((1660, 1664), "bound", "double"),
    "C-O, bound propionate": ((1209, 1211), "bound", "single"),
    "C=O, propionic acid": ((1710, 1712), "acid", "double"),
}


def infrared(start: Atoms, model: Potential, folder: Path) -> dict[str, Any]:
    """Modes of a molecule at rest, and those that the marks belong to."""
    atoms = crystal.relaxed(start, model, folder, cell=False, fmax=0.005, steps=1500)
    bonds = carboxyl_bonds(start)
    atoms.calc = model.calculator()
    found = ladera.vibrations(atoms, infrared=True)
    marks = []
    for name, (measured, group, order) in MARKS.items():
        if not bonds[group]:
            continue
        which, share = stretch(found, [bond[order] for bond in bonds[group]])
        marks.append(
            {
                "name": name,
                "measured": measured,
                "computed": float(found.frequencies[which]),
                "share": share,
                "intensity": float(found.intensities[which]),
            }
        )
    return {
        "frequencies": found.frequencies.tolist(),
        "intensities": found.intensities.tolist(),
        "imaginary": len(found.imaginary),
        "marks": marks,
    }


def carboxyl_bonds(atoms: Atoms) -> dict[str, list[dict[str, tuple[int, int]]]]:
    """The C-O bonds of each carboxyl group, by what its other oxygen is bound to."""
    bound, symbols = molecule.bonds(atoms), atoms.get_chemical_symbols()
    found: dict[str, list[dict[str, tuple[int, int]]]] = {"acid": [], "bound": []}
    for carbon, symbol in enumerate(symbols):
        oxygens = molecule.neighbours(bound, carbon, symbols, "O")
        if symbol != "C" or len(oxygens) != 2:
            continue
        for single, double in (oxygens, oxygens[::-1]):
            around = molecule.neighbours(bound, single, symbols)
            others = [symbols[k] for k in around if k != carbon]
            if others:
                kind = "acid" if others == ["H"] else "bound"
                found[kind].append({"single": (carbon, single), "double": (carbon, double)})
    return found


def stretch(found: Vibrations, bonds: list[tuple[int, int]]) -> tuple[int, float]:
    """The brightest mode of those with most of a stretch, and that stretch's share of it.

    The share is the square of the mode's component along the bonds stretching together, in phase or
    not, in mass-weighted coordinates; modes with half of the largest share are asked for their
    infrared intensity.
    """
    masses = atomic_masses[[atomic_numbers[s] for s in found.symbols]]
    weighted = found.modes * np.sqrt(masses)[:, None]
    weighted /= np.linalg.norm(weighted, axis=(1, 2))[:, None, None]
    shares: NDArray[np.float64] = np.zeros(len(weighted))
    for i, j in bonds:
        axis = found.positions[j] - found.positions[i]
        axis /= np.linalg.norm(axis)
        along = np.zeros((len(masses), 3))
        along[j], along[i] = axis / np.sqrt(masses[j]), -axis / np.sqrt(masses[i])
        along /= np.linalg.norm(along)
        shares += np.einsum("nax,ax->n", weighted, along) ** 2
    likely = np.flatnonzero(shares > shares.max() / 2)
    brightest = likely[np.argmax(found.intensities[likely])]
    return int(brightest), float(shares[brightest])
