"""Infrared spectra of the dimer and the crystal, and which mode is which of the marks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from ase import Atoms
from ase.build import molecule as small
from ase.data import atomic_masses, atomic_numbers
from numpy.typing import NDArray

import crystal
import ladera
import molecule
from ladera.potential import Potential
from ladera.properties.infrared import Infrared
from ladera.properties.marks import Marks
from ladera.properties.memory import RememberingCalculator
from stiffness import STEP

Bonds = Sequence[tuple[int, int]]
Floats = NDArray[np.float64]

# Measured on the crystal, cm^-1 (docs/beta-hematin.md); the group, its bond, and the bond of a
# small molecule from which the bias of a level of theory is known
MARKS: Final = {
    "C=O, bound propionate": ((1660, 1664), "bound", "double", "ester C=O"),
    "C-O, bound propionate": ((1209, 1211), "bound", "single", "ester C-O"),
    "C=O, propionic acid": ((1710, 1712), "acid", "double", "acid C=O"),
}
LISTED: Final = (343, 368, 1372, 1629)  # Raman, cm^-1

# Fundamentals of the gas, cm^-1 (Shimanouchi, Tables of Molecular Vibrational Frequencies,
# Consolidated Volume I, NSRDS-NBS 39 (1972); J. Phys. Chem. Ref. Data 6, 993 (1977))
GAS: Final = {
    "HCOOH": {"acid C=O": 1770},  # the C-O of acids mixes with the bend of O-H
    "CH3COOH": {"acid C=O": 1788},
    "HCOOCH3": {"ester C=O": 1754, "ester C-O": 1207},
}
_WIDTH: Final = 15.0  # cm^-1, of a line
_SHARE: Final = 0.5  # of the largest share of a stretch: modes that are asked for their intensity


def marks() -> Marks:
    """The infrared ones, for figures and tables of Ladera."""
    named = sorted((float(np.mean(value[0])), name) for name, value in MARKS.items())
    return Marks(np.array([place for place, _ in named]), tuple(name for _, name in named))


def infrared(
    atoms: Atoms, model: Potential, dipoles: Potential, folder: Path, memory: Path
) -> dict[str, Any]:
    """Spectrum of a molecule, or of a crystal's cell, at rest, and the modes of the marks.

    Modes are those of ``model``, by differences of its forces, derivatives of the dipole those of
    ``dipoles``. The result of Ladera goes into ``folder``; what was computed is found again in
    ``memory``, after a kill and where elastic constants have asked for the same Hessian.
    """
    bonds = carboxyl_bonds(atoms)
    resting = atoms.copy()
    resting.calc = RememberingCalculator(model, memory)
    found = ladera.infrared(resting, dipoles=dipoles, step=STEP, marks=marks(), width=_WIDTH)
    found.save(folder)
    return {
        "imaginary": int((found.frequencies < 0).sum()),
        "dipoles": found.dipoles,
        "marks": [
            {"name": name, "measured": list(measured), "kind": kind}
            | stretch(found, *(_of(bonds[group], each) for each in _with_rival(order)))
            for name, (measured, group, order, kind) in MARKS.items()
        ],
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


def stretch(found: Infrared, bonds: Bonds, rivals: Bonds = ()) -> dict[str, float]:
    """The brightest of the modes with most of a stretch, and what share of it that has.

    Modes with half of the largest share are asked for their infrared intensity, but for those that
    have more of the stretch of ``rivals``: the C=O of a carboxyl group, ten times as bright, has a
    third of the stretch of its C-O. ``spread`` is between the lowest and the highest of these.
    """
    shares = _shares(found, bonds)
    shares[_shares(found, rivals) > shares] = 0.0
    likely = np.flatnonzero(shares >= _SHARE * shares.max())
    which = likely[np.argmax(found.intensities[likely])]
    return {
        "computed": float(found.frequencies[which]),
        "share": float(shares[which]),
        "intensity": float(found.intensities[which]),
        "spread": float(np.ptp(found.frequencies[likely])),
    }


def _shares(found: Infrared, bonds: Bonds) -> Floats:
    """Of each mode, how much of it is a stretch of these bonds.

    The square of the mode's component along the bonds stretching together, in phase or not, in
    mass-weighted coordinates.
    """
    masses = atomic_masses[[atomic_numbers[s] for s in found.symbols]]
    weighted = found.modes * np.sqrt(masses)[:, None]
    weighted /= np.linalg.norm(weighted, axis=(1, 2))[:, None, None]
    shares: Floats = np.zeros(len(weighted))
    for i, j in bonds:
        axis = found.positions[j] - found.positions[i]
        axis /= np.linalg.norm(axis)
        along = np.zeros((len(masses), 3))
        along[j], along[i] = axis / np.sqrt(masses[j]), -axis / np.sqrt(masses[i])
        along /= np.linalg.norm(along)
        shares += np.einsum("nax,ax->n", weighted, along) ** 2
    return shares


def bias(model: Potential, folder: Path, dipoles: Potential) -> dict[str, Any]:
    """Computed, harmonic, less measured of the same bonds of small molecules, cm^-1.

    By kind of bond: each molecule's difference, and their mean.
    """
    differences: dict[str, list[float]] = {}
    for name, measured in GAS.items():
        atoms = crystal.relaxed(
            small(name), model, folder / name, cell=False, fmax=0.003, steps=400
        )
        atoms.calc = model.calculator()
        found = ladera.infrared(atoms, dipoles=dipoles)
        for kind, place in measured.items():
            (group,) = [bond for bonds in carboxyl_bonds(atoms).values() for bond in bonds]
            orders = _with_rival("double" if "=" in kind else "single")
            computed = stretch(found, *([group[order]] for order in orders))["computed"]
            differences.setdefault(kind, []).append(computed - place)
    return {
        kind: {"each": each, "mean": float(np.mean(each))} for kind, each in differences.items()
    }


def _with_rival(order: str) -> tuple[str, str]:
    """A bond of a carboxyl group and its other one."""
    return (order, "single" if order == "double" else "double")


def _of(groups: Sequence[Mapping[str, tuple[int, int]]], order: str) -> Bonds:
    """The bonds of one order in all of these groups."""
    return [group[order] for group in groups]


def corrected(mark: Mapping[str, Any], biases: Mapping[str, Any]) -> float:
    """A computed wavenumber less the bias of its level for such a bond in the gas."""
    return float(mark["computed"]) - float(biases[mark["kind"]]["mean"])
