"""The interaction matrices of Gaussian charges in torch: short, and differentiable to any order."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from ladera.kernels.cutoffs import reference_cutoff_function
from ladera.kernels.electrostatics.ewald import EwaldSums, reciprocal_vectors
from ladera.kernels.electrostatics.screening import Screening
from ladera.kernels.neighbors import find_pairs
from ladera.structure import Structure


def matrices(
    positions: Tensor, cell: Tensor, widths: Tensor, sums: EwaldSums, screening: Screening | None
) -> tuple[Tensor, Tensor]:
    r"""Coulomb matrix A and its screening S, each (n_atoms, n_atoms), 1/Angstrom.

    Charges q_i spread as Gaussians of width sigma_i (``widths``, (n_atoms,), Angstrom) have the
    energy E = (1/2) sum_ij q_i A_ij q_j / (4 pi epsilon_0), each one's own included. In the open,
    with gamma_ij^2 = sigma_i^2 + sigma_j^2,

        A_ii = 1 / (sigma_i sqrt(pi)),    A_ij = erf(r_ij / (sqrt(2) gamma_ij)) / r_ij

    and in a periodic cell, over all images of j within r_c and reciprocal vectors within k_c,

        A_ij = delta_ij [1 / (sigma_i sqrt(pi)) - 2 / (sqrt(2 pi) eta)]
               + sum_r [erfc(r / (sqrt(2) eta)) - erfc(r / (sqrt(2) gamma_ij))] / r
               + (4 pi / V) sum_k exp(-eta^2 k^2 / 2) cos(k . r_ij) / k^2

    Screening takes away a part f(r) of the interaction of close atoms:

        S_ij = - sum_r f(r) erf(r / (sqrt(2) gamma_ij)) / r

    Ko et al., Nat. Commun. 12, 398 (2021). ``positions`` (n_atoms, 3) and ``cell`` (3, 3) are in
    Angstrom; the cell counts only with sums that are not open.
    """
    centers, neighbors, vectors = _pairs(positions, cell, sums, screening)
    place, r = (centers, neighbors), vectors.norm(dim=1)
    x = r / (math.sqrt(2) * torch.hypot(widths[centers], widths[neighbors]))
    real = (torch.erfc(r / (math.sqrt(2) * sums.width)) - torch.erfc(x)) / r
    zeros = positions.new_zeros(len(positions), len(positions))
    A = zeros.index_put(place, torch.where(r < sums.real_cutoff, real, 0.0), accumulate=True)
    A = A + torch.diag(
        1 / (math.sqrt(math.pi) * widths) - 2 / (math.sqrt(2 * math.pi) * sums.width)
    )
    if not sums.open:
        A = A + _reciprocal(positions, cell, sums)
    if screening is None:
        return A, zeros
    f = reference_cutoff_function(screening.kind, screening.alpha, screening.outer, r)
    return A, zeros.index_put(place, -f * torch.erf(x) / r, accumulate=True)


def _reciprocal(positions: Tensor, cell: Tensor, sums: EwaldSums) -> Tensor:
    integers = reciprocal_vectors(cell.detach().double().numpy(), sums.reciprocal_cutoff)
    k = 2 * math.pi * torch.from_numpy(integers).to(cell) @ torch.linalg.inv(cell).mT
    squares = (k * k).sum(1)
    # Each vector stands for its negative as well.
    weights = 8 * math.pi / torch.linalg.det(cell).abs()
    weights = weights * torch.exp(-0.5 * sums.width**2 * squares) / squares
    phases = positions @ k.mT
    cosines, sines = torch.cos(phases), torch.sin(phases)
    total: Tensor = (cosines * weights) @ cosines.mT + (sines * weights) @ sines.mT
    return total


def _pairs(
    positions: Tensor, cell: Tensor, sums: EwaldSums, screening: Screening | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Pairs in both directions, every image within reach once: centres, neighbours, vectors."""
    if sums.open:
        n_atoms = len(positions)
        centers, neighbors = torch.nonzero(~torch.eye(n_atoms, dtype=torch.bool)).unbind(1)
        return centers, neighbors, positions[neighbors] - positions[centers]
    reach = max(sums.real_cutoff, 0.0 if screening is None else screening.outer)
    structure = Structure.of(
        np.zeros(len(positions)),
        positions.detach().numpy(),
        cell.detach().numpy(),
        True,
    )
    found = find_pairs(structure, reach)
    centers, neighbors = torch.from_numpy(found.centers), torch.from_numpy(found.neighbors)
    shifts = torch.from_numpy(found.shifts).to(cell) @ cell
    return centers, neighbors, positions[neighbors] - positions[centers] + shifts
