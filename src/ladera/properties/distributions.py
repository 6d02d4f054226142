"""How the atoms of a simulation are arranged: distances, neighbours, angles, structure factor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.ndimage import gaussian_filter1d
from scipy.signal import find_peaks

from ladera.arrays import Floats, Integers
from ladera.errors import PropertyError
from ladera.plotting import DASHES, FAINT, PALETTE, band, panel_grid, style
from ladera.properties.mean_squares import standard_error
from ladera.properties.pair_statistics import ANGLE_BINS, BIN, PairStatistics
from ladera.properties.recorded import recorded
from ladera.properties.result import Result, quantity
from ladera.properties.unfolding import nearest_image
from ladera.structure import directions
from ladera.tables import Cell, Column, Number, Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ase import Atoms


SMOOTHING: Final = 0.06  # Angstrom, of the curve in which peaks and minima are looked for
PROMINENCE: Final = 0.1  # of a peak, of the curve's largest value
FARTHEST: Final = 12.0  # Angstrom
FRAMES: Final = 200  # more are thinned: neighbouring frames say the same
BLOCKS: Final = 5
MOST_PAIRS: Final = 3e8
LASTING: Final = 0.3  # Angstrom, of changes that are looked at for this
ALIKE: Final = 1.5  # of the variance from blocks over that from their halves


@dataclass(frozen=True, kw_only=True)
class Structure(Result):
    """Averages over a trajectory; errors are standard errors of block averages.

    A pair a-b stands for neighbours b of atoms a. Not-a-number stands for a peak or minimum that
    is not there.
    """

    kind: ClassVar[str] = "structure"
    title: ClassVar[str] = "Structure"
    caption: ClassVar[str] = (
        "g(r) with its integral, angles between neighbours, and the structure factor; bands "
        "are two standard errors."
    )

    pairs: tuple[str, ...]  # every unordered pair of species once, such as O-H
    counts: Floats = quantity()  # (n_pairs, 2), atoms of either species
    n_frames: int  # that were looked at
    n_blocks: int
    volume: float = quantity("Angstrom^3")
    distances: Floats = quantity("Angstrom")  # (n_bins,), middle of the bins
    radial: Floats = quantity()  # (n_pairs, n_bins), g(r)
    radial_error: Floats = quantity()
    integral: Floats = quantity()  # (n_pairs, n_bins), neighbours b up to the bin's end
    peak: Floats = quantity("Angstrom")  # (n_pairs,), first maximum of g(r)
    peak_error: Floats = quantity("Angstrom")
    height: Floats = quantity()  # (n_pairs,), of that maximum
    height_error: Floats = quantity()
    minimum: Floats = quantity("Angstrom")  # (n_pairs,), first minimum after it
    coordination: Floats = quantity()  # (n_pairs,), neighbours b up to the minimum
    coordination_error: Floats = quantity()
    triplets: tuple[str, ...]  # neighbour-centre-neighbour, such as H-O-H
    angles: Floats = quantity("degree")  # (n_angles,)
    angular: Floats = quantity("1/degree")  # (n_triplets, n_angles), integrates to one
    angular_error: Floats = quantity("1/degree")
    wavevectors: Floats = quantity("1/Angstrom")  # (n_q,)
    structure_factor: Floats = quantity()  # (n_q,)
    structure_factor_error: Floats = quantity()

    def table(self) -> Table:
        """First shell of every pair, both ways round."""
        columns = (
            Column("pair"),
            Column("first peak", "Angstrom", pattern=".3f"),
            Column("height", pattern=".2f"),
            Column("first minimum", "Angstrom", pattern=".2f"),
            Column("neighbours within", pattern=".2f"),
        )
        rows: list[tuple[Cell, ...]] = []
        for i, pair in enumerate(self.pairs):
            ends = pair.split("-")
            ways = [1.0] if ends[0] == ends[1] else [1.0, self.counts[i, 0] / self.counts[i, 1]]
            for name, factor in zip((pair, "-".join(reversed(ends))), ways, strict=False):
                rows.append((name, *self._shell(i, factor)))
        words = f"Averaged over {self.n_frames} frames in {self.n_blocks} blocks"
        if self.radial.any() and np.isnan(self.radial_error).all():
            words += " THAT ARE ALIKE (no errors: run longer)"
        return Table(columns, tuple(rows), notes=(f"{words}.",))

    def _shell(self, i: int, factor: float) -> tuple[Number, ...]:
        peak, minimum = (bool(np.isfinite(each[i])) for each in (self.peak, self.minimum))
        ends = "" if minimum or not peak else "g(r) ends before a minimum"
        return (
            self.number("peak", i, note="" if peak else "g(r) has no peak"),
            self.number("height", i),
            self.number("minimum", i, note=ends),
            self.number("coordination", i, factor=factor) if minimum else Number(np.nan),
        )

    def tables(self) -> tuple[Table, ...]:
        """First shells, angles, and the highest peak of the structure factor."""
        rows = []
        for i, triplet in enumerate(self.triplets):
            at = float(self.angles[np.argmax(self.angular[i])])
            mean = float((self.angular[i] * self.angles).sum() / self.angular[i].sum())
            rows.append((triplet, at, mean))
        columns = (
            Column("angle"),
            Column("most frequent", "degree", pattern=".0f"),
            Column("mean", "degree", pattern=".1f"),
        )
        best = int(np.argmax(self.structure_factor))
        highest = Table.of_one(
            (
                Column("highest peak of S(q), at q", "1/Angstrom", pattern=".2f"),
                float(self.wavevectors[best]),
            ),
            (Column("S(q) there", pattern=".2f"), self.number("structure_factor", best)),
            name="structure_factor",
        )
        angles = [Table(columns, tuple(rows), name="angles")] if rows else []
        return (self.table(), *angles, highest)

    def plot(self, ax: Axes | None = None) -> Figure:
        """g(r) with its integral, angles, and structure factor, one above the other."""
        with style():
            rows = 3 if self.triplets else 2  # no neighbours, no angles
            size = 5.2, 2.7 * rows
            figure, (radial, *angular, factor) = panel_grid(*size, ax, rows=(1,) * rows)
            running = radial.twinx()
            for i, pair in enumerate(self.pairs):
                band(radial, self.distances, self.radial[i], self.radial_error[i], pair, i)
                look: dict[str, Any] = {"color": PALETTE[i % len(PALETTE)], "lw": 0.8}
                look |= {"linestyle": DASHES[i % len(DASHES)]}
                running.plot(self.distances, self.integral[i], **look)
            radial.set(xlabel="distance (Å)", ylabel="g(r), bold")
            radial.set_xlim(0, float(self.distances[-1]))
            radial.set_ylim(bottom=0)
            running.set(ylabel="neighbours up to r, thin", ylim=(0, 20))
            running.grid(False)
            running.spines["right"].set_visible(True)
            # Above the panels: the curves leave no corner free.
            above: dict[str, Any] = {"loc": "lower right", "bbox_to_anchor": (1, 1)}
            radial.legend(ncols=5, **above)
            for panel in angular:
                for i, triplet in enumerate(self.triplets):
                    band(panel, self.angles, self.angular[i], self.angular_error[i], triplet, i)
                panel.set(xlabel="angle (degree)", ylabel="probability (1/degree)", xlim=(0, 180))
                panel.set_ylim(bottom=0)
                panel.legend(ncols=4, **above)
            factor.axhline(1, color=FAINT, lw=0.8)
            band(
                factor,
                self.wavevectors,
                self.structure_factor,
                self.structure_factor_error,
                "all atoms",
            )
            factor.set(xlabel="wave vector q (Å⁻¹)", ylabel="S(q)")
            factor.set_xlim(0, float(self.wavevectors[-1]))
            factor.set_ylim(bottom=0)
        return figure


@recorded
def structure(frames: Sequence[Atoms], /, *, farthest: float | None = None) -> Structure:
    r"""Pair, angle and wave-vector averages over frames of the same atoms in a periodic cell.

    ::

        g_ab(r)  = V / (N_a (N_b - delta_ab)) n_ab(r) / (4 pi r^2 dr)
        n_ab(R)  = number of atoms b within R of an atom a
        S(q)     = 1/N < | sum_j exp(i q.r_j) |^2 >         over vectors q of the cell's lattice

    with n_ab(r) dr the pairs in a shell. The first peak is the first maximum of g (smoothed by
    0.06 Angstrom), the first minimum the lowest point before the next; neighbours within it are
    counted, and their angles. ``farthest`` (Angstrom) is where g(r) ends, by default half the
    shortest vector of the cell's lattice, at most 12: beyond it an atom meets images of what it
    has met before, at last its own. Up to 200 frames, evenly spaced, are looked at, in five blocks
    whose scatter makes the errors; there are none where neighbouring blocks are alike, because the
    frames then remember each other for longer than a block.

    Raises PropertyError for frames without a cell, with different atoms, of one atom, or fewer than
    ten, and for a ``farthest`` beyond half the shortest vector.
    """
    _check(frames, farthest)
    limit = min(nearest_image(atoms.cell.array) for atoms in frames)
    if farthest is None:
        farthest = min(FARTHEST, limit)
    if not 10 * BIN < farthest <= 1.01 * limit:
        raise PropertyError(
            f"g(r) to {farthest:g} Angstrom is not possible in this cell: from {limit:.4g}, half "
            "its shortest vector, an atom meets images of atoms it has met before. Give a smaller "
            "--farthest, or simulate a larger cell."
        )
    n_pairs = len(frames[0]) ** 2 * 4 / 3 * np.pi * farthest**3 / frames[0].cell.volume
    if n_pairs > MOST_PAIRS:
        raise PropertyError(
            f"Within {farthest:g} Angstrom a frame of {len(frames[0])} atoms has {n_pairs:.1e} "
            f"pairs, and {MOST_PAIRS:.0e} fit into memory; give a smaller --farthest."
        )
    pick = np.linspace(0, len(frames) - 1, min(FRAMES, len(frames))).astype(int)
    blocks = np.array_split(pick, BLOCKS)
    work = PairStatistics(frames, farthest)
    histograms = work.histograms(_even(blocks))
    counts = histograms.mean(
        axis=1
    )  # (n_blocks, n_pairs, n_bins), neighbours of one atom a in a shell
    radial = counts / work.ideal
    sure = _independent(histograms / np.sqrt(work.ideal))
    smooth = gaussian_filter1d(radial.mean(0), SMOOTHING / BIN, axis=1, mode="constant")
    shells = np.array([_first_shell(curve, work.edges) for curve in smooth])
    peaks = np.array([_peaks(block, shells[:, 0], work) for block in radial])
    integral = counts.cumsum(axis=2)
    within = np.array([_inside(block, shells[:, 1], work) for block in integral])
    triplets, angular = work.angles(_even(blocks), shells[:, 1])
    q, factors = work.structure_factor(_even(blocks))
    return Structure(
        pairs=work.names,
        counts=work.sizes,
        n_frames=histograms.shape[0] * histograms.shape[1],
        n_blocks=BLOCKS,
        volume=work.volume,
        distances=0.5 * (work.edges[1:] + work.edges[:-1]),
        radial=radial.mean(0),
        radial_error=sure * standard_error(radial),
        integral=integral.mean(0),
        peak=peaks[:, :, 0].mean(0),
        peak_error=sure * standard_error(peaks[:, :, 0]),
        height=peaks[:, :, 1].mean(0),
        height_error=sure * standard_error(peaks[:, :, 1]),
        minimum=shells[:, 1],
        coordination=within.mean(0),
        coordination_error=sure * standard_error(within),
        triplets=triplets,
        angles=(np.arange(ANGLE_BINS) + 0.5) * 180 / ANGLE_BINS,
        angular=angular.mean(0),
        angular_error=sure * standard_error(angular),
        wavevectors=q,
        structure_factor=factors.mean(0),
        structure_factor_error=sure * standard_error(factors),
    )


def _check(frames: Sequence[Atoms], farthest: float | None) -> None:
    if farthest is not None and not farthest > 10 * BIN:
        what = "give some Angstrom, such as 6: the atoms around an atom are counted up to there"
        raise PropertyError.of("farthest", f"{farthest:g} Angstrom", what)
    if len(frames) and len(frames[0]) < 2:
        raise PropertyError("g(r) is made of pairs, and the structure has one atom.")
    if len(frames) < 2 * BLOCKS:
        raise PropertyError(
            f"The trajectory has {len(frames)} frame(s), too few for averages with errors; give "
            f"{2 * BLOCKS} or more."
        )
    for index, atoms in enumerate(frames):
        if not (atoms.pbc.all() and atoms.cell.volume > 0):
            raise PropertyError(
                f"Frame {index} is periodic {directions(atoms.pbc)}; g(r) compares with an even "
                "density, so give frames of a cell that is periodic in all directions."
            )
        if not np.array_equal(atoms.numbers, frames[0].numbers):
            raise PropertyError(
                f"Frame {index} has other atoms than frame 0, or the same in another order; give "
                "frames of one simulation."
            )


def _independent(curves: Floats) -> float:
    """One where blocks do not remember each other, else not-a-number: then errors are too small.

    Of blocks (n_blocks, n_frames, n_pairs, n_bins) and their halves. The variance of a mean is the
    same from either where they are independent, twice as large from blocks where halves are alike.
    """
    # Single bins flicker from frame to frame; what lasts is seen in several of them together.
    curves = gaussian_filter1d(curves, LASTING / BIN, axis=3, mode="constant")
    half = curves.shape[1] // 2
    parts = [curves[:, :half].mean(axis=1), curves[:, -half:].mean(axis=1)]
    of_halves = (standard_error(np.concatenate(parts)) ** 2).sum()
    of_blocks = (standard_error(curves.mean(axis=1)) ** 2).sum()
    flicker = 1e-20 * (curves**2).sum()  # what rounding does to frames that are all the same
    return 1.0 if flicker < of_blocks < ALIKE * of_halves else float("nan")


def _even(blocks: list[Integers]) -> Integers:
    """Blocks of one size, (n_blocks, n_frames): the largest may lose a frame."""
    size = min(map(len, blocks))
    return np.array([block[:size] for block in blocks])


def _first_shell(curve: Floats, edges: Floats) -> tuple[float, float]:
    """First peak and the minimum after it, Angstrom; not-a-number where there is none."""
    peaks, _ = find_peaks(curve, prominence=max(PROMINENCE * curve.max(initial=0), 1e-9))
    if len(peaks) == 0:
        return np.nan, np.nan
    middle = 0.5 * (edges[1:] + edges[:-1])
    end = peaks[1] if len(peaks) > 1 else len(curve)
    valley = curve[peaks[0] : end]
    lowest = np.flatnonzero(valley <= valley.min() + 1e-3)
    minimum = middle[peaks[0] + int(lowest.mean())]
    at_end = len(peaks) == 1 and lowest[-1] == len(valley) - 1 and valley[-1] > 0.01
    return float(middle[peaks[0]]), np.nan if at_end else float(minimum)


def _peaks(radial: Floats, near: Floats, work: PairStatistics) -> Floats:
    """Place and height of a block's first peaks, (n_pairs, 2), by parabolas through their tops."""
    middle = 0.5 * (work.edges[1:] + work.edges[:-1])
    shells = np.full((len(radial), 2), np.nan)
    for i, (curve, where) in enumerate(zip(radial, near, strict=True)):
        if not np.isfinite(where):
            continue
        window = np.abs(middle - where) <= max(3 * BIN, 0.04 * where)
        top = int(np.flatnonzero(window)[np.argmax(curve[window])])
        around = slice(max(0, top - 2), top + 3)
        a, b, c = np.polyfit(middle[around] - middle[top], curve[around], 2)
        shift = float(np.clip(-b / (2 * a), -2 * BIN, 2 * BIN)) if a < 0 else 0.0
        shells[i] = middle[top] + shift, c + b * shift / 2 if a < 0 else curve[top]
    return shells


def _inside(integral: Floats, reach: Floats, work: PairStatistics) -> Floats:
    """Neighbours within the reach of each pair, (n_pairs,)."""
    pairs = zip(reach, integral, strict=True)
    return np.array([np.interp(r, work.edges[1:], row) for r, row in pairs])
