"""The interaction matrices of Gaussian charges and their gradient on the CPU.

The sums over pairs and images are compiled; those over the few reciprocal vectors are products of
matrices. Formulas in ``reference``.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Final, NamedTuple

import numpy as np
from numpy.polynomial import Chebyshev
from scipy.special import erfcx

from ladera.arrays import Floats, Integers
from ladera.kernels.compilation import simd
from ladera.kernels.cutoffs import cutoff_function
from ladera.kernels.electrostatics.ewald import EwaldSums, reciprocal_vectors
from ladera.kernels.electrostatics.screening import Screening
from ladera.kernels.vector_math import exponential

_BLOCK: Final = 512  # pairs worked on together: their arrays stay in the cache
_N_ARRAYS: Final = 13  # how many such arrays there are
_SPLIT: Final = 3.75  # the x that is mapped to the middle of the interval of erfc's series


class GaussianCharges(NamedTuple):
    """Where and how wide the charges are, and how their interactions are summed."""

    positions: Floats  # (n_atoms, 3), Angstrom
    cell: Floats  # (3, 3), Angstrom; does not count with open sums
    kinds: Integers  # (n_atoms,) index into widths
    widths: Floats  # (n_kinds,), Angstrom
    sums: EwaldSums
    screening: Screening | None


def matrices(charges: GaussianCharges) -> tuple[Floats, Floats]:
    """Coulomb matrix A and its screening S, each (n_atoms, n_atoms), 1/Angstrom."""
    n_atoms = len(charges.positions)
    A, S = np.zeros((n_atoms, n_atoms)), np.zeros((n_atoms, n_atoms))
    loop = _loop(charges)
    _matrices(loop, A, S, *_scratch(loop))
    for matrix in (A, S):
        matrix += np.triu(matrix, 1).T
    self_energy = 1 / (math.sqrt(math.pi) * charges.widths)
    shift = 2 / (math.sqrt(2 * math.pi) * charges.sums.width)
    np.fill_diagonal(A, A.diagonal() + self_energy[charges.kinds] - shift)
    if not charges.sums.open:
        _, weights, cosines, sines = _waves(charges)
        A += (cosines * weights) @ cosines.T + (sines * weights) @ sines.T
    return A, S


def gradient(charges: GaussianCharges, p: Floats, l: Floats, q: Floats) -> tuple[Floats, Floats]:
    """Gradient of (p.A p - l.A l + q.S q) / 2 in the positions and in the strain.

    Takes three vectors (n_atoms,); gives (n_atoms, 3) in 1/Angstrom^2 and (3, 3) in 1/Angstrom, in
    units of theirs squared.
    """
    slopes, virial = np.zeros_like(charges.positions), np.zeros((3, 3))
    loop = _loop(charges)
    _gradient(loop, p, l, q, slopes, virial, *_scratch(loop))
    if not charges.sums.open:
        k, weights, cosines, sines = _waves(charges)
        # d ln(weight) / d strain = -1 + (eta^2 + 2 / k^2) k (x) k
        tensors = (charges.sums.width**2 + 2 / (k * k).sum(1))[:, None, None]
        tensors = tensors * k[:, :, None] * k[:, None, :] - np.eye(3)
        for sign, x in ((1, p), (-1, l)):
            real, imaginary = x @ cosines, x @ sines
            phase_slopes = x[:, None] * (cosines * imaginary - sines * real)
            slopes += sign * (phase_slopes * weights) @ k
            amplitudes = 0.5 * weights * (real**2 + imaginary**2)
            virial += sign * np.tensordot(amplitudes, tensors, 1)
    return slopes, virial


def _waves(charges: GaussianCharges) -> tuple[Floats, Floats, Floats, Floats]:
    """Reciprocal vectors (n_vectors, 3), their weights, cosines and sines (n_atoms, n_vectors)."""
    cell, sums = charges.cell, charges.sums
    integers = reciprocal_vectors(cell, sums.reciprocal_cutoff)
    k = 2 * math.pi * integers @ np.linalg.inv(cell).T
    squares = (k * k).sum(1)
    # Each vector stands for its negative as well.
    weights = 8 * math.pi / abs(np.linalg.det(cell)) * np.exp(-0.5 * sums.width**2 * squares)
    phases = charges.positions @ k.T
    return k, weights / squares, np.cos(phases), np.sin(phases)


class _Loop(NamedTuple):
    """What the compiled loops over pairs and images read."""

    positions: Floats  # (n_atoms, 3)
    cell: Floats  # (3, 3)
    inverse: Floats  # (3, 3), of the cell; zero in the open
    reach: Floats  # (3,) how many cells the longest distance spans; zero in the open
    longest: float  # distance up to which pairs count
    real_cutoff: float
    inverse_width: float  # 1 / (sqrt(2) eta)
    inverse_spreads: Floats  # (n_kinds, n_kinds), 1 / (sqrt(2) gamma)
    kinds: Integers  # (n_atoms,)
    screening_kind: int
    screening_alpha: float
    screening_outer: float  # 0 for no screening
    series: Floats  # of erfc


def _loop(charges: GaussianCharges) -> _Loop:
    sums, screening = charges.sums, charges.screening or Screening(0, 0.0, 0.0)
    longest = max(sums.real_cutoff, screening.outer)
    inverse: Floats = np.zeros((3, 3))
    reach: Floats = np.zeros(3)
    if not sums.open:
        inverse = np.asarray(np.linalg.inv(charges.cell))
        # A row of the cell is as high as 1 / |column of the inverse|.
        reach = np.asarray(longest * np.linalg.norm(inverse, axis=0))
    widths = charges.widths
    return _Loop(
        positions=np.ascontiguousarray(charges.positions),
        cell=np.ascontiguousarray(charges.cell),
        inverse=inverse,
        reach=reach,
        longest=longest,
        real_cutoff=sums.real_cutoff,
        inverse_width=1 / (math.sqrt(2) * sums.width),
        inverse_spreads=1 / (math.sqrt(2) * np.hypot(widths[:, None], widths[None, :])),
        kinds=charges.kinds,
        screening_kind=screening.kind,
        screening_alpha=screening.alpha,
        screening_outer=screening.outer,
        series=_erfc_series(),
    )


def _scratch(loop: _Loop) -> tuple[Integers, Floats, Integers]:
    """Neighbours, numbers and bits of the pairs of one block, which a last pair may overfill."""
    n_images = int(np.prod(2 * np.floor(loop.reach) + 2))
    length = _BLOCK + n_images
    integers = np.zeros((2, length), np.int64)
    return integers[0], np.zeros((_N_ARRAYS, length)), integers[1]


@cache
def _erfc_series() -> Floats:
    """Chebyshev coefficients h of erfc(x) = exp(-x^2) h(t) / (x + c), t = (x - c) / (x + c)."""

    def h(t: Floats) -> Floats:
        x = _SPLIT * (1 + t) / (1 - t)
        return np.asarray(erfcx(x) * (x + _SPLIT))

    return np.asarray(Chebyshev.interpolate(h, 40).coef[:25])


@simd
def _matrices(
    loop: _Loop, A: Floats, S: Floats, neighbors: Integers, work: Floats, bits: Integers
) -> None:
    """Add the sums over pairs to the upper triangles."""
    n_atoms = loop.kinds.size
    for i in range(n_atoms):
        count = 0
        for j in range(i, n_atoms):
            count = _collect(loop, i, j, count, neighbors, work)
            if count >= _BLOCK or j == n_atoms - 1:
                _pair_values(loop, i, count, neighbors, work, bits)
                for k in range(count):
                    A[i, neighbors[k]] += work[4, k]
                    S[i, neighbors[k]] += work[6, k]
                count = 0


@simd
def _gradient(
    loop: _Loop,
    p: Floats,
    l: Floats,
    q: Floats,
    slopes: Floats,
    virial: Floats,
    neighbors: Integers,
    work: Floats,
    bits: Integers,
) -> None:
    """Add the gradient of the sums over pairs in positions and strain."""
    n_atoms = loop.kinds.size
    dx, dy, dz, slope, inverse = work[0], work[1], work[2], work[5], work[12]
    screening_slope = work[7]
    for i in range(n_atoms):
        count = 0
        for j in range(i, n_atoms):
            count = _collect(loop, i, j, count, neighbors, work)
            if count < _BLOCK and j < n_atoms - 1:
                continue
            _pair_values(loop, i, count, neighbors, work, bits)
            xx = yy = zz = xy = xz = yz = 0.0
            gx = gy = gz = 0.0
            for k in range(count):
                m = neighbors[k]
                factor = (p[i] * p[m] - l[i] * l[m]) * slope[k] + q[i] * q[m] * screening_slope[k]
                # An atom's own images come in pairs, r and -r, and count half.
                factor *= (0.5 if m == i else 1.0) * inverse[k]
                x, y, z = factor * dx[k], factor * dy[k], factor * dz[k]
                slopes[m, 0] += x
                slopes[m, 1] += y
                slopes[m, 2] += z
                gx, gy, gz = gx + x, gy + y, gz + z
                xx, yy, zz = xx + x * dx[k], yy + y * dy[k], zz + z * dz[k]
                xy, xz, yz = xy + x * dy[k], xz + x * dz[k], yz + y * dz[k]
            slopes[i, 0] -= gx
            slopes[i, 1] -= gy
            slopes[i, 2] -= gz
            virial[0, 0] += xx
            virial[1, 1] += yy
            virial[2, 2] += zz
            virial[0, 1] += xy
            virial[1, 0] += xy
            virial[0, 2] += xz
            virial[2, 0] += xz
            virial[1, 2] += yz
            virial[2, 1] += yz
            count = 0


@simd
def _collect(loop: _Loop, i: int, j: int, count: int, neighbors: Integers, work: Floats) -> int:
    """Append the images of j that i sees: vectors to work[0:3], distances to work[3]."""
    h, inverse, reach = loop.cell, loop.inverse, loop.reach
    x = loop.positions[j, 0] - loop.positions[i, 0]
    y = loop.positions[j, 1] - loop.positions[i, 1]
    z = loop.positions[j, 2] - loop.positions[i, 2]
    a = x * inverse[0, 0] + y * inverse[1, 0] + z * inverse[2, 0]
    b = x * inverse[0, 1] + y * inverse[1, 1] + z * inverse[2, 1]
    c = x * inverse[0, 2] + y * inverse[1, 2] + z * inverse[2, 2]
    for na in range(int(np.ceil(-reach[0] - a)), int(np.floor(reach[0] - a)) + 1):
        for nb in range(int(np.ceil(-reach[1] - b)), int(np.floor(reach[1] - b)) + 1):
            ux = x + na * h[0, 0] + nb * h[1, 0]
            uy = y + na * h[0, 1] + nb * h[1, 1]
            uz = z + na * h[0, 2] + nb * h[1, 2]
            for nc in range(int(np.ceil(-reach[2] - c)), int(np.floor(reach[2] - c)) + 1):
                vx, vy, vz = ux + nc * h[2, 0], uy + nc * h[2, 1], uz + nc * h[2, 2]
                r = np.sqrt(vx * vx + vy * vy + vz * vz)
                work[0, count], work[1, count], work[2, count] = vx, vy, vz
                work[3, count] = r
                neighbors[count] = j
                itself = i == j and na == 0 and nb == 0 and nc == 0
                count += r < loop.longest and not itself
    return count


@simd
def _pair_values(
    loop: _Loop, i: int, count: int, neighbors: Integers, work: Floats, bits: Integers
) -> None:
    """Terms of A and S and their slopes at the distances work[3], to work[4] to work[7]."""
    r, A, dA, S, dS = work[3], work[4], work[5], work[6], work[7]
    x, gaussian, one, two, inverse = work[8], work[9], work[10], work[11], work[12]
    spreads = loop.inverse_spreads[loop.kinds[i]]
    slope_factor = 2.0 / np.sqrt(np.pi)
    for k in range(count):
        inverse[k] = np.divide(1.0, r[k])  # which, unlike /, does not look for a zero
    # The charges' own Gaussians; S and dS keep erfc and its slope for a while.
    for k in range(count):
        x[k] = r[k] * spreads[loop.kinds[neighbors[k]]]
    _complement(loop.series, x[:count], S, gaussian, one, two, bits)
    for k in range(count):
        dS[k] = slope_factor * gaussian[k] * spreads[loop.kinds[neighbors[k]]]
    # The wide Gaussians.
    for k in range(count):
        x[k] = r[k] * loop.inverse_width
    _complement(loop.series, x[:count], A, gaussian, one, two, bits)
    for k in range(count):
        near = 1.0 if r[k] < loop.real_cutoff else 0.0
        value = (A[k] - S[k]) * near * inverse[k]
        A[k] = value
        slope = dS[k] - slope_factor * loop.inverse_width * gaussian[k] - value
        dA[k] = slope * near * inverse[k]
    if loop.screening_outer == 0.0:
        S[:count] = 0.0
        dS[:count] = 0.0
        return
    f, df = one[:count], two[:count]
    cutoff_function(
        loop.screening_kind,
        loop.screening_alpha,
        loop.screening_outer,
        r[:count],
        f,
        df,
        x,
        bits,
    )
    for k in range(count):
        erf = 1.0 - S[k]
        S[k] = -f[k] * erf * inverse[k]
        dS[k] = -(df[k] * erf + f[k] * dS[k] + S[k]) * inverse[k]


@simd
def _complement(
    series: Floats,
    x: Floats,
    erfc: Floats,
    gaussian: Floats,
    one: Floats,
    two: Floats,
    bits: Integers,
) -> None:
    """erfc(x) and exp(-x^2) for x >= 0, by Clenshaw's recurrence; x becomes the series' variable.

    ``one``, ``two`` and ``bits`` are scratch.
    """
    n = x.size
    for k in range(n):
        one[k] = -x[k] * x[k]
    exponential(one[:n], gaussian[:n], bits[:n])
    for k in range(n):
        x[k] = 1.0 - np.divide(2.0 * _SPLIT, x[k] + _SPLIT)
        one[k] = two[k] = 0.0
    for m in range(series.size - 1, 0, -2):
        higher, lower = series[m], series[m - 1]
        for k in range(n):
            t = 2.0 * x[k]
            two[k] = higher + t * one[k] - two[k]
            one[k] = lower + t * two[k] - one[k]
    scale = 0.5 / _SPLIT
    for k in range(n):
        h = series[0] + x[k] * one[k] - two[k]
        erfc[k] = gaussian[k] * h * (1.0 - x[k]) * scale
