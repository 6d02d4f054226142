r"""The loss of a batch, and the sums from which every error is made.

With the residuals e_k = (E_k - E_k^ref) / n_k, f_ka = F_ka - F_ka^ref, s_kab = sigma_kab -
sigma_kab^ref and p_ka = mu_ka - mu_ka^ref (dipole moments) of the frames k that have the label,

    L = w_E mean_k c_k rho(e_k) + w_F mean_ka c_k rho(f_ka) + w_S mean_kab c_k rho(s_kab)
        + w_D mean_ka c_k rho(p_ka)

    symbol              configuration
    w_E, w_F, w_S, w_D  loss.energy, loss.forces, loss.stress, loss.dipole
    c_k                 weight of frame k in the data, times loss.config_weights of its config_type
    rho(x)              loss.function: mse x^2; mae |x|; huber x^2/2 where |x| < delta, then
                        delta (|x| - delta/2), delta = loss.huber_delta
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from ladera.potential import Potential, Prediction, evaluate
from ladera.training.batches import Batch
from ladera.training.config import LossConfig

QUANTITIES: Final = ("energy", "forces", "stress", "dipole")
COUNT, LOSS, ABSOLUTE, SQUARE = range(4)  # columns of the sums


class Objective(nn.Module):
    """Sums over the frames of a batch, differentiable in the potential's parameters."""

    def __init__(self, potential: Potential, config: LossConfig) -> None:
        super().__init__()
        self.potential = potential
        self.weights = torch.tensor([getattr(config, name) for name in QUANTITIES]).double()
        self._rho = _penalty(config)

    def forward(self, batch: Batch) -> Tensor:
        """For each of QUANTITIES: count, sum of c rho, of |x| and of x^2.

        (4, 4) float64. In training the forces are computed only when the loss needs them.
        """
        training = torch.is_grad_enabled()
        labelled = batch.has_forces | batch.has_stress
        needed = self.weights[1:3].any() if training else labelled.any()
        prediction = evaluate(self.potential, batch.graph, gradients=bool(needed))
        nothing = batch.energy.new_zeros(4)
        rows = [self._energy(prediction, batch)]
        rows.append(self._forces(prediction, batch) if needed else nothing)
        # A virial costs a tensor per edge: not while learning from something else.
        wanted = bool(needed) and (bool(self.weights[2]) or not training)
        rows.append(self._stress(prediction, batch) if wanted else nothing)
        rows.append(self._dipole(prediction, batch) if self.weights[3] else nothing)
        return torch.stack(rows)

    def total(self, sums: Tensor, counts: Tensor) -> Tensor:
        """L from the sums, with the counts (4,) over which the means are taken."""
        means = sums[:, LOSS] / counts.clamp(min=1)
        return (self.weights.to(sums.device) * means).sum()

    def _energy(self, prediction: Prediction, batch: Batch) -> Tensor:
        known = batch.has_energy
        residual = (prediction.energy - batch.energy) / batch.graph.atom_counts
        return self._sums(residual[known], batch.weights[known])

    def _forces(self, prediction: Prediction, batch: Batch) -> Tensor:
        atoms = batch.graph.structure_index
        known = batch.has_forces[atoms]
        residual = prediction.forces.double()[known] - batch.forces[known]
        return self._sums(residual, batch.weights[atoms][known][:, None])

    def _stress(self, prediction: Prediction, batch: Batch) -> Tensor:
        known = batch.has_stress
        volumes = batch.graph.volumes[known]
        stress = prediction.virial.double()[known] / volumes[:, None, None]
        return self._sums(stress - batch.stress[known], batch.weights[known][:, None, None])

    def _dipole(self, prediction: Prediction, batch: Batch) -> Tensor:
        known = batch.has_dipole
        residual = prediction.dipole[known] - batch.dipole[known]
        return self._sums(residual, batch.weights[known][:, None])

    def _sums(self, residual: Tensor, weights: Tensor) -> Tensor:
        plain = residual.detach()
        count = plain.new_tensor(plain.numel())
        weighted = (weights * self._rho(residual)).sum()
        return torch.stack([count, weighted, plain.abs().sum(), plain.square().sum()])


def _penalty(config: LossConfig) -> Callable[[Tensor], Tensor]:
    match config.function:
        case "mse":
            return torch.square
        case "mae":
            return torch.abs
        case "huber":
            return lambda x: functional.huber_loss(
                x, torch.zeros_like(x), reduction="none", delta=config.huber_delta
            )
