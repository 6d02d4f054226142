"""Checks that lengths, energies and forces are in Angstrom and eV, by what chemistry allows.

The limits were set on 35 published sets of molecules, liquids, metals and inorganic crystals: there
stiffness stays within a factor of 3 of the expected, and wrong units change it by 20 or more;
neighbour distances are 0.84 to 1.04 times a bond's, and Bohr makes them 1.9 times longer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import vesin
from ase.data import atomic_numbers, covalent_radii

from ladera.arrays import Floats
from ladera.data.dataset import Dataset
from ladera.data.doctor.findings import Finding
from ladera.data.doctor.pairs import near_pairs, same_atoms
from ladera.units import BOHR, HARTREE, KCAL_PER_MOL, RYDBERG

_KJ_PER_MOL = KCAL_PER_MOL / 4.184
_NOBLE_GASES = (2, 10, 18, 36, 54, 86)  # they have no bonds to measure by
_FAR = 1.0  # Angstrom: farther, and the work of forces says little of a change of energy
_ALL_ELECTRON = {
    "Hartree": HARTREE,
    "Rydberg": RYDBERG,
    "kcal/mol": KCAL_PER_MOL,
    "kJ/mol": _KJ_PER_MOL,
}
_FORCE_UNITS = {
    "Hartree/Bohr": HARTREE / BOHR,
    "Hartree/Angstrom": HARTREE,
    "kcal/mol/Angstrom": KCAL_PER_MOL,
    "kJ/mol/Angstrom": _KJ_PER_MOL,
}


def lengths_and_forces(dataset: Dataset) -> Iterator[Finding]:
    """Distances in Bohr; where the distances are right, forces in other units."""
    ratio = _neighbor_ratio(dataset)
    if 0.65 < ratio < 1.5:
        yield from _bond_stiffness(dataset)
    elif ratio < np.inf:
        guess = "these look like Bohr"
        if ratio < 1:
            guess = "these look converted from Bohr once too often"
        if ratio > 2.5 or ratio < 0.4:
            guess = "these are in no unit known here"
        yield Finding(
            "error",
            "length-unit",
            f"Nearest neighbours are {ratio:.2f} times as far apart as bonds are (median over "
            f"atoms; expected 0.8 to 1.4): positions should be in Angstrom, {guess}. "
            "Say the units when you convert the data.",
        )


def total_energies(dataset: Dataset) -> Iterator[Finding]:
    """All-electron energies in other units than eV.

    They are near the sum over atoms of -(0.7687 Z^(7/3) - Z^2/2 + 0.2699 Z^(5/3)) Hartree
    (B.-G. Englert and J. Schwinger, Phys. Rev. A 32, 26 (1985)). Energies of methods that leave
    out core electrons are not, but by chance: those of methanol by GFN2-xTB in eV are within 3 %
    of its all-electron energies in Rydberg. So the changes of energies are asked too, where there
    are forces; where there are none, Rydberg, which few all-electron codes write, is a doubt only.
    """
    usable = dataset.has("energy")
    z = np.array([atomic_numbers[symbol] for symbol in dataset.symbols], dtype=np.float64)
    atomic = -HARTREE * (0.7687 * z ** (7 / 3) - 0.5 * z**2 + 0.2699 * z ** (5 / 3))
    expected = dataset.compositions @ atomic
    ratios = (dataset.column("energy") / expected)[usable]
    for name, unit in _ALL_ELECTRON.items():
        if not len(ratios) or np.mean(np.abs(ratios * unit - 1) < 0.03) <= 0.9:
            continue
        follow = _follow_forces(dataset, unit)
        if follow:
            continue
        doubtful = follow is None and name == "Rydberg"
        yield Finding(
            "warning" if doubtful else "error",
            "energy-unit",
            f"The energies {'could be' if doubtful else 'are'} all-electron energies in {name}, "
            f"expected eV; {'if they are, ' if doubtful else ''}say the units when you convert the "
            "data.",
        )


def _follow_forces(dataset: Dataset, unit: float) -> bool | None:
    """Whether energies in eV change as the forces say, and not 1 / ``unit`` times as much.

    None where there are too few forces to tell; False where forces or lengths are no better known.
    """
    if any(lengths_and_forces(dataset)):
        return False
    pairs = near_pairs(dataset)
    near = (pairs.displacement < _FAR) & (pairs.strain < 1e-6)
    work, change = pairs.force_work[near], pairs.energy_difference[near]
    if len(work) < 5 or not np.any(work):
        return None
    ratio = float(np.sqrt(np.mean(change**2) / np.mean(work**2)))
    return bool(abs(np.log(ratio)) < abs(np.log(ratio * unit)))


def _bond_stiffness(dataset: Dataset) -> Iterator[Finding]:
    ratios = _stiffness_ratios(dataset)
    if len(ratios) == 0:
        return
    ratio = float(np.median(ratios))
    if 1 / 8 < ratio < 8:
        return
    name = _nearest(ratio, {name: 1 / unit for name, unit in _FORCE_UNITS.items()})
    yield Finding(
        "error",
        "force-unit",
        f"The forces that bring stretched bonds back are {ratio:.3g} times the expected (median of "
        f"{len(ratios)} bonds): forces should be in eV/Angstrom, these look like {name}. "
        "Say the units when you convert the data.",
    )


def _nearest(ratio: float, candidates: Mapping[str, float]) -> str:
    return min(candidates, key=lambda name: abs(np.log(ratio / candidates[name])))


def _neighbor_ratio(dataset: Dataset) -> float:
    """Median over atoms of the nearest distance in units of the sum of covalent radii."""
    nearest: list[Floats] = []
    n_atoms = 0
    several = np.flatnonzero((dataset.atom_counts > 1) | dataset.column("periodic").any(axis=1))
    for index in several[:: max(1, len(several) // 100)]:
        frame = dataset[int(index)]
        radii = covalent_radii[frame.numbers]
        bonding = ~np.isin(frame.numbers, _NOBLE_GASES)
        cutoff = 2.5 * 2 * float(radii.max())
        i, j, distances = vesin.NeighborList(cutoff=cutoff, full_list=True).compute(
            frame.positions, frame.cell, frame.periodic, "ijd"
        )
        smallest = np.full(frame.n_atoms, np.inf)
        np.minimum.at(smallest, i, distances / (radii[i] + radii[j]))
        nearest.append(smallest[bonding])
        n_atoms += frame.n_atoms
        if n_atoms > 20_000:
            break
    ratios = np.concatenate([np.zeros(0), *nearest])
    return float(np.median(ratios)) if len(ratios) else np.inf


def _stiffness_ratios(dataset: Dataset) -> Floats:
    r"""Stiffness of bonds over the expected one, (n_bonds,).

    Of each bond of a group of frames with the same atoms the stiffness is k = -cov(f, r) / var(r),
    with the force that lengthens it f = (F_j - F_i) . r_ij / 2 r. Expected, within a factor of 3
    from hydrogen to heavy metals: k = 28 eV/A^2 (1.53 A / r)^4.5, the carbon-carbon bond's, and
    for bonds below 1.4 A that of 1.4 A.
    """
    ratios = [np.zeros(0)]
    for group in sorted(same_atoms(dataset), key=len, reverse=True)[:10]:
        if len(group) >= 10:
            lengths, forces = _bonds(dataset[group[:: max(1, len(group) // 200)]])
            ratios.append(_regressed(lengths, forces))
    return np.concatenate(ratios)


def _bonds(view: Dataset) -> tuple[Floats, Floats]:
    """Length of each bond of the first frame, and the force that lengthens it, (frames, bonds)."""
    first = view[0]
    radii = covalent_radii[first.numbers]
    i, j, distances, vectors = vesin.NeighborList(
        cutoff=2.5 * float(radii.max()), full_list=False
    ).compute(first.positions, first.cell, first.periodic, "ijdD")
    bonded = np.flatnonzero(distances < 1.25 * (radii[i] + radii[j]))
    bonded = bonded[:: max(1, len(bonded) // 300)]
    i, j = i[bonded], j[bonded]
    shape = (len(view), first.n_atoms, 3)
    positions, forces = (view.column(name).reshape(shape) for name in ("positions", "forces"))
    bonds = positions[:, j] - positions[:, i]
    if first.periodic.any():
        cells = view.column("cell")
        fractions = bonds @ np.linalg.inv(cells)
        original = vectors[bonded] @ np.linalg.inv(first.cell)
        bonds = (fractions - np.round(fractions - original)) @ cells
    lengths = np.maximum(np.linalg.norm(bonds, axis=2), 1e-10)
    stretching = 0.5 * np.einsum("fbx,fbx->fb", forces[:, j] - forces[:, i], bonds) / lengths
    whole = (lengths < 1.4 * lengths[0]).all(axis=0)
    return lengths[:, whole], stretching[:, whole]


def _regressed(lengths: Floats, forces: Floats) -> Floats:
    """Measured over expected stiffness of the bonds whose force follows their length."""
    mean = lengths.mean(axis=0)
    dr, df = lengths - mean, forces - forces.mean(axis=0)
    variance, covariance = (dr**2).mean(axis=0), (dr * df).mean(axis=0)
    correlation = covariance / np.sqrt(variance * (df**2).mean(axis=0) + 1e-300)
    clear = (variance > 1e-6) & (correlation < -0.3)
    expected = 28.0 * (1.53 / np.maximum(mean[clear], 1.4)) ** 4.5
    stiffness: Floats = -covariance[clear] / variance[clear] / expected
    return stiffness
