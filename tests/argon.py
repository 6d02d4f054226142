"""Argon for the tests of simulations: a model that is fast, smooth and known by heart."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk

from ladera.models.lennard_jones import LennardJones, LennardJonesConfig


class Argon(LennardJones):
    """Lennard-Jones with the gradient by hand: a third of the time of the automatic one."""

    def energies_and_edge_gradients(self, graph):
        epsilon, sigma, cutoff = self.epsilon.item(), self.sigma.item(), self.cutoff

        def pair(squared):
            attraction = (sigma**2 / squared) ** 3
            return (
                4 * epsilon * attraction * (attraction - 1),
                -24 * epsilon * attraction * (2 * attraction - 1),  # r V'(r)
            )

        at_cut, slope_at_cut = pair(cutoff**2)
        slope_at_cut /= cutoff
        squared = graph.vectors.square().sum(1)
        distance = squared.sqrt()
        energy, slope = pair(squared)
        energy = 0.5 * (energy - at_cut - (distance - cutoff) * slope_at_cut)
        factor = 0.5 * (slope - distance * slope_at_cut) / squared
        energies = energy.new_zeros(graph.n_atoms).index_add(0, graph.centers, energy)
        return energies, factor[:, None] * graph.vectors


def argon(epsilon: float = 0.0104, sigma: float = 3.4, cutoff: float = 6.5) -> Argon:
    """Argon's usual parameters, or a little beside them."""
    config = LennardJonesConfig(
        species=("Ar",), cutoff=cutoff, epsilon={"Ar": epsilon}, sigma={"Ar": sigma}
    )
    return Argon(config).requires_grad_(False)


def crystal(size: int | tuple[int, int, int] = 2) -> Atoms:
    """Face-centred cubic argon, four atoms a cell."""
    return bulk("Ar", "fcc", a=5.3, cubic=True) * size


def cluster(n: int = 7) -> Atoms:
    """An open pentagonal bipyramid, or part of it."""
    angles = 2 * np.pi * np.arange(5) / 5
    ring = np.column_stack([3.2 * np.cos(angles), 3.2 * np.sin(angles), np.zeros(5)])
    return Atoms(f"Ar{n}", np.vstack([[0, 0, 2.0], [0, 0, -2.0], ring])[:n])


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Structures this small gain nothing from threads, and on a busy machine they lose a lot."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
