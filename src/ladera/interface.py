"""Questions as people ask them in Python: of any structure, and of any model, however it is named.

Inside of Ladera :func:`ladera.potential.evaluate` and :func:`ladera.curvature.hessian` are asked
with potentials and graphs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from ase import Atoms

from ladera import curvature
from ladera.data.frame import Frame
from ladera.errors import ConfigError
from ladera.graph import Graph
from ladera.loading import ModelLike, as_potential
from ladera.potential import Potential, Prediction
from ladera.potential import evaluate as evaluate_graph
from ladera.simulation.structures import StructureLike, as_atoms

if TYPE_CHECKING:
    from ladera.arrays import Floats


def evaluate(
    model: ModelLike,
    structure: StructureLike | Graph,
    gradients: bool = True,
    *,
    head: str | None = None,
) -> Prediction:
    """Energy and, with ``gradients``, forces and stress of one structure, or of a graph of several.

    ``model`` is what :func:`ladera.loading.as_potential` takes, ``structure`` a graph or what
    :func:`ladera.simulation.structures.as_atoms` takes. ``head`` names the level of theory of a
    model with several.

    Of a graph the prediction is differentiable in the model's parameters while torch records
    gradients; of anything else it is plain numbers. Raises as these functions do, DataError for an
    element that the model does not know, and ConfigError for a head that it does not have.
    """
    _require_order(model, structure)
    if isinstance(structure, Graph):
        return evaluate_graph(as_potential(model), structure, gradients, head=head)
    potential = as_potential(model)
    graph = Graph.from_atoms(as_atoms(structure), potential.cutoff)
    with torch.no_grad():
        return evaluate_graph(potential, graph, gradients, head=head)


def hessian(model: ModelLike, structure: StructureLike | Graph, *, memory: float = 0.5) -> Floats:
    """Hessian of one structure, (3 n_atoms, 3 n_atoms), eV/Angstrom^2.

    See :func:`ladera.curvature.hessian`; ``model`` and ``structure`` as in :func:`evaluate`.
    """
    _require_order(model, structure)
    if not isinstance(structure, Graph):
        structure = as_atoms(structure)
    return curvature.hessian(as_potential(model), structure, memory=memory)


def _require_order(model: object, structure: object) -> None:
    """ConfigError when the two were swapped."""
    if isinstance(structure, Potential) or isinstance(model, (Atoms, Frame, Graph)):
        raise ConfigError("Model and structure are swapped; give the model first.")
