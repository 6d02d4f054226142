"""The ASE calculator: any potential, or a committee of them, for everything ASE can do."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from ase.calculators.calculator import Calculator, PropertyNotImplementedError

from ladera import display
from ladera.arguments import require
from ladera.arrays import Floats
from ladera.errors import DataError, SimulationError
from ladera.extrapolation import GRADE, LARGEST_GRADE, Extrapolation
from ladera.graph import NeighborList
from ladera.potential.committee import CALIBRATED
from ladera.potential.contract import Potential
from ladera.potential.evaluation import evaluate
from ladera.potential.memory import Fitting
from ladera.potential.parts import Division, Part
from ladera.potential.prediction import NO_ENERGY, Prediction
from ladera.quantities import ENERGY, QUANTITIES, STRESS
from ladera.structure import Structure, StructureWarning, spin_state, total_charge

if TYPE_CHECKING:
    from ase import Atoms

    from ladera.loading import ModelLike

# What a structure's results depend on, by ASE's names, and the total charge.
_DEPENDENCIES = ("positions", "numbers", "cell", "pbc", "total_charge")
# ASE's properties that are other views of a quantity.
_VIEWS = {ENERGY: ["free_energy", "energies"], STRESS: ["stresses"]}
_OF_ATOMS = ("energies", "stresses")
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
    dipoles, for an open structure, the ``dipole`` (3,) in e*Angstrom. The total charge is that of
    :func:`ladera.structure.total_charge`. A model that does not know it, or the spin, warns
    (StructureWarning) of a structure that has one.

    A model with dipoles alone gives these: asking for energies or forces raises
    PropertyUnavailableError.

    Of a committee these are the means, and the results have besides their standard deviations:
    ``energy_std`` (eV) and, for each atom and component, ``forces_std`` (n_atoms, 3), calibrated if
    the committee is (see :class:`ladera.potential.Prediction`). Get them with
    ``calculator.get_property("forces_std", atoms)``.

    A model that knows its training domain gives ``grade`` (n_atoms,), how far each atom is from it
    (at most 1 inside; :meth:`ladera.potential.Potential.grade`), and ``largest_grade``, that of the
    structure. They are computed when asked for: ``calculator.get_property("grade", atoms)``.

    A structure whose evaluation does not fit into memory is evaluated in parts, with a warning
    (:class:`ladera.potential.memory.MemoryWarning`) and the same numbers; TooLargeError where that
    is not possible.

    A structure without a volume has no stress: asking raises PropertyUnavailableError, which is a
    DataError and ASE's PropertyNotImplementedError in one. An element the model does not know
    raises DataError and names the atom.

    Parameters
    ----------
    model
        A potential or committee, a path or name of one, another ASE calculator, or several of
        these that make a committee; see :func:`ladera.loading.as_potential`.
    skin
        Candidate neighbours are kept until they have moved by this much, Angstrom. It changes
        the speed and no result.
    device, dtype
        Where and how precisely it computes, such as "cuda" and "float32"; the potential itself is
        moved. Left out, as it is.
    """

    name = "ladera"

    def __init__(
        self,
        model: ModelLike,
        skin: float = 1.0,
        *,
        device: str | torch.device | None = None,
        dtype: str | torch.dtype | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        # Loading stands above this module: a potential at hand needs none of it.
        as_potential = import_module("ladera.loading").as_potential
        potential: Potential = as_potential(model, device=device, dtype=dtype)
        require(skin, float, "skin", "the calculator")
        if not 0 <= skin < math.inf:
            raise SimulationError.of("skin", f"{skin:g} Angstrom", "it must be zero or more")
        self.potential = potential
        self.neighbor_list = NeighborList(potential.cutoff, skin)
        self._fitting = Fitting(potential, skin)
        self._division: Division | None = None  # of a structure that is evaluated in parts
        self._prediction: Prediction | None = None
        self._graded: tuple[Prediction, Floats | None] | None = None
        self._snapshot: tuple[bytes | float, ...] = ()
        given = potential.gives
        self._quantities = {quantity.name: quantity for quantity in given}
        views = [view for quantity in given for view in _VIEWS.get(quantity, [])]
        if not potential.partitions_energy:
            views = [view for view in views if view not in _OF_ATOMS]
        spreads = [f"{q.name}_std" for q in CALIBRATED if potential.members and q in given]
        grades = [GRADE, LARGEST_GRADE] if potential.knows_domain else []
        self.implemented_properties = [*(q.name for q in given), *views, *spreads, *grades]

    @property
    def prediction(self) -> Prediction:
        """The last structure's graph with its energies and edge gradients."""
        if self._prediction is None:
            raise SimulationError(
                "This calculator has not been given a structure yet; ask for an energy first, as "
                "in atoms.calc = calculator; atoms.get_potential_energy()."
            )
        return self._prediction

    def parts(self) -> Iterator[Part]:
        """The last structure's graph with its pairs of atoms, whole, or part by part."""
        if self._division is not None:
            yield from self._division.parts()
        else:
            graph = self.prediction.graph
            yield Part(graph, np.arange(graph.n_atoms), graph.n_atoms)

    def __repr__(self) -> str:
        """Of which model."""
        elements, *facts = self.potential.facts().items()
        of = f"of {type(self.potential).__name__}"
        return display.lines(type(self).__name__, [of, elements[1], *map(" ".join, facts)])

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
        if name not in self.implemented_properties:
            raise PropertyUnavailableError(self._absence_of(name))
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
                grade = (
                    self._division.grade()
                    if self._division is not None
                    else self.potential.grade(prediction.graph, prediction)
                )
            self._graded = (prediction, None if grade is None else _array(grade))
        return self._graded[1]

    def largest_grade(self) -> float | None:
        """That of the atom of the last structure which is farthest from the training data."""
        grade = self.grade()
        return None if grade is None else float(grade.max())

    def extrapolating_atoms(self) -> int | None:
        """How many atoms of the last structure are outside the training domain.

        None for a model that keeps no record of its training domain.
        """
        grade = self.grade()
        return None if grade is None else int((grade > 1).sum())

    def explain_grade(self) -> list[Extrapolation]:
        """What puts atoms of the last structure outside the training domain."""
        if self._division is not None:
            return self._division.explain_grade()
        return self.potential.explain_grade(self.prediction.graph, self.prediction)

    def __getstate__(self) -> dict[str, Any]:
        """Copies, also those for other processes, keep results and not how they are derived."""
        return self.__dict__ | {"_prediction": None, "_graded": None, "_division": None}

    def _absence_of(self, name: str) -> str:
        """Why there is no such property."""
        if name in _OF_ATOMS and not self.potential.partitions_energy:
            return f"The calculator gives no {name} of single atoms."
        if name.endswith("_std") and not self.potential.members:
            return (
                f"{name} is the spread of a committee's members, and this is a single model; give "
                "several."
            )
        if name in (GRADE, LARGEST_GRADE):
            return (
                "The model keeps no record of its training domain; 'ladera grade MODEL FRAMES' "
                "adds one, an active set made of frames that it knows."
            )
        remedy = next((q.remedy for q in QUANTITIES if q.name == name), "")
        return (
            f"The {self.potential.config.architecture} model gives no {name}; it gives "
            f"{', '.join(self.implemented_properties)}."
            + (f" To train one that does: {remedy}." if remedy else "")
        )

    def _evaluate(self, atoms: Atoms, system_changes: Sequence[str]) -> None:
        structure = Structure.from_atoms(atoms)
        if "numbers" in system_changes:
            numbers = torch.from_numpy(structure.numbers.copy())
            self.potential.indices_of(numbers.to(self.potential.device))
        self.results = {}
        self._division = self._fitting.division(structure)
        self._prediction = (
            self._division.evaluate()
            if self._division is not None
            else evaluate(self.potential, self.neighbor_list.build(structure))
        )
        if ENERGY in self.potential.gives:
            energy = float(self._prediction.energy)
            forces = _array(self._prediction.forces)
            self.results.update(energy=energy, free_energy=energy, forces=forces)
        self._settle(atoms)

    def _settle(self, atoms: Atoms) -> None:
        """Note that the results are those of ``atoms`` as they are now."""
        # ASE wants the structure here. A copy of all its arrays would cost as much as the rest of
        # a step of small systems; what the results depend on is in the snapshot.
        before, self.atoms, self._snapshot = self._snapshot, atoms, dependencies(atoms)
        if not before or before[-1] != self._snapshot[-1]:
            self._name_unused(atoms)

    def _name_unused(self, atoms: Atoms) -> None:
        """Warn of a charge or a spin that the model does not know."""
        charge = float(self._snapshot[-1])
        unused = [each if each.endswith("s") else f"a {each}" for each in spin_state(atoms)]
        if charge and not self.potential.knows_charge:
            unused.insert(0, f"a total charge of {charge:+g} e")
        if unused:
            warnings.warn(
                f"The structure has {' and '.join(unused)}, which the "
                f"{self.potential.config.architecture} model does not know: its energies and "
                "forces are those without it.",
                StructureWarning,
                stacklevel=2,
            )

    def _derive(self, name: str) -> Any:
        prediction = self.prediction
        if name in (GRADE, LARGEST_GRADE):
            return self.grade() if name == GRADE else self.largest_grade()
        if name == "energies":
            return _array(prediction.atomic_energies)
        if name == "stresses":
            self._derive("stress")  # or the reason why there is none
            if self._division is not None:
                raise PropertyUnavailableError(
                    "The structure is evaluated in parts, as it does not fit into memory whole, "
                    "and then has no stresses of single atoms; take fewer atoms."
                )
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
