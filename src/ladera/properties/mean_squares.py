"""Mean squared displacements averaged over time origins, and how uncertain they are."""

from __future__ import annotations

import numpy as np

from ladera.arrays import Floats, Integers, Reals
from ladera.progress import track


def mean_squared_displacements(positions: Floats) -> Floats:
    """MSD of each component, averaged over particles and time origins, by Fourier transforms.

    ::

        MSD(m) = 1/(N - m) sum_k |r(k + m) - r(k)|^2
               = 1/(N - m) [ sum_k r(k + m)^2 + r(k)^2 ] - 2/(N - m) sum_k r(k) r(k + m)

    (Calandrini et al., Collection SFN 12, 201 (2011)); the last sum is a correlation.

    Parameters
    ----------
    positions
        Unwrapped, shape (n_frames, n_particles, 3), Angstrom.

    Returns
    -------
    Shape (n_frames, 3), Angstrom^2, for lags of 0 to n_frames - 1 frames.
    """
    n_frames = len(positions)
    # Counted from their mean, positions keep their digits in the difference of large sums.
    r = positions - positions.mean(axis=0)
    total = np.zeros((n_frames, 3))
    for particle in track(range(r.shape[1]), "particles, displacements"):
        spectrum = np.fft.rfft(r[:, particle], 2 * n_frames, axis=0)
        total += np.fft.irfft(np.abs(spectrum) ** 2, 2 * n_frames, axis=0)[:n_frames]
    squares = (r**2).sum(axis=1)
    start = np.concatenate([np.zeros((1, 3)), np.cumsum(squares, axis=0)])
    lags = np.arange(n_frames)
    ends = start[n_frames] - start[lags] + start[n_frames - lags]
    origins = (n_frames - lags)[:, None] * r.shape[1]
    result: Floats = (ends - 2 * total) / origins
    result[0] = 0.0
    return result


