"""How far atoms have gone after some time, and where others then are: van Hove's functions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np
from matplotlib.figure import Figure

from ladera.arrays import Floats
from ladera.errors import PropertyError
from ladera.plotting import DASHES, FAINT, INK, PALETTE, panel_grid, style
from ladera.progress import track
from ladera.properties.given import of_trajectory
from ladera.properties.recorded import recorded
from ladera.properties.result import Result, quantity
from ladera.properties.trajectory import Trajectory
from ladera.properties.unfolding import reduced_cell
from ladera.tables import Column, Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

BINS: Final = 160
TIMES: Final = 5
WIDTHS: Final = (0.9, 1.2, 1.5, 1.5, 2.2)  # of their curves: five need more than four dashes
SAMPLES: Final = 200_000  # displacements looked at for one time
PAIR_SAMPLES: Final = 1_000_000  # pairs of atoms looked at for one time
PAIR_BIN: Final = 0.1  # Angstrom
PLACE: Final = 1.0  # Angstrom; an atom nearer than this has taken another's place


@dataclass(frozen=True, kw_only=True)
class VanHove(Result):
    """Distances that atoms of a species have gone after several times, and of others from them.

    The arrays of the distinct part are empty without a lattice, and for one atom.
    """

    kind: ClassVar[str] = "van_hove"
    title: ClassVar[str] = "Distances gone (van Hove)"
    caption: ClassVar[str] = (
        "Distances that ions have gone after several times, and where other ions are by then."
    )

    species: str
    times: Floats = quantity("ps")  # (n_times,)
    distances: Floats = quantity("Angstrom")  # (n_bins,)
    distribution: Floats = quantity("1/Angstrom")  # (n_times, n_bins), integrates to one
    non_gaussian: Floats = quantity()  # (n_times,), alpha_2; 0 for a random walk
    pair_distances: Floats = quantity("Angstrom")  # (n_pair_bins,)
    distinct: Floats = quantity()  # (1 + n_times, n_pair_bins), G_d / density; time 0 first
    replaced: Floats = quantity()  # (1 + n_times,), others within 1 Angstrom of an atom's start

    def table(self) -> Table:
        """Most frequent distance, departure from a random walk, and others in an atom's place."""
        columns = [
            Column("time", "ps", pattern=".3g"),
            Column("most frequent distance", "Angstrom", pattern=".2f"),
            Column("non-Gaussian parameter", pattern=".2f"),
        ]
        paired = len(self.replaced) > 0
        columns += [Column(f"others within {PLACE:g} Å of its start", pattern=".2f")] * paired
        rows = []
        for i, time in enumerate(self.times):
            most = self.distances[np.argmax(self.distribution[i])]
            row = (float(time), float(most), float(self.non_gaussian[i]))
            rows.append((*row, *([float(self.replaced[i + 1])] if paired else [])))
        return Table(tuple(columns), tuple(rows))

    def plot(self, ax: Axes | None = None) -> Figure:
        """One curve for each time; dotted, that of a random walk as long as the longest."""
        paired = len(self.replaced) > 0
        with style():
            height, rows = (5.8, (1, 1)) if paired else (3.2, (1,))
            figure, (panel, *others) = panel_grid(5.0, height, ax, rows=rows)
            for i, time in enumerate(self.times):
                panel.plot(
                    self.distances,
                    self.distribution[i],
                    label=f"{time:.3g} ps",
                    **_look(i),
                )
            step = self.distances[1] - self.distances[0]
            square = float((self.distribution[-1] * self.distances**2).sum() * step)
            r = self.distances
            walk = 4 * np.pi * r**2 * (3 / (2 * np.pi * square)) ** 1.5
            walk = walk * np.exp(-1.5 * r**2 / square)
            panel.plot(r, walk, color=FAINT, ls=":", lw=1, label="random walk")
            panel.set(xlabel="distance (Å)", ylabel=f"4πr² G({self.species}) (1/Å)")
            panel.set_xlim(0, float(r[-1]))
            panel.set_ylim(bottom=0)
            panel.legend()
            for below in others:
                self._plot_distinct(below)
        return figure

    def _plot_distinct(self, panel: Axes) -> None:
        names = ["0 ps", *(f"{time:.3g} ps" for time in self.times)]
        for i, (name, curve) in enumerate(zip(names, self.distinct, strict=True)):
            # As its time above; at no time, as none of them.
            look = {"color": INK, "ls": (0, (1, 2)), "lw": 1.0} if i == 0 else _look(i - 1)
            panel.plot(self.pair_distances, curve, label=name, **look)
        panel.set(xlabel="distance from another's start (Å)")
        panel.set(ylabel=f"G({self.species}, another {self.species}) / density")
        panel.set_xlim(0, float(self.pair_distances[-1]))
        panel.set_ylim(bottom=0)
        panel.legend()


