"""Questions as people ask them in Python: of any structure, and of any model, however it is named.

Inside of Ladera :func:`ladera.potential.evaluate` and :func:`ladera.curvature.hessian` are asked
with potentials and graphs.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from ase import Atoms

from ladera import curvature
from ladera.arguments import checked
from ladera.data.frame import Frame
from ladera.errors import ConfigError
from ladera.graph import Graph
from ladera.loading import ModelLike, as_potential
from ladera.potential import Potential, Prediction
from ladera.potential import evaluate as evaluate_graph
from ladera.simulation.structures import StructureLike, as_atoms
from ladera.training import config_file
from ladera.training.config import TrainingConfig
from ladera.training.trainer import train as train_by

if TYPE_CHECKING:
    from ladera.arrays import Floats


@checked
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

    The prediction is plain numbers. Only of a graph, and of a model that is being trained (after
    ``potential.train()``), it is differentiable in the parameters while torch records gradients.
    Raises as these functions do, DataError for an element that the model does not know and for a
    graph of a shorter cutoff, and ConfigError for a head that the model does not have.
    """
    _require_order(model, structure)
    potential, graph = as_potential(model), structure
    if not isinstance(graph, Graph):
        graph = Graph.from_atoms(as_atoms(structure), potential.cutoff)
    learns = any(part.training for part in potential.members or (potential,))
    recorded = learns and graph is structure and torch.is_grad_enabled()
    with torch.set_grad_enabled(recorded):
        return evaluate_graph(potential, graph, gradients, head=head)


@checked
def hessian(model: ModelLike, structure: StructureLike | Graph, *, memory: float = 0.5) -> Floats:
    """Hessian of one structure, (3 n_atoms, 3 n_atoms), eV/Angstrom^2.

    See :func:`ladera.curvature.hessian`; ``model`` and ``structure`` as in :func:`evaluate`.
    """
    _require_order(model, structure)
    if not isinstance(structure, Graph):
        structure = as_atoms(structure)
    return curvature.hessian(as_potential(model), structure, memory=memory)


@checked
def train(
    config: TrainingConfig | Mapping[str, Any] | str | os.PathLike[str],
    folder: str | os.PathLike[str],
    *,
    resume: bool = False,
) -> Potential:
    """Train a potential and return the best one; ``folder`` receives the files of the run.

    ``config`` is a YAML file, or what would stand in one: nested dictionaries. See
    :func:`ladera.training.trainer.train` for what it does and raises.
    """
    if isinstance(config, (str, os.PathLike)):
        config = config_file.load(Path(config))
    elif isinstance(config, Mapping):
        config = config_file.parse(deepcopy(dict(config)), "The configuration")
    return train_by(config, folder, resume=resume)


def _require_order(model: object, structure: object) -> None:
    """ConfigError when the two were swapped."""
    if isinstance(structure, Potential) or isinstance(model, (Atoms, Frame, Graph)):
        raise ConfigError("Model and structure are swapped; give the model first.")
