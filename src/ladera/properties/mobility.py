"""How the atoms of a species move away from where they were, in a trajectory: the numbers behind
:func:`ladera.properties.diffusion.diffusion`, in Angstrom and fs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from ladera.arrays import Floats, Integers
from ladera.errors import PropertyError
from ladera.properties.mean_squares import (
    growth,
    independent_particles,
    mean_squared_displacements,
    origin_correlation,
    origin_variance,
    slope_error,
    straight_line,
    variances,
)
from ladera.properties.trajectory import Trajectory

FIRST_LAG: Final = 1000.0  # fs; before it ions rattle in their cages
OBSERVATIONS: Final = 30  # at the longest lag, counted without overlap
FIT_LAGS: Final = 200
FEWEST_LAGS: Final = 5
BALLISTIC: Final = 1.5  # power of time above which atoms fly or drift


@dataclass(frozen=True, kw_only=True)
class Motion:
    """Displacements of one species, and the line through them; errors are standard errors."""

    positions: Floats  # (n_frames, n_mobile, 3), without drift
    alone: bool  # there are no other atoms
    lags: Integers  # (n_fit,), of the fit, in frames
    msd: Floats  # (n_frames, 3), of single atoms, Angstrom^2
    together: Floats  # (n_frames, 3), of their sum, for each of them
    n_apart: float  # atoms that move independently of each other
    exponent: float  # of msd ~ time^exponent at the lags of the fit
    intercept: float  # Angstrom^2
    tracer: float  # diffusion coefficient, Angstrom^2/fs, as all that follow
    tracer_error: float
    components: Floats  # (3,), along x, y and z
    components_error: Floats
    collective: float  # of the sum; not-a-number where there are no other atoms
    collective_error: float

    @property
    def n_mobile(self) -> int:
        """Atoms of the species."""
        return int(self.positions.shape[1])

    @property
    def haven_ratio(self) -> float:
        """Tracer over collective; not-a-number where their sum does not move."""
        return self.tracer / self.collective if self.collective > 0 else float("nan")

    @property
    def haven_ratio_error(self) -> float:
        """Its error, of a quotient of two independent numbers."""
        if not self.collective > 0:
            return float("nan")
        parts = self.tracer_error / self.tracer, self.collective_error / self.collective
        return float(abs(self.haven_ratio) * np.hypot(*parts))

    def shown(self) -> tuple[Integers, Floats]:
        """About 200 lags (frames) for a figure, beyond the fit, and the errors of msd."""
        n_frames = len(self.positions)
        lags = np.arange(1, n_frames, max(1, n_frames // 200))
        lags = lags[lags <= 1.25 * self.lags[-1]]
        whole = variances(self.positions, lags, self.msd[lags])[0]
        return lags, np.sqrt(whole / self.n_apart * origin_variance(n_frames, lags))


def motion_of(
    trajectory: Trajectory, species: str, window: tuple[float, float] | None = None
) -> Motion:
    """The displacements of a species in a trajectory, and their line in ``window`` (ps).

    Raises PropertyError for a species that is not there, and a trajectory too short for the window.
    """
    positions = trajectory.without_drift(species)
    n_frames, n_mobile = positions.shape[:2]
    alone = n_mobile == len(trajectory.numbers)
    lags = _fit_lags(trajectory, n_mobile, window)
    shape = origin_correlation(n_frames, lags)
    weights = straight_line(lags * trajectory.interval)
    msd = mean_squared_displacements(positions)
    exponent = growth(lags, msd[lags].sum(axis=1))
    # What the errors are of, a walk, is not there where atoms fly.
    walking = np.nan if exponent > BALLISTIC else 1.0
    n_apart = independent_particles(positions, _middle(lags, n_frames))
    whole, parts = (walking * each for each in variances(positions, lags, msd[lags]))
    together = mean_squared_displacements(positions.sum(axis=1, keepdims=True)) / n_mobile
    # Nothing, where the sum of the ions is at rest to the last digits.
    together = np.where(together > 1e-12 * msd, together, 0)
    # One particle has too few displacements to show their spread; a sum of many ions is normal.
    normal = 2 * walking * (together[lags] ** 2).sum(axis=1)
    of_sum = np.nan if alone else 1.0
    fit = weights @ msd[lags].sum(axis=1)
    return Motion(
        positions=positions,
        alone=alone,
        lags=lags,
        msd=msd,
        together=together,
        n_apart=n_apart,
        exponent=exponent,
        intercept=float(fit[1]),
        tracer=float(fit[0] / 6),
        tracer_error=float(slope_error(weights[0], whole / n_apart, shape) / 6),
        components=weights[0] @ msd[lags] / 2,
        components_error=np.array(
            [slope_error(weights[0], parts[:, c] / n_apart, shape) / 2 for c in range(3)]
        ),
        collective=float(of_sum * (weights[0] @ together[lags].sum(axis=1)) / 6),
        collective_error=float(of_sum * slope_error(weights[0], normal, shape) / 6),
    )


def framework_motion(trajectory: Trajectory, species: str, lag: int) -> float:
    """Root mean square displacement of the other atoms over a lag, Angstrom, without drift."""
    others = trajectory.positions[:, ~trajectory.mobile(species)]
    if not others.shape[1]:
        return float("nan")
    centred = others - others.mean(axis=1, keepdims=True)
    return float(np.sqrt(((centred[lag:] - centred[:-lag]) ** 2).sum(axis=2).mean()))


def _fit_lags(
    trajectory: Trajectory, n_mobile: int, window: tuple[float, float] | None
) -> Integers:
    """Lags of the fit, in frames."""
    interval, n_frames = trajectory.interval, trajectory.n_frames
    length = (n_frames - 1) * interval / 1000
    if window is None:
        first = int(np.ceil(FIRST_LAG / interval))
        stop = min(n_mobile * n_frames // OBSERVATIONS, n_frames)
        why = "the default window (1 ps to n_mobile n_frames / 30 frames)"
    else:
        if not 0 <= window[0] < window[1] < np.inf:
            raise PropertyError(
                f"The window from {window[0]:g} to {window[1]:g} ps is none; give its first and "
                "last time with --window FIRST LAST, in ps."
            )
        first = max(1, round(1000 * window[0] / interval))
        stop = round(1000 * window[1] / interval) + 1
        why = f"the window from {window[0]:g} to {window[1]:g} ps"
    if stop - first < FEWEST_LAGS or stop > n_frames:
        raise PropertyError(
            f"The trajectory is too short for {why}: it is {length:.4g} ps long, {n_frames} frames "
            f"{interval:g} fs apart of {n_mobile} mobile atom(s), and {FEWEST_LAGS} lags or more "
            "must fit; run longer, or give a window within it with --window FIRST LAST, in ps."
        )
    return np.arange(first, stop, max(1, (stop - first) // FIT_LAGS))


def _middle(lags: Integers, n_frames: int) -> int:
    """A lag amid the window at which there are still some displacements."""
    return int(max(lags[0], min(np.sqrt(lags[0] * lags[-1]), n_frames // 10)))
