"""Generalised Clebsch-Gordan coefficients: how products of many features make one that turns."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import sqrt

import numpy as np

from ladera.arrays import Floats, Integers
from ladera.models.equivariant.clebsch_gordan import clebsch_gordan
from ladera.models.equivariant.irreps import Irrep, Irreps, natural, products, slices

NEGLIGIBLE = 1e-12


@dataclass(frozen=True, eq=False)
class Couplings:
    r"""The distinct monomials of a product of nu features, and what they count in each coupling.

        B_mk = sum_t matrix_tk prod_i A_factors[t, i],    over the terms t with component[t] = m

    is the full contraction sum_q U_mqk A_q1 ... A_q_nu with the coefficients U of
    :func:`tensors`, those of equal monomials added up.
    """

    factors: Integers  # (n_terms, nu) components of A, ascending
    component: Integers  # (n_terms,) m of the output
    matrix: Floats  # (n_terms, n_couplings)


@lru_cache(maxsize=64)
def make_couplings(l_max: int, out: int, degree: int) -> Couplings:
    """Couplings of ``degree`` features with l <= l_max to one of l = ``out``, natural parities."""
    couplings = tensors(natural(l_max), Irrep(out, (-1) ** out), degree)
    if not couplings:  # such as one feature of l <= 2 to l = 3
        nothing = np.zeros(0, dtype=np.int64)
        return Couplings(nothing.reshape(0, degree), nothing, np.zeros((0, 0)))
    return symmetrized(np.stack(couplings, axis=-1))


def symmetrized(tensor: Floats) -> Couplings:
    """The monomials of coefficients U, (2 L + 1, M, ..., M, n_couplings)."""
    degree, n_couplings = tensor.ndim - 2, tensor.shape[-1]
    flat = tensor.reshape(-1, n_couplings)
    rows = np.flatnonzero(np.abs(flat).max(axis=1) > NEGLIGIBLE)
    component, *factors = np.unravel_index(rows, tensor.shape[:-1])
    keys = np.column_stack([component, np.sort(np.column_stack(factors), axis=1)])
    terms, place = np.unique(keys, axis=0, return_inverse=True)
    matrix = np.zeros((len(terms), n_couplings))
    np.add.at(matrix, place.reshape(-1), flat[rows])
    used = np.abs(matrix).max(axis=1, initial=0.0) > NEGLIGIBLE
    terms = terms[used].reshape(-1, degree + 1)
    return Couplings(terms[:, 1:], terms[:, 0], matrix[used])


def tensors(features: Irreps, target: Irrep, degree: int) -> list[Floats]:
    r"""U of every way to couple ``degree`` features one after another, each (2L + 1, M, ..., M).

    Starting from one feature, each (irrep l' of an intermediate) x (irrep l of the next feature)
    makes every L of its Clebsch-Gordan series, with the coefficient sqrt(2L + 1) C^(L l' l);
    intermediates are sorted by irrep after each step. From four features on, intermediates have
    natural parity. These are the choices, and this is the order, of mace-torch.
    """
    reach = features[-1].l
    size = sum(irrep.dimension for irrep in features)
    parts = slices(features)
    intermediates = [
        (irrep, np.eye(size)[part]) for irrep, part in zip(features, parts, strict=True)
    ]
    for step in range(2, degree + 1):
        farthest = target.l + (degree - step) * reach  # beyond it there is no way back
        coupled = []
        for left, coefficients in intermediates:
            for right, part in zip(features, parts, strict=True):
                for irrep in products(left, right):
                    mixed = degree >= 4 and irrep.parity != (-1) ** irrep.l
                    if irrep.l <= farthest and not mixed:
                        pair = sqrt(irrep.dimension) * clebsch_gordan(irrep.l, left.l, right.l)
                        tensor = np.zeros((irrep.dimension, *coefficients.shape[1:], size))
                        contracted = np.tensordot(pair, coefficients, (1, 0))
                        tensor[..., part] = np.moveaxis(contracted, 1, -1)
                        coupled.append((irrep, tensor))
        intermediates = sorted(coupled, key=lambda item: item[0])
    return [tensor for irrep, tensor in intermediates if irrep == target]
