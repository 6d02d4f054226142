"""The crystal: where its structure comes from, how it relaxes, what is measured of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import ase.io
import numpy as np
from ase import Atoms, units
from ase.cell import Cell

import ladera
import packing
from ladera.potential import Potential

# Pagola et al., Nature 404, 307 (2000): P-1, one dimer in the cell
PUBLISHED: Final = (12.196, 14.684, 8.040, 90.22, 96.80, 97.92)
LONGEST_BOND: Final = 2.2  # Angstrom, of Fe-O: 1.886 in the crystal
GRAMS_PER_CM3: Final = 1e24 / units.mol  # amu per cubic Angstrom


def packings(isomer: Atoms, *, quick: bool) -> list[Atoms]:
    """The best distinct packings of a dimer in the published cell, best first."""
    size = (
        {"cores": 32, "places": 4, "chains": 1}
        if quick
        else {"cores": 512, "places": 32, "chains": 16}
    )
    cell = np.array(Cell.fromcellpar(PUBLISHED))
    found = packing.search(isomer, cell, **size)[:6]
    for each in found:
        each.atoms.info.update(
            penalty=each.penalty,
            clash=each.clash,
            acid=each.ring,
            translation=list(each.translation),
        )
    return [each.atoms for each in found]


def relaxed(
    start: Atoms, model: Potential, folder: Path, *, cell: bool, fmax: float, steps: int
) -> Atoms:
    """The structure at rest; after a kill it goes on from the last structure that was written."""
    attempts = sorted(folder.glob("attempt-*"))
    for attempt in attempts:
        start = _last(attempt / "trajectory.traj", start)
    number = len(attempts)
    result = ladera.relax(
        start, model, cell=cell, fmax=fmax, steps=steps, folder=folder / f"attempt-{number:02d}"
    )
    atoms = result.atoms
    atoms.info = {
        "relaxed": bool(result.converged),
        "largest_force": result.last.max_force_ev_per_angstrom,
        "doubts": "; ".join(result.doubts),
    }
    return atoms


def _last(trajectory: Path, otherwise: Atoms) -> Atoms:
    """The last whole frame of a trajectory that may have been cut off."""
    try:
        return ase.io.read(trajectory, index=-1)
    except Exception:  # what a cut file raises is ASE's secret
        return otherwise


def measures(atoms: Atoms) -> dict[str, Any]:
    """Cell beside the published one, density, iron's bond and the bonds between acids.

    Of a supercell the cell's lengths are those of the whole. Angstrom, degrees, g/cm^3, eV per
    formula unit of one dimer, GPa.
    """
    symbols = np.array(atoms.get_chemical_symbols())
    dimers = int((symbols == "Fe").sum()) // 2
    distances = atoms.get_all_distances(mic=True)
    to_oxygen = distances[np.ix_(symbols == "Fe", symbols == "O")]
    to_nitrogen = distances[np.ix_(symbols == "Fe", symbols == "N")]
    lengths = atoms.cell.cellpar()
    return {
        "cell": lengths.round(4).tolist(),
        "volume_per_dimer": atoms.cell.volume / dimers,
        "volume_change": atoms.cell.volume / dimers / Cell.fromcellpar(PUBLISHED).volume - 1,
        "largest_length_change": float(np.abs(lengths[:3] / np.array(PUBLISHED[:3]) - 1).max()),
        "largest_angle_change": float(np.abs(lengths[3:] - np.array(PUBLISHED[3:])).max()),
        "density": float(atoms.get_masses().sum() / atoms.cell.volume * GRAMS_PER_CM3),
        "energy_per_dimer": float(atoms.get_potential_energy() / dimers),
        "largest_stress": float(np.abs(atoms.get_stress()).max() / units.GPa),
        "iron_oxygen": float(to_oxygen.min(axis=1).max()),
        "bound": bool((to_oxygen.min(axis=1) < LONGEST_BOND).all()),
        "iron_nitrogen": float(np.sort(to_nitrogen, axis=1)[:, :4].mean()),
        "acid_oxygens": hydrogen_bonds(atoms),
    }


def hydrogen_bonds(atoms: Atoms) -> list[float]:
    """O...O of each O-H...O, Angstrom."""
    symbols = np.array(atoms.get_chemical_symbols())
    oxygens, hydrogens = np.flatnonzero(symbols == "O"), np.flatnonzero(symbols == "H")
    to_hydrogen = atoms.get_all_distances(mic=True)[np.ix_(hydrogens, oxygens)]
    found = []
    for row in to_hydrogen[to_hydrogen.min(axis=1) < 1.3]:
        own, other = np.argsort(row)[:2]
        if row[other] < 2.2:
            found.append(float(atoms.get_distance(oxygens[own], oxygens[other], mic=True)))
    return found


def monomer(dimer: Atoms) -> Atoms:
    """One half of a dimer: neutral, its bound propionate left free, its iron without an oxygen."""
    half = dimer[: len(dimer) // 2]
    return Atoms(half.numbers, half.positions)


def alone(dimer: Atoms) -> Atoms:
    """The dimer of a packing in the vacuum."""
    return Atoms(dimer.numbers, dimer.positions)
