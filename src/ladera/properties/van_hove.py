"""How far atoms have gone after some time: the self part of van Hove's function."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np
from matplotlib.figure import Figure

from ladera.errors import PropertyError
from ladera.plotting import DASHES, FAINT, PALETTE, axes, style
from ladera.properties.result import FloatArray, Result, Table, quantity
from ladera.properties.trajectory import Trajectory

BINS: Final = 160
TIMES: Final = 5
SAMPLES: Final = 200_000  # displacements looked at for one time


@dataclass(frozen=True, kw_only=True)
class VanHove(Result):
    """Distribution of the distances that atoms of a species have gone, for several times."""

    kind: ClassVar[str] = "van_hove"
    title: ClassVar[str] = "Distances gone (van Hove)"

    species: str
    times: FloatArray = quantity("ps")  # (n_times,)
    distances: FloatArray = quantity("Angstrom")  # (n_bins,)
    distribution: FloatArray = quantity("1/Angstrom")  # (n_times, n_bins), integrates to one
    non_gaussian: FloatArray = quantity()  # (n_times,), alpha_2; 0 for a random walk

    def table(self) -> Table:
        """Most frequent distance and departure from a random walk at each time."""
        rows = []
        for i, time in enumerate(self.times):
            most = self.distances[np.argmax(self.distribution[i])]
            rows.append((f"{time:.3g}", f"{most:.2f}", f"{self.non_gaussian[i]:.2f}"))
        return Table(
            ("time (ps)", "most frequent distance (Å)", "non-Gaussian parameter"), tuple(rows)
        )

    def plot(self) -> Figure:
        """One curve for each time; dotted, that of a random walk as long as the longest."""
        with style():
            figure, panel = axes(5.0, 3.2)
            for i, time in enumerate(self.times):
                panel.plot(
                    self.distances,
                    self.distribution[i],
                    color=PALETTE[i],
                    ls=DASHES[i % len(DASHES)],
                    label=f"{time:.3g} ps",
                )
            step = self.distances[1] - self.distances[0]
            square = float((self.distribution[-1] * self.distances**2).sum() * step)
            r = self.distances
            walk = 4 * np.pi * r**2 * (3 / (2 * np.pi * square)) ** 1.5
            walk = walk * np.exp(-1.5 * r**2 / square)
            panel.plot(r, walk, color=FAINT, ls=":", lw=1, label="random walk")
            panel.set(xlabel="distance (Å)", ylabel=f"4πr² G({self.species}) (1/Å)")
            panel.set_ylim(bottom=0)
            panel.legend()
        return figure


def van_hove(trajectory: Trajectory, species: str, /) -> VanHove:
    r"""Self part of van Hove's function at five times, up to a quarter of the trajectory.

    ::

        4 pi r^2 G(r, t) = < delta(r - |r_i(t) - r_i(0)|) >
        alpha_2(t)       = 3 < r^4 > / (5 < r^2 >^2) - 1

    averaged over atoms and time origins, without the drift of the others. Ions that hop have a
    second peak at the distance between sites, and alpha_2 above zero until they have forgotten.

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
    for lag in lags:
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
    return VanHove(
        species=species,
        times=lags * trajectory.interval / 1000,
        distances=0.5 * (edges[1:] + edges[:-1]),
        distribution=np.array(counts) / (edges[1] - edges[0]),
        non_gaussian=alpha,
    )
