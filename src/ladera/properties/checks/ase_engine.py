"""An ASE calculator as an engine: of a potential of Ladera's, or any other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch

from ladera.codes.calculators import CalculatorPotential
from ladera.errors import SimulationError
from ladera.graph import Graph
from ladera.potential import LaderaCalculator, Potential, Prediction, evaluate
from ladera.properties.checks.engine import Answer, Engine, Way
from ladera.properties.checks.rows import DOUBLE
from ladera.simulation.dynamics import Dynamics
from ladera.simulation.settings import MDSettings

if TYPE_CHECKING:
    from ase import Atoms

    from ladera.arrays import Floats

_NEEDED: Final = ("energy", "forces")
_OF_ALL: Final = (*_NEEDED, "energies")
_OTHER: Final = {torch.float32: torch.float64, torch.float64: torch.float32}


class ASEEngine(Engine):
    """What a script with ``atoms.calc`` computes, and ``ladera md``."""

    name = "ase"

    def __init__(self, potential: Potential) -> None:
        self.potential = potential
        self._is_foreign = isinstance(potential, CalculatorPotential)
        # What another code says is asked of it itself, not of the potential that stands for it.
        self._calculator: Any = (
            potential.ase_calculator
            if isinstance(potential, CalculatorPotential)
            else potential.calculator()
        )
        self.epsilon = DOUBLE if self._is_foreign else torch.finfo(potential.dtype).eps
        self.cutoff = None if self._is_foreign else potential.cutoff
        self.hops = potential.hops

    def ask(self, atoms: Atoms) -> Answer:
        """As ASE does. Raises SimulationError where another code fails."""
        return _answer(self._calculator, atoms)

    def run(self, atoms: Atoms, timestep: float, steps: int) -> Floats:
        """By the integrator of ``ladera md``."""
        moving = free(atoms)
        moving.calc = self._calculator
        settings = MDSettings(ensemble="nve", timestep=timestep, steps=steps)
        dynamics = Dynamics(moving, settings, np.random.default_rng(0))
        dynamics.start()
        energies = [dynamics.conserved_energy()]
        for number in range(1, steps + 1):
            dynamics.step(number)
            energies.append(dynamics.conserved_energy())
        return np.array(energies)

    def volumes(
        self, atoms: Atoms, temperature: float, timestep: float, steps: int, every: int
    ) -> Floats:
        """By the barostat of ``ladera md``."""
        moving = free(atoms)
        moving.calc = self._calculator
        settings = MDSettings(
            ensemble="npt", temperature=temperature, timestep=timestep, steps=steps
        )
        dynamics = Dynamics(moving, settings, np.random.default_rng(0))
        dynamics.start()
        found = []
        for number in range(1, steps + 1):
            dynamics.step(number)
            if number % every == 0:
                found.append(moving.cell.volume)
        return np.array(found)

    def ways(self) -> Mapping[str, Way]:
        """Threads, batches, a neighbour list of its own and the other precision."""
        if self._is_foreign:
            return {}
        count = 1 if torch.get_num_threads() > 1 else 2
        other = deepcopy(self.potential).to(_OTHER[self.potential.dtype])
        single = torch.finfo(torch.float32).eps
        return {
            f"on {count} thread{'s' * (count > 1)}": Way(
                lambda atoms: _on_threads(count, self._fresh(), atoms), self.epsilon
            ),
            "in a batch": Way(self._in_a_batch, self.epsilon),
            "new neighbour list": Way(lambda atoms: self._fresh()(atoms), self.epsilon),
            f"in {other.dtype}".replace("torch.", ""): Way(type(self)(other).ask, single),
        }

    def _fresh(self) -> Callable[[Atoms], Answer]:
        """A calculator that has seen nothing."""
        calculator = LaderaCalculator(self.potential, skin=0.0)
        return lambda atoms: _answer(calculator, atoms)

    def _in_a_batch(self, atoms: Atoms) -> Answer:
        """Between two others, one of them with other neighbours."""
        other = atoms.copy()
        other.rattle(0.1, seed=3)
        potential = self.potential
        graphs = [Graph.from_atoms(each, potential.cutoff) for each in (other, atoms, other)]
        with torch.no_grad():
            batch = evaluate(potential, Graph.batch(graphs))
        return answer_of(batch, 1)


def answer_of(prediction: Prediction, number: int = 0) -> Answer:
    """What a prediction says of one of its structures."""
    own = prediction.graph.structure_index == number
    return Answer(
        float(prediction.energy[number]),
        _array(prediction.forces[own]),
        _array(prediction.stress[number]) if float(prediction.graph.volumes[number]) else None,
        _array(prediction.atomic_energies[own]),
    )


def _array(tensor: torch.Tensor) -> Floats:
    return tensor.detach().double().cpu().numpy()


def free(atoms: Atoms) -> Atoms:
    """A copy of which nothing is held."""
    copy: Atoms = atoms.copy()
    copy.set_constraint()
    return copy


def _on_threads(count: int, ask: Callable[[Atoms], Answer], atoms: Atoms) -> Answer:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        return ask(atoms)
    finally:
        torch.set_num_threads(before)


def _answer(calculator: Any, atoms: Atoms) -> Answer:
    """All that an ASE calculator gives of a structure."""
    known, copy = calculator.implemented_properties, free(atoms)
    has_volume = bool(copy.pbc.any()) and copy.cell.rank == 3
    wanted = ("energy", "forces", "stress", "energies") if has_volume else _OF_ALL
    names = [name for name in wanted if name in (*_NEEDED, *known)]
    try:
        said = {name: calculator.get_property(name, copy) for name in names}
    except Exception as error:
        if isinstance(calculator, LaderaCalculator):
            raise
        words = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
        raise SimulationError(
            f"The calculator {type(calculator).__name__} failed with "
            f"{copy.get_chemical_formula()}: {words}. Give a structure that it knows."
        ) from error
    # The forces are the gradient of the free energy where electrons have a temperature.
    energy = calculator.results.get("free_energy", said["energy"])
    stress = said.get("stress")
    return Answer(
        float(energy),
        np.array(said["forces"], dtype=float),
        None if stress is None else _matrix(np.asarray(stress, dtype=float)),
        None if "energies" not in said else np.array(said["energies"], dtype=float),
    )


def _matrix(voigt: Floats) -> Floats:
    xx, yy, zz, yz, xz, xy = voigt
    return np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])
