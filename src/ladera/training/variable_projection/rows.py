"""The rows of the linear problem of each frame, weighted by the loss, and the labels beside."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

import numpy as np
import torch

from ladera.arrays import Floats, Integers
from ladera.kernels.moment_tensors.design import Design
from ladera.kernels.moment_tensors.design_arrays import Atoms, Functions
from ladera.models.mtp.model import MTP
from ladera.potential import Potential, evaluate
from ladera.quantities import ENERGY, FORCES, STRESS
from ladera.training.batches import Batches
from ladera.training.config import LossConfig

# Of the lower triangle of a stress, row by row; the loss counts what is off the diagonal twice.
_TRIANGLE: Final = np.tril_indices(3)
_TWICE: Final = np.where(_TRIANGLE[0] == _TRIANGLE[1], 1.0, math.sqrt(2.0))


class FrameRows:
    """Rows of frames: their squares sum up to the loss that :mod:`ladera.training.loss` defines.

    Columns are the coefficients of the functions and the energies of the elements, in which the
    model is linear; its radial coefficients, at the present ones of the others; and the labels,
    less what the model does not learn.
    """

    def __init__(
        self,
        potential: MTP,
        whole: Potential,
        batches: Batches,
        loss: LossConfig,
        train: Integers,
    ) -> None:
        self._potential, self._whole, self._batches = potential, whole, batches
        self._design = Design(potential.program)
        self._n_scalars = len(potential.program.scalars)
        self.n_linear = self._n_scalars + len(potential.numbers)
        self.n_columns = self.n_linear + potential.radial_coefficients.numel() + 1
        view = batches.dataset[train]
        counts = {
            ENERGY: view.has("energy").sum(),
            FORCES: 3 * view.atom_counts[view.has("forces")].sum(),
            STRESS: 9 * view.has("stress").sum(),
        }
        weights = {ENERGY: loss.energy, FORCES: loss.forces, STRESS: loss.stress}
        self.n_labels = sum(int(counts[q]) for q, weight in weights.items() if weight)
        self._factors = {
            quantity: math.sqrt(weights[quantity] / max(int(count), 1))
            for quantity, count in counts.items()
        }

    def of(self, frame: int, radial: bool) -> Iterator[Floats]:
        """Arrays (n_rows, n_columns); the columns of radial coefficients are 0 if not asked for."""
        labels, graph = self._batches.dataset[frame], self._batches.graphs[frame]
        weight = math.sqrt(float(self._batches.weights[frame]))
        factors = {quantity: weight * factor for quantity, factor in self._factors.items()}
        model, index = self._potential, self._potential.element_index(graph)
        atoms = Atoms(
            graph.row_pointer.numpy(),
            graph.neighbors.numpy(),
            graph.vectors.numpy(),
            index.numpy(),
        )
        functions = Functions(
            model.radial_coefficients.detach().numpy(),
            model.moment_coefficients.detach().numpy(),
            model.config.min_distance,
            model.cutoff,
        )
        strain = labels.stress is not None and factors[STRESS] > 0
        rows = self._design.rows(atoms, functions, strain=strain, radial=radial)
        energy, forces, given = self._unlearned(frame)
        species = np.bincount(index.numpy(), minlength=len(model.numbers)).astype(np.float64)
        if labels.energy is not None and factors[ENERGY]:
            factor = factors[ENERGY] / graph.n_atoms
            energies = self._assembled(rows.energy[None], np.array([labels.energy - energy]))
            energies[0, self._n_scalars : self.n_linear] = species
            yield factor * energies
        if labels.forces is not None and factors[FORCES]:
            against = forces - np.reshape(labels.forces, -1)  # a force is no gradient
            yield factors[FORCES] * self._assembled(rows.positions, against)
        if strain and labels.stress is not None:
            volume = float(graph.volumes[0])
            target = (np.reshape(labels.stress, (3, 3)) - given)[_TRIANGLE]
            strains = self._assembled(rows.strain, volume * target)
            yield factors[STRESS] / volume * _TWICE[:, None] * strains

    def _assembled(self, rows: Floats, labels: Floats) -> Floats:
        n_scalars, n_species = self._n_scalars, self.n_linear - self._n_scalars
        species = np.zeros((len(rows), n_species))
        return np.hstack([rows[:, :n_scalars], species, rows[:, n_scalars:], labels[:, None]])

    def _unlearned(self, frame: int) -> tuple[float, Floats, Floats]:
        """Energy, forces (3 n_atoms,) and stress that other things than the parameters make."""
        graph = self._batches.graphs[frame]
        index = self._potential.element_index(graph)
        energy = float(self._potential.reference_energies[index].sum())
        forces, stress = np.zeros(3 * graph.n_atoms), np.zeros((3, 3))
        if self._whole is not self._potential:
            with torch.no_grad():
                one, two = (evaluate(p, graph) for p in (self._whole, self._potential))
            energy += float(one.energy - two.energy)
            forces += (one.forces - two.forces).numpy().ravel()
            if bool(graph.periodic.any()):
                stress += (one.stress - two.stress).numpy()[0]
        return energy, forces, stress
