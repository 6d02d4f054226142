"""Pruning of a moment tensor potential: functions removed by time against error, and a refit.

Labels are what the potential itself says of the frames. So what is lost is what its functions
meant to it, whatever frames and weights it was trained with; and fits to the labels of the frames
would shift the balance of energies and forces that it has.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import torch

from ladera.arguments import checked
from ladera.arrays import Floats, Integers
from ladera.data.dataset import Dataset
from ladera.data.graphs import GraphStore, room
from ladera.errors import ConfigError
from ladera.kernels.moment_tensors.program import MomentProgram
from ladera.labelling.labelled import label
from ladera.models.mtp.model import MTP
from ladera.models.mtp.pruning import kept_functions, work_of
from ladera.models.mtp.rewriting import rewritten
from ladera.potential import Potential
from ladera.quantities import ENERGY, FORCES, STRESS
from ladera.training.batches import Batches
from ladera.training.config import LossConfig
from ladera.training.optimizer_config import VariableProjection
from ladera.training.variable_projection.rows import FrameRows
from ladera.training.variable_projection.search import Search

_MEMORY: Final = 4.0  # GiB of neighbour lists


class Pruned(NamedTuple):
    """A smaller potential, and what it costs and explains beside the one it was made of."""

    potential: MTP
    functions: tuple[int, int]  # before and after
    products: tuple[int, int]
    components: tuple[int, int]  # of moment tensors, which cost time for each neighbour
    cost: float  # estimated time of an atom over that of before
    loss: float  # how far it is from the other on the frames, by the weights


@checked
def prune(
    potential: Potential,
    frames: Dataset,
    *,
    cost: float = 0.5,
    epochs: int = 10,
    loss: LossConfig | None = None,
) -> Pruned:
    """Remove functions until an atom takes at most ``cost`` of its time, and fit again.

    A program that another code wrote for the functions of a level is first replaced by Ladera's,
    which changes nothing but the time. Which functions go is decided by an estimate of the time
    (:mod:`ladera.models.mtp.pruning`) and by what becomes of the potential's own energies, forces
    and stress of the ``frames``, those of the training or ones like them, whose labels do not
    matter; ``loss`` are the weights, by default those of a training. The coefficients of the others
    are found anew by least squares, and the radial ones follow in up to ``epochs`` passes.

    Raises ConfigError for a model that is no plain MTP, for a cost that is not between 0 and 1 or
    leaves no function, and for weights of nothing that it has.
    """
    if not isinstance(potential, MTP):
        raise ConfigError(
            f"Pruning removes functions of moment tensor potentials, and this is a "
            f"{potential.config.architecture} model; give an mtp."
        )
    if not 0 < cost < 1:
        raise ConfigError(f"The cost is {cost:g} of the model's; give a number between 0 and 1.")
    loss = LossConfig() if loss is None else loss
    if not any((loss.energy, loss.forces, loss.stress)):
        raise ConfigError(
            "The loss weighs neither energies nor forces nor stress; give one of them a weight."
        )
    frames = label(potential, frames, (ENERGY, FORCES, STRESS)).frames
    model = lean(potential)
    graphs = GraphStore(frames, model.cutoff, room(_MEMORY))
    batches = Batches(frames, graphs)
    search = _search(model, batches, loss)
    present = _linear(model)
    normal = search.gram[: len(present), : len(present)].copy()
    normal += np.diag(np.maximum(np.diag(normal), 1e-300)) * VariableProjection().ridge
    edges = sum(graphs[k].n_edges for k in range(len(frames)))
    n_neighbors = edges / max(int(frames.atom_counts.sum()), 1)
    program, start = model.program, potential.program
    work, whole = work_of(program, n_neighbors), work_of(start, n_neighbors).time
    kept = np.flatnonzero(kept_functions(work, normal, normal @ present, time=cost * whole))
    if not len(kept):
        raise ConfigError(
            f"Neighbour lists and what else no function can be spared for take "
            f"{work.fixed / whole:.2f} of the model's time, so that it cannot come down to "
            f"{cost:g}; give a larger cost, or train a model of a lower level."
        )
    smaller = MomentProgram(program.basic, program.products, program.scalars[kept]).without_idle()
    pruned = _copy(model, smaller, kept)
    search = _search(pruned, batches, loss, epochs)
    pruned.provenance = {**potential.provenance, "pruned_from": len(program.scalars)}
    return Pruned(
        pruned.eval().requires_grad_(False),
        (len(start.scalars), len(smaller.scalars)),
        (len(start.products), len(smaller.products)),
        (len(start.basic), len(smaller.basic)),
        work_of(smaller, n_neighbors).time / whole,
        search.loss,
    )


def lean(model: MTP) -> MTP:
    """A copy, its functions by Ladera's own program where they are those of its level."""
    ours = rewritten(model.program, model.config.level)
    if ours is None or len(ours.program.products) >= len(model.program.products):
        return _copy(model, model.program, np.arange(len(model.program.scalars)))
    made = _copy(model, ours.program, ours.order)
    with torch.no_grad():
        made.moment_coefficients.mul_(torch.from_numpy(ours.factors))
    return made


def _copy(model: MTP, program: MomentProgram, functions: Integers) -> MTP:
    """A model with some of the functions of another, by a program of their own."""
    made = MTP.with_program(model.config, program)
    with torch.no_grad():
        made.radial_coefficients.copy_(model.radial_coefficients[:, :, : program.n_radial])
        made.moment_coefficients.copy_(model.moment_coefficients[torch.from_numpy(functions)])
        made.species_energies.copy_(model.species_energies)
    made.reference_energies.copy_(model.reference_energies)
    return made


def _linear(model: MTP) -> Floats:
    """The coefficients that the model is linear in, (n_linear,)."""
    parts = model.moment_coefficients, model.species_energies
    return torch.cat([part.detach() for part in parts]).numpy()


def _search(model: MTP, batches: Batches, loss: LossConfig, epochs: int = 0) -> Search:
    """The search after one pass and so many steps, the model having its best parameters.

    What the frames say nothing about stays as it is: else the combinations of coefficients that the
    ridge holds back would lose what another fit had found.
    """
    every = np.arange(len(batches.dataset))
    rows = FrameRows(model, model, batches, loss, every)
    search = Search(model, rows, VariableProjection(), _linear(model))
    for epoch in range(epochs + 1):
        if epoch:
            search.go_on()
        if search.converged:
            break
        for frame in every:
            search.add(int(frame))
        search.judge(torch.from_numpy(search.sums))
    return search
