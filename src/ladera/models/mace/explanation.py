r"""What a MACE computes of a structure, step by step, as lectures write it.

=========  =====================================================  ================================
symbol     what                                                   shape
=========  =====================================================  ================================
A_i        one-particle basis: the neighbours of i, summed up     (n_atoms, (max_l + 1)^2, C)
B_i        symmetrised products of A_i                            (n_atoms, components, C)
m_i        message, a linear map of B_i                           (n_atoms, components, C)
h_i^(t)    features: the message and what the atom knew before    (n_atoms, components, C)
E_i^(t)    readout of the invariant features, times the scale     (n_atoms,), eV
=========  =====================================================  ================================

for each of T layers, C channels. The components are those of the irreps 0e, 1o, 2e, ... one after
the other. The energy of an atom is

    E_i = E0_i + V_i + sum_t E_i^(t)

with E0 the reference energy and the shift, and V the repulsion of nuclei of a model with ZBL.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ladera import display
from ladera.errors import DataError
from ladera.models.equivariant.irreps import Irreps, natural
from ladera.models.equivariant.linear import joined
from ladera.models.mace.layer import Layer
from ladera.potential.prediction import NO_ENERGY

if TYPE_CHECKING:
    from ladera.graph import Graph
    from ladera.models.mace.model import MACE


@dataclass(frozen=True, eq=False)
class LayerExplained:
    """The arrays of one layer."""

    one_particle_irreps: Irreps  # of A
    irreps: Irreps  # of B, m and h
    one_particle: Tensor  # A
    products: Tensor  # B
    messages: Tensor  # m
    features: Tensor  # h
    energies: Tensor  # (n_atoms,), eV

    def __repr__(self) -> str:
        """Shapes and irreps."""
        A, B = (
            f"{tuple(tensor.shape)} of {' '.join(map(str, irreps))}"
            for tensor, irreps in (
                (self.one_particle, self.one_particle_irreps),
                (self.products, self.irreps),
            )
        )
        return display.lines("Layer", [f"A {A}", f"B, m, h {B}", f"E {len(self.energies)} eV"])


@dataclass(frozen=True, eq=False)
class Explanation:
    """The arrays of all layers, and what the energy has besides."""

    layers: tuple[LayerExplained, ...]
    references: Tensor  # (n_atoms,) E0 and shift, eV
    repulsion: Tensor  # (n_atoms,) V, eV; zero of a model without

    @property
    def energies(self) -> Tensor:
        """E_i, (n_atoms,), eV: the sum of the parts."""
        return self.references + self.repulsion + sum(each.energies for each in self.layers)

    def __repr__(self) -> str:
        """Its parts."""
        atoms = display.count(len(self.references), "atom")
        parts = [f"{float(each.energies.sum()):.4f} eV" for each in self.layers]
        return display.lines("Explanation", [atoms, f"layers {', '.join(parts)}"])


def explain(potential: MACE, graph: Graph) -> Explanation:
    """The arrays of a MACE at a graph, without gradients; DataError of a model without energies."""
    graph = graph.to(potential.dtype, potential.device)
    index, head = potential.element_index(graph), potential.head_of(graph)
    scale, found = potential.scale[head], []
    with torch.no_grad():
        layers = [module for module in potential.layers if isinstance(module, Layer)]
        for layer, steps in zip(layers, potential.steps(graph, index), strict=True):
            if layer.readout is None:
                raise DataError(NO_ENERGY)
            found.append(
                LayerExplained(
                    one_particle_irreps=natural(potential.config.max_l),
                    irreps=layer.out,
                    one_particle=steps.one_particle,
                    products=steps.products,
                    messages=joined(steps.messages),
                    features=steps.features,
                    energies=scale * layer.readout(steps.features[:, 0], head).double(),
                )
            )
        references = potential.reference_energies[head, index] + potential.shift[head]
        repulsion = torch.zeros_like(references)
        if potential.repulsion is not None:
            repulsion = scale * potential.repulsion(graph, index).double()
    return Explanation(tuple(found), references, repulsion)
