"""Moments and invariant functions by torch: short, differentiable any number of times, slow."""

from __future__ import annotations

import torch
from torch import Tensor

from ladera.kernels.moment_tensors.program import MomentProgram


def chebyshev(distances: Tensor, size: int, minimum: float, cutoff: float) -> Tensor:
    """The radial basis Q_b(r), b from 0 to ``size`` - 1, of distances (n,): (n, size).

        Q_b(r) = T_b(x) (cutoff - r)^2,     x = (2 r - minimum - cutoff) / (cutoff - minimum)

    with Chebyshev's polynomials T_b; 0 beyond the cutoff. Below ``minimum`` the formula goes on.
    """
    x = (2 * distances - minimum - cutoff) / (cutoff - minimum)
    polynomials = [torch.ones_like(x), x]
    while len(polynomials) < size:
        polynomials.append(2 * x * polynomials[-1] - polynomials[-2])
    smooth = torch.where(distances < cutoff, (cutoff - distances) ** 2, torch.zeros_like(x))
    return torch.stack(polynomials[:size], dim=1) * smooth[:, None]


def basic_moments(
    program: MomentProgram, vectors: Tensor, radial: Tensor, centers: Tensor, n_atoms: int
) -> Tensor:
    """The basic moments of each atom, (n_basic, n_atoms).

    ``vectors`` (n_edges, 3) in Angstrom, ``radial`` (n_edges, n_radial) the radial functions of
    each edge, ``centers`` (n_edges,) the atom it starts from.
    """
    units = vectors / vectors.norm(dim=1, keepdim=True)
    powers = [torch.ones_like(units)]
    for _ in range(program.degree):
        powers.append(powers[-1] * units)
    mu, a, b, c = torch.from_numpy(program.basic).T.to(centers.device)
    stacked = torch.stack(powers)  # (degree + 1, n_edges, 3)
    monomials = stacked[a, :, 0] * stacked[b, :, 1] * stacked[c, :, 2]
    values = radial.T[mu] * monomials
    return values.new_zeros(len(program.basic), n_atoms).index_add(1, centers, values)


def functions(program: MomentProgram, basic: Tensor) -> Tensor:
    """The invariant functions of each atom, (n_atoms, n_scalars), of its basic moments."""
    missing = program.n_moments - len(basic)
    moments = torch.cat([basic, basic.new_zeros(missing, basic.shape[1])])
    rows = torch.from_numpy(program.products).to(basic.device)
    for part in program.generations():
        p, q, multiplicity, k = rows[part].T
        products = multiplicity[:, None] * moments[p] * moments[q]
        moments = moments.index_add(0, k, products)
    return moments[torch.from_numpy(program.scalars).to(basic.device)].T
