"""The ASE calculator: any potential, or a committee of them, for everything ASE can do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from ase.calculators.calculator import Calculator, PropertyNotImplementedError

from ladera.arrays import Floats
from ladera.errors import DataError, SimulationError
from ladera.extrapolation import Extrapolation
from ladera.graph import NeighborList
from ladera.potential.committee import CALIBRATED, Committee
from ladera.potential.contract import Potential
from ladera.potential.evaluation import evaluate
from ladera.potential.prediction import NO_ENERGY, Prediction
from ladera.quantities import ENERGY, STRESS
from ladera.structure import Structure, total_charge

if TYPE_CHECKING:
    from ase import Atoms

# What a structure's results depend on, by ASE's names, and the total charge.
_DEPENDENCIES = ("positions", "numbers", "cell", "pbc", "total_charge")
# ASE's properties that are other views of a quantity.
_VIEWS = {ENERGY: ["free_energy", "energies"], STRESS: ["stresses"]}
_OF_ENERGY = ("energy", "free_energy", "energies", "forces", "stress", "stresses")


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
    the committee is (see :class:`ladera.potential.Prediction`). Get them with
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

    def __init__(self, potential: Potential | Sequence[Potential], skin: float = 1.0) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        if not isinstance(potential, Potential):
            potential = Committee(potential) if len(potential) > 1 else potential[0]
        if skin < 0:
            raise SimulationError(f"The skin is {skin} Angstrom; it must be zero or more.")
        self.potential = potential
        self.neighbor_list = NeighborList(potential.cutoff, skin)
        self._prediction: Prediction | None = None
        self._graded: tuple[Prediction, Floats | None] | None = None
        self._snapshot: tuple[bytes | float, ...] = ()
        given = potential.gives
        self._quantities = {quantity.name: quantity for quantity in given}
        views = [view for quantity in given for view in _VIEWS.get(quantity, [])]
        spreads = [f"{q.name}_std" for q in CALIBRATED if potential.members and q in given]
        self.implemented_properties = [*(q.name for q in given), *views, *spreads]

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
        if name in _OF_ENERGY and ENERGY not in self.potential.gives:
            raise PropertyUnavailableError(NO_ENERGY)
        return super().get_property(  # type: ignore[no-untyped-call]
            name, atoms, allow_calculation
        )

    def grade(self) -> Floats | None:
        """How far each atom of the last structure is from the training data, (n_atoms,).

        See :meth:`ladera.potential.Potential.grade`.
        """
        prediction = self.prediction
        if self._graded is None or self._graded[0] is not prediction:
            with torch.no_grad():
                grade = self.potential.grade(prediction.graph, prediction)
            self._graded = (prediction, None if grade is None else _array(grade))
        return self._graded[1]

    def extrapolating_atoms(self) -> int | None:
        """How many atoms of the last structure are outside the training domain.

        None for a model that keeps no record of its training domain.
        """
        grade = self.grade()
        return None if grade is None else int((grade > 1).sum())

    def explain_grade(self) -> list[Extrapolation]:
        """What puts atoms of the last structure outside the training domain."""
        return self.potential.explain_grade(self.prediction.graph, self.prediction)

    def __getstate__(self) -> dict[str, Any]:
        """Copies, also those for other processes, keep results and not how they are derived."""
        return self.__dict__ | {"_prediction": None, "_graded": None}

    def _evaluate(self, atoms: Atoms, system_changes: Sequence[str]) -> None:
        graph = self.neighbor_list.build(Structure.from_atoms(atoms))
        if "numbers" in system_changes:
            self.potential.element_index(graph.to(device=self.potential.device))
        self.results = {}
        self._prediction = evaluate(self.potential, graph)
        if ENERGY in self.potential.gives:
            energy = float(self._prediction.energy)
            forces = _array(self._prediction.forces)
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
        if name == "stresses":
            self._derive("stress")  # or the reason why there is none
            return _voigt(_array(prediction.atomic_virials) / float(prediction.graph.volumes))
        quantity = self._quantities[name.removesuffix("_std")]
        try:
            required = prediction.required(quantity)
        except DataError as error:
            raise PropertyUnavailableError(str(error)) from error
        values = _array(prediction.std[quantity] if name.endswith("_std") else required)
        values = values if quantity.per_atom else values[0]
        return _voigt(values) if quantity.shape == (3, 3) else values


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


def _voigt(tensors: Floats) -> Floats:
    """xx, yy, zz, yz, xz, xy of symmetric tensors, (..., 3, 3) to (..., 6)."""
    components: Floats = tensors.reshape(*tensors.shape[:-2], 9)
    return components[..., [0, 4, 8, 5, 2, 1]]


def _array(tensor: torch.Tensor) -> Floats:
    return tensor.detach().double().cpu().numpy()
