"""The contract every potential has to keep, as checks anyone can run on their own model.

Each check raises AssertionError with the numbers that disagree. Those that need nothing but
answers are the ones of :func:`ladera.check` (:mod:`ladera.properties.checks`); tolerances of the
others are relative to the largest component, and are those of float64.

>>> from ladera.testing import check_contract
>>> check_contract(my_potential, atoms)
"""

from __future__ import annotations

import contextlib
import copy
import os
import pickle
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import product
from typing import Any

import numpy as np
import torch
from ase import Atoms
from numpy.typing import NDArray
from torch import Tensor

from ladera import loading
from ladera.decomposition import Part, decompose, together
from ladera.errors import DataError
from ladera.graph import Graph
from ladera.potential import LaderaCalculator, Potential, Prediction, differentiate, evaluate
from ladera.potential.parts import Division, Places, reaches
from ladera.properties.checks import cutoff
from ladera.properties.checks.ase_engine import ASEEngine, answer_of
from ladera.properties.checks.derivatives import check_derivatives
from ladera.properties.checks.engine import Answer
from ladera.properties.checks.rows import Row
from ladera.properties.checks.symmetries import check_symmetries, check_ways
from ladera.quantities import DIPOLE, ENERGY, FORCES
from ladera.structure import Structure, total_charge

Floats = NDArray[np.float64]

FINITE_DIFFERENCE = 1e-6  # relative agreement with four-point differences
_MOST_IMAGES = 1500
ROUNDING = 1e-10  # relative agreement of two ways to compute the same sum


def check_contract(potential: Potential, atoms: Atoms) -> None:
    """Run every check that fits one structure (open or periodic, any size of cell)."""
    check_forces(potential, atoms)
    check_virial(potential, atoms)
    check_rigid_motions(potential, atoms)
    check_fast_path(potential, atoms)
    check_ways_to_compute(potential, atoms)
    check_decomposition(potential, atoms)
    check_parts(potential, atoms)
    check_file(potential, atoms)
    check_copies(potential, atoms)
    check_capabilities(potential, atoms)


def predict(potential: Potential, atoms: Atoms) -> Prediction:
    """Prediction for one structure, on the model's fast path."""
    with torch.no_grad():
        return evaluate(potential, Graph.from_atoms(atoms, potential.cutoff))


class _Evaluated(ASEEngine):
    """The model alone, without what a calculator keeps from one structure to the next."""

    def ask(self, atoms: Atoms) -> Answer:
        return answer_of(predict(self.potential, atoms))


def check_forces(potential: Potential, atoms: Atoms) -> None:
    """F = -dE/dr, the stress is dE/d(strain) / V, and the Hessian is symmetric."""
    _require(check_derivatives(_Evaluated(potential), atoms, np.random.default_rng(0)))


def check_virial(potential: Potential, atoms: Atoms) -> None:
    """W = dE/d(strain), stress = W / V, and atomic virials that sum to W."""
    prediction = predict(potential, atoms)
    virial = prediction.virial[0].numpy()
    expected = np.zeros((3, 3))
    for a, b in np.ndindex(3, 3):

        def energy(strain: float, a: int = a, b: int = b) -> float:
            deformation = np.eye(3)
            deformation[a, b] += 0.5 * strain
            deformation[b, a] += 0.5 * strain
            strained = atoms.copy()
            strained.cell[:] = atoms.cell.array @ deformation
            strained.positions[:] = atoms.positions @ deformation
            return predict(potential, strained).energy.item()

        expected[a, b] = _derivative(energy)
    _agree(virial, expected, FINITE_DIFFERENCE, "virial against finite differences")
    _agree(prediction.atomic_virials.sum(0).numpy(), virial, ROUNDING, "sum of atomic virials")
    if atoms.pbc.any() and atoms.cell.volume > 0:
        stress = prediction.stress[0].numpy()
        _agree(stress * atoms.cell.volume, virial, ROUNDING, "stress times volume")


def check_rigid_motions(potential: Potential, atoms: Atoms) -> None:
    """Turned, inverted, shifted, renumbered, with other images and twice: the same, dipoles too."""
    _require(check_symmetries(_Evaluated(potential), atoms, np.random.default_rng(0)))
    if DIPOLE not in potential.gives or atoms.pbc.any() or total_charge(atoms):
        return
    before = predict(potential, atoms)
    rotation = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    for name, matrix in (("rotation", rotation), ("reflection", -rotation)):
        moved = atoms.copy()
        moved.positions[:] = atoms.positions @ matrix + 1.0
        dipole = before.dipole.numpy() @ matrix
        _agree(predict(potential, moved).dipole.numpy(), dipole, ROUNDING, f"dipole under {name}")


def check_fast_path(potential: Potential, atoms: Atoms) -> None:
    """The model's own gradient equals the automatic one."""
    graph = Graph.from_atoms(atoms, potential.cutoff)
    with torch.no_grad():
        fast, plain = evaluate(potential, graph), differentiate(potential, graph)
    names = ("atomic_energies", "edge_gradients", "forces", "virial", "charges", "atomic_dipoles")
    for name in names:
        one, two = getattr(fast, name), getattr(plain, name)
        if one is not None:
            _agree(one.numpy(), two.numpy(), ROUNDING, f"fast path's {name.replace('_', ' ')}")


