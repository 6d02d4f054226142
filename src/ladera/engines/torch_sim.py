"""torch-sim: a model for its batched molecular dynamics and relaxations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ladera.engines.evaluator import Successive
from ladera.errors import MissingPackageError
from ladera.loading import ModelLike, as_potential
from ladera.quantities import STRESS
from ladera.structure import Structure

try:
    from torch_sim.models.interface import ModelInterface
except ImportError as error:
    raise MissingPackageError(
        "torch-sim is not installed; 'pip install ladera[torch-sim]' brings it, to Python 3.12 and "
        "newer."
    ) from error

if TYPE_CHECKING:
    from torch_sim.state import SimState


class LaderaModel(ModelInterface):  # type: ignore[misc]
    """A model for torch-sim, which moves many structures at once: each call is one evaluation.

    Energies in eV (n_systems,), forces in eV/Angstrom (n_atoms, 3) and stresses in eV/Angstrom^3
    (n_systems, 3, 3), positive in tension, as torch-sim has them. The stress of a structure without
    a volume is NaN. A ``charge`` (n_systems,) of the state is the total charge, in e. No gradient
    leads through the results.

    Parameters
    ----------
    model
        What :func:`ladera.loading.as_potential` takes.
    head
        The level of theory, of a model with several.
    device, dtype
        Where and how precisely it computes, such as "cuda" and "float32"; left out, as the model
        is. The state should have the same.
    skin
        Candidate neighbours are kept until they have moved by this much, Angstrom.
    compute_stress
        Whether the stress is wanted.

    Raises what loading raises, DataError for an element that the model does not know and for a
    model without energies, ConfigError for a head that it does not have.
    """

    def __init__(
        self,
        model: ModelLike,
        *,
        head: str | None = None,
        device: str | torch.device | None = None,
        dtype: str | torch.dtype | None = None,
        skin: float = 1.0,
        compute_stress: bool = True,
    ) -> None:
        super().__init__()
        self.potential = as_potential(model, device=device, dtype=dtype)
        self._model = Successive(self.potential, head, skin)
        self._device, self._dtype = self.potential.device, self.potential.dtype
        self._compute_stress, self._compute_forces = compute_stress, True
        self._memory_scales_with = "n_atoms_x_density"

    @ModelInterface.compute_stress.setter  # type: ignore[untyped-decorator]
    def compute_stress(self, compute_stress: bool) -> None:
        """Whether the stress is wanted."""
        self._compute_stress = compute_stress

    def forward(self, state: SimState, **_: Any) -> dict[str, Tensor]:
        """Energies, forces and, if wanted, stresses of all structures of a state."""
        self.potential.indices_of(state.atomic_numbers.to(self._device))
        prediction = self._model(_structures(state))
        said = {"energy": prediction.energy, "forces": prediction.forces}
        if self._compute_stress:
            said["stress"] = prediction[STRESS]
        return {name: value.to(self._device, self._dtype) for name, value in said.items()}


def _structures(state: SimState) -> list[Structure]:
    """Those of a state, whose cell vectors are columns."""
    numbers, owners = state.atomic_numbers.cpu().numpy(), state.system_idx.cpu().numpy()
    positions = state.positions.detach().double().cpu().numpy()
    cells = state.cell.detach().double().mT.cpu().numpy()
    charges = getattr(state, "charge", None)
    charges = [0.0] * len(cells) if charges is None else charges.double().tolist()
    periodic = state.pbc.cpu().numpy()
    return [
        Structure.of(numbers[owners == k], positions[owners == k], cell, periodic, charge)
        for k, (cell, charge) in enumerate(zip(cells, charges, strict=True))
    ]
