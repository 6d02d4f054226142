"""The Lennard-Jones potential with shifted forces: the classical baseline."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ladera.errors import ConfigError
from ladera.graph import Graph
from ladera.models.lennard_jones.config import LennardJonesConfig
from ladera.potential import Potential


class LennardJones(Potential):
    r"""Shifted-force Lennard-Jones potential.

    With the pair energy V(r) = 4 epsilon [(sigma/r)^12 - (sigma/r)^6], each atom has half of

        V_sf(r) = V(r) - V(r_c) - (r - r_c) V'(r_c)        for r < r_c, 0 beyond,

    of each of its pairs, so that energy and force are both continuous at the cutoff r_c
    (Toxvaerd and Dyre, J. Chem. Phys. 134, 081102 (2011)). Mixing: sigma_ab = (sigma_a +
    sigma_b)/2, epsilon_ab = sqrt(epsilon_a epsilon_b). ``epsilon`` (eV) and ``sigma`` (Angstrom),
    (n_species,), are trainable parameters.
    """

    def __init__(self, config: LennardJonesConfig) -> None:
        super().__init__(config)
        unknown = sorted(set(config.epsilon) - set(config.species))
        if unknown:
            raise ConfigError(f"epsilon is given for {', '.join(unknown)}, not among the species.")
        self.epsilon = nn.Parameter(_column(config.epsilon, self.symbols))
        self.sigma = nn.Parameter(_column(config.sigma, self.symbols))

    def atomic_energies(self, graph: Graph) -> Tensor:
        """Half the shifted-force energy of each atom's pairs, (n_atoms,), eV."""
        index = self.element_index(graph)
        a, b = index[graph.centers], index[graph.neighbors]
        sigma = 0.5 * (self.sigma[a] + self.sigma[b])
        epsilon = (self.epsilon[a] * self.epsilon[b]).sqrt()
        distance = graph.vectors.norm(dim=1)
        energy, _ = _pair_energy(distance, epsilon, sigma)
        cut = torch.full_like(distance, self.cutoff)
        energy_at_cut, slope_at_cut = _pair_energy(cut, epsilon, sigma)
        energy = energy - energy_at_cut - (distance - self.cutoff) * slope_at_cut
        energy = torch.where(distance < self.cutoff, energy, torch.zeros_like(energy))
        zeros = energy.new_zeros(graph.n_atoms)
        return zeros.index_add(0, graph.centers, 0.5 * energy)


def _pair_energy(distance: Tensor, epsilon: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
    """V(r) and V'(r) = -(24 epsilon / r) [2 (sigma/r)^12 - (sigma/r)^6]."""
    attraction = (sigma / distance) ** 6
    repulsion = attraction**2
    energy = 4 * epsilon * (repulsion - attraction)
    slope = -24 * epsilon / distance * (2 * repulsion - attraction)
    return energy, slope


def _column(values: dict[str, float], symbols: tuple[str, ...]) -> Tensor:
    return torch.tensor([values[symbol] for symbol in symbols], dtype=torch.float64)
