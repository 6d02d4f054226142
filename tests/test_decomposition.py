"""Models on parts of a structure, with ghosts: what an engine with domain decomposition asks."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import test_kernels_mace as mace_kernels
import test_kernels_nequip as nequip_kernels
from conftest import POTENTIALS, hdnnp_generated, lennard_jones, moment_tensor, water_like
from ladera import Committee, Graph, Potential, evaluate
from ladera.decomposition import Part, decompose, together
from ladera.errors import DataError, SimulationError
from ladera.halo import collected, spread
from ladera.models.corrected import corrected
from ladera.potential import ActiveSet, Prediction
from ladera.potential.committee import Calibration
from ladera.potential.heat_flux import HeatFlux
from ladera.testing import check_decomposition
from test_dipoles import MODELS as WITH_DIPOLES

CRYSTAL = water_like(9, 5.5, True, 2)


def on_parts(
    potential: Potential, graph: Graph, n_parts: int, work: Callable[[Potential, Part], Any]
) -> list[Any]:
    """What each part says, with a model of its own as each process has."""
    parts = decompose(graph, np.arange(graph.n_atoms) % n_parts)
    copies = {id(part): copy.deepcopy(potential) for part in parts}

    def without_gradients(part: Part) -> Any:
        with torch.no_grad():
            return work(copies[id(part)], part)

    return together(parts, without_gradients)


@pytest.mark.parametrize("kind", mace_kernels.KINDS)
def test_every_kind_of_mace(kind: str) -> None:
    """One, two and three layers; each check has one, two and more processes, by both paths."""
    potential = mace_kernels.mace(**mace_kernels.KINDS[kind])
    check_decomposition(potential, mace_kernels.structure())


@pytest.mark.parametrize("kind", nequip_kernels.KINDS)
def test_every_kind_of_nequip(kind: str) -> None:
    potential = nequip_kernels.nequip(**nequip_kernels.KINDS[kind])
    check_decomposition(potential, water_like(9, 5.0, True, 2))


@pytest.mark.parametrize("make", WITH_DIPOLES.values(), ids=WITH_DIPOLES.keys())
def test_charges_sum_to_that_of_the_whole(make: Callable[[], Potential]) -> None:
    ion = water_like(7, 4.0, False, 1)
    ion.info["charge"] = -1
    check_decomposition(make(), ion)


@pytest.mark.parametrize("name", POTENTIALS)
def test_single_precision(name: str) -> None:
    potential = POTENTIALS[name]().float()
    graph = Graph.from_atoms(CRYSTAL, potential.cutoff)
    with torch.no_grad():
        whole = evaluate(potential, graph)

    def ask(potential: Potential, part: Part) -> tuple[Part, Tensor, Tensor]:
        found = evaluate(potential, part.graph)
        return part, found.energy, found.forces

    size = float(whole.forces.abs().max())
    for part, energy, forces in on_parts(potential, graph, 2, ask):
        torch.testing.assert_close(energy, whole.energy, rtol=2e-6, atol=1e-5 * size)
        own = whole.forces[torch.from_numpy(part.owned)]
        torch.testing.assert_close(forces[: len(own)], own, rtol=0, atol=2e-5 * size)


@pytest.mark.parametrize("name", ["mace", "nequip"])
def test_threads_of_each_process(name: str) -> None:
    """Each thread finds gradients of ghosts; all of them go back."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        check_decomposition(POTENTIALS[name](), water_like(40, 8.0, True, 2))
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(
    "potential",
    [
        lennard_jones(),
        moment_tensor(),
        mace_kernels.mace(num_interactions=3, correlation=2),
        mace_kernels.mace(**mace_kernels.KINDS["wide messages"]),
        nequip_kernels.nequip(channels=(9, 3, 2)),
        Committee([POTENTIALS["mace"](), POTENTIALS["nequip"]()]),
    ],
    ids=["lennard_jones", "mtp", "mace", "wide mace", "nequip", "committee"],
)
def test_each_layer_but_the_last_has_one_exchange(potential: Potential) -> None:
    """As wide as the model says; the first layer, which hangs on elements alone, needs none."""
    graph = Graph.from_atoms(CRYSTAL, potential.cutoff)

    def ask(potential: Potential, part: Part) -> list[tuple[str, int]]:
        prediction = evaluate(potential, part.graph)
        assert prediction.edge_gradients.shape == part.graph.vectors.shape
        return part.halo.calls

    members = potential.members or (potential,)
    expected = [
        (name, width)
        for member in members
        for name, widths in (
            ("forward", member.exchange_widths),
            ("reverse", member.exchange_widths[::-1]),
        )
        for width in widths
    ]
    assert sum(len(member.exchange_widths) for member in members) == len(potential.exchange_widths)
    hops = [each.hops for each in members if type(each).__name__ in ("MACE", "NequIP")]
    assert len(potential.exchange_widths) == sum((each or 0) - 1 for each in hops)
    assert on_parts(potential, graph, 2, ask) == [expected] * 2


def test_committees_and_corrections() -> None:
    """Spreads and grades are of the whole; so is the repulsion of nuclei."""
    members = [POTENTIALS[name]() for name in ("nequip", "hdnnp_generated", "mtp")]
    committee = Committee(members, Calibration(forces=2.0, largest_force_std=0.3))
    assert committee.knows_domain
    check_decomposition(corrected(committee, zbl=True), water_like(9, 4.5, True, 2))