def variances(positions: Floats, lags: Integers, msd: Floats) -> tuple[Floats, Floats]:
    """Variance over particles and origins of one squared displacement.

    Of the whole displacement, shape (n_lags,), and of each component, (n_lags, 3); Angstrom^4. At
    least that of normal displacements, 2 MSD^2 of each component of ``msd`` (n_lags, 3): too few
    displacements do not show their scatter.
    """
    whole, parts = [], []
    for lag in track(lags, "times, scatter of displacements"):
        # Origins much closer than the lag see the same displacement again.
        origins = np.arange(0, len(positions) - lag, max(1, lag // 20))
        squares = (positions[origins + lag] - positions[origins]) ** 2
        whole.append(squares.sum(axis=2).var())
        parts.append(squares.var(axis=(0, 1)))
    normal = 2 * msd**2
    return np.maximum(whole, normal.sum(axis=1)), np.maximum(parts, normal)


def independent_particles(positions: Floats, lag: int) -> float:
    """How many particles that move by themselves scatter as these do, one to n_particles.

    Squared displacements of two normal particles whose displacements have the correlation rho have
    the correlation rho^2, so that the mean over N particles has the variance of a mean over

    ::

        N / (1 + 1/N sum_(i != j) rho_ij^2)

    independent ones. Of rho^2 the part that chance makes of T displacements in three dimensions,
    1 / (3 T), is taken off. ``positions`` (n_frames, n_particles, 3), ``lag`` in frames.
    """
    steps = positions[::lag][1:] - positions[::lag][:-1]
    steps = steps[:: max(1, len(steps) // 500)]
    count = steps.shape[1]
    columns = steps.transpose(0, 2, 1).reshape(-1, count)  # (3 T, n_particles)
    lengths = np.linalg.norm(columns, axis=0)
    columns = columns / np.where(lengths > 0, lengths, 1)
    products = columns.T @ columns if count < len(columns) else columns @ columns.T
    moving = (lengths > 0).sum()
    chance = moving * (moving - 1) / len(columns)
    excess = ((products**2).sum() - moving - chance) / count
    return float(count / (1 + max(0.0, excess)))


def origin_correlation(n_frames: int, lags: Integers) -> Floats:
    """Covariance of time-origin averages at two lags, for squared displacements of variance one.

    Displacements from origins s and t, over i and j frames, share o(s - t) frames; if steps are
    independent and normal, the covariance of their squares is (o / i)(o / j) of sqrt(v_i v_j). So

    ::

        G_ij = 1/(K_i K_j) sum_s sum_t o(s - t)^2 / (i j),    K_i = n_frames - i

    which is exact for a random walk, where McCluskey, Coles and Morgan, J. Chem. Theory Comput. 21,
    79 (2025), have v_i n_i / n_j with the number n of displacements that do not overlap.

    Of the differences s - t every so many is taken. Shape (n_lags, n_lags).
    """
    lags = np.asarray(lags)
    n_lags = len(lags)
    matrix = np.empty((n_lags, n_lags))
    for a, i in enumerate(lags):
        j = lags[a:, None]
        # Nothing is shared outside -j < u < i, and no origins differ by K or more.
        first = np.maximum(-j, i - n_frames) + 1
        last = np.minimum(i, n_frames - j)
        stride = np.maximum(1, np.minimum(i, n_frames - j) // 20)
        u = first + stride * np.arange(int(((last - first) // stride).max()) + 1)
        overlap = np.clip(np.minimum(i, u + j) - np.maximum(0, u), 0, None)
        pairs = np.minimum(n_frames - i, n_frames - j - u) - np.maximum(0, -u)
        total = (np.clip(pairs, 0, None) * overlap.astype(float) ** 2 * stride).sum(axis=1)
        row = total / (i * j[:, 0]) / ((n_frames - i) * (n_frames - j[:, 0]).astype(float))
        matrix[a, a:] = matrix[a:, a] = row
    return matrix


def origin_variance(n_frames: int, lags: Integers) -> Floats:
    """The diagonal of :func:`origin_correlation`, in closed form (n frames of lag, K origins).

    ::

        (4 n^2 K + 2 K + n - n^3) / (6 n K^2)            n <= K
        1 + (K^3 - 4 n K^2 + 4 n - K) / (6 n^2 K)        n > K

    (Michalet, Phys. Rev. E 82, 041914 (2010)).
    """
    n = np.asarray(lags, dtype=float)
    k = n_frames - n
    short = (4 * n**2 * k + 2 * k + n - n**3) / (6 * n * k**2)
    long = 1 + (k**3 - 4 * n * k**2 + 4 * n - k) / (6 * n**2 * k)
    variance: Floats = np.where(n <= k, short, long)
    return variance


def straight_line(times: Reals) -> Floats:
    """Weights w (2, n) that make slope and intercept of an ordinary fit: w @ values."""
    design = np.stack([times, np.ones_like(times)], axis=1)
    weights: Floats = np.linalg.pinv(design)
    return weights


def slope_error(weights: Floats, variance: Floats, shape: Floats) -> float:
    """Standard error of sum_i w_i MSD_i with covariance sqrt(v_i v_j) G_ij; none of no motion."""
    scaled = weights * np.sqrt(variance)
    return float(np.sqrt(scaled @ shape @ scaled)) if variance.any() else float("nan")


def growth(lags: Integers, msd: Floats) -> float:
    """The power of time with which an MSD grows; not-a-number at rest."""
    positive = msd > 0
    if positive.sum() < 2:
        return float("nan")
    return float(np.polyfit(np.log(lags[positive]), np.log(msd[positive]), 1)[0])


def error_of_mean(series: Floats) -> float:
    """Standard error of the mean of a correlated series; not-a-number where it is too short.

    ::

        error^2 = 2 tau / n sigma^2,    tau = 1/2 + sum_t rho(t) for t up to 5 tau

    with the autocorrelation rho (Sokal, in Functional Integration, NATO ASI B 361, 131 (1997)), of
    50 tau values or more.
    """
    n = len(series)
    centred = series - series.mean() if n else series
    if n < 2 or not (variance := float(centred @ centred) / n) > 0:
        return float("nan")
    size = 1 << (2 * n - 1).bit_length()
    spectrum = np.abs(np.fft.rfft(centred, size)) ** 2
    rho = np.fft.irfft(spectrum, size)[:n] / (n * variance)
    taus = np.cumsum(rho) - 0.5
    window = int(np.argmax(np.arange(n) >= 5 * taus))
    tau = max(0.5, float(taus[window]))
    return float(np.sqrt(2 * tau * variance / n)) if n >= 50 * tau else float("nan")


def standard_error(blocks: Floats) -> Floats:
    """Standard error of the mean over blocks, along the first axis; not-a-number for one block."""
    if len(blocks) < 2:
        return np.full(blocks.shape[1:], np.nan)
    errors: Floats = np.std(blocks, axis=0, ddof=1) / np.sqrt(len(blocks))
    return errors
