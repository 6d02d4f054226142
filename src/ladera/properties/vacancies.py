"""Vacancies: what it takes to remove an atom from a crystal, for each kind of site."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ladera.arrays import Floats, Integers
from ladera.errors import PropertyError
from ladera.plotting import PALETTE, axes, style
from ladera.properties.recorded import recorded
from ladera.properties.result import Result, quantity
from ladera.properties.structures import (
    largest_grade,
    relax_ions,
    require_crystal,
    require_fmax,
    require_relaxed,
    with_spread,
)
from ladera.symmetry import symmetry_dataset
from ladera.tables import Cell, Column, Number, Table

if TYPE_CHECKING:
    from ase import Atoms

HEIGHTS: Final = (8.0, 12.0)  # Angstrom
_SAME_PLACE: Final = 1e-3  # Angstrom, of atoms that symmetry makes one
_NUDGE: Final = 0.02  # Angstrom, by which symmetry is broken
_NEAR: Final = 4.0  # Angstrom from the vacancy: who is nudged
_OFF_LINE: Final = 0.1  # of what is extrapolated over: the most that sizes may be off a line


@dataclass(frozen=True, kw_only=True)
class Vacancies(Result):
    """Neutral vacancies of a crystal, one for each kind of site.

        E_f = E(N - 1) + mu - E(N)

    with the energies of the supercell, its atoms at rest, and the chemical potential mu of the atom
    that is gone: the energy of an atom of the crystal where that is an element. E(N - 1) - E(N)
    alone is ``removal``. All sites of a formula together make Schottky's defect, whose energy needs
    no chemical potential:

        E_S = sum over the sites of the formula of [E(N - 1) - E(N)] + E(formula)
    """

    kind: ClassVar[str] = "vacancies"
    title: ClassVar[str] = "Vacancies"
    caption: ClassVar[str] = (
        "Energy to remove an atom of each kind of site, against the inverse number of atoms of the "
        "supercell, relative to that in the largest one."
    )

    sites: tuple[str, ...]  # element and Wyckoff letter
    atoms: Floats = quantity()  # (n_sites,), the first atom of each kind in the cell, from 0
    counts: Floats = quantity()  # (n_sites,), of each kind in the cell
    sizes: Floats = quantity()  # (n_sizes,), N, ascending
    distances: Floats = quantity("Angstrom")  # (n_sizes,), from a vacancy to its nearest image
    removal: Floats = quantity("eV")  # (n_sites, n_sizes)
    unrelaxed: Floats = quantity("eV")  # (n_sites, n_sizes), the same before the others move
    chemical_potential: Floats = quantity("eV")  # (n_sites,), NaN where it is not known
    formation: Floats = quantity("eV")  # (n_sites,), in the largest supercell; NaN likewise
    limit: Floats = quantity("eV")  # (n_sites,), extrapolated to no end; NaN where it cannot be
    schottky: float = quantity("eV")  # per formula unit, in the largest supercell
    formula: str
    grade: Floats = quantity()  # (n_sites,), largest of an atom beside the vacancy; NaN if unknown

    @property
    def change(self) -> Floats:
        """What the largest supercell changed from the one before, (n_sites,), eV."""
        change: Floats = self.removal[:, -1] - self.removal[:, -2]
        return change

    def table(self) -> Table:
        """One row for each site."""
        unknown = "no chemical potential: name a structure of the element with --reference"
        never = (
            "two sizes are always on a line" if len(self.sizes) < 3 else "the sizes are on no line"
        )
        columns = (
            Column("site"),
            Column("formation energy", "eV", pattern=".3f"),
            Column("removal energy", "eV", "E(N-1) - E(N)", pattern=".3f"),
            Column("unrelaxed removal energy", "eV", pattern=".3f"),
            Column("change from the smaller cell", "eV", pattern="+.3f"),
            Column("formation energy of no end", "eV", pattern=".3f"),
            Column("largest grade", pattern=".2f"),
        )
        last = len(self.sizes) - 1
        rows: list[tuple[Cell, ...]] = [
            (
                site,
                self.number("formation", i, note="" if known else unknown),
                self.number("removal", (i, last)),
                float(self.unrelaxed[i, last]),
                float(self.change[i]),
                self.number("limit", i, note=never if known and np.isnan(self.limit[i]) else ""),
                self.number("grade", i, instead="not known"),
            )
            for i, (site, known) in enumerate(
                zip(self.sites, np.isfinite(self.formation), strict=True)
            )
        ]
        sizes = ", ".join(f"{n:.0f}" for n in self.sizes)
        schottky = Number(self.schottky, deviation=float(self.spread.get("schottky", np.nan)))
        notes = (
            f"Supercells of {sizes} atoms; vacancies {self.distances[-1]:.1f} Å apart in the last.",
            *(
                [f"Schottky's defect, a formula unit of {self.formula}: {schottky.text('.3f')} eV."]
                if len(self.sites) > 1
                else []
            ),
        )
        return Table(columns, tuple(rows), notes=notes)

    def plot(self, ax: Axes | None = None) -> Figure:
        """Convergence with the size of the supercell."""
        with style():
            figure, panel = axes(ax=ax)
            for i, site in enumerate(self.sites):
                relative = 1000 * (self.removal[i] - self.removal[i, -1])
                panel.plot(1 / self.sizes, relative, "o-", color=PALETTE[i % 8], label=site)
            panel.set_xlabel("1 / N")
            panel.set_ylabel("energy above that of the largest (meV)")
            panel.set_xlim(left=0)
            panel.legend()
        return figure


@with_spread(at_rest="cell")
@recorded
def vacancies(
    atoms: Atoms,
    /,
    *,
    heights: Sequence[float] = HEIGHTS,
    chemical_potentials: Mapping[str, float] | None = None,
    fmax: float = 0.005,
) -> Vacancies:
    """Energies of the neutral vacancies of a relaxed crystal with a calculator.

    Each kind of site, by symmetry, is emptied in supercells that are at least ``heights``
    (Angstrom, two or more) high; the cell keeps its size and the atoms come to rest (largest force
    ``fmax``, eV/Angstrom), the neighbours nudged first by 0.02 Angstrom, so that symmetry holds
    them in no saddle point. With three sizes or more the energies are extrapolated,
    E = E_0 + b / N, where they lie on a line. ``chemical_potentials`` of elements in eV; that of a
    crystal of one element is its energy per atom.

    Raises PropertyError for a structure without a lattice or not at rest, for fewer than two
    sizes, and where atoms do not come to rest.
    """
    require_crystal(atoms, "A vacancy")
    require_fmax(fmax)
    sizes = _supercells(atoms, heights)
    require_relaxed(atoms, cell=True)
    dataset = symmetry_dataset(atoms, _SAME_PLACE)
    kinds = np.arange(len(atoms)) if dataset is None else np.asarray(dataset.equivalent_atoms)
    letters = "" if dataset is None else "".join(dataset.wyckoffs)
    sites, counts = np.unique(kinds, return_counts=True)
    energy = float(atoms.get_potential_energy())
    emptied = [[_emptied(atoms, size, int(site), energy, fmax) for size in sizes] for site in sites]
    removal, unrelaxed, grades = np.moveaxis(np.array(emptied), 2, 0)
    symbols = [atoms.symbols[site] for site in sites]
    known = dict(chemical_potentials or {})
    if len(set(atoms.symbols)) == 1:
        known.setdefault(symbols[0], energy / len(atoms))
    potentials = np.array([known.get(symbol, np.nan) for symbol in symbols])
    numbers = np.array([len(atoms) * size.prod() for size in sizes], dtype=float)
    units = int(np.gcd.reduce([*atoms.symbols.formula.count().values()]))
    return Vacancies(
        sites=tuple(
            f"{symbol} ({count}{letters[site]})" if letters else f"{symbol} (atom {site})"
            for symbol, count, site in zip(symbols, counts, sites, strict=True)
        ),
        atoms=sites.astype(float),
        counts=counts.astype(float),
        sizes=numbers,
        distances=np.array([_nearest_image(atoms, size) for size in sizes]),
        removal=removal,
        unrelaxed=unrelaxed,
        chemical_potential=potentials,
        formation=removal[:, -1] + potentials,
        limit=np.array([_limit(numbers, row) for row in removal]) + potentials,
        schottky=float((counts @ removal[:, -1] + energy) / units),
        formula=f"{atoms.symbols.formula.reduce()[0]:metal}",
        grade=grades[:, -1],
        largest_grade=float(grades.max()),
    )


def _supercells(atoms: Atoms, heights: Sequence[float]) -> list[Integers]:
    """Cells along each vector for each height, ascending and all different."""
    if len(heights) < 2 or not all(np.isfinite(h) and h > 0 for h in heights):
        given = " ".join(f"{height:g}" for height in heights) or "empty"
        what = (
            "give two or more above zero, in Angstrom, such as 8 12, to see what the size changes"
        )
        raise PropertyError.of("heights", given, what)
    of_cell = 1 / np.linalg.norm(np.linalg.inv(atoms.cell.array), axis=0)
    found: list[Integers] = []
    for height in sorted(heights):
        size = np.maximum(1, np.ceil(height / of_cell - 1e-6)).astype(np.int64)
        if found and size.prod() <= found[-1].prod():
            size = size + (size == size[of_cell.argmin()])  # one cell more where it is short
            size = np.maximum(size, found[-1] + 1)
        found.append(size)
    return found


def _emptied(
    atoms: Atoms, size: Integers, site: int, energy: float, fmax: float
) -> tuple[float, float, float]:
    """E(N - 1) - E(N) at rest and before, eV, and the largest grade at rest."""
    crystal = atoms.repeat(size.tolist())
    away = crystal.get_distances(site, range(len(crystal)), mic=True)
    near = np.flatnonzero((away < _NEAR) & (away > 0))
    rng = np.random.default_rng(0)
    start = crystal.copy()
    start.calc = atoms.calc
    del start[site]
    whole = energy * int(size.prod())
    before = float(start.get_potential_energy()) - whole
    crystal.positions[near] += _NUDGE * rng.uniform(-1, 1, (len(near), 3))
    del crystal[site]
    crystal.calc = atoms.calc
    relax_ions(crystal, fmax, what="beside a vacancy")
    return float(crystal.get_potential_energy()) - whole, before, largest_grade(crystal)


def _nearest_image(atoms: Atoms, size: Integers) -> float:
    from ase.geometry import minkowski_reduce

    vectors, _ = minkowski_reduce(atoms.cell.array * size[:, None])
    return float(np.linalg.norm(vectors, axis=1).min())


def _limit(numbers: Floats, energies: Floats) -> float:
    """E_0 of E_0 + b / N; NaN of two sizes, which are always on a line, and of those that are not.

    By how much they may be off it: a tenth of what is extrapolated over.
    """
    if len(numbers) < 3:
        return np.nan
    slope, intercept = np.polyfit(1 / numbers, energies, 1)
    off = np.abs(intercept + slope / numbers - energies).max()
    return float(intercept) if off <= _OFF_LINE * np.ptp(energies) else np.nan
