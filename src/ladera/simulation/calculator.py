"""The ASE calculator: any potential, or a committee of them, for everything ASE can do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from ase.calculators.calculator import Calculator, PropertyNotImplementedError
from numpy.typing import NDArray

from ladera.errors import DataError, SimulationError
from ladera.extrapolation import Extrapolation
from ladera.graph import NeighborList
from ladera.models.committee import Committee, CommitteePrediction
from ladera.models.moments import NO_ENERGY
from ladera.neighbors import net_forces, virial
from ladera.potential import Potential, Prediction, evaluate
from ladera.structure import Structure, total_charge

if TYPE_CHECKING:
    from ase import Atoms

# What a structure's results depend on, by ASE's names, and the total charge.
_DEPENDENCIES = ("positions", "numbers", "cell", "pbc", "total_charge")


class PropertyUnavailableError(DataError, PropertyNotImplementedError):
    """A structure was asked for what it does not have, such as one without volume for its stress.

    Both what Ladera raises for unsuitable structures and what ASE expects of a calculator that
    cannot give a property.
    """


class LaderaCalculator(Calculator):
    """ASE calculator of one potential or of a committee.

    ``energy`` and ``free_energy`` (the same, eV), ``energies`` (n_atoms,), ``forces`` (n_atoms, 3)
    in eV/Angstrom, ``stress`` (6,) and ``stresses`` (n_atoms, 6) in eV/Angstrom^3, Voigt order
    xx, yy, zz, yz, xz, xy, positive in tension. Per-atom stresses are W_i / V with V the volume of
    the whole cell: they sum to the stress.

    A model with charges gives ``charges`` (n_atoms,) in e as well, and one with charges or atomic
    dipoles, for an open structure, the ``dipole`` (3,) in e*Angstrom. The total charge is
    ``atoms.info["total_charge"]``, 0 where that is missing.

    A model with dipoles alone gives these: asking for energies or forces raises
    PropertyUnavailableError.

    Of a committee these are the means, and the results have besides their standard deviations:
    ``energy_std`` (eV) and, for each atom and component, ``forces_std`` (n_atoms, 3), calibrated if
    the committee is (see :class:`ladera.models.committee.CommitteePrediction`). Get them with
    ``calculator.get_property("forces_std", atoms)``.

    A structure without a volume has no stress: asking raises PropertyUnavailableError, which is a
    DataError and ASE's PropertyNotImplementedError in one. An element the model does not know
    raises DataError and names the atom.

    Parameters
    ----------
    potential
        A potential, a committee, or several potentials that make one.
    skin
        Candidate neighbours are kept until they have moved by this much, Angstrom. It changes
        the speed and no result.
    """

    name = "ladera"
    implemented_properties = ["energy", "free_energy", "energies", "forces", "stress", "stresses"]  # noqa: RUF012

    def __init__(self, potential: Potential | Sequence[Potential], skin: float = 1.0) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        if not isinstance(potential, Potential):
            potential = Committee(potential) if len(potential) > 1 else potential[0]
        if skin < 0:
            raise SimulationError(f"The skin is {skin} Angstrom; it must be zero or more.")
        self.potential = potential
        self.neighbor_list = NeighborList(potential.cutoff, skin)
        self._prediction: Prediction | None = None
        self._snapshot: tuple[bytes | float, ...] = ()
        self.implemented_properties = [
            *(self.implemented_properties if potential.has_energy else []),
            *(["charges"] if potential.has_charges else []),
            *(["dipole"] if potential.has_dipole else []),
            *(["energy_std", "forces_std"] if isinstance(potential, Committee) else []),
        ]

    @property
    def prediction(self) -> Prediction:
        """The last structure's graph with its energies and edge gradients."""
        if self._prediction is None:
            raise SimulationError("This calculator has not been given a structure yet.")
        return self._prediction

    def check_state(self, atoms: Atoms, tol: float = 0.0) -> list[str]:
        """What has changed since the last calculation, by exact comparison."""
        if self.atoms is None:
            return list(_DEPENDENCIES)
        pairs = zip(_DEPENDENCIES, self._snapshot, dependencies(atoms), strict=True)
        return [name for name, old, new in pairs if old != new]

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = _DEPENDENCIES,
    ) -> None:
        """Fill ``results``: energy and forces always if there are any, the others when asked."""
        atoms = atoms if atoms is not None else self.atoms
        with torch.no_grad():
            if atoms is not None and (system_changes or self._prediction is None):
                self._evaluate(atoms, system_changes)
            for name in properties:
                if name not in self.results:
                    self.results[name] = self._derive(name)

    def get_property(
        self, name: str, atoms: Atoms | None = None, allow_calculation: bool = True
    ) -> Any:
        """One of ``implemented_properties``; see the class."""
        if not self.potential.has_energy and name in LaderaCalculator.implemented_properties:
            raise PropertyUnavailableError(NO_ENERGY)
        return super().get_property(  # type: ignore[no-untyped-call]
            name, atoms, allow_calculation
        )

    def extrapolating_atoms(self) -> int | None:
        """How many atoms of the last structure have a descriptor outside the training range.

        None for a model that keeps no record of its training domain.
        """
        with torch.no_grad():
            counts = self.potential.extrapolations(self.prediction.graph)
        return None if counts is None else int((counts > 0).sum())

    def list_extrapolations(self) -> list[Extrapolation]:
        """The descriptors of the last structure that are outside their training range."""
        return self.potential.list_extrapolations(self.prediction.graph)

    def _evaluate(self, atoms: Atoms, system_changes: Sequence[str]) -> None:
        graph = self.neighbor_list.build(Structure.from_atoms(atoms))
        if "numbers" in system_changes:
            self.potential.element_index(graph.to(device=self.potential.device))
        self.results = {}
        self._prediction = evaluate(self.potential, graph)
        if self.potential.has_energy:
            energy = float(_array(self._prediction.atomic_energies).sum())
            forces = _forces(self._prediction)
            self.results.update(energy=energy, free_energy=energy, forces=forces)
        self._settle(atoms)

    def _settle(self, atoms: Atoms) -> None:
        """Note that the results are those of ``atoms`` as they are now."""
        # ASE wants the structure here. A copy of all its arrays would cost as much as the rest of
        # a step of small systems; what the results depend on is in the snapshot.
        self.atoms = atoms
        self._snapshot = dependencies(atoms)

    def _derive(self, name: str) -> Any:
        prediction = self.prediction
        if name == "energies":
            return _array(prediction.atomic_energies)
        if isinstance(prediction, CommitteePrediction):
            if name == "energy_std":
                return float(prediction.energy_std)
            if name == "forces_std":
                return _array(prediction.forces_std)
        if name == "charges" and prediction.charges is not None:
            return _array(prediction.charges)
        try:
            return self._derive_of_structure(name)
        except DataError as error:
            raise PropertyUnavailableError(str(error)) from error

    def _derive_of_structure(self, name: str) -> NDArray[np.float64]:
        """Dipole, stress and stresses, which not every structure has."""
        if name == "dipole":
            return _array(self.prediction.dipole[0])
        stress = _stress(self.prediction)
        if name == "stress":
            return _voigt(stress)
        volume = float(self.prediction.graph.volumes)
        per_atom = _array(self.prediction.atomic_virials) / volume
        return _voigt(per_atom)


