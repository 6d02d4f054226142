"""Two atoms alone: what a potential says of every pair of its elements, down to 0.5 Angstrom."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from itertools import combinations_with_replacement
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np
import torch
from ase.data import atomic_numbers, covalent_radii
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ladera.arrays import Floats
from ladera.graph import Graph
from ladera.plotting import DASHES, PALETTE, axes, style
from ladera.potential import evaluate
from ladera.progress import track
from ladera.properties.given import of_model
from ladera.properties.recorded import recorded
from ladera.properties.result import Result, quantity
from ladera.properties.structures import deviations
from ladera.structure import Structure
from ladera.tables import Column, Table

if TYPE_CHECKING:
    from ladera.potential import Potential

NEAREST: Final = 0.5  # Angstrom
FARTHEST: Final = 6.0  # Angstrom, of a calculator that does not tell its cutoff
POINTS: Final = 240
SHORTEST_BOND: Final = 0.7  # of the sum of two covalent radii
SHALLOWEST: Final = 1e-4  # eV, that a minimum lies below both sides of it
LEAST_RISE: Final = 1.0  # eV, from the minimum to 0.5 Angstrom
HOLE: Final = 0.05  # eV; a smaller dip is no hole
TOP: Final = 12.0  # eV, of the figure


@dataclass(frozen=True, kw_only=True)
class Dimers(Result):
    """Energy of every pair of elements against distance, relative to the atoms far apart."""

    kind: ClassVar[str] = "dimers"
    title: ClassVar[str] = "Pairs of atoms"
    caption: ClassVar[str] = "Energy of two atoms alone against their distance, cut off at the top."

    pairs: tuple[str, ...]
    distances: Floats = quantity("Angstrom")  # (n,)
    energies: Floats = quantity("eV")  # (n_pairs, n)
    # The deepest minimum between 0.7 covalent bonds and the cutoff, (n_pairs,), and how deep it is;
    # not-a-number of a pair that has none.
    minimum: Floats = quantity("Angstrom")
    well: Floats = quantity("eV")
    wall: Floats = quantity("Angstrom")  # (n_pairs,), the energy rises inward down to here
    shortest: Floats = quantity("eV")  # (n_pairs,), energy at 0.5 Angstrom

    @property
    def soft(self) -> dict[str, str]:
        """Pairs that do not repel as atoms do, and what they do instead."""
        weaknesses = {}
        for i, pair in enumerate(self.pairs):
            if self.wall[i] > self.distances[0] + 1e-9:
                weaknesses[pair] = f"falls below {self.wall[i]:.2f} Å"
            elif self.shortest[i] + np.nan_to_num(self.well[i]) < LEAST_RISE:
                weaknesses[pair] = "hardly repels"
        return weaknesses

    def table(self) -> Table:
        """One row for each pair."""
        rows = []
        for i, pair in enumerate(self.pairs):
            none = "" if np.isfinite(self.minimum[i]) else "no minimum beyond 0.7 bonds"
            minimum = self.number("minimum", i, note=none, instead="none")
            well = self.number("well", i, instead="none")
            repels = self.soft.get(pair, "yes, down to 0.5 Å")
            rows.append((pair, minimum, well, repels, self.number("shortest", i)))
        columns = (
            Column("pair"),
            Column("minimum", "Angstrom", pattern=".2f"),
            Column("depth", "eV", pattern="z.3f"),
            Column("repels"),
            Column("energy at 0.5 Å", "eV", pattern="z.1f"),
        )
        return Table(columns, tuple(rows))

    def plot(self, ax: Axes | None = None) -> Figure:
        """All curves, cut off at the top."""
        with style():
            figure, panel = axes(5.2, 3.6, ax)
            for i, pair in enumerate(self.pairs):
                look: dict[str, Any] = {
                    "color": PALETTE[i % len(PALETTE)],
                    "ls": DASHES[i % len(DASHES)],
                }
                panel.plot(self.distances, self.energies[i], label=pair, **look)
                if "energies" in self.spread:
                    spread = self.spread["energies"][i]
                    low, high = self.energies[i] - spread, self.energies[i] + spread
                    panel.fill_between(self.distances, low, high, color=look["color"], alpha=0.2)
            low, high = float(self.energies.min()), float(self.energies.max())
            panel.set_ylim(max(low - 1, -3 * TOP), min(high + 1, TOP))
            panel.set(xlabel="distance (Å)", ylabel="energy above free atoms (eV)")
            panel.legend(ncols=2)
        return figure


@of_model
@recorded
def dimers(potential: Potential, /, species: Collection[str] | None = None) -> Dimers:
    """Energy curves of pairs of elements of a potential, from 0.5 Angstrom to its cutoff.

    Of all elements that it knows, or of ``species``. The curves of an ASE calculator, whose cutoff
    is its own affair, end at 6 Angstrom.

    A sound potential repels at short distance, all the way from its minimum: the deepest one
    beyond 0.7 times the sum of the covalent radii. The end of the scan is no minimum; a pair
    without any is followed inward from the cutoff. Where the energy falls by more than 0.05 eV
    toward shorter distances, atoms that come so close, in a hot or dense simulation, fall into each
    other; ``wall`` is the distance where that begins. A pair that rises by less than 1 eV from its
    minimum to 0.5 Angstrom hardly repels at all: the model never saw it so close.

    With a committee, its mean and the standard deviations of its members.
    """
    result = _dimers(potential, species)
    if potential.members:
        alone = [_dimers(member, species) for member in potential.members]
        return replace(result, spread=deviations(alone))
    return result


def _dimers(potential: Potential, species: Collection[str] | None) -> Dimers:
    symbols = [s for s in potential.symbols if species is None or s in species]
    numbers = [atomic_numbers[symbol] for symbol in symbols]
    farthest = potential.cutoff if potential.differentiable else FARTHEST
    distances = np.linspace(NEAREST, farthest, POINTS)
    couples = list(combinations_with_replacement(range(len(numbers)), 2))
    energies = np.empty((len(couples), len(distances)))
    alone = _energies(potential, [([number], [[0.0, 0.0, 0.0]]) for number in numbers])
    for row, (a, b) in enumerate(track(couples, "pairs of elements")):
        places = [([numbers[a], numbers[b]], [[0, 0, 0], [0, 0, r]]) for r in distances]
        energies[row] = _energies(potential, places) - alone[a] - alone[b]
    bonds = np.array([covalent_radii[numbers[a]] + covalent_radii[numbers[b]] for a, b in couples])
    first = np.searchsorted(distances, SHORTEST_BOND * bonds)
    lowest = [_minimum(curve, start) for curve, start in zip(energies, first, strict=True)]
    feet = [POINTS - 1 if place is None else place for place in lowest]
    walls = [_wall(curve, foot) for curve, foot in zip(energies, feet, strict=True)]
    bound = np.array([place is not None for place in lowest])
    return Dimers(
        pairs=tuple(f"{symbols[a]}-{symbols[b]}" for a, b in couples),
        distances=distances,
        energies=energies,
        minimum=np.where(bound, distances[feet], np.nan),
        well=np.where(bound, -energies[np.arange(len(couples)), feet], np.nan),
        wall=distances[walls],
        shortest=energies[:, 0],
    )


def _energies(potential: Potential, places: list[tuple[list[int], list[list[float]]]]) -> Floats:
    graphs = [
        Graph.of(Structure.of(numbers, positions, np.zeros((3, 3)), False), potential.cutoff)
        for numbers, positions in places
    ]
    with torch.no_grad():
        return evaluate(potential, Graph.batch(graphs), gradients=False).energy.cpu().numpy()


def _minimum(curve: Floats, start: int) -> int | None:
    """Where the deepest minimum is, from ``start`` on and short of the end; None for nowhere."""
    part = curve[start:]
    before = np.maximum.accumulate(part) - part
    after = np.maximum.accumulate(part[::-1])[::-1] - part
    kept = np.flatnonzero(np.minimum(before, after) > SHALLOWEST)
    return None if len(kept) == 0 else start + int(kept[part[kept].argmin()])


def _wall(curve: Floats, foot: int) -> int:
    """Where an inward walk up the wall from its foot first loses more than a dip; 0 for nowhere."""
    highest, at = curve[foot], foot
    for i in range(foot, -1, -1):
        if curve[i] > highest:
            highest, at = curve[i], i
        elif curve[i] < highest - HOLE:
            return at
    return 0
