"""The straight-line program that makes rotation-invariant functions of moment tensors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ladera.arrays import Integers


@dataclass(frozen=True, eq=False)
class MomentProgram:
    """From basic moments to invariant functions, in the form that ``.mtp`` files have.

    Moments are numbers of an atom. The first n_basic are the components of its moment tensors,

        M_s = sum_j f_mu(|r_ij|) u_x^a u_y^b u_z^c,      u = r_ij / |r_ij|, (mu, a, b, c) = basic[s]

    the others are made of them by the products, in their order, from zero:

        M_k += m M_p M_q                                            (p, q, m, k) = products[row]

    A moment is complete before it is a factor. The functions B_s are the moments ``scalars[s]``.
    (Shapeev, Multiscale Model. Simul. 14, 1153 (2016).)
    """

    basic: Integers  # (n_basic, 4)
    products: Integers  # (n_products, 4)
    scalars: Integers  # (n_scalars,)

    @property
    def n_moments(self) -> int:
        """Basic moments and all that products make."""
        last = self.products[:, 3].max(initial=-1)
        return int(max(len(self.basic) - 1, last)) + 1

    @property
    def n_radial(self) -> int:
        """How many radial functions a pair of elements has."""
        return int(self.basic[:, 0].max(initial=-1)) + 1

    @property
    def degree(self) -> int:
        """The largest rank of a moment tensor."""
        return int(self.basic[:, 1:].sum(axis=1).max(initial=0))

    def generations(self) -> list[slice]:
        """Consecutive products of which none needs what another of the same slice makes."""
        slices, start = [], 0
        making: set[int] = set()
        for row, (p, q, _, k) in enumerate(self.products.tolist()):
            if p in making or q in making:
                slices.append(slice(start, row))
                start, making = row, set()
            making.add(k)
        if start < len(self.products):
            slices.append(slice(start, len(self.products)))
        return slices

    def without_idle(self) -> MomentProgram:
        """The same functions, without moments and products that none of them needs."""
        needed = np.zeros(self.n_moments, dtype=bool)
        needed[self.scalars] = True
        kept = np.zeros(len(self.products), dtype=bool)
        for row in range(len(self.products) - 1, -1, -1):
            p, q, _, k = self.products[row]
            if needed[k]:
                kept[row] = needed[p] = needed[q] = True
        number = np.cumsum(needed) - 1
        products = self.products[kept].copy()
        products[:, [0, 1, 3]] = number[products[:, [0, 1, 3]]]
        basic = self.basic[needed[: len(self.basic)]]
        return MomentProgram(basic, products, number[self.scalars])
