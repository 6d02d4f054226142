r"""The loss of a batch, and the sums from which every error is made.

With the residuals e_k = (E_k - E_k^ref) / n_k, f_ka = F_ka - F_ka^ref, s_kab = sigma_kab -
sigma_kab^ref and p_ka = mu_ka - mu_ka^ref (dipole moments) of the frames k that have the label,

    L = w_E mean_k c_k rho(e_k) + w_F mean_ka c_k rho(f_ka) + w_S mean_kab c_k rho(s_kab)
        + w_D mean_ka c_k rho(p_ka)

    symbol              configuration
    w_E, w_F, w_S, w_D  loss.energy, loss.forces, loss.stress, loss.dipole
    c_k                 weight of frame k in the data, times loss.config_weights of its config_type
    rho(x)              loss.function: mse x^2; mae |x|; huber x^2/2 where |x| < delta, then
                        delta (|x| - delta/2), delta = loss.huber_delta; universal as huber, but
                        delta of an atom's forces is 0.7, 0.4 and 0.1 times that where the labelled
                        force is above 100, 200 and 300 eV/Angstrom (Batatia et al.,
                        arXiv:2401.00096)
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn

from ladera.errors import ConfigError
from ladera.potential import Potential, Prediction, evaluate
from ladera.training.batches import Batch
from ladera.training.config import LossConfig, TrainingConfig

QUANTITIES: Final = ("energy", "forces", "stress", "dipole")
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
        self.weights = torch.tensor([getattr(config, name) for name in QUANTITIES]).double()

    def forward(self, batch: Batch) -> Tensor:
        """For each of QUANTITIES: count, sum of c rho, of |x| and of x^2.

        (4, 4) float64, zero for what the model does not predict. In training the forces are
        computed only when the loss needs them.
        """
        training, has_energy = torch.is_grad_enabled(), self.potential.has_energy
        labelled = batch.has_forces | batch.has_stress
        needed = has_energy and bool(self.weights[1:3].any() if training else labelled.any())
        prediction = evaluate(self.potential, batch.graph, gradients=needed)
        nothing = batch.energy.new_zeros(4)
        rows = [self._energy(prediction, batch) if has_energy else nothing]
        rows.append(self._forces(prediction, batch) if needed else nothing)
        # A virial costs a tensor per edge: not while learning from something else.
        wanted = needed and (bool(self.weights[2]) or not training)
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
        reference = batch.forces[known]
        residual = prediction.forces.double()[known] - reference
        delta: Tensor | float = self._config.huber_delta
        if self._config.function == "universal":
            steps = reference.norm(dim=1, keepdim=True) / 100.0
            delta = delta * (1.0 - 0.3 * steps.floor().clamp(max=3.0))
        return self._sums(residual, batch.weights[atoms][known][:, None], delta)

    def _stress(self, prediction: Prediction, batch: Batch) -> Tensor:
        known = batch.has_stress
        volumes = batch.graph.volumes[known]
        stress = prediction.virial.double()[known] / volumes[:, None, None]
        return self._sums(stress - batch.stress[known], batch.weights[known][:, None, None])

    def _dipole(self, prediction: Prediction, batch: Batch) -> Tensor:
        known = batch.has_dipole
        residual = prediction.dipole[known] - batch.dipole[known]
        return self._sums(residual, batch.weights[known][:, None])

    def _sums(
        self, residual: Tensor, weights: Tensor, delta: Tensor | float | None = None
    ) -> Tensor:
        plain = residual.detach()
        count = plain.new_tensor(plain.numel())
        delta = self._config.huber_delta if delta is None else delta
        weighted = (weights * _penalty(self._config.function, residual, delta)).sum()
        return torch.stack([count, weighted, plain.abs().sum(), plain.square().sum()])


def require_learnable(potential: Potential, config: TrainingConfig) -> None:
    """Raise ConfigError for a loss of what the model lacks, and for dipoles left to chance."""
    losses = config.loss, config.loss_of(config.epochs)
    if not potential.has_energy and any(w.energy or w.forces or w.stress for w in losses):
        raise ConfigError(
            "The model has dipoles alone and learns from dipoles alone; set loss: {energy: 0, "
            "forces: 0, dipole: 1}, or model.outputs: [energy, dipole]."
        )
    if config.loss.dipole > 0 and not potential.has_dipole:
        raise ConfigError(
            f"loss.dipole is {config.loss.dipole:g}, but the {potential.config.architecture} model "
            "has no dipole moment; set model.architecture: hdnnp_dipole, or model.outputs: "
            "[energy, dipole] of a mace, or loss.dipole: 0."
        )
    if config.loss.dipole == 0 and potential.has_atomic_dipoles:
        raise ConfigError(
            f"The {potential.config.architecture} model has dipoles that nothing would train; set "
            "loss.dipole, such as 10, or take a model without."
        )


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
