"""Asking a potential: energies and their gradients, by the model's own way or automatically."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ladera.errors import DataError
from ladera.graph import Graph
from ladera.potential.prediction import AtomicValues, LongRange, Prediction
from ladera.threads import torch_threads

if TYPE_CHECKING:
    from ladera.potential.contract import Potential


def evaluate(
    potential: Potential, graph: Graph, gradients: bool = True, *, head: str | None = None
) -> Prediction:
    """Energies and, with ``gradients``, the edge gradients that give forces, virial and stress.

    ``head`` names the one that predicts, of a model with several; left out, each structure's own
    (``graph.heads``), and where there is none the model's. Raises ConfigError for a head that the
    model does not have, DataError for a graph that ends before the model's cutoff, and for one with
    a halo where the model's energies depend on atoms at any distance.

    The result is differentiable in the parameters while torch records gradients (training); under
    ``torch.no_grad()`` models take their fast path.
    """
    graph.require_pairs(potential.cutoff)
    if graph.halo is not None and potential.hops is None:
        raise DataError(
            f"The energy of this {potential.config.architecture} model depends on atoms at any "
            "distance, and each process has a part of the atoms; run it on one process by "
            "ladera md, or take a model with a cutoff."
        )
    with torch_threads(1):  # a conversion at most
        graph = graph.to(potential.dtype, potential.device)
    if head is not None:
        number = potential.config.number_of_head(head)
        heads = torch.full((graph.n_structures,), number, device=graph.cell.device)
        graph = replace(graph, heads=heads)
    return potential.predict(graph, gradients)


def differentiate(potential: Potential, graph: Graph) -> Prediction:
    """Energies and all their gradients by automatic differentiation.

    The energy is a function of the edge vectors r_ij and, if it has a long-range part, of the
    positions and cell vectors, as in :func:`strained`. Differentiable in the parameters while torch
    records gradients.
    """
    differentiable = torch.is_grad_enabled()
    with torch.enable_grad():
        vectors = graph.vectors.detach().requires_grad_()
        deformed, positions, strain = strained(graph)
        prediction = potential.predict(replace(deformed, vectors=vectors), gradients=False)
        energy, leaves = prediction.atomic_energies.sum(), (vectors, positions, strain)
        slopes: tuple[Tensor | None, ...] = (None, None, None)
        if energy.requires_grad:  # there are edges or parameters
            slopes = torch.autograd.grad(
                energy, leaves, create_graph=differentiable, allow_unused=True
            )
    by_edges, by_positions, by_strain = (
        torch.zeros_like(leaf) if slope is None else slope
        for slope, leaf in zip(slopes, leaves, strict=True)
    )
    short_ranged = slopes[1] is None and slopes[2] is None
    energies = prediction.atomic_energies

    def atomic_values() -> AtomicValues:
        values = prediction.atomic_values
        return values if differentiable else {q: value.detach() for q, value in values.items()}

    return Prediction(
        graph,
        energies if differentiable else energies.detach(),
        by_edges,
        None if short_ranged else LongRange(by_positions, by_strain),
        atomic_values=atomic_values,
    )


def strained(graph: Graph) -> tuple[Graph, Tensor, Tensor]:
    """A graph whose positions and cell, but not its edge vectors, hang on leaves of torch.

    The strain e, a leaf (n_structures, 3, 3) of zeros, takes positions r_i, the other leaf
    (n_atoms, 3), and cell vectors a to r_i (1 + e) and a (1 + e). Returns graph, positions, strain.
    """
    positions = graph.positions.detach().requires_grad_()
    strain = torch.zeros_like(graph.cell).requires_grad_()
    deformation = torch.eye(3).to(strain) + 0.5 * (strain + strain.mT)
    moved = (positions[:, None, :] @ deformation[graph.structure_index])[:, 0]
    return replace(graph, positions=moved, cell=graph.cell @ deformation), positions, strain
