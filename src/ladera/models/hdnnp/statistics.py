"""Range, mean and covariance of the symmetry functions of a training set, in one pass."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from ladera.graph import Graph

# Atoms whose values are in memory at once: enough that what a call costs is lost in it.
ATOMS_AT_ONCE = 4096


class RunningMoments:
    r"""Of values x (n, n_functions) that come in parts, what all of them would say together.

    With the mean m_a and the sum M_a of (x - m_a)(x - m_a)^T over n_a values, a part b adds

        M = M_a + M_b + n_a n_b / (n_a + n_b) d d^T,    m = m_a + n_b / (n_a + n_b) d

    with d = m_b - m_a

    (T. F. Chan, G. H. Golub and R. J. LeVeque, COMPSTAT 1982). Where no covariances are asked for,
    only the diagonal of M is kept.
    """

    def __init__(self, n_functions: int, covariances: bool) -> None:
        self.count = 0
        self.low = torch.full((n_functions,), torch.inf, dtype=torch.float64)
        self.high = -self.low
        self.mean = torch.zeros(n_functions, dtype=torch.float64)
        shape = (n_functions, n_functions) if covariances else (n_functions,)
        self._products = torch.zeros(shape, dtype=torch.float64)

    def add(self, values: Tensor) -> None:
        """Count the values of some atoms, float64."""
        added = len(values)
        if added == 0:
            return
        mean = values.mean(0)
        centered, change = values - mean, mean - self.mean
        total = self.count + added
        between = self.count * added / total
        if self._products.dim() == 2:
            self._products += centered.T @ centered + between * torch.outer(change, change)
        else:
            self._products += centered.square().sum(0) + between * change.square()
        self.mean += change * (added / total)
        self.low = torch.minimum(self.low, values.amin(0))
        self.high = torch.maximum(self.high, values.amax(0))
        self.count = total

    @property
    def deviation(self) -> Tensor:
        """Standard deviation of a sample, (n_functions,); 0 of a single value."""
        squares = self._products.diagonal() if self._products.dim() == 2 else self._products
        return (squares / max(self.count - 1, 1)).sqrt()

    @property
    def covariance(self) -> Tensor:
        """<(x - m)(x - m)^T>, (n_functions, n_functions)."""
        return self._products / self.count


def gathered(graphs: Iterable[Graph]) -> Iterator[Graph]:
    """The structures of graphs in batches of a few thousand atoms."""
    waiting: list[Graph] = []
    n_atoms = 0
    for graph in graphs:
        waiting.append(graph)
        n_atoms += graph.n_atoms
        if n_atoms >= ATOMS_AT_ONCE:
            yield Graph.batch(waiting)
            waiting, n_atoms = [], 0
    if waiting:
        yield Graph.batch(waiting)
