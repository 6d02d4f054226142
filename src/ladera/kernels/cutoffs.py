"""Functions that fall to zero at a cutoff radius: the reference in torch, and the loop."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from ladera.arrays import Floats, Integers
from ladera.kernels.compilation import simd
from ladera.kernels.vector_math import exponential, sine_and_cosine_of_pi


def reference_cutoff_function(kind: int, alpha: float, cutoff: float, r: Tensor) -> Tensor:
    """f_c(r), differentiable; the formulas are those of :func:`cutoff_function`."""
    x = ((r - alpha * cutoff) / (cutoff - alpha * cutoff)).clamp(0, 1)
    match kind:
        case 0:
            value = torch.ones_like(r)
        case 1:
            value = 0.5 * (torch.cos(math.pi * x) + 1)
        case 2 | 3:
            value = torch.tanh(1 - r / cutoff) ** 3 / (1.0 if kind == 2 else math.tanh(1) ** 3)
        case 4:
            value = torch.exp(1 - 1 / (1 - x * x).clamp_min(1e-2))
            value = torch.where(1 - x * x > 1e-2, value, torch.zeros_like(value))
        case 5:
            value = 1 - x**2 * (3 - 2 * x)
        case 6:
            value = 1 - x**3 * (10 - 15 * x + 6 * x**2)
        case 7:
            value = 1 - x**4 * (35 - 84 * x + 70 * x**2 - 20 * x**3)
        case _:
            value = 1 - x**5 * (126 - 420 * x + 540 * x**2 - 315 * x**3 + 70 * x**4)
    return torch.where(r < cutoff, value, torch.zeros_like(value))


@simd
def cutoff_function(
    kind: int,
    alpha: float,
    cutoff: float,
    r: Floats,
    f: Floats,
    df: Floats,
    work: Floats,
    bits: Integers,
) -> None:
    """f_c(r) and f_c'(r) for the cutoff functions 0-8 of RuNNer and n2p2.

    With x = (r - alpha cutoff) / (cutoff - alpha cutoff), f = 1 for x < 0 and 0 for x >= 1:
    0 hard 1; 1 cosine (cos(pi x) + 1)/2; 2 tanh^3(1 - r/cutoff); 3 the same over tanh^3(1);
    4 exp(1 - 1/(1 - x^2)); 5-8 the polynomials in x of degree 3, 5, 7, 9 that are flat at both
    ends. 2 and 3 do not know alpha. ``work`` and ``bits`` are scratch of the length of r.
    """
    n = r.size
    inner = alpha * cutoff
    scale = 1.0 / (cutoff - inner)
    if kind == 0:
        for j in range(n):
            f[j] = 1.0 if r[j] < cutoff else 0.0
            df[j] = 0.0
    elif kind == 1:
        for j in range(n):
            x = min(max((r[j] - inner) * scale, 0.0), 1.0)
            sine, cosine = sine_and_cosine_of_pi(x - 0.5)  # cos(pi x) = -sin(pi (x - 1/2))
            f[j] = 0.5 * (1.0 - sine)
            df[j] = -0.5 * np.pi * scale * cosine
        for j in range(n):
            outside = r[j] >= cutoff
            f[j] = 0.0 if outside else f[j]
            df[j] = 0.0 if outside or r[j] <= inner else df[j]
    elif kind in (2, 3):
        norm = 1.0 if kind == 2 else 1.0 / np.tanh(1.0) ** 3
        for j in range(n):
            work[j] = -2.0 * max(1.0 - r[j] / cutoff, 0.0)
        exponential(work, f, bits)
        for j in range(n):
            t = (1.0 - f[j]) / (1.0 + f[j])
            f[j] = norm * t * t * t
            df[j] = -3.0 * norm / cutoff * t * t * (1.0 - t * t)
    elif kind == 4:
        for j in range(n):
            x = min(max((r[j] - inner) * scale, 0.0), 1.0)
            rest = max(1.0 - x * x, 1e-30)
            work[j] = 1.0 - 1.0 / rest
            df[j] = -2.0 * x * scale / (rest * rest)
        exponential(work, f, bits)
        for j in range(n):
            vanishes = work[j] < -700.0
            f[j] = 0.0 if vanishes else f[j]
            df[j] = 0.0 if vanishes else df[j] * f[j]
    else:
        _polynomial_cutoff(kind, inner, scale, r, f, df)


@simd
def _polynomial_cutoff(
    kind: int, inner: float, scale: float, r: Floats, f: Floats, df: Floats
) -> None:
    """Cutoff functions 5-8. Their slopes are -c x^k (1 - x)^k with k = kind - 4.

    1 - f(x) = f(1 - x): the polynomial is taken at the nearer end, where it does not cancel.
    """
    n = r.size
    for j in range(n):
        x = min(max((r[j] - inner) * scale, 0.0), 1.0)
        t = min(x, 1.0 - x)
        y = x * (1.0 - x)
        if kind == 5:
            rest = t * t * (3.0 - 2.0 * t)
            slope = 6.0 * y
        elif kind == 6:
            rest = t * t * t * (10.0 - t * (15.0 - 6.0 * t))
            slope = 30.0 * y * y
        elif kind == 7:
            rest = t * t * t * t * (35.0 - t * (84.0 - t * (70.0 - 20.0 * t)))
            slope = 140.0 * y * y * y
        else:
            rest = t * t * t * t * t * (126.0 - t * (420.0 - t * (540.0 - t * (315.0 - 70.0 * t))))
            slope = 630.0 * y * y * y * y
        f[j] = 1.0 - rest if x < 0.5 else rest
        df[j] = -scale * slope
