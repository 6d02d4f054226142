"""Surfaces: the energy of cutting a crystal along a plane, converged with the slabs' thickness."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from math import ceil, gcd
from typing import TYPE_CHECKING, Any, ClassVar, Final, NamedTuple

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
from ladera.symmetry import standard_cell, symmetry_dataset
from ladera.tables import Cell, Column, Table

if TYPE_CHECKING:
    from ase import Atoms

JOULE_PER_SQUARE_METRE: Final = 16.02176634  # in eV/Angstrom^2: 1 eV/Angstrom^2 is so many J/m^2
Facet = tuple[int, int, int]

_SAME_PLACE: Final = 1e-3  # Angstrom, of atoms that symmetry makes one
_SAME_PLANE: Final = 0.1  # Angstrom, of the heights of atoms
_SAME_ENERGY: Final = 1e-7  # eV per atom: terminations that are one
_VACUUM: Final = 10.0  # Angstrom above and below a slab, for files and pictures
_THICKEST: Final = 1000.0  # Angstrom, of the thinnest slab
_SIZES: Final = 4  # slabs of one facet


@dataclass(frozen=True, kw_only=True)
class Surfaces(Result):
    """Energies of the surfaces of a crystal, by slabs of several thicknesses.

        E_slab(N) = 2 A gamma + N e

    a line in the number of atoms N, whose slope e is the energy of an atom in the bulk, as the
    slabs have it, and whose start is twice the energy of the surface (Fiorentini and Methfessel,
    J. Phys.: Condens. Matter 8, 6525 (1996)). Where the two faces of a slab differ, gamma is their
    mean: half the energy of cleaving.
    """

    kind: ClassVar[str] = "surfaces"
    title: ClassVar[str] = "Surfaces"
    caption: ClassVar[str] = (
        "Energy of each surface by the bulk's energy, against the thickness of the slab; lines are "
        "those of the fits over all thicknesses."
    )

    facets: tuple[str, ...]  # Miller indices of the conventional cell, (111)
    terminations: tuple[str, ...]  # elements of the outermost planes, below and above
    alike: tuple[bool, ...]  # whether the two faces are one by symmetry
    areas: Floats = quantity("Angstrom^2")  # (n,), of a face of the slabs
    thicknesses: Floats = quantity("Angstrom")  # (n, n_sizes)
    energies: Floats = quantity("J/m^2")  # (n, n_sizes), (E_slab - N e_bulk) / (2 A)
    surface_energy: Floats = quantity("J/m^2")  # (n,), gamma of the fit
    surface_energy_error: Floats = quantity("J/m^2")  # (n,), by leaving out a slab
    unrelaxed: Floats = quantity("J/m^2")  # (n,), before the atoms of the slabs move
    slope: Floats = quantity("meV/atom")  # (n,), e of the fit less that of the bulk
    grade: Floats = quantity()  # (n,), the largest of an atom in the thickest; NaN if unknown

    def table(self) -> Table:
        """One row for each surface."""
        columns = (
            Column("surface"),
            Column("planes"),
            Column("surface energy", "J/m^2", pattern=".4f"),
            Column("unrelaxed", "J/m^2", pattern=".4f"),
            Column("thickest slab", "Angstrom", pattern=".1f"),
            Column("slope above the bulk", "meV/atom", pattern="+.3f"),
            Column("largest grade", pattern=".2f"),
        )
        rows: tuple[tuple[Cell, ...], ...] = tuple(
            (
                facet,
                self.terminations[i],
                self.number("surface_energy", i, note="" if self.alike[i] else "mean of two faces"),
                float(self.unrelaxed[i]),
                float(self.thicknesses[i, -1]),
                float(self.slope[i]),
                self.number("grade", i, instead="not known"),
            )
            for i, facet in enumerate(self.facets)
        )
        return Table(columns, rows, error="error of the fit")

    def plot(self, ax: Axes | None = None) -> Figure:
        """Convergence with the thickness."""
        with style():
            figure, panel = axes(ax=ax)
            for i, facet in enumerate(self.facets):
                color = PALETTE[i % 8]
                label = f"{facet} {self.terminations[i]}"
                panel.plot(self.thicknesses[i], self.energies[i], "o", color=color, label=label)
                panel.axhline(self.surface_energy[i], color=color, lw=0.8)
            panel.set_xlabel("thickness of the slab (Å)")
            panel.set_ylabel("surface energy (J/m²)")
            panel.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3)
        return figure


class _Cut(NamedTuple):
    """Where a crystal is cut: the unit that is stacked, its third vector to the next one."""

    unit: Atoms
    planes: str  # elements of its lowest and highest plane


@with_spread(at_rest="cell")
@recorded
def surfaces(
    atoms: Atoms,
    /,
    *,
    facets: Sequence[Facet] | None = None,
    thickness: float = 10.0,
    fmax: float = 0.005,
) -> Surfaces:
    """Energies of the surfaces of a relaxed crystal with a calculator.

    ``facets`` are Miller indices of the conventional cell, as spglib standardises it; left out, all
    that differ with indices of -1, 0 and 1. Of each every termination that keeps the composition is
    cut, in four thicknesses from ``thickness`` (Angstrom) up, one repeat unit more each, and the
    atoms come to rest (largest force ``fmax``, eV/Angstrom) in the cell of the bulk. Slabs are
    periodic along their faces and open across; those of a potential that must have three periodic
    directions stand in vacuum instead, 10 Angstrom or its cutoff on each side.

    Raises PropertyError for a structure without a lattice or not at rest, for indices that are no
    plane, and where atoms do not come to rest.
    """
    require_crystal(atoms, "A surface")
    require_fmax(fmax)
    if not 0 < thickness <= _THICKEST:
        what = f"it must be above zero, and at most {_THICKEST:g}"
        raise PropertyError.of("thickness", f"{thickness:g} Angstrom", what)
    require_relaxed(atoms, cell=True)
    dataset = symmetry_dataset(atoms, _SAME_PLACE)
    if dataset is None:
        raise PropertyError("The symmetry of the structure was not found; are atoms in one place?")
    wanted = low_index_facets(dataset.rotations, dataset) if facets is None else facets
    primitive, to_primitive = _primitive(atoms)
    primitive.calc = atoms.calc
    bulk = float(primitive.get_potential_energy()) / len(primitive)
    found: list[dict[str, Any]] = []
    for facet in wanted:
        _require_plane(facet)
        cuts = _distinct(_cuts(primitive, _indices(facet, to_primitive)), atoms)
        found += [{"facet": facet} | _surface(atoms, cut, bulk, thickness, fmax) for cut in cuts]
    return Surfaces(
        facets=tuple(_label(row.pop("facet")) for row in found),
        terminations=tuple(row.pop("planes") for row in found),
        alike=tuple(row.pop("alike") for row in found),
        **_columns(found),
        largest_grade=max(row["grade"] for row in found),
    )


def _surface(atoms: Atoms, cut: _Cut, bulk: float, thickness: float, fmax: float) -> dict[str, Any]:
    """One termination: all that :class:`Surfaces` says of it, in its units."""
    height = float(cut.unit.cell.array[2, 2])
    first = max(1, ceil(thickness / height - 1e-6))
    slabs = [_slab(cut, first + k, atoms.calc) for k in range(_SIZES)]
    area = float(np.linalg.norm(np.cross(*slabs[0].cell.array[:2])))
    numbers = np.array([len(slab) for slab in slabs])
    before, after = np.zeros((2, _SIZES))
    for k, slab in enumerate(slabs):
        before[k] = slab.get_potential_energy()
        relax_ions(slab, fmax, what="of a slab")
        after[k] = slab.get_potential_energy()
    scale = JOULE_PER_SQUARE_METRE / (2 * area)
    # Counted from the bulk, energies of thousands of eV lose no digits in the fit.
    excess = after - bulk * numbers
    slope, start = np.polyfit(numbers, excess, 1)
    others = [np.polyfit(np.delete(numbers, k), np.delete(excess, k), 1)[1] for k in range(_SIZES)]
    return {
        "planes": cut.planes,
        "alike": _faces_alike(slabs[0]),
        "areas": area,
        "thicknesses": np.array([np.ptp(slab.positions[:, 2]) for slab in slabs]),
        "energies": scale * excess,
        "surface_energy": scale * start,
        "surface_energy_error": scale * float(np.abs(np.array(others) - start).max()),
        "unrelaxed": scale * float((before - bulk * numbers)[-1]),
        "slope": 1000 * slope,
        "grade": largest_grade(slabs[-1]),
    }


def _columns(rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def _distinct(cuts: list[_Cut], atoms: Atoms) -> list[_Cut]:
    """Those that are not another one: by energies and faces before anything moves."""
    kept: list[tuple[float, _Cut]] = []
    for cut in cuts:
        slab = _slab(cut, 2, atoms.calc)
        energy = float(slab.get_potential_energy())
        if all(abs(energy - other) > _SAME_ENERGY * len(slab) for other, _ in kept):
            kept.append((energy, cut))
    return [cut for _, cut in kept]


# --- geometry ----------------------------------------------------------------------------------


def low_index_facets(rotations: Any, dataset: Any) -> list[Facet]:
    """The planes with indices of -1, 0 and 1 that symmetry does not make one.

    ``rotations`` and their ``dataset`` are spglib's; indices are of the standardised cell.
    """
    change = np.asarray(dataset.transformation_matrix)  # of coordinates, to the standard cell
    back = np.linalg.inv(change)
    left = {facet for facet in product((-1, 0, 1), repeat=3) if any(facet)}
    found: list[Facet] = []
    # The one with most positive and leading indices stands for all: (100), not (00-1).
    for facet in sorted(left, key=lambda h: (np.abs(h).sum(), -sum(h), [-i for i in h])):
        if facet not in left:
            continue
        h, k, l = facet
        found.append((h, k, l))
        for rotation in rotations:
            image = np.array(facet) @ (change @ rotation @ back)
            same = tuple(int(i) for i in image.round())
            left -= {same, tuple(-i for i in same)}
    return found


def _primitive(atoms: Atoms) -> tuple[Atoms, Floats]:
    """The standardised primitive cell, and its vectors in those of the conventional one, (3, 3)."""
    from ase import Atoms as AseAtoms

    whole, *_ = standard_cell(atoms, _SAME_PLACE, primitive=False)
    cell, places, numbers = standard_cell(atoms, _SAME_PLACE, primitive=True)
    primitive = AseAtoms(numbers, scaled_positions=places, cell=cell, pbc=True)
    return primitive, cell @ np.linalg.inv(whole)


def _indices(facet: Facet, to_primitive: Floats) -> Facet:
    """Miller indices by the primitive vectors: they change as the vectors do."""
    scaled = np.array(facet) @ to_primitive.T * 6  # centred cells have halves and thirds
    whole = scaled.round().astype(int)
    common = gcd(*(int(i) for i in whole))
    h, k, l = (int(i) // common for i in whole)
    return h, k, l


def _require_plane(facet: Facet) -> None:
    if len(facet) != 3 or not any(facet):
        raise PropertyError(
            f"{_label(facet)} is no plane; give three Miller indices, not all zero."
        )


def _cuts(primitive: Atoms, facet: Facet) -> list[_Cut]:
    """One for each plane of atoms in a repeat unit, which is cut below that plane."""
    vectors = _basis(primitive.cell.array, facet) @ primitive.cell.array
    normal = np.cross(vectors[0], vectors[1])
    z, x = normal / np.linalg.norm(normal), vectors[0] / np.linalg.norm(vectors[0])
    turn = np.array([x, np.cross(z, x), z]).T
    places = np.linalg.solve(vectors.T, primitive.positions.T).T % 1.0
    unit = primitive.copy()
    unit.set_cell(vectors @ turn)
    unit.set_scaled_positions(places)
    height = float(unit.cell.array[2, 2])
    heights = np.sort(unit.positions[:, 2] % height)
    steps = np.diff(heights, prepend=heights[-1] - height)
    return [_cut(unit, float(lowest)) for lowest in heights[steps > _SAME_PLANE]]


def _basis(cell: Floats, facet: Facet) -> Integers:
    """Lattice vectors u, v in the plane and w to the next one, (3, 3), by those of ``cell``.

    The shortest: u x v = (h k l), and (h k l) . w = 1.
    """
    reach = 2 * max(map(abs, facet)) + 2
    grid = np.array(list(product(range(-reach, reach + 1), repeat=3)))
    grid = grid[np.argsort(np.linalg.norm(grid @ cell, axis=1), kind="stable")][1:]
    steps = grid @ facet
    flat = grid[steps == 0]
    second = flat[(np.cross(flat[0], flat) == facet).all(axis=1)][0]
    basis: Integers = np.array([flat[0], second, grid[steps == 1][0]])
    return basis


def _cut(unit: Atoms, lowest: float) -> _Cut:
    """The unit with all atoms from this height up, and by less than its own height."""
    unit = unit.copy()
    below = unit.positions[:, 2] < lowest - 1e-9
    unit.positions[below] += unit.cell.array[2]
    z = unit.positions[:, 2]
    ends = (z < z.min() + _SAME_PLANE, z > z.max() - _SAME_PLANE)
    words = [unit[np.flatnonzero(end)].symbols.formula.reduce()[0].format("metal") for end in ends]
    return _Cut(unit, words[0] if words[0] == words[1] else " and ".join(words))


def _slab(cut: _Cut, repeats: int, calculator: Any) -> Atoms:
    """So many units one on the other, periodic along their faces.

    Across them it is open; of a potential that takes no such slab, as of one with Ewald sums, it is
    periodic there too, with more vacuum than the cutoff.
    """
    slab: Atoms = cut.unit.repeat((1, 1, repeats))
    slab.set_cell([*slab.cell.array[:2], [0, 0, 1]])
    potential = getattr(calculator, "potential", None)
    vacuum, across = _VACUUM, False
    if potential is not None and not potential.partly_periodic:
        vacuum, across = max(_VACUUM, potential.cutoff), True
    slab.pbc = (True, True, across)
    slab.center(vacuum=vacuum, axis=2)
    slab.wrap()
    slab.calc = calculator
    return slab


def _faces_alike(slab: Atoms) -> bool:
    """Whether a symmetry of the slab turns its lower face into the upper one."""
    crystal = slab.copy()
    crystal.pbc = True
    dataset = symmetry_dataset(crystal, _SAME_PLACE)
    return dataset is not None and bool((np.asarray(dataset.rotations)[:, 2, 2] == -1).any())


def _label(facet: Sequence[int]) -> str:
    return f"({' '.join(map(str, facet)) if min(facet) < 0 else ''.join(map(str, facet))})"