def _look(number: int) -> dict[str, Any]:
    return {"color": PALETTE[number], "ls": DASHES[number % len(DASHES)], "lw": WIDTHS[number]}


@of_trajectory
@recorded
def van_hove(trajectory: Trajectory, species: str, /) -> VanHove:
    r"""Van Hove's functions at five times, up to a quarter of the trajectory.

    ::

        4 pi r^2 G(r, t)   = < delta(r - |r_i(t) - r_i(0)|) >
        4 pi r^2 G_d(r, t) = < sum_(j != i) delta(r - |r_j(t) - r_i(0)|) >
        alpha_2(t)         = 3 < r^4 > / (5 < r^2 >^2) - 1

    averaged over atoms and time origins, without the drift of the others. Ions that hop have a
    second peak in the self part G at the distance between sites, and alpha_2 above zero until they
    have forgotten. The distinct part G_d, over the density, is g(r) at no time, to half the height
    of the cell, and then decays to one; a peak at r = 0 means that ions follow each other into
    places that others have left.

    Raises PropertyError for a species that is not there and a trajectory of fewer than 20 frames.
    """
    positions = trajectory.without_drift(species)
    n_frames = len(positions)
    if n_frames < 20:
        raise PropertyError(
            f"The trajectory has {n_frames} frames; distances gone need 20 or more."
        )
    lags = np.unique(np.geomspace(max(1, n_frames // 100), n_frames // 4, TIMES).astype(int))
    gone = []
    for lag in track(lags, "times, distances gone"):
        stride = max(1, (n_frames - lag) * positions.shape[1] // SAMPLES)
        origins = np.arange(0, n_frames - lag, stride)
        gone.append(np.linalg.norm(positions[origins + lag] - positions[origins], axis=2).ravel())
    farthest = 1.05 * float(np.quantile(gone[-1], 0.999)) or 1.0
    edges = np.linspace(0, farthest, BINS + 1)
    counts = [np.histogram(np.clip(r, 0, farthest), edges)[0] / len(r) for r in gone]
    squares = np.array([(r**2).mean() for r in gone])
    fourth = np.array([(r**4).mean() for r in gone])
    with np.errstate(divide="ignore", invalid="ignore"):  # atoms at rest
        alpha = 3 * fourth / (5 * squares**2) - 1
    pairs = _Pairs(trajectory, positions)
    distinct, replaced = pairs.after([0, *lags])
    return VanHove(
        species=species,
        times=lags * trajectory.interval / 1000,
        distances=0.5 * (edges[1:] + edges[:-1]),
        distribution=np.array(counts) / (edges[1] - edges[0]),
        non_gaussian=alpha,
        pair_distances=0.5 * (pairs.edges[1:] + pairs.edges[:-1]),
        distinct=distinct,
        replaced=replaced,
    )


class _Pairs:
    """Distances of atoms from where others were before, in the mean cell."""

    def __init__(self, trajectory: Trajectory, positions: Floats) -> None:
        self._positions = positions
        self.edges = np.zeros(1)
        if trajectory.volume > 0 and positions.shape[1] > 1:
            self._cell = reduced_cell(trajectory.cells.mean(axis=0))
            self._inverse = np.linalg.inv(self._cell)
            # Nearer than half the height of the cell the nearest image is the only one.
            half = 0.5 / np.linalg.norm(self._inverse, axis=0).max()
            self.edges = np.arange(0.0, half + 1e-9, PAIR_BIN)

    def after(self, lags: Sequence[int]) -> tuple[Floats, Floats]:
        """The distinct part over the density, and the number of others near an atom's start."""
        if len(self.edges) < 2:
            return np.empty((0, 0)), np.empty(0)
        # Others of one atom.
        counts = np.array([self._counts(int(lag)) for lag in track(lags, "times, pairs")])
        n_others = self._positions.shape[1] - 1
        density = n_others / abs(float(np.linalg.det(self._cell)))
        shells = 4 / 3 * np.pi * np.diff(self.edges**3)
        near = self.edges[1:] <= PLACE + 1e-9
        return counts / (density * shells), counts[:, near].sum(axis=1)

    def _counts(self, lag: int) -> Floats:
        n_frames, n_atoms = self._positions.shape[:2]
        most = max(5, PAIR_SAMPLES // n_atoms**2)
        origins = np.arange(0, n_frames - lag, max(1, (n_frames - lag) // most))
        others = ~np.eye(n_atoms, dtype=bool)
        total = np.zeros(len(self.edges) - 1)
        for origin in origins:
            apart = self._positions[origin + lag][None] - self._positions[origin][:, None]
            scaled = apart[others] @ self._inverse
            lengths = np.linalg.norm((scaled - np.round(scaled)) @ self._cell, axis=1)
            total += np.histogram(lengths, self.edges)[0]
        density: Floats = total / (len(origins) * n_atoms)
        return density