@pytest.mark.parametrize("name", ["hdnnp_generated", "mace", "nequip", "mtp"])
def test_grades_by_an_active_set(name: str) -> None:
    potential = POTENTIALS[name]()
    features = potential.grade_features(Graph.from_atoms(CRYSTAL, potential.cutoff))
    assert features is not None
    width = features.shape[1]
    generator = torch.Generator().manual_seed(1)
    inverses = torch.randn(2, width, width, dtype=torch.float64, generator=generator)
    potential.active_set = ActiveSet(dict(zip((1, 8), inverses, strict=True)))
    check_decomposition(potential, CRYSTAL)

    def reasons(potential: Potential, part: Part) -> list[int]:
        with torch.no_grad():
            found = potential.explain_grade(part.graph)
        return [int(part.owned[each.atom]) for each in found]  # ghosts have none

    graph = Graph.from_atoms(CRYSTAL, potential.cutoff)
    with torch.no_grad():
        expected = sorted(each.atom for each in potential.explain_grade(graph))
    assert expected
    found = [atom for atoms in on_parts(potential, graph, 2, reasons) for atom in atoms]
    assert sorted(found) == expected


def test_exchanges_are_each_others_gradients() -> None:
    part = decompose(Graph.from_atoms(water_like(4, 3.0, True, 1), 2.5), np.zeros(4, np.int64))[0]
    assert part.graph.n_atoms > part.graph.n_owned
    for exchange in (spread, collected):
        x = torch.randn(part.graph.n_atoms, 2, dtype=torch.float64, requires_grad=True)

        def square(x: Tensor, exchange: Any = exchange) -> Tensor:
            return exchange(x, part.halo).square()

        assert torch.autograd.gradcheck(square, x)
        assert torch.autograd.gradgradcheck(square, x)


def test_what_is_no_graph_of_a_process_is_refused() -> None:
    graph = Graph.from_atoms(CRYSTAL, 4.0)
    part, other = decompose(graph, np.arange(9) % 2)
    part.halo.n_owned = 3
    with pytest.raises(DataError, match="calls 3 its own, and edges begin at others"):
        replace(part.graph, cutoff=4.0)
    part.halo.n_owned = 1000
    with pytest.raises(DataError, match="calls 1000 its own"):
        replace(part.graph, cutoff=4.0)
    with pytest.raises(DataError, match="one by one"):
        Graph.batch([graph, other.graph])
    with pytest.raises(DataError, match="2 structures"):
        replace(Graph.batch([graph, graph]), halo=replace_halo(graph))


def replace_halo(graph: Graph) -> Any:
    """One of a process that has all atoms of two structures."""
    halo = decompose(graph, np.zeros(9, np.int64))[0].halo
    halo.n_owned = 18
    return halo


def test_what_needs_all_atoms_is_refused() -> None:
    from test_4g import model

    fourth = model()
    part = decompose(
        Graph.from_atoms(water_like(6, 4.0, False, 1), fourth.cutoff), np.zeros(6, int)
    )
    with torch.no_grad(), pytest.raises(DataError, match="depends on atoms at any distance"):
        evaluate(fourth, part[0].graph)
    with torch.no_grad(), pytest.raises(DataError, match="depends on atoms at any distance"):
        evaluate(Committee([fourth, hdnnp_generated()]), part[0].graph)
    potential = lennard_jones()
    alone = decompose(Graph.from_atoms(CRYSTAL, potential.cutoff), np.zeros(9, np.int64))[0]
    with torch.no_grad():
        prediction: Prediction = evaluate(potential, alone.graph)
    with pytest.raises(SimulationError, match="distributed over several"):
        HeatFlux(potential)(prediction, np.ones(9), np.zeros((9, 3)))


def test_dispersion_is_refused() -> None:
    pytest.importorskip("dftd3", reason="not installed: pip install ladera[dispersion]")
    potential = corrected(POTENTIALS["mace"](), "pbe")
    assert potential.hops is None
    part = decompose(Graph.from_atoms(CRYSTAL, potential.cutoff), np.zeros(9, np.int64))[0]
    with torch.no_grad(), pytest.raises(DataError, match="at any distance"):
        evaluate(potential, part.graph)


def test_an_error_of_one_process_ends_the_others() -> None:
    potential = POTENTIALS["mace"]()

    def ask(potential: Potential, part: Part) -> Prediction:
        graph = part.graph
        if part.halo.rank == 1:
            graph = replace(graph, numbers=torch.full_like(graph.numbers, 6))
        return evaluate(potential, graph)

    with pytest.raises(DataError, match="Atom 0 is C"):
        on_parts(potential, Graph.from_atoms(CRYSTAL, potential.cutoff), 3, ask)


def test_a_process_without_atoms() -> None:
    """It takes part in every exchange, with ghosts or with nothing at all."""
    for name in ("mace", "nequip", "mtp", "hdnnp_mixed", "lennard_jones"):
        potential = POTENTIALS[name]()
        check_decomposition(potential, water_like(1, 9.0, True, 1))
