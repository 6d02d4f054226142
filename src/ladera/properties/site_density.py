"""Where the mobile ions of a solid are: their density in the cell, as an isosurface."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np
from ase import Atoms
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.ndimage import gaussian_filter

from ladera.arrays import Floats
from ladera.errors import PropertyError
from ladera.files import write_text_atomic
from ladera.plotting import axes, style
from ladera.properties.given import of_trajectory
from ladera.properties.recorded import recorded
from ladera.properties.result import Result, quantity
from ladera.properties.trajectory import Trajectory
from ladera.tables import Column, Table
from ladera.units import BOHR

SPACING: Final = 0.35  # Angstrom
MOST_POINTS: Final = 40  # along a vector
WIDTH: Final = 0.3  # Angstrom, standard deviation of the Gaussian that is put on an ion
ENCLOSED: Final = 0.8  # of the ions are inside the isosurface
CUBE: Final = "density.cube"


@dataclass(frozen=True, kw_only=True)
class SiteDensity(Result):
    """Mean density of a species on a grid, and the mean places of all other atoms."""

    kind: ClassVar[str] = "site_density"
    title: ClassVar[str] = "Where the ions are"
    caption: ClassVar[str] = (
        "Density of the ions, summed along the third cell vector, in the plane of the first two."
    )

    species: str
    cell: Floats = quantity("Angstrom")  # (3, 3)
    density: Floats = quantity("1/Angstrom^3")  # (n_a, n_b, n_c), [0, 0, 0] at the corner
    level: float = quantity("1/Angstrom^3")  # the isosurface that holds 80 % of the ions
    share: float = quantity()  # of the cell that it encloses
    numbers: Floats = quantity()  # (n_others,), atomic numbers of the framework
    framework: Floats = quantity("Angstrom")  # (n_others, 3)

    def table(self) -> Table:
        """Level of the isosurface and how much of the cell it takes."""
        mean = float(self.density.mean())
        holds = f"isosurface that holds {ENCLOSED:.0%} of the {self.species}"
        return Table.of_one(
            (Column("mean density", "1/Angstrom^3"), mean),
            (Column("highest density over the mean", pattern=".1f"), self.density.max() / mean),
            (Column(holds, "1/Angstrom^3", pattern=".3g"), self.level),
            (Column("share of the cell inside it", "%", pattern=".1f"), 100 * self.share),
        )

    def plot(self, ax: Axes | None = None) -> Figure:
        """Density summed along the third vector, in the plane of the first two."""
        height = float(np.linalg.norm(self.cell[2]))
        shape = self.density.shape
        flat = self.density.mean(axis=2) * height
        flat = np.pad(flat, ((0, 1), (0, 1)), mode="wrap")  # the far edges are the near ones again
        i, j = np.meshgrid(*(np.arange(n + 1) / n for n in shape[:2]), indexing="ij")
        e1 = self.cell[0] / np.linalg.norm(self.cell[0])
        e2 = self.cell[1] - (self.cell[1] @ e1) * e1
        e2 /= np.linalg.norm(e2)
        points = i[..., None] * self.cell[0] + j[..., None] * self.cell[1]
        with style():
            figure, panel = axes(4.6, 3.8, ax)
            image = panel.pcolormesh(
                points @ e1, points @ e2, flat, cmap="cividis", shading="gouraud", rasterized=True
            )
            figure.colorbar(image, label=f"{self.species} per Å² of the plane")
            panel.set(xlabel="along a (Å)", ylabel="across, in the plane of b (Å)")
            panel.set_aspect("equal")
            panel.grid(False)
        return figure

    def motion(self) -> tuple[list[Atoms], list[str]]:
        """The framework, for the 3D view, in which the isosurface is drawn."""
        numbers = self.numbers.astype(int)
        return [Atoms(numbers, self.framework, cell=self.cell, pbc=True)], [
            f"{ENCLOSED:.0%} of the {self.species} are inside the surface"
        ]

    def isosurface(self) -> tuple[str, float]:
        """The density as a cube file (Gaussian's format, lengths in Bohr) and the level."""
        shape = self.density.shape
        lines = [f"density of {self.species} in 1/Angstrom^3", "made by Ladera"]
        lines.append(f"{len(self.numbers)} 0 0 0")
        for count, vector in zip(shape, self.cell, strict=True):
            lines.append(f"{count} " + " ".join(f"{x / count / BOHR:.6f}" for x in vector))
        for number, place in zip(self.numbers, self.framework, strict=True):
            lines.append(f"{number:.0f} 0 " + " ".join(f"{x / BOHR:.6f}" for x in place))
        for row in self.density.reshape(-1, shape[2]):
            words = [f"{value:.4e}" for value in row]
            lines += [" ".join(words[k : k + 6]) for k in range(0, len(words), 6)]
        return "\n".join(lines) + "\n", self.level

    def save(self, folder: str | os.PathLike[str]) -> None:
        """As every result, and density.cube for VESTA or VMD."""
        super().save(folder)
        write_text_atomic(os.path.join(folder, CUBE), self.isosurface()[0])


@of_trajectory
@recorded
def site_density(trajectory: Trajectory, species: str, /) -> SiteDensity:
    """Density of a species in the mean cell of a trajectory, without the drift of the others.

    Every ion of every frame is a Gaussian of 0.3 Angstrom on a grid of about 0.35 Angstrom. The
    framework is drawn at the mean places of its atoms.

    Raises PropertyError for a species that is not there, or alone there, and without a lattice.
    """
    if trajectory.volume <= 0:
        raise PropertyError(
            "A density is shown in a cell that is periodic in all directions; this one is not."
        )
    mobile = trajectory.mobile(species)
    if mobile.all():
        raise PropertyError(f"All atoms are {species}; sites need a framework of other atoms.")
    others = trajectory.positions[:, ~mobile]
    drift = others.mean(axis=1, keepdims=True)
    drift = drift - drift[:1]
    cell = trajectory.cells.mean(axis=0)
    scaled = (trajectory.positions[:, mobile] - drift) @ np.linalg.inv(cell)
    lengths = np.linalg.norm(cell, axis=1)
    shape = tuple(int(n) for n in np.clip(np.ceil(lengths / SPACING), 4, MOST_POINTS))
    places = np.round(scaled.reshape(-1, 3) * shape).astype(int) % shape
    flat = np.ravel_multi_index(tuple(places.T), shape)
    counts = np.bincount(flat, minlength=int(np.prod(shape))).reshape(shape).astype(float)
    widths = [WIDTH / (length / n) for length, n in zip(lengths, shape, strict=True)]
    smooth = gaussian_filter(counts, widths, mode="wrap")
    volume = trajectory.volume
    density = smooth * (mobile.sum() / smooth.sum()) / (volume / smooth.size)
    ordered = np.sort(density.ravel())[::-1]
    inside = int(np.searchsorted(np.cumsum(ordered), ENCLOSED * ordered.sum()))
    return SiteDensity(
        species=species,
        cell=cell,
        density=density,
        level=float(ordered[inside]),
        share=(inside + 1) / density.size,
        numbers=trajectory.numbers[~mobile].astype(float),
        framework=(others - drift).mean(axis=0),
    )
