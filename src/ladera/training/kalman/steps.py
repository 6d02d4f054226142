"""Epochs of a Kalman training: which observations each update takes, and the update."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from ladera.arrays import Integers
from ladera.errors import ConfigError, TrainingError
from ladera.machine import require_memory
from ladera.models.hdnnp.model import HDNNP
from ladera.models.hdnnp.network import AtomicNetwork
from ladera.potential import evaluate
from ladera.quantities import QUANTITIES
from ladera.training.batches import Batches
from ladera.training.kalman import jacobian
from ladera.training.kalman.blocks import make_blocks
from ladera.training.kalman.filter import KalmanFilter
from ladera.training.kalman.frames import FrameStore
from ladera.training.loss import Objective, padded
from ladera.training.optimizer_config import Kalman
from ladera.training.prepared import Prepared
from ladera.training.processes import over_processes

if TYPE_CHECKING:
    from lightning_fabric import Fabric

Quantity = Literal["energy", "forces"]

# A large cell has one energy and many force components: it is seen often enough to be learnt.
FORCES_PER_ENERGY: Final = 10


class Update(NamedTuple):
    """One update of the filter: the numbers of its observations."""

    quantity: Quantity
    observations: Integers


class KalmanSteps:
    """Updates of an HDNNP's weights by energies and force components.

    Energies are numbered in the order of the training frames, force components in the order of
    their atoms. The networks see energies in units of energy_scale and forces in energy_scale /
    Angstrom; the latter, errors and Jacobian alike, are multiplied by force_weight, and those of
    frame k by the square root of its weight c_k.
    """

    def __init__(
        self,
        optimizer: Kalman,
        prepared: Prepared,
        batches: Batches,
        objective: Objective,
        fabric: Fabric,
    ) -> None:
        config, self._whole = prepared.config, objective.potential
        potential = self._whole.uncorrected
        if not isinstance(potential, HDNNP) or config.precision != "float64":
            raise ConfigError(
                f"The Kalman filter trains models of architecture hdnnp in float64, not "
                f"{prepared.model.architecture} in {config.precision}; take another optimizer, "
                "such as adam."
            )
        self._config, self._seed, self._fabric = optimizer, config.seed, fabric
        self._potential, self._batches = potential, batches
        learns_forces = config.loss.forces > 0
        memory = config.data.graph_memory
        self._store = FrameStore(potential, self._whole, batches, learns_forces, memory)
        dataset = prepared.dataset
        frames = [(int(k), dataset[int(k)]) for k in prepared.train]
        has_energy = [k for k, f in frames if f.energy is not None and config.loss.energy > 0]
        has_forces = [(k, f.n_atoms) for k, f in frames if f.forces is not None and learns_forces]
        self._energies = np.array(has_energy, dtype=np.int64)
        self._forces = np.array([k for k, _ in has_forces], dtype=np.int64)
        self._offsets = np.cumsum([0] + [3 * n for _, n in has_forces])
        self._atoms = np.array([dataset[k].n_atoms for k in has_energy])
        self._networks = [net for net in potential.networks if isinstance(net, AtomicNetwork)]
        sizes = [sum(p.numel() for p in net.parameters()) for net in self._networks]
        bounds = np.cumsum([0, *sizes]).tolist()
        self._of_element = [slice(*pair) for pair in pairwise(bounds)]
        blocks = make_blocks(self._networks, optimizer.blocks)
        _require_memory(blocks)
        self._filter = KalmanFilter(blocks, optimizer)
        # |residual| of each observation at the start of the epoch, for the selection.
        self._residuals: dict[str, Tensor] = {}
        self._sums = torch.zeros(len(QUANTITIES), 4, dtype=torch.float64)  # of the epoch so far

    @property
    def converged(self) -> bool:
        """It cannot tell."""
        return False

    def of_epoch(self, epoch: int) -> Sequence[Update]:
        """The updates of an epoch. They depend on its number and the residuals at its start."""
        config, rng = self._config, np.random.default_rng([self._seed, epoch])
        if config.selection != "random" and not self._residuals:
            self._residuals = self._all_residuals()
        placed: list[tuple[float, Update]] = []
        kinds: list[tuple[Quantity, int, float, int | Literal["all"]]] = [
            ("energy", len(self._energies), self._energy_fraction(), config.energy_batch),
            ("forces", int(self._offsets[-1]), config.force_fraction, config.force_batch),
        ]
        for quantity, count, fraction, batch in kinds:
            size = count if batch == "all" else min(batch, count)
            number = max(1, int(count * fraction / size + 1e-9)) if count else 0
            chosen = self._choose(quantity, count, number * size, rng)
            # Both are spread evenly over the epoch. Energies, of which there are few, suffer from
            # the updates by forces: one of theirs is the last.
            delay = 0.5 if quantity == "forces" else 1.0
            parts = np.split(chosen, number) if number else []
            placed += [
                ((k + delay) / number, Update(quantity, part)) for k, part in enumerate(parts)
            ]
        self._updates_per_epoch = len(placed)
        return [update for _, update in sorted(placed, key=lambda pair: pair[0])]

    @property
    def learning_rate(self) -> None:
        """There is none."""

    def training_sums(self) -> Tensor | None:
        """Of the errors that the updates met; None where they chose the large ones."""
        return self._sums if self._config.selection == "random" else None

    def averaged(self) -> AbstractContextManager[None]:
        """No parameters but the present ones."""
        return nullcontext()

    def take(self, update: Update, number: int) -> None:
        """Change the weights by one update."""
        rank, world = self._fabric.global_rank, self._fabric.world_size
        compute = self._energy_rows if update.quantity == "energy" else self._force_rows
        mine = np.arange(len(update.observations))[rank::world]
        rows = torch.zeros(len(update.observations), self._of_element[-1].stop).double()
        errors = torch.zeros(len(update.observations)).double()
        with torch.no_grad():
            if len(mine):
                rows[mine], errors[mine] = compute(update.observations[mine])
            rows, errors = over_processes(self._fabric, rows), over_processes(self._fabric, errors)
            factors = self._factors(update, errors)
            rows, errors = rows * factors[:, None], errors * factors
            step = self._filter.step(rows.numpy(), errors.numpy(), self._updates_per_epoch)
            change = torch.from_numpy(step)
            place = 0
            for parameter in self._potential.networks.parameters():
                part = change[place : place + parameter.numel()]
                parameter.add_(part.view_as(parameter))  # in place: the fast path notices
                place += parameter.numel()

    def end_epoch(self, validation_loss: float | None) -> None:
        """Look at the residuals for the next epoch's selection, if it needs them."""
        self._sums = torch.zeros_like(self._sums)
        if self._config.selection != "random":
            self._residuals = self._all_residuals()

    def state(self) -> dict[str, Any]:
        """What :meth:`restore` needs."""
        state = {"filter": self._filter.state(), "residuals": self._residuals}
        return {**state, "sums": self._sums}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a stored state."""
        self._filter.restore(state["filter"])
        self._residuals, self._sums = dict(state["residuals"]), padded(state["sums"])

    # --- choosing ------------------------------------------------------------------------------

    def _energy_fraction(self) -> float:
        """Energies seen in an epoch, of all there are."""
        fraction = self._config.energy_fraction
        if fraction != "automatic":
            return fraction
        forces = self._config.force_fraction * int(self._offsets[-1])
        return max(1.0, forces / (FORCES_PER_ENERGY * max(len(self._energies), 1)))

    def _choose(self, quantity: str, count: int, wanted: int, rng: np.random.Generator) -> Integers:
        """``wanted`` of ``count`` observations."""
        passes = range(max(1, -(-wanted // max(count, 1))))
        order = np.concatenate([rng.permutation(count) for _ in passes])
        if self._config.selection == "random" or count == 0:
            return order[:wanted]
        residuals = self._residuals[quantity].numpy()
        if self._config.selection == "sorted":
            return np.resize(np.argsort(-residuals, kind="stable"), wanted)
        limit = self._config.threshold * math.sqrt(float(np.mean(residuals**2)))
        chosen = np.empty(wanted, dtype=np.int64)
        place = 0
        for k in range(wanted):
            tried = order[np.arange(place, place + self._config.trials) % len(order)]
            good = np.flatnonzero(residuals[tried] > limit)
            take = int(good[0]) if len(good) else int(np.argmax(residuals[tried]))
            chosen[k] = tried[take]
            place += take + 1 if len(good) else self._config.trials
        return chosen

    def _all_residuals(self) -> dict[str, Tensor]:
        """|reference - prediction| of all observations, energies per atom."""
        energies, forces = [], []
        with torch.no_grad():
            for frame in sorted({*self._energies.tolist(), *self._forces.tolist()}):
                labels = self._batches.dataset[frame]
                prediction = evaluate(
                    self._whole, self._batches.graphs[frame], gradients=len(self._forces) > 0
                )
                if frame in self._energies:
                    energies.append(abs(float(prediction.energy) - labels.energy) / labels.n_atoms)
                if frame in self._forces:
                    forces.append(
                        (prediction.forces - torch.from_numpy(labels.forces)).abs().ravel()
                    )
        # Frames are visited in ascending order; observations are numbered in training's order.
        by_frame = dict(zip(sorted(self._forces.tolist()), forces, strict=True))
        ordered = [by_frame[k] for k in self._forces.tolist()]
        by_energy = dict(zip(sorted(self._energies.tolist()), energies, strict=True))
        return {
            "energy": torch.tensor(
                [by_energy[k] for k in self._energies.tolist()], dtype=torch.float64
            ),
            "forces": torch.cat(ordered) if ordered else torch.zeros(0).double(),
        }

    # --- rows ----------------------------------------------------------------------------------

    def _energy_rows(self, observations: Integers) -> tuple[Tensor, Tensor]:
        """H^T (m, n_weights) and errors (m,) of energies."""
        numbers = self._energies[observations]
        frames = [self._store[int(k)] for k in numbers]
        errors = torch.tensor([frame.energy for frame in frames], dtype=torch.float64)
        rows = []
        for element, network in enumerate(self._networks):
            atoms = [frame.inputs[element] for frame in frames]
            counts = torch.tensor([len(x) for x in atoms])
            x = pad_sequence(atoms, batch_first=True)
            energies, part = jacobian.energy_rows(network, x, counts)
            errors -= energies
            rows.append(part)
        return torch.cat(rows, dim=1), errors

    def _force_rows(self, observations: Integers) -> tuple[Tensor, Tensor]:
        """The same of force components."""
        which = np.searchsorted(self._offsets, observations, side="right") - 1
        numbers = self._forces[which]
        frames = {k: self._store[k] for k in np.unique(numbers).tolist()}
        chosen = list(zip(numbers.tolist(), observations - self._offsets[which], strict=True))
        errors = torch.stack([frames[k].forces[component] for k, component in chosen])
        rows = []
        for element, network in enumerate(self._networks):
            moves = [frames[k].moves(element, *divmod(component, 3)) for k, component in chosen]
            x, v = (pad_sequence(list(p), batch_first=True) for p in zip(*moves, strict=True))
            # F = - (slope of the energy): the error is F_ref + slope, the row minus its own.
            slopes, part = jacobian.slope_rows(network, x, v)
            errors += slopes
            rows.append(-part)
        return torch.cat(rows, dim=1), errors

    def _factors(self, update: Update, errors: Tensor) -> Tensor:
        """Weights of the observations (m,); takes note of their errors."""
        scale, weight = float(self._potential.energy_scale), 1.0
        if update.quantity == "energy":
            frames, atoms = self._energies[update.observations], self._atoms[update.observations]
            plain = errors * scale / torch.from_numpy(atoms)
        else:
            which = np.searchsorted(self._offsets, update.observations, side="right") - 1
            frames, plain = self._forces[which], errors * scale
            weight = self._config.force_weight
        if not bool(torch.isfinite(errors).all()):
            bad = frames[int(torch.nonzero(~torch.isfinite(errors))[0])]
            raise TrainingError(
                f"The error of frame {bad} is not finite; look at this frame, or take a larger "
                "optimizer.epsilon. The last checkpoint is intact."
            )
        c = torch.from_numpy(self._batches.weights[frames])
        row = [quantity.name for quantity in QUANTITIES].index(update.quantity)
        self._sums[row] += torch.stack(
            [torch.tensor(len(c)), (c * plain**2).sum(), plain.abs().sum(), (plain**2).sum()]
        )
        return weight * c.sqrt()


def _require_memory(blocks: Sequence[Integers]) -> None:
    """TooLargeError when the covariances do not fit into memory."""
    require_memory(
        sum(8.0 * index.size * index.shape[1] for index in blocks),
        "The Kalman filter's covariance",
        "take smaller hidden_layers, fewer symmetry functions, optimizer.blocks: node, or another "
        "optimizer",
    )
