r"""The loss of a batch, and the sums from which every error is made.

With the residuals x_k = X_k - X_k^ref of each quantity X: of energies per atom, of the components
of forces, stresses and dipole moments, of charges, in the frames and atoms k that have the label,

    L = sum_X w_X mean_k c_k rho(x_k)

    symbol              configuration
    w_X                 loss.energy, loss.forces and so on, by the names in ladera.quantities
    c_k                 weight of the frame in the data, times loss.config_weights of its group
    rho(x)              loss.function: mse x^2; mae |x|; huber x^2/2 where |x| < delta, then
                        delta (|x| - delta/2), delta = loss.huber_delta; universal as huber, but
                        delta of an atom's forces is 0.7, 0.4 and 0.1 times that where the labelled
                        force is above 100, 200 and 300 eV/Angstrom (Batatia et al.,
                        arXiv:2401.00096)
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from ladera.data.dataset import Dataset
from ladera.errors import ConfigError, DataError
from ladera.potential import Potential, Prediction, evaluate
from ladera.quantities import (
    ATOMIC_DIPOLES,
    CHARGES,
    DIPOLE,
    ENERGY,
    FORCES,
    QUANTITIES,
    STRESS,
    Quantity,
)
from ladera.training.batches import Batch
from ladera.training.config import LossConfig, TrainingConfig

COUNT, LOSS, ABSOLUTE, SQUARE = range(4)  # columns of the sums


class Objective(nn.Module):
    """Sums over the frames of a batch, differentiable in the potential's parameters."""

    def __init__(self, potential: Potential, config: LossConfig) -> None:
        super().__init__()
        self.potential = potential
        self._config = config
        self.weigh(config)

    def weigh(self, config: LossConfig) -> None:
        """Take the weights of the quantities from another configuration."""
        self.weights = torch.tensor([getattr(config, q.name) for q in QUANTITIES]).double()

    def forward(self, batch: Batch) -> Tensor:
        """For each of QUANTITIES: count, sum of c rho, of |x| and of x^2.

        (n_quantities, 4) float64, zero for what the model does not predict and, but for energies,
        for what has no weight: forces are computed when the loss needs them. Raises DataError for a
        frame with a label of what it cannot have.
        """
        looked_at = [
            quantity
            for quantity, weight in zip(QUANTITIES, self.weights.tolist(), strict=True)
            if quantity in self.potential.gives and (quantity == ENERGY or weight)
        ]
        gradients = self._needs_gradients(looked_at, batch)
        prediction = evaluate(self.potential, batch.graph, gradients=gradients)
        for quantity in QUANTITIES:
            if quantity in looked_at or quantity.derivative:
                _require_existence(quantity, prediction, batch)
        nothing = batch.weights.new_zeros(4)
        return torch.stack(
            [
                self._sums_of(quantity, prediction, batch)
                if quantity in looked_at and (gradients or not quantity.derivative)
                else nothing
                for quantity in QUANTITIES
            ]
        )

    def total(self, sums: Tensor, counts: Tensor) -> Tensor:
        """L from the sums, with the counts (n_quantities,) over which the means are taken."""
        means = sums[:, LOSS] / counts.clamp(min=1)
        return (self.weights.to(sums.device) * means).sum()

    def _needs_gradients(self, looked_at: Sequence[Quantity], batch: Batch) -> bool:
        derivatives = [quantity for quantity in looked_at if quantity.derivative]
        if torch.is_grad_enabled():
            return bool(derivatives)
        return any(bool(batch.labels[quantity].known.any()) for quantity in derivatives)

    def _sums_of(self, quantity: Quantity, prediction: Prediction, batch: Batch) -> Tensor:
        labels, weights = batch.labels[quantity], batch.weights
        known = labels.known
        if quantity.per_atom:
            atoms = batch.graph.structure_index
            known, weights = known[atoms], weights[atoms]
        reference = labels.values[known]
        residual = prediction[quantity].double()[known] - reference
        if quantity.extensive:
            residual = residual / batch.graph.atom_counts[known]
        delta: Tensor | float = self._config.huber_delta
        if quantity == FORCES and self._config.function == "universal":
            steps = reference.norm(dim=1, keepdim=True) / 100.0
            delta = delta * (1.0 - 0.3 * steps.floor().clamp(max=3.0))
        plain = residual.detach()
        of_rows = weights[known].reshape(-1, *(1 for _ in quantity.shape))
        weighted = (of_rows * _penalty(self._config.function, residual, delta)).sum()
        count = plain.new_tensor(plain.numel())
        return torch.stack([count, weighted, plain.abs().sum(), plain.square().sum()])


def require_learnable(potential: Potential, config: TrainingConfig, dataset: Dataset) -> None:
    """Raise ConfigError for a loss of what the model lacks, and for dipoles left to chance.

    And DataError for a frame with a dipole that charges do not define.
    """
    losses = config.loss, config.loss_of(config.epochs)
    architecture = potential.config.architecture
    if ENERGY not in potential.gives and any(
        getattr(loss, quantity.name) for loss in losses for quantity in (ENERGY, FORCES, STRESS)
    ):
        raise ConfigError(
            "The model has dipoles alone and learns from dipoles alone; set loss: {energy: 0, "
            "forces: 0, dipole: 1}, or model.outputs: [energy, dipole]."
        )
    for quantity in QUANTITIES:
        weight = max(getattr(loss, quantity.name) for loss in losses)
        if weight > 0 and quantity not in potential.gives:
            raise ConfigError(
                f"loss.{quantity.name} is {weight:g}, but the {architecture} model has no "
                f"{quantity.words}; set {quantity.remedy}, or loss.{quantity.name}: 0."
            )
    if CHARGES in potential.gives and any(loss.dipole for loss in losses):
        in_cells = dataset.has("dipole") & dataset.column("periodic").any(axis=1)
        if in_cells.any():
            raise DataError(f"{dataset.place(int(np.argmax(in_cells)))} {DIPOLE.misfit}.")
    if config.loss.dipole == 0 and ATOMIC_DIPOLES in potential.gives:
        raise ConfigError(
            f"The {architecture} model has dipoles that nothing would train; set loss.dipole, such "
            "as 10, or take a model without."
        )


def padded(sums: Tensor) -> Tensor:
    """Sums from a checkpoint of when there were fewer quantities, with zeros for the others."""
    return torch.cat([sums, sums.new_zeros(len(QUANTITIES) - len(sums), 4)])


def _penalty(function: str, x: Tensor, delta: Tensor | float) -> Tensor:
    """rho(x)."""
    match function:
        case "mse":
            return x.square()
        case "mae":
            return x.abs()
        case _:
            size = x.abs()
            inner = size.clamp(max=delta) if isinstance(delta, float) else size.minimum(delta)
            return inner * (size - 0.5 * inner)  # both branches of huber in one, smooth


def _require_existence(quantity: Quantity, prediction: Prediction, batch: Batch) -> None:
    """Raise DataError for a label of what the structure does not have."""
    if not quantity.misfit:
        return
    wrong = batch.labels[quantity].known & ~prediction.exists(quantity)
    if bool(wrong.any()):
        first = int(torch.nonzero(wrong)[0, 0])
        raise DataError(f"{batch.names[first]} {quantity.misfit}.")