def dependencies(atoms: Atoms) -> tuple[bytes | float, ...]:
    """What results depend on: positions, numbers, cell, pbc and total charge.

    Bytes are copied and compared several times faster than arrays, and molecular dynamics asks
    about five times a step whether anything has changed.
    """
    return (
        atoms.positions.tobytes(),
        atoms.numbers.tobytes(),
        atoms.cell.array.tobytes(),
        atoms.pbc.tobytes(),
        total_charge(atoms),
    )


def _forces(prediction: Prediction) -> NDArray[np.float64]:
    graph, gradients = prediction.graph, prediction.edge_gradients
    if gradients is None or gradients.device.type != "cpu":
        return _array(prediction.forces)
    forces = net_forces(
        graph.row_pointer.numpy(), graph.neighbors.numpy(), gradients.detach().numpy()
    )
    if prediction.long_range is not None:
        forces -= _array(prediction.long_range.position_gradients)
    return forces


def cell_volume(cell: NDArray[np.floating]) -> float:
    """|a . (b x c)| in Angstrom^3, a tenth of the time of a determinant; rows are a, b and c."""
    (ax, ay, az), (bx, by, bz), (cx, cy, cz) = cell.tolist()
    volume: float = ax * (by * cz - bz * cy) + ay * (bz * cx - bx * cz) + az * (bx * cy - by * cx)
    return abs(volume)


def _stress(prediction: Prediction) -> NDArray[np.float64]:
    graph, gradients = prediction.graph, prediction.edge_gradients
    if gradients is not None and gradients.device.type == "cpu" and prediction.long_range is None:
        volume = cell_volume(graph.cell.numpy()[0])
        if volume and graph.periodic.numpy().any():
            return virial(graph.vectors.numpy(), gradients.detach().numpy()) / volume
    stress: NDArray[np.float64] = _array(prediction.stress)[0]  # or the reason why there is none
    return stress


def _voigt(tensors: NDArray[np.float64]) -> NDArray[np.float64]:
    """xx, yy, zz, yz, xz, xy of symmetric tensors, (..., 3, 3) to (..., 6)."""
    components: NDArray[np.float64] = tensors.reshape(*tensors.shape[:-2], 9)
    return components[..., [0, 4, 8, 5, 2, 1]]


def _array(tensor: torch.Tensor) -> NDArray[np.float64]:
    return tensor.detach().double().cpu().numpy()
