"""The invariant functions of moment tensor potentials: how many, which, and that they are so."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from ase.build import bulk
from scipy.spatial.transform import Rotation

import ladera
from cases import shared
from conftest import moment_tensor
from ladera.codes.mtp.parsing import parse
from ladera.graph import Graph
from ladera.kernels.moment_tensors import reference
from ladera.kernels.moment_tensors.program import MomentProgram
from ladera.models.mtp.fast import FastPath, Programs
from ladera.models.mtp.generation import program_of_level
from ladera.models.mtp.graphs import scalars
from ladera.models.mtp.rewriting import rewritten
from ladera.potential import evaluate
from ladera.testing import check_contract

BASIC = (1, 1, 5, 11, 25, 46, 81, 130, 201, 295)  # of the levels 2, 4, ..., 20
SCALARS = (1, 2, 5, 9, 16, 29, 52, 92, 163, 288)


@pytest.mark.parametrize("place", range(8))
def test_programs_have_the_functions_of_their_level(place: int) -> None:
    program = program_of_level(2 + 2 * place)
    assert len(program.scalars) == SCALARS[place]
    assert len(program.basic) == BASIC[place]


def test_so_many_functions_of_high_levels() -> None:
    """Published potentials go to level 24."""
    assert [len(scalars(level)) for level in (18, 20, 24)] == [*SCALARS[8:], 864]


def functions_of(program: MomentProgram, vectors: torch.Tensor) -> torch.Tensor:
    """B (n_scalars,) of an atom with neighbours (n, 3) and some radial functions."""
    distances = vectors.norm(dim=1)
    radial = torch.stack([torch.exp(-distances * (0.3 + 0.2 * k)) for k in range(6)], dim=1)
    centers = torch.zeros(len(vectors), dtype=torch.int64)
    basic = reference.basic_moments(program, vectors, radial[:, : program.n_radial], centers, 1)
    return reference.functions(program, basic)[0]


@pytest.mark.parametrize("level", [8, 16])
def test_functions_do_not_change_with_a_rotation_or_reflection(level: int) -> None:
    generator = np.random.default_rng(level)
    vectors = torch.from_numpy(generator.normal(size=(9, 3)))
    program = program_of_level(level)
    expected = functions_of(program, vectors)
    for sign in (1, -1):
        turn = sign * Rotation.random(random_state=1).as_matrix()
        found = functions_of(program, vectors @ torch.from_numpy(turn).T)
        torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-13)
        torch.testing.assert_close(
            found, functions_of(program, vectors.flip(0) @ torch.from_numpy(turn).T)
        )


@pytest.mark.parametrize(
    "name",
    [
        *(f"mtp_golden/multi/{level}/pot.mtp" for level in ("02", "06", "10")),
        *(f"mtp_golden/cubic/{level}/pot.mtp" for level in ("08", "16")),
        "ionic_conductors/mtp_potentials/Na2.25Y0.25Zr0.75Cl6/fitted.mtp",
    ],
)
def test_functions_of_a_file_are_those_of_its_level(name: str) -> None:
    """Each is one of ours times a constant, and no two are the same one of ours."""
    file = parse(Path(shared(f"data/{name}")))
    same = rewritten(file.program, file.level)
    assert same is not None
    assert sorted(same.order) == list(range(len(file.program.scalars)))
    assert len(same.program.products) <= len(file.program.products)
    vectors = torch.from_numpy(np.random.default_rng(1).normal(size=(9, 3)))
    theirs, ours = functions_of(file.program, vectors), functions_of(same.program, vectors)
    factors = torch.from_numpy(same.factors)
    torch.testing.assert_close(factors * ours, theirs[same.order], rtol=1e-9, atol=1e-12)


def test_a_file_is_computed_by_fewer_products() -> None:
    """What the model keeps, and writes, are the functions of the file."""
    path = Path(shared("data/mlearn_potentials/Li/mtp/fitted.mtp"))
    model = ladera.load(path, types=("Li",)).requires_grad_(False)
    np.testing.assert_array_equal(model.program.products, parse(path).program.products)
    programs = model._known()
    assert len(programs.lean.program.products) < 0.8 * len(model.program.products)
    crystal = bulk("Li", cubic=True) * 2
    crystal.rattle(0.2, seed=1)
    graph = Graph.from_atoms(crystal, model.cutoff)
    found, functions = evaluate(model, graph), model.functions(graph)
    model._fast = FastPath(model, Programs(model.program, None), np.dtype(np.float64))
    assert float(abs(evaluate(model, graph).energy - found.energy)) < 1e-12
    torch.testing.assert_close(evaluate(model, graph).forces, found.forces, rtol=0, atol=1e-12)
    torch.testing.assert_close(model.functions(graph), functions, rtol=1e-12, atol=0)


def test_other_functions_than_those_of_the_level_are_not_rewritten() -> None:
    program = program_of_level(8)
    assert rewritten(program, 6) is None
    fewer = MomentProgram(program.basic, program.products, program.scalars[:-1])
    assert rewritten(fewer, 8) is None
    twice = MomentProgram(program.basic, program.products, program.scalars[[0, *range(8)]])
    assert rewritten(twice, 8) is None


def test_contract_of_one_element() -> None:
    crystal = bulk("O", "bcc", a=2.6, cubic=True) * (1, 1, 2)
    crystal.rattle(0.1, seed=1)
    check_contract(moment_tensor(12, ("O",)), crystal)
