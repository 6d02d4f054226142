"""Real spherical harmonics of vectors."""

from __future__ import annotations

from math import sqrt

import torch
from torch import Tensor


def spherical_harmonics(vectors: Tensor, l_max: int) -> Tensor:
    r"""Y_lm of the directions of vectors (n, 3), (n, (l_max + 1)^2), l by l, m = -l ... l.

    With (x, y, z) = r / |r|, y the polar axis, and (z + i x)^m = A_m + i B_m,

        Y_l0 = sqrt(2l + 1) q_l0,   Y_lm = sqrt(2l + 1) sqrt2 q_lm A_m,   Y_l-m = ... B_m

    so that sum_m Y_lm^2 = 2l + 1. The associated Legendre functions without their (1 - y^2)^(m/2),
    q_lm = sqrt((l - m)! / (l + m)!) P_lm(y) / (1 - y^2)^(m/2), follow from

        q_mm = sqrt((2m - 1) / 2m) q_m-1,m-1
        sqrt(l^2 - m^2) q_lm = (2l - 1) y q_l-1,m - sqrt((l - 1)^2 - m^2) q_l-2,m

    a recursion that is stable upwards in l and has no pole.
    """
    x, y, z = (vectors / vectors.norm(dim=1, keepdim=True)).unbind(1)
    rows: list[list[Tensor]] = [[torch.empty(0)] * (2 * l + 1) for l in range(l_max + 1)]
    cosine, sine, diagonal = torch.ones_like(x), torch.zeros_like(x), 1.0
    for m in range(l_max + 1):
        if m > 0:
            cosine, sine = (z, x) if m == 1 else (cosine * z - sine * x, cosine * x + sine * z)
            diagonal *= sqrt((2 * m - 1) / (2 * m))
        for l, q in enumerate(_legendre(y, m, l_max, diagonal), start=m):
            factor = sqrt(2 * l + 1) * (1.0 if m == 0 else sqrt(2))
            if m == 0:
                rows[l][l] = factor * q
            else:
                rows[l][l + m], rows[l][l - m] = factor * q * cosine, factor * q * sine
    return torch.stack([component for row in rows for component in row], dim=1)


def _legendre(y: Tensor, m: int, l_max: int, diagonal: float) -> list[Tensor]:
    """q_lm for l = m ... l_max."""
    found = [torch.full_like(y, diagonal)]
    for l in range(m + 1, l_max + 1):
        q = (2 * l - 1) * y * found[-1]
        if l > m + 1:
            q = q - sqrt((l - 1) ** 2 - m**2) * found[-2]
        found.append(q / sqrt(l**2 - m**2))
    return found
