"""Two atoms alone: what a potential says of every pair of its elements, down to 0.5 Angstrom."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import combinations_with_replacement
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np
import torch
from ase.data import covalent_radii
from matplotlib.figure import Figure

from ladera.arrays import Floats
from ladera.graph import Graph
from ladera.plotting import DASHES, PALETTE, axes, style
from ladera.potential import evaluate
from ladera.properties.recorded import recorded
from ladera.properties.result import Result, Table, quantity
from ladera.properties.structures import deviations
from ladera.structure import Structure

if TYPE_CHECKING:
    from ladera.potential import Potential

NEAREST: Final = 0.5  # Angstrom
POINTS: Final = 240
SHORTEST_BOND: Final = 0.7  # of the sum of two covalent radii
LONGEST_BOND: Final = 1.6
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
    # Where the energy is least among distances that a bond can have, (n_pairs,), and how deep.
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
            elif self.shortest[i] + self.well[i] < LEAST_RISE:
                weaknesses[pair] = "hardly repels"
        return weaknesses

    def table(self) -> Table:
        """One row for each pair."""
        rows = []
        for i, pair in enumerate(self.pairs):
            rows.append(
                (
                    pair,
                    self.show("minimum", ".2f", i),
                    self.show("well", "z.3f", i),
                    self.soft.get(pair, "yes, down to 0.5 Å"),
                    self.show("shortest", "z.1f", i),
                )
            )
        columns = ("pair", "minimum (Å)", "depth (eV)", "repels", "at 0.5 Å (eV)")
        return Table(columns, tuple(rows))

    def plot(self) -> Figure:
        """All curves, cut off at the top."""
        with style():
            figure, panel = axes(5.2, 3.6)
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


@recorded
def dimers(potential: Potential, /) -> Dimers:
    """Energy curves of all pairs of elements of a potential, from 0.5 Angstrom to its cutoff.

    A sound potential repels at short distance, all the way from its minimum (looked for at 0.7 to
    1.6 times the sum of the covalent radii). Where the energy falls again by more than 0.05 eV
    toward shorter distances, atoms that come so close, in a hot or dense simulation, fall into each
    other; ``wall`` is the distance where that begins. A pair that rises by less than 1 eV from its
    minimum to 0.5 Angstrom hardly repels at all: the model never saw it so close.

    With a committee, its mean and the standard deviations of its members.
    """
    result = _dimers(potential)
    if potential.members:
        alone = [_dimers(member) for member in potential.members]
        return replace(result, spread=deviations(alone))
    return result


def _dimers(potential: Potential) -> Dimers:
    numbers = potential.numbers
    distances = np.linspace(NEAREST, potential.cutoff, POINTS)
    couples = list(combinations_with_replacement(range(len(numbers)), 2))
    energies = np.empty((len(couples), len(distances)))
    alone = _energies(potential, [([number], [[0.0, 0.0, 0.0]]) for number in numbers])
    for row, (a, b) in enumerate(couples):
        places = [([numbers[a], numbers[b]], [[0, 0, 0], [0, 0, r]]) for r in distances]
        energies[row] = _energies(potential, places) - alone[a] - alone[b]
    bonds = np.array([covalent_radii[numbers[a]] + covalent_radii[numbers[b]] for a, b in couples])
    relative = distances / bonds[:, None]
    possible = (relative >= SHORTEST_BOND) & (relative <= LONGEST_BOND)
    lowest = np.where(possible, energies, np.inf).argmin(axis=1)
    walls = [_wall(curve, foot) for curve, foot in zip(energies, lowest, strict=True)]
    symbols = potential.symbols
    return Dimers(
        pairs=tuple(f"{symbols[a]}-{symbols[b]}" for a, b in couples),
        distances=distances,
        energies=energies,
        minimum=distances[lowest],
        well=-energies[np.arange(len(couples)), lowest],
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


def _wall(curve: Floats, foot: int) -> int:
    """Where an inward walk up the wall from its foot first loses more than a dip; 0 for nowhere."""
    highest, at = curve[foot], foot
    for i in range(foot, -1, -1):
        if curve[i] > highest:
            highest, at = curve[i], i
        elif curve[i] < highest - HOLE:
            return at
    return 0
