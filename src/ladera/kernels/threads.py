"""Sharing atoms and edges out among threads: one pool, and one way for all kernels.

Loops release Python's lock, so that plain threads run them side by side. The shares depend on the
atoms and on the number of threads alone, never on which thread is done first. Where each atom
writes only its own places, the numbers do not depend on the number of threads either; where atoms
add to the same places, each thread has its own copy, and the copies are added in their order.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from functools import cache
from itertools import pairwise

import numpy as np
import torch

from ladera.arrays import Integers

SMALLEST_SHARE = 6  # atoms; fewer are done before a second thread has woken up

SMALLEST_CHUNK, MOST_CHUNKS = 32, 32

# What is done with a range: (thread, start, stop).
Work = Callable[[int, int, int], None]


class Shares:
    """One contiguous range of atoms for each thread, of about the same cost.

    ``costs`` (n_atoms,) are what the atoms cost, in any unit. There are as many ranges as torch
    has threads, but none of them below SMALLEST_SHARE atoms on average, and at least one.
    """

    def __init__(self, costs: Integers) -> None:
        n_atoms = len(costs)
        self.count = max(1, min(torch.get_num_threads(), n_atoms // SMALLEST_SHARE))
        self.bounds = [0, n_atoms]
        if self.count > 1:
            total = np.cumsum(costs)
            inner = np.arange(1, self.count) * (total[-1] / self.count)
            self.bounds[1:1] = np.searchsorted(total, inner).tolist()

    def atoms(self, work: Work) -> None:
        """Do something with all atoms. Raises what ``work`` raises, once all threads are done."""
        self._run(work, self.bounds)

    def items(self, work: Work, count: int) -> None:
        """Do something with ``count`` equal things, such as edges."""
        self._run(work, [count * thread // self.count for thread in range(self.count + 1)])

    def _run(self, work: Work, bounds: list[int]) -> None:
        if self.count == 1:
            work(0, bounds[0], bounds[1])
            return
        others = [
            _pool().submit(work, thread, bounds[thread], bounds[thread + 1])
            for thread in range(1, self.count)
        ]
        try:
            work(0, bounds[0], bounds[1])
        finally:
            wait(others)
        for other in others:
            other.result()


def chunks(costs: Integers) -> list[tuple[int, int]]:
    """Ranges of atoms of about the same cost, which do not depend on the number of threads."""
    count = max(1, min(MOST_CHUNKS, len(costs) // SMALLEST_CHUNK))
    inner = np.searchsorted(np.cumsum(costs), np.arange(1, count) * (costs.sum() / count)).tolist()
    return list(pairwise([0, *inner, len(costs)]))


@cache
def _pool() -> ThreadPoolExecutor:
    """Threads that stay, started as they are needed; a process that was forked starts its own.

    More shares than there are threads wait for each other, which is slower and as right.
    """
    return ThreadPoolExecutor(max(1, (os.cpu_count() or 1) - 1), thread_name_prefix="ladera")


os.register_at_fork(after_in_child=_pool.cache_clear)
