"""Radial networks of a training step on a grid of distances instead of on every edge."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from ladera.kernels.interpolation import Places, places

# Points of the grid on which training evaluates radial networks: the fastest Bessel function has
# 64 or more in a wave, whose slope is then right to 3e-10 of itself.
GRID_POINTS: Final = 256
POINTS_OF_A_FUNCTION: Final = 32


def grid_of(distances: Tensor, cutoff: float, num_radial: int) -> tuple[Tensor, Places | None]:
    """Distances (n_points,) of a grid, float64, and the places on it of ``distances`` (n_edges,).

    Or these themselves and None, where that is less work or the grid is not good enough: for few
    edges, while no gradients are recorded, in double precision, and not on a CPU. The functions
    have to be smooth up to the cutoff; they need not be defined at 0. What lies between the points
    is right to more digits than a distance of single precision has.
    """
    points = max(GRID_POINTS, POINTS_OF_A_FUNCTION * num_radial)
    use_grid = (
        torch.is_grad_enabled()
        and distances.dtype == torch.float32
        and distances.device.type == "cpu"
        and len(distances) >= 2 * points
    )
    if not use_grid:
        return distances, None
    first = cutoff / points
    step = (cutoff - first) / (points - 1)
    grid = torch.linspace(first, cutoff, points, dtype=torch.float64)
    return grid, places((distances - first) / step, points)
