"""A cut through the potential energy surface: energy along one or two internal coordinates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import ClassVar, Final

import numpy as np
from ase import Atoms
from ase.optimize import BFGS
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ladera.arrays import Floats
from ladera.errors import PropertyError
from ladera.plotting import PALETTE, axes, style
from ladera.potential import LaderaCalculator
from ladera.progress import track
from ladera.properties.given import of_structure
from ladera.properties.internal_coordinates import InternalCoordinate, held_at
from ladera.properties.memory import alike
from ladera.properties.recorded import recorded
from ladera.properties.result import Result, quantity
from ladera.tables import Column, Number, Table

MOST: Final = 2  # coordinates
HELD_IN_PLACE: Final = 1e-3  # Angstrom
LEVELS: Final = 24  # of the map
_SIGNS: Final = {"Angstrom": "Å", "degree": "°"}


@dataclass(frozen=True, kw_only=True)
class Scan(Result):
    """Energies on a line or a grid, relative to the lowest; the last coordinate runs fastest.

    With a committee the spread of ``energies`` is that of the members on the same structures.
    """

    kind: ClassVar[str] = "scan"
    title: ClassVar[str] = "Scan of the potential energy surface"
    caption: ClassVar[str] = (
        "Potential energy along internal coordinates, above the lowest point of the scan."
    )

    coordinates: tuple[str, ...]  # such as "distance O0-H1"
    units: tuple[str, ...]  # of each, Angstrom or degree
    relaxed: bool  # whether all else is at rest; or rigid parts were moved
    values: Floats = quantity()  # (n_points, n_coordinates), in these units
    energies: Floats = quantity("eV")  # (n_points,)
    forces: Floats = quantity("eV/Angstrom")  # (n_points,), largest beside what is held
    numbers: Floats = quantity()  # (n_atoms,), atomic numbers
    cell: Floats = quantity("Angstrom")  # (3, 3)
    periodic: Floats = quantity()  # (3,), one or zero
    images: Floats = quantity("Angstrom")  # (n_points, n_atoms, 3)

    @property
    def lowest(self) -> int:
        """The number of the lowest point."""
        return int(np.argmin(self.energies))

    @property
    def highest(self) -> int:
        """The number of the highest point."""
        return int(np.argmax(self.energies))

    def _columns(self) -> list[Column]:
        return [
            Column(name, unit, pattern=".3f" if unit == "Angstrom" else ".1f")
            for name, unit in zip(self.coordinates, self.units, strict=True)
        ]

    def table(self) -> Table:
        """The lowest and the highest point."""
        ends = ("lowest", self.lowest), ("highest", self.highest)
        rows: list[tuple[str | float | Number, ...]] = [
            (words, *map(float, self.values[k]), self.number("energies", k)) for words, k in ends
        ]
        columns = (Column("point"), *self._columns(), Column("energy", "eV", pattern=".4f"))
        return Table(columns, tuple(rows))

    def tables(self) -> tuple[Table, ...]:
        """These, and all points."""
        left = "force left" if self.relaxed else "largest force"
        columns = (
            *self._columns(),
            Column("energy", "eV", pattern=".4f"),
            Column(left, "eV/Angstrom", pattern=".3f"),
        )
        rows: list[tuple[str | float | Number, ...]] = [
            (*map(float, values), self.number("energies", k), float(self.forces[k]))
            for k, values in enumerate(self.values)
        ]
        return self.table(), Table(columns, tuple(rows), name="points")

    def plot(self, ax: Axes | None = None) -> Figure:
        """A curve, or a map with its lowest point."""
        labels = [
            f"{name} ({_SIGNS[unit]})"
            for name, unit in zip(self.coordinates, self.units, strict=True)
        ]
        with style():
            figure, panel = axes(5.0, 3.6 if len(labels) == 1 else 4.0, ax)
            if len(labels) == 1:
                self._draw_curve(panel)
                panel.set(xlabel=labels[0], ylabel="energy (eV)")
            else:
                self._draw_map(panel, figure)
                panel.set(xlabel=labels[0], ylabel=labels[1])
        return figure

    def _draw_curve(self, panel: Axes) -> None:
        x = self.values[:, 0]
        if "energies" in self.spread:
            spread = np.asarray(self.spread["energies"])
            panel.fill_between(
                x,
                self.energies - 2 * spread,
                self.energies + 2 * spread,
                color=PALETTE[0],
                alpha=0.2,
                label="two standard deviations of the members",
            )
            panel.legend()
        panel.plot(x, self.energies, "o-", color=PALETTE[0], markersize=3.5)

    def _draw_map(self, panel: Axes, figure: Figure) -> None:
        first, second = (np.unique(column) for column in self.values.T)
        order = np.lexsort(self.values.T[::-1])  # as a grid, whichever way the scan ran
        grid = self.energies[order].reshape(len(first), len(second)).T
        filled = panel.contourf(first, second, grid, levels=LEVELS, cmap="viridis")
        panel.contour(first, second, grid, levels=LEVELS, colors="white", linewidths=0.3, alpha=0.6)
        panel.plot(*self.values[self.lowest], "x", color="white", markersize=7)
        panel.grid(visible=False)
        figure.colorbar(filled, ax=panel, label="energy (eV)")

    def structures_met(self) -> list[Atoms]:
        """All points."""
        numbers, periodic = self.numbers.astype(int), self.periodic.astype(bool)
        return [Atoms(numbers, image, cell=self.cell, pbc=periodic) for image in self.images]

    def motion(self) -> tuple[list[Atoms], list[str]]:
        """The points one after the other."""
        words = []
        for values, energy in zip(self.values, self.energies, strict=True):
            at = ", ".join(
                f"{value:.2f} {_SIGNS[unit]}"
                for value, unit in zip(values, self.units, strict=True)
            )
            words.append(f"{at}: {energy:.3f} eV")
        return self.structures_met(), words


@of_structure
@recorded
def scan(
    atoms: Atoms,
    /,
    *,
    coordinates: Mapping[str, Sequence[float] | Floats],
    relax: bool = False,
    fmax: float = 0.02,
    steps: int = 500,
) -> Scan:
    """Energy along one internal coordinate, or on the grid of two.

    ``coordinates`` has the values of each (Angstrom or degrees), by the numbers of its atoms from
    0: ``{"0-1": [0.8, 0.9, 1.0]}`` is a distance, ``0-1-2`` an angle, ``0-1-2-3`` a dihedral; see
    :mod:`ladera.properties.internal_coordinates` for what moves with it. With ``relax`` all other
    degrees of freedom are brought to rest at each point (largest force ``fmax``, eV/Angstrom, in
    at most ``steps`` steps), which begins at the relaxed structure of the point before. In a grid
    the second coordinate runs there and back.

    Raises PropertyError for coordinates that the structure does not have, that move what is held,
    lie on a line, in a ring without ``relax``, or across the border of a cell, for values that are
    not finite, fewer than two or repeated, and for a point that does not come to rest or is no
    structure.
    """
    axes_of = [(InternalCoordinate.of(name), _values(name, v)) for name, v in coordinates.items()]
    if not 1 <= len(axes_of) <= MOST:
        raise PropertyError(f"A scan is along one coordinate or two, and {len(axes_of)} are given.")
    for coordinate, _ in axes_of:
        coordinate.check(atoms, relaxed=relax)
    moving = atoms.copy()
    moving.calc = atoms.calc
    energies, forces, images, points = [], [], [], list(_points([v for _, v in axes_of]))
    for point in track(points, "points of the scan"):
        held = [(c, value) for (c, _), value in zip(axes_of, point, strict=True)]
        for coordinate, value in held:
            _set(moving, coordinate, value)
        largest = _rest(moving, held, fmax, steps) if relax else _largest(moving)
        energies.append(float(moving.get_potential_energy()))
        forces.append(largest)
        images.append(moving.positions.copy())
        if not relax:
            moving.positions = atoms.positions
    lowest = int(np.argmin(energies))
    return Scan(
        coordinates=tuple(coordinate.name(atoms) for coordinate, _ in axes_of),
        units=tuple(coordinate.unit for coordinate, _ in axes_of),
        relaxed=relax,
        values=np.array(points),
        energies=np.array(energies) - energies[lowest],
        forces=np.array(forces),
        numbers=atoms.numbers.copy(),
        cell=atoms.cell.array.copy(),
        periodic=atoms.pbc.astype(float),
        images=np.array(images),
        spread=_spread(atoms, images, lowest),
    )


def _values(name: str, values: Sequence[float] | Floats) -> list[float]:
    array = np.asarray(values, dtype=float)
    if (
        array.ndim != 1
        or len(np.unique(array)) < max(2, array.size)
        or not np.isfinite(array).all()
    ):
        raise PropertyError(
            f"The values of the coordinate {name} are {array.tolist()}, expected two or more "
            "different numbers."
        )
    return [float(value) for value in array]


def _points(values: Sequence[Sequence[float]]) -> Iterator[tuple[float, ...]]:
    """The points in the order of the scan: each is a neighbour of the one before."""
    if len(values) == 1:
        yield from product(*values)
        return
    first, second = values
    for row, value in enumerate(first):
        yield from product([value], second[:: -1 if row % 2 else 1])


def _set(atoms: Atoms, coordinate: InternalCoordinate, value: float) -> None:
    """Move to a value; PropertyError for what cannot be, such as a bond of length zero."""
    if coordinate.unit == "Angstrom" and value <= 0:
        raise PropertyError(f"The distance {coordinate} cannot be {value:g} Angstrom.")
    if len(coordinate.atoms) == 3 and not 0 < value < 180:
        raise PropertyError(
            f"The angle {coordinate} cannot be scanned to {value:g} degrees; stay above 0 and "
            "below 180, where its atoms lie on a line."
        )
    before = atoms.copy()
    coordinate.set(atoms, value)
    _require_free(before, atoms.positions, coordinate)
    reached = coordinate.value(atoms)
    turns = (reached - value) % 360 if len(coordinate.atoms) == 4 else reached - value
    if not min(abs(turns), abs(turns - 360)) < 1e-4:
        raise PropertyError(
            f"The coordinate {coordinate} cannot be brought to {value:g}; it stays at {reached:g}."
        )


def _require_free(before: Atoms, positions: Floats, coordinate: InternalCoordinate) -> None:
    """PropertyError for a coordinate that moves what is held."""
    kept = positions.copy()
    for constraint in before.constraints:
        constraint.adjust_positions(before, kept)
    shifts = np.linalg.norm(kept - positions, axis=1)
    atom = int(np.argmax(shifts))
    if shifts[atom] > HELD_IN_PLACE:
        back = "-".join(map(str, reversed(coordinate.atoms)))
        raise PropertyError(
            f"Atom {atom} is held, and the coordinate {coordinate} moves it; {back} is the same "
            "coordinate and moves the other side, or remove the constraint."
        )


def _largest(atoms: Atoms) -> float:
    return float(np.linalg.norm(atoms.get_forces(), axis=1).max())


def _rest(
    atoms: Atoms, held: list[tuple[InternalCoordinate, float]], fmax: float, steps: int
) -> float:
    """Relax all but what is held; the largest force that is left, eV/Angstrom."""
    own = list(atoms.constraints)
    atoms.set_constraint([*own, held_at(held)])
    try:
        converged = BFGS(atoms, logfile=None).run(fmax=fmax, steps=steps)
        largest = _largest(atoms)
    except ValueError as error:  # of ASE: the values contradict each other, or the constraints
        raise PropertyError(f"{_where(held)} cannot be held in a relaxation ({error}).") from error
    finally:
        atoms.set_constraint(own)
    if not converged:
        raise PropertyError(
            f"The point at {_where(held)} has not come to rest: after {steps} steps a force of "
            f"{largest:.3g} eV/Angstrom is left, {fmax:g} was asked for; give more --steps, or "
            "points that are nearer to each other."
        )
    return largest


def _where(held: list[tuple[InternalCoordinate, float]]) -> str:
    return ", ".join(f"{coordinate} = {value:g}" for coordinate, value in held)


def _spread(atoms: Atoms, images: Sequence[Floats], lowest: int) -> dict[str, Floats]:
    """Standard deviation of the members' energies over the lowest point, on the same structures."""
    calculator = atoms.calc
    if not isinstance(calculator, LaderaCalculator) or not calculator.potential.members:
        return {}
    alone = []
    for member in calculator.potential.members:
        point = atoms.copy()
        point.calc, energies = alike(calculator, member), []
        for image in images:
            point.positions = image
            energies.append(float(point.get_potential_energy()))
        alone.append(np.array(energies) - energies[lowest])
    return {"energies": np.std(alone, axis=0, ddof=1)}
