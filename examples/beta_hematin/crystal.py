"""The crystal: where its structure comes from, how it relaxes, what is measured of it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, Final

import ase.io
import numpy as np
from ase import Atoms, units
from ase.cell import Cell

import ladera
import molecule
import packing
from ladera.files import atomic_path
from ladera.potential import Potential

# Pagola et al., Nature 404, 307 (2000): P-1, one dimer in the cell
PUBLISHED: Final = (12.196, 14.684, 8.040, 90.22, 96.80, 97.92)
LEG: Final = 200  # steps of a relaxation that a kill makes anew
ACID_DISTANCE: Final = 2.65  # Angstrom, O...O of two acids
LONGEST_BOND: Final = 2.2  # Angstrom, of Fe-O: 1.886 in the crystal
GRAMS_PER_CM3: Final = 1e24 / units.mol  # amu per cubic Angstrom


def packings(isomer: Atoms, size: dict[str, int]) -> list[Atoms]:
    """The best distinct packings of a dimer in the published cell, best first."""
    found = packing.search(isomer, np.array(Cell.fromcellpar(PUBLISHED)), **size)[:6]
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
    """The structure at rest, or after so many steps.

    In legs, each from the file that the one before has left: what is killed in a leg makes that one
    again, and comes to the same end.
    """
    for leg in range(-(-steps // LEG)):
        file = folder / f"leg-{leg:02d}.extxyz"
        if not file.exists():
            place = folder / f"leg-{leg:02d}"
            shutil.rmtree(place, ignore_errors=True)
            found = ladera.relax(
                start, model, cell=cell, fmax=fmax, steps=min(LEG, steps), folder=place
            )
            atoms = found.atoms
            atoms.info = {
                "relaxed": bool(found.converged),
                "residual": found.last.max_force_ev_per_angstrom,
                "doubts": "; ".join(found.doubts) or "none",
            }
            with atomic_path(file) as temporary:
                ase.io.write(temporary, atoms, format="extxyz")
            shutil.rmtree(place)
        start = ase.io.read(file)
        if start.info["relaxed"]:
            break
    return start


def measures(atoms: Atoms) -> dict[str, Any]:
    """Cell beside the published one, density, iron's bond and the bonds between acids.

    Of a supercell the cell's lengths are those of the whole. Angstrom, degrees, g/cm^3, eV per
    formula unit of one dimer, GPa.
    """
    symbols = np.array(atoms.get_chemical_symbols())
    dimers = int((symbols == "Fe").sum()) // 2
    distances = atoms.get_all_distances(mic=True)
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
        "iron_oxygen": iron_oxygen(atoms),
        "bound": iron_oxygen(atoms) < LONGEST_BOND,
        "iron_nitrogen": float(np.sort(to_nitrogen, axis=1)[:, :4].mean()),
        "acid_oxygens": hydrogen_bonds(atoms),
    }


def iron_oxygen(atoms: Atoms) -> float:
    """The longest of the bonds of each iron to its nearest oxygen, Angstrom."""
    symbols = np.array(atoms.get_chemical_symbols())
    apart = atoms.get_all_distances(mic=bool(atoms.pbc.any()))
    return float(apart[np.ix_(symbols == "Fe", symbols == "O")].min(axis=1).max())


def hydrogen_bonds(atoms: Atoms) -> list[float]:
    """O...O of each O-H...O, Angstrom."""
    return [
        float(atoms.get_distance(own, other, mic=bool(atoms.pbc.any())))
        for own, _, other in _bridges(atoms, mic=bool(atoms.pbc.any()))
    ]


def acid_contacts(atoms: Atoms) -> list[tuple[int, int]]:
    """H and O of each O-H...O between the atoms as they stand, without their images."""
    return [(hydrogen, other) for _, hydrogen, other in _bridges(atoms, mic=False)]


def acid_translation(atoms: Atoms) -> list[int]:
    """The lattice vector to the image that the first acid meets; no step where it meets none."""
    for _, hydrogen, other in _bridges(atoms, mic=True)[:1]:
        direct = atoms.positions[other] - atoms.positions[hydrogen]
        nearest = atoms.get_distance(hydrogen, other, mic=True, vector=True)
        return np.rint(atoms.cell.scaled_positions(nearest - direct)).astype(int).tolist()
    return [0, 0, 0]


def _bridges(atoms: Atoms, *, mic: bool) -> list[tuple[int, int, int]]:
    """O, H and O of each O-H...O."""
    symbols = np.array(atoms.get_chemical_symbols())
    oxygens, hydrogens = np.flatnonzero(symbols == "O"), np.flatnonzero(symbols == "H")
    to_hydrogen = atoms.get_all_distances(mic=mic)[np.ix_(hydrogens, oxygens)]
    found = []
    for hydrogen, row in zip(hydrogens, to_hydrogen, strict=True):
        own, other = np.argsort(row)[:2]
        if row[own] < 1.3 and row[other] < 2.2:
            found.append((int(oxygens[own]), int(hydrogen), int(oxygens[other])))
    return found


def monomer(dimer: Atoms) -> Atoms:
    """One half of a dimer: neutral, its bound propionate left free, its iron without an oxygen."""
    half = dimer[: len(dimer) // 2]
    return Atoms(half.numbers, half.positions)


def alone(dimer: Atoms) -> Atoms:
    """The dimer of a packing in the vacuum."""
    return Atoms(dimer.numbers, dimer.positions)


def acid_pair(dimer: Atoms) -> Atoms:
    """Two propionic acids as the acids of neighbouring dimers meet: O...O of 2.65 Angstrom.

    The acid's side chain up to the ring, a hydrogen in the place of the ring's carbon.
    """
    acid = molecule.acid(dimer)
    bound, symbols = molecule.bonds(dimer), dimer.get_chemical_symbols()
    chain = [acid.carbon, acid.carbonyl, acid.hydroxyl, acid.hydrogen]
    tip = acid.carbon
    for _ in range(2):  # CH2, CH2
        (tip,) = set(molecule.neighbours(bound, tip, symbols, "C")) - set(chain)
        chain += [tip, *molecule.neighbours(bound, tip, symbols, "H")]
    (ring,) = set(molecule.neighbours(bound, tip, symbols, "C")) - set(chain)
    one = dimer[chain]
    towards = dimer.positions[ring] - dimer.positions[tip]
    one += Atoms("H", [dimer.positions[tip] + 1.09 * towards / np.linalg.norm(towards)])
    carbonyl, hydroxyl = dimer.positions[[acid.carbonyl, acid.hydroxyl]]
    middle = (carbonyl + hydroxyl) / 2
    outwards = middle - dimer.positions[acid.carbon]
    centre = middle + ACID_DISTANCE / 2 * outwards / np.linalg.norm(outwards)
    two = Atoms(one.numbers, 2 * centre - one.positions)  # each carbonyl opposite to a hydroxyl
    return Atoms(one.numbers, one.positions) + two
