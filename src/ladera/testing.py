"""The contract every potential has to keep, as checks anyone can run on their own model.

Each check raises AssertionError with the numbers that disagree. Tolerances are relative to the
largest component, and are those of float64.

>>> from ladera.testing import check_contract
>>> check_contract(my_potential, atoms)
"""

from __future__ import annotations

import copy
import os
import pickle
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from ase import Atoms
from numpy.typing import NDArray

from ladera import loading
from ladera.graph import Graph
from ladera.potential import LaderaCalculator, Potential, Prediction, differentiate, evaluate
from ladera.quantities import DIPOLE
from ladera.structure import total_charge

Floats = NDArray[np.float64]

FINITE_DIFFERENCE = 1e-6  # relative agreement with four-point differences
ROUNDING = 1e-10  # relative agreement of two ways to compute the same sum
SINGLE = 1e-4  # relative agreement of float32 with float64


def check_contract(potential: Potential, atoms: Atoms) -> None:
    """Run every check that fits one structure (open or periodic, any size of cell)."""
    check_forces(potential, atoms)
    check_virial(potential, atoms)
    check_rigid_motions(potential, atoms)
    check_permutation(potential, atoms)
    check_fast_path(potential, atoms)
    check_batch(potential, atoms)
    check_precision(potential, atoms)
    check_file(potential, atoms)
    check_copies(potential, atoms)
    check_capabilities(potential, atoms)
    if atoms.pbc.any():
        check_supercell(potential, atoms)


def predict(potential: Potential, atoms: Atoms) -> Prediction:
    """Prediction for one structure, on the model's fast path."""
    with torch.no_grad():
        return evaluate(potential, Graph.from_atoms(atoms, potential.cutoff))


def check_forces(potential: Potential, atoms: Atoms) -> None:
    """F = -dE/dr for every atom and direction."""
    forces = predict(potential, atoms).forces.numpy()
    expected = np.zeros_like(forces)
    for atom, axis in np.ndindex(forces.shape):

        def energy(step: float, atom: int = atom, axis: int = axis) -> float:
            moved = atoms.copy()
            moved.positions[atom, axis] += step
            return predict(potential, moved).energy.item()

        expected[atom, axis] = -_derivative(energy)
    _agree(forces, expected, FINITE_DIFFERENCE, "forces against finite differences")
    _agree(forces.sum(0), np.zeros(3), ROUNDING * (1 + np.abs(forces).max()), "net force")


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
    """Energies stay, forces and dipoles turn under translation, rotation and reflection."""
    before = predict(potential, atoms)
    generator = np.random.default_rng(0)
    rotation = np.linalg.qr(generator.normal(size=(3, 3)))[0]
    for name, matrix in (("rotation", rotation), ("reflection", -rotation)):
        moved = atoms.copy()
        moved.positions[:] = atoms.positions @ matrix + generator.normal(size=3)
        moved.cell[:] = atoms.cell.array @ matrix
        after = predict(potential, moved)
        _agree(after.energy.numpy(), before.energy.numpy(), ROUNDING, f"energy under {name}")
        _agree(
            after.forces.numpy(), before.forces.numpy() @ matrix, ROUNDING, f"forces under {name}"
        )
        if DIPOLE in potential.gives and not atoms.pbc.any() and total_charge(atoms) == 0:
            dipole = before.dipole.numpy() @ matrix
            _agree(after.dipole.numpy(), dipole, ROUNDING, f"dipole under {name}")


def check_permutation(potential: Potential, atoms: Atoms) -> None:
    """Renumbering the atoms renumbers their energies and forces."""
    order = np.random.default_rng(1).permutation(len(atoms))
    before, after = predict(potential, atoms), predict(potential, atoms[order])
    _agree(
        after.atomic_energies.numpy(),
        before.atomic_energies.numpy()[order],
        ROUNDING,
        "atomic energies under permutation",
    )
    _agree(after.forces.numpy(), before.forces.numpy()[order], ROUNDING, "permuted forces")


def check_supercell(potential: Potential, atoms: Atoms) -> None:
    """Doubling the cell along a periodic direction doubles the energy and repeats the forces."""
    repeats = [1, 1, 1]
    repeats[int(np.flatnonzero(atoms.pbc)[0])] = 2
    once, twice = predict(potential, atoms), predict(potential, atoms.repeat(repeats))
    _agree(twice.energy.numpy(), 2 * once.energy.numpy(), ROUNDING, "energy of the supercell")
    forces = np.concatenate([once.forces.numpy()] * 2)
    _agree(twice.forces.numpy(), forces, ROUNDING, "forces in the supercell")


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


def check_batch(potential: Potential, atoms: Atoms) -> None:
    """A batch gives what its structures give one by one."""
    other = atoms.copy()
    other.rattle(0.05, seed=3)
    graphs = [Graph.from_atoms(a, potential.cutoff) for a in (atoms, other, atoms)]
    with torch.no_grad():
        batch = evaluate(potential, Graph.batch(graphs))
        single = [evaluate(potential, graph) for graph in graphs]
    energies = np.array([p.energy.item() for p in single])
    _agree(batch.energy.numpy(), energies, ROUNDING, "energies of a batch")
    forces = np.concatenate([p.forces.numpy() for p in single])
    _agree(batch.forces.numpy(), forces, ROUNDING, "forces of a batch")


def check_precision(potential: Potential, atoms: Atoms) -> None:
    """float32 agrees with float64 to float32's digits."""
    double = predict(potential, atoms)
    with _saved(potential) as path:
        single = predict(loading.load(path).float(), atoms)
    scale = double.forces.abs().max().clamp_min(1.0)
    _agree(
        single.energy.numpy() - double.energy.numpy(),
        np.zeros(1),
        SINGLE * float(scale) * len(atoms),
        "float32 energy",
    )
    _agree(single.forces.double().numpy(), double.forces.numpy(), SINGLE, "float32 forces")


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
    """Energy and force of a pair vanish continuously as it is pulled beyond the cutoff."""

    def pair(distance: float) -> Prediction:
        return predict(potential, Atoms(symbols, [[0, 0, 0], [0, 0, distance]]))

    apart = pair(potential.cutoff * 1.5).energy.item()
    scale = 1.0 + abs(pair(0.6 * potential.cutoff).forces.abs().max().item())
    just_inside = pair(potential.cutoff - 1e-4)
    _agree(np.array([just_inside.energy.item() - apart]), np.zeros(1), 1e-6 * scale, "energy step")
    _agree(just_inside.forces.numpy(), np.zeros((2, 3)), 1e-3 * scale, "force step")


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