def check_ways_to_compute(potential: Potential, atoms: Atoms) -> None:
    """In a batch, on other threads and in the other precision: the same, to its digits."""
    _require(check_ways(_Evaluated(potential), atoms))


def check_decomposition(potential: Potential, atoms: Atoms) -> None:
    """Atoms on several processes, with ghosts, have the values that they have on one.

    On one, where ghosts are periodic images, and on two, by the model's own gradient and by the
    automatic one. A model whose energies depend on atoms at any distance must refuse.
    """
    graph = Graph.from_atoms(atoms, potential.cutoff)
    if potential.hops is None:
        with contextlib.suppress(DataError):
            evaluate(potential, decompose(graph, np.zeros(len(atoms), np.int64))[0].graph)
            raise AssertionError("energies at any distance were computed from a part of the atoms")
        return
    with torch.no_grad():
        whole = _of_atoms(potential, evaluate(potential, graph))
    own = [potential, copy.deepcopy(potential)]  # as processes have: a model runs once at a time
    for n_parts, ask in product((1, 2), (evaluate, differentiate)):
        parts = decompose(graph, np.arange(len(atoms)) * 7 // 3 % n_parts)

        def work(part: Part, ask: Any = ask) -> dict[str, Floats]:
            with torch.no_grad():
                model = own[part.halo.rank]
                return _of_atoms(model, ask(model, part.graph))

        for part, found in zip(parts, together(parts, work), strict=True):
            for name, values in found.items():
                expected = whole[name]
                if values.shape[:1] == (part.graph.n_atoms,) and name not in _SUMS:
                    _agree(values[part.halo.n_owned :], np.zeros(1), 0.0, f"{name} of ghosts")
                    values, expected = values[: part.halo.n_owned], expected[part.owned]
                _agree(values, expected, ROUNDING, f"{name} on {n_parts} processes")


def check_parts(potential: Potential, atoms: Atoms) -> None:
    """A structure evaluated in two parts, as where it does not fit into memory, is the whole.

    Not of a model whose energies depend on atoms at any distance: it is never asked so. Nor of a
    cell that would have thousands of images in reach: those of larger ones show the same.
    """
    if potential.hops is None or ENERGY not in potential.gives:
        return
    graph = Graph.from_atoms(atoms, potential.cutoff)
    with torch.no_grad():
        whole = evaluate(potential, graph)
        expected = potential.grade(graph, whole)
    every = np.arange(len(atoms))
    places = Places.of(Structure.from_atoms(atoms))
    if len(places.within(*places.box(every, reaches(potential)[1]))[0]) > _MOST_IMAGES:
        return
    halves = [half for half in (every[::2], every[1::2]) if len(half)]
    division = Division(potential, places, halves)
    found = division.evaluate()
    for name in ("energy", "atomic_energies", "forces", "virial"):
        one, other = getattr(found, name), getattr(whole, name)
        _agree(one.numpy(), other.numpy(), ROUNDING, f"{name.replace('_', ' ')} in parts")
    if potential.members:
        spreads = found.spread[FORCES].numpy(), whole.spread[FORCES].numpy()
        _agree(*spreads, ROUNDING, "spread of the forces in parts")
    grade = division.grade()
    if expected is not None and grade is not None:
        _agree(grade.numpy(), expected.double().numpy(), ROUNDING, "grade in parts")


_SUMS = ("energy", "virial", "spread of the energy")


def _of_atoms(potential: Potential, prediction: Prediction) -> dict[str, Floats]:
    """All that a prediction says of atoms, and sums of it."""
    graph = prediction.graph
    found: dict[str, Tensor | None] = {
        "energy": prediction.energy,
        "virial": prediction.virial,
        "atomic energies": prediction.atomic_energies,
        "atomic virials": prediction.atomic_virials,
        "forces": prediction.forces,
        "charges": prediction.charges,
        "atomic dipoles": prediction.atomic_dipoles,
        "grade": potential.grade(graph, prediction),
        "descriptors": potential.descriptors(graph),
    }
    if prediction.members:
        found["spread of the energy"] = prediction.spread[ENERGY]
        found["spread of the forces"] = prediction.spread[FORCES]
    return {name: each.double().numpy() for name, each in found.items() if each is not None}


def check_file(potential: Potential, atoms: Atoms) -> None:
    """A saved and loaded potential gives the same numbers, bit for bit."""
    before = predict(potential, atoms)
    with _saved(potential) as path:
        after = predict(loading.load(path), atoms)
    if not torch.equal(before.energy, after.energy) or not torch.equal(before.forces, after.forces):
        raise AssertionError("energies or forces changed when the model was saved and loaded")


def check_copies(potential: Potential, atoms: Atoms) -> None:
    """A copy of a model in use, and of its calculator, says the same and goes its own way."""
    own = copy.deepcopy(potential)
    calculator = own.calculator()
    names = [quantity.name for quantity in own.gives if predict(own, atoms).exists(quantity).all()]

    def say(calculator: LaderaCalculator) -> dict[str, Floats]:
        return {name: np.asarray(calculator.get_property(name, atoms)) for name in names}

    expected = say(calculator)
    sent, copied = pickle.loads(pickle.dumps(calculator)), copy.deepcopy(calculator)
    for other in (sent, copied, LaderaCalculator(pickle.loads(pickle.dumps(own)))):
        other.reset()
        for name, values in say(other).items():
            np.testing.assert_array_equal(values, expected[name], err_msg=name)
    with torch.no_grad():  # what a model has made of its parameters is not for a copy's
        for before, after in zip(own.parameters(), sent.potential.parameters(), strict=True):
            after.copy_(before * 0.9)
            before.mul_(0.9)
    sent.reset()
    calculator.reset()  # type: ignore[no-untyped-call]
    for name, values in say(calculator).items():
        np.testing.assert_array_equal(say(sent)[name], values, err_msg=name)


def check_capabilities(potential: Potential, atoms: Atoms) -> None:
    """What it gives has its shape and is a number where it exists; grades are one for each atom."""
    prediction = predict(potential, atoms)
    for quantity in potential.gives:
        shape = (len(atoms) if quantity.per_atom else 1, *quantity.shape)
        values, present = prediction[quantity], bool(prediction.exists(quantity).all())
        if tuple(values.shape) != shape:
            raise AssertionError(f"{quantity.name} has shape {tuple(values.shape)}, not {shape}")
        if bool(torch.isfinite(values).all()) != present:
            raise AssertionError(f"{quantity.name} is no number where it exists, or one elsewhere")
    grade = potential.grade(prediction.graph, prediction)
    if (grade is not None) != potential.knows_domain:
        raise AssertionError("knows_domain does not say whether there is a grade")
    if grade is not None and grade.shape != (len(atoms),):
        raise AssertionError(f"{len(atoms)} atoms have grades of the shape {tuple(grade.shape)}")
    if potential.has_grade_features:
        turned = atoms.copy()
        turned.rotate(50, (1, -2, 1), rotate_cell=True)
        one, two = (_grade_features(potential, each) for each in (atoms, turned))
        if one.shape[:1] != (len(atoms),) or one.ndim != 2:
            raise AssertionError(f"{len(atoms)} atoms have features of the shape {one.shape}")
        _agree(two, one, ROUNDING, "features of a turned structure")


def _grade_features(potential: Potential, atoms: Atoms) -> Floats:
    """Those of :meth:`Potential.grade_features`."""
    with torch.no_grad():
        features = potential.grade_features(Graph.from_atoms(atoms, potential.cutoff))
    if features is None:
        raise AssertionError("has_grade_features is true, and grade_features gives none")
    return features.double().numpy()


def check_isolated_atom(potential: Potential, symbol: str) -> None:
    """An atom alone has a finite energy, no force, and the same in an empty periodic cell."""
    alone = Atoms(symbol, [[0.1, 0.2, 0.3]])
    boxed = Atoms(symbol, [[0.1, 0.2, 0.3]], cell=np.eye(3) * (3 * potential.cutoff), pbc=True)
    one, two = predict(potential, alone), predict(potential, boxed)
    if not bool(torch.isfinite(one.energy).all()):
        raise AssertionError(f"a lone {symbol} atom has the energy {one.energy.item()}")
    _agree(two.energy.numpy(), one.energy.numpy(), ROUNDING, "a lone atom in a box")
    _agree(one.forces.numpy(), np.zeros((1, 3)), ROUNDING, "force on a lone atom")


def check_cutoff(potential: Potential, symbols: tuple[str, str]) -> None:
    """Energy and forces have no jump where an atom passes the cutoff of another."""
    _require(cutoff.check_cutoff(_Evaluated(potential), symbols))


def _require(rows: Iterable[Row]) -> None:
    """AssertionError for the first row that fails."""
    for row in rows:
        if not row.passed:
            note = f" ({row.note})" if row.note else ""
            raise AssertionError(
                f"{row.name}{note}: off by {row.found:.3g}, allowed {row.allowed:.3g} {row.unit}"
            )


@contextmanager
def _saved(potential: Potential) -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "model.ladera")
        potential.save(path)
        yield path


def _derivative(function: Callable[[float], float], step: float = 5e-4) -> float:
    """f'(0) = [8 (f(h) - f(-h)) - (f(2h) - f(-2h))] / 12h, exact to h^4."""
    near = function(step) - function(-step)
    far = function(2 * step) - function(-2 * step)
    return (8 * near - far) / (12 * step)


def _agree(found: Floats, expected: Floats, tolerance: float, what: str) -> None:
    """Relative to the largest expected component, absolute where that is below one."""
    scale = max(1.0, float(np.abs(expected).max(initial=0.0)))
    error = float(np.abs(found - expected).max(initial=0.0))
    if not error <= tolerance * scale:
        raise AssertionError(f"{what}: off by {error:.3g}, allowed {tolerance * scale:.3g}")
