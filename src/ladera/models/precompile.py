"""Compiling kernels before they are needed, in several processes.

Numba compiles one function after the other. Several processes, which share the cache on disk, are
done sooner, if none of them compiles what another one is at: the loops that others call come
first, as tasks of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from functools import partial
from typing import Final

import numpy as np
import torch
from ase import Atoms

from ladera.graph import Graph, NeighborList
from ladera.kernels.symmetry_functions import cpu, moments
from ladera.kernels.symmetry_functions.environment import (
    Edges,
    make_memory,
    prepare,
)
from ladera.kernels.symmetry_functions.functions import GaussianFunction
from ladera.models.hdnnp.config import HDNNPConfig
from ladera.models.hdnnp.model import HDNNP
from ladera.models.mace.config import MACEConfig
from ladera.models.mace.model import MACE
from ladera.models.mtp.config import MTPConfig
from ladera.models.mtp.model import MTP
from ladera.models.nequip.config import NequIPConfig
from ladera.models.nequip.model import NequIP
from ladera.potential import Potential, evaluate
from ladera.processes import Processes, Task
from ladera.structure import Structure

_WATER: Final = Atoms("OH2", [(0, 0, 0), (0.8, 0.6, 0), (-0.8, 0.6, 0)])
_CUTOFF: Final = 3.0


def precompile(families: Sequence[str], n_processes: int) -> Iterator[tuple[str, int, int]]:
    """Compile the kernels of families (keys of :data:`FAMILIES`); those on disk cost nothing.

    Yields what has just been compiled, how many are ready, and how many there are. An error of a
    compilation is raised here.
    """
    calls = {name: call for family in families for name, call in FAMILIES[family].items()}
    names = {Task(call): name for name, call in calls.items()}
    with closing(Processes(min(n_processes, len(names))).run(list(names))) as results:
        for done, (task, _) in enumerate(results, start=1):
            yield names[task], done, len(names)


def _hdnnp(narrow: bool) -> HDNNP:
    """A network on a function of each kind of loop: pairs, moments and, if asked, triplets."""
    common = {"center": "H", "eta": 1.0, "cutoff": _CUTOFF}
    functions = [
        GaussianFunction(kind="radial", neighbors=("H",), **common),
        GaussianFunction(kind="wide", neighbors=("H", "H"), lambda_=1, zeta=1, **common),
    ]
    if narrow:
        functions.append(
            GaussianFunction(kind="narrow", neighbors=("H", "H"), lambda_=1, zeta=1, **common)
        )
    return HDNNP(HDNNPConfig(species=("H",), cutoff=_CUTOFF, symmetry_functions=tuple(functions)))


def _shared(part: str) -> None:
    """What several loops over atoms call, for an atom with one neighbour."""
    plan = _hdnnp(narrow=False).plan
    workspace, derivatives = make_memory(plan, 1)
    G = np.zeros(plan.n_functions)
    match part:
        case "environment":
            prepare(plan.arrays, 0, _one_edge(), workspace)
            moments.accumulate_moments(plan.arrays, 0, workspace)
        case "wide reverse":
            moments.wide_reverse(plan.arrays, 0, workspace, derivatives, G)
        case "wide tangent":
            moments.wide_tangent(plan.arrays, 0, workspace, derivatives, G)


def _one_edge() -> Edges:
    """An atom with one neighbour."""
    atom = np.array([0])
    return Edges(np.array([[1.0, 0.0, 0.0]]), np.array([0, 1]), atom, atom)


def _symmetry_functions(operation: str, narrow: bool) -> None:
    """One loop over a single pair of atoms."""
    plan, edges = _hdnnp(narrow).plan, _one_edge()
    match operation:
        case "values":
            cpu.values(plan, edges)
        case "reverse":
            cpu.reverse(plan, edges, np.ones((1, plan.n_functions)))
        case "tangent":
            cpu.tangent(plan, edges, np.ones_like(edges.vectors))


def _network(narrow: bool) -> None:
    """The pass of a simulation."""
    _simulate(_hdnnp(narrow), Atoms("H2", [(0, 0, 0), (1, 0, 0)]))


def _mace(precision: torch.dtype, training: bool) -> None:
    """Every loop that a MACE of this precision calls."""
    torch.manual_seed(0)
    mace = MACE(MACEConfig(species=("H", "O"), cutoff=_CUTOFF, channels=4)).to(precision)
    return _learn(mace, _WATER) if training else _simulate(mace, _WATER)


def _mtp(precision: torch.dtype, training: bool) -> None:
    """Every loop that a moment tensor potential of this precision calls."""
    mtp = MTP(MTPConfig(species=("H", "O"), cutoff=_CUTOFF, level=6)).to(precision)
    if training:
        return _learn(mtp, _WATER)
    with torch.no_grad():
        mtp.functions(Graph.from_atoms(_WATER, _CUTOFF).to(precision))
    return _simulate(mtp, _WATER)


def _nequip(precision: torch.dtype, training: bool) -> None:
    """Every loop that a NequIP of this precision calls."""
    torch.manual_seed(0)
    config = NequIPConfig(species=("H", "O"), cutoff=_CUTOFF, channels=(4, 2), layers=2)
    nequip = NequIP(config).to(precision)
    return _learn(nequip, _WATER) if training else _simulate(nequip, _WATER)


def _learn(potential: Potential, atoms: Atoms) -> None:
    forces = evaluate(potential, Graph.from_atoms(atoms, potential.cutoff)).forces
    torch.autograd.backward(forces.square().sum())


def _simulate(potential: Potential, atoms: Atoms) -> None:
    with torch.no_grad():
        _ = Graph.from_atoms(atoms, potential.cutoff)  # molecules are searched by a loop of theirs
        graph = NeighborList(potential.cutoff).build(Structure.from_atoms(atoms))
        prediction = evaluate(potential, graph)
        _ = prediction.forces, prediction.virial  # which have loops of their own


Tasks = dict[str, Callable[[], None]]


def _hdnnp_tasks(narrow: bool) -> Tasks:
    label = "HDNNP with triplets" if narrow else "HDNNP"
    # Those who call come after those whom they call.
    shared = {
        f"symmetry functions: {part}": partial(_shared, part)
        for part in ("environment", "wide reverse", "wide tangent")
    }
    loops = {
        f"{label}: {operation}": partial(_symmetry_functions, operation, narrow)
        for operation in ("values", "reverse", "tangent")
    }
    return {**shared, **loops, f"{label}: network": partial(_network, narrow)}


def _tasks(label: str, task: Callable[[torch.dtype, bool], None]) -> Tasks:
    return {
        f"{label}, {name}: {what}": partial(task, precision, training)
        for name, precision in (("float64", torch.float64), ("float32", torch.float32))
        for what, training in (("simulation", False), ("training", True))
    }


FAMILIES: Final[dict[str, Tasks]] = {
    "hdnnp": _hdnnp_tasks(narrow=False),
    "hdnnp-triplets": _hdnnp_tasks(narrow=True),
    "mace": _tasks("MACE", _mace),
    "mtp": _tasks("MTP", _mtp),
    "nequip": _tasks("NequIP", _nequip),
}
