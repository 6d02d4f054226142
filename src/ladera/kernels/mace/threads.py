"""Sharing atoms and edges out among threads, always in the same way."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from functools import cache

import numpy as np
import torch

from ladera.kernels.mace.tables import Integers

SMALLEST_SHARE = 6  # atoms; fewer are done before a second thread has woken up

# What is done with a range: (thread, begin, end).
Work = Callable[[int, int, int], None]


class Shares:
    """One contiguous range of atoms for each thread, with about as many edges each."""

    def __init__(self, rows: Integers) -> None:
        n_atoms = len(rows)
        self.count = max(1, min(torch.get_num_threads(), n_atoms // SMALLEST_SHARE))
        # An atom costs about as much as 32 edges do.
        work = np.cumsum(rows[:, 1] - rows[:, 0] + 32)
        shares = np.arange(1, self.count) * (work[-1] / self.count)
        self.bounds = [0, *np.searchsorted(work, shares).tolist(), n_atoms]

    def atoms(self, work: Work) -> None:
        """Do something with all atoms."""
        self._run(work, self.bounds)

    def items(self, work: Work, count: int) -> None:
        """Do something with ``count`` equal things, such as edges."""
        self._run(work, [count * thread // self.count for thread in range(self.count + 1)])

    def _run(self, work: Work, bounds: list[int]) -> None:
        if self.count == 1:
            work(0, bounds[0], bounds[1])
        else:
            others = [
                _pool(self.count - 1).submit(work, thread, bounds[thread], bounds[thread + 1])
                for thread in range(1, self.count)
            ]
            try:
                work(0, bounds[0], bounds[1])
            finally:
                wait(others)
            for other in others:
                other.result()


@cache
def _pool(count: int) -> ThreadPoolExecutor:
    """Threads that stay: the loops release Python's lock. (Not to be used before a fork.)"""
    return ThreadPoolExecutor(count, thread_name_prefix="ladera")
