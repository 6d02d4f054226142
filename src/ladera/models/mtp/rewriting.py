"""The functions of another program by our own, which needs fewer products for them."""

from __future__ import annotations

from fractions import Fraction
from typing import Final, NamedTuple

import numpy as np
import torch

from ladera.arrays import Floats, Integers
from ladera.kernels.moment_tensors import reference
from ladera.kernels.moment_tensors.program import MomentProgram
from ladera.models.mtp.generation import program_of_level
from ladera.models.mtp.graphs import scalars

_PLACES: Final = 4  # of neighbours, that functions are compared at
_SAME: Final = 1e-9  # relative
_DENOMINATOR: Final = 10_000  # at most, of a factor: counts of products over others


class Rewritten(NamedTuple):
    """A program with the same functions but for their order and constant factors."""

    program: MomentProgram
    order: Integers  # (n_scalars,) of each of its functions, which one of the others it is
    factors: Floats  # (n_scalars,) that times its functions are the others


def rewritten(program: MomentProgram, level: int) -> Rewritten | None:
    """The functions of a level as Ladera makes them; None where the program has others."""
    if len(scalars(level)) != len(program.scalars):
        return None
    ours = program_of_level(level)
    if ours.n_radial < program.n_radial:
        return None
    theirs, found = _values(program), _values(ours)
    ratios = theirs[:, :, None] / found[:, None, :]
    same = np.ptp(ratios, axis=0) < _SAME * np.abs(ratios).max(axis=0)
    if (same.sum(axis=0) != 1).any() or (same.sum(axis=1) != 1).any():
        return None
    order = np.argmax(same, axis=0)
    factors = [_rational(ratio) for ratio in ratios[0, order, np.arange(len(order))].tolist()]
    return Rewritten(ours, order, np.array(factors))


def _rational(ratio: float) -> float:
    """Without the rounding of the functions that it was found by: both have whole coefficients."""
    near = float(Fraction(ratio).limit_denominator(_DENOMINATOR))
    return near if abs(near - ratio) < _SAME * abs(ratio) else ratio


def _values(program: MomentProgram) -> Floats:
    """The functions of atoms with some neighbours, (places, n_scalars)."""
    generator, values = np.random.default_rng(0), []
    for vectors in torch.from_numpy(generator.normal(size=(_PLACES, 7, 3))):
        rates = 0.3 + 0.2 * torch.arange(program.n_radial, dtype=torch.float64)
        radial = torch.exp(-vectors.norm(dim=1)[:, None] * rates)
        centers = torch.zeros(len(vectors), dtype=torch.int64)
        basic = reference.basic_moments(program, vectors, radial, centers, 1)
        values.append(reference.functions(program, basic)[0].numpy())
    return np.array(values)
