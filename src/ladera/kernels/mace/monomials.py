"""The symmetric contraction as a sum over distinct monomials.

    B_o = sum over monomials q1 <= q2 <= ... of  c_o,q(z)  A_q1 A_q2 ...

The couplings are contracted with the weights of an element once; what is left is a list of
monomials, each a shorter one times one more A_q.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import NamedTuple

import numpy as np

from ladera.arrays import Integers, Reals
from ladera.kernels.mace.tables import Contraction


class Nodes(NamedTuple):
    """Monomials of all orders in the order of a dictionary: every prefix before its extensions."""

    order: Integers  # (n_nodes,) how many factors, from 1
    factor: Integers  # (n_nodes,) q of the last factor
    leaf: Integers  # (n_nodes,) 1 where nothing extends it
    term_start: Integers  # (n_nodes + 1,) where its terms begin
    output: Integers  # (n_terms,) o of every term


@dataclass(frozen=True, eq=False)
class Monomials:
    """The nodes of one layer, and what gives an element's coefficients."""

    nodes: Nodes
    contractions: tuple[Contraction, ...]
    places: tuple[Integers, ...]  # the terms of each contraction among all

    def coefficients(self, element: int) -> Reals:
        """c of every term, (n_terms, channels)."""
        channels = self.contractions[0].weights.shape[-1]
        result = np.zeros((len(self.nodes.output), channels))
        for place, contraction in zip(self.places, self.contractions, strict=True):
            weights = contraction.weights
            result[place] = contraction.matrix @ weights[element if len(weights) > 1 else 0]
        return result


def find_monomials(degrees: Sequence[Sequence[Contraction]]) -> Monomials:
    """Monomials of the contractions to all degrees, each with several orders."""
    terms: dict[tuple[int, ...], list[tuple[int, int, int]]] = {}
    contractions = [contraction for degree in degrees for contraction in degree]
    first_outputs = [l * l for l, degree in enumerate(degrees) for _ in degree]
    for c, (contraction, first) in enumerate(zip(contractions, first_outputs, strict=True)):
        for i, factors in enumerate(contraction.factors.tolist()):
            entry = (first + int(contraction.component[i]), c, i)
            terms.setdefault(tuple(factors), []).append(entry)
    names = sorted({name[:n] for name in terms for n in range(1, len(name) + 1)})
    prefixes = {name[:-1] for name in names}
    places = [np.zeros(len(contraction.component), np.int64) for contraction in contractions]
    outputs: list[int] = []
    for name in names:
        for output, c, i in terms.get(name, ()):
            places[c][i] = len(outputs)
            outputs.append(output)
    nodes = Nodes(
        order=np.array([len(name) for name in names]),
        factor=np.array([name[-1] for name in names]),
        leaf=np.array([int(name not in prefixes) for name in names]),
        term_start=np.array([0, *accumulate(len(terms.get(name, ())) for name in names)]),
        output=np.array(outputs),
    )
    return Monomials(nodes, tuple(contractions), tuple(places))
