"""Energies and edge gradients of a moment tensor potential, for a vector of atoms at a time."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ladera.arrays import Floats, Integers, Reals
from ladera.kernels.compilation import simd
from ladera.kernels.lanes import lanes_of, rows_of_lanes
from ladera.kernels.moment_tensors import neighbors, products
from ladera.kernels.moment_tensors.neighbors import (
    TOGETHER,
    Edges,
    Neighborhood,
    RadialTables,
    make_neighborhood,
)
from ladera.kernels.moment_tensors.tables import (
    EnergyTables,
    ProductTables,
    SumTables,
    Tables,
)
from ladera.kernels.threads import Shares


class Potential(NamedTuple):
    """A potential as the loops take it."""

    radial: RadialTables
    sums: SumTables
    products: ProductTables
    energy: EnergyTables


class Memory(NamedTuple):
    """Scratch memory of one thread."""

    near: Neighborhood
    M: Reals
    M_bar: Reals


def potential(tables: Tables, radial: RadialTables, coefficients: Reals) -> Potential:
    """Of a program and its linear coefficients (n_scalars,), eV."""
    return Potential(radial, tables.sums, tables.inner_products, tables.energy(coefficients))


class Blocks:
    """Atoms of a structure in the order in which they share vectors: like ones together."""

    def __init__(self, edges: Edges, dtype: np.dtype[Any]) -> None:
        counts = np.diff(edges.row_pointer)
        self.order: Integers = np.lexsort((counts, edges.elements))
        self.lanes = lanes_of(dtype)
        self.count = -(-len(counts) // self.lanes)
        self.slots = (int(counts.max(initial=0)) + TOGETHER - 1) // TOGETHER * TOGETHER
        self.shares = Shares(counts)


def energies_and_edge_gradients(
    model: Potential, edges: Edges, constants: Floats
) -> tuple[Floats, Reals]:
    """Energies (n_atoms,) in eV, float64, and dE/dr_ij (n_edges, 3) in eV/Angstrom.

    ``constants`` (n_species,) in eV are added to the energies of atoms.
    """
    dtype = edges.vectors.dtype
    blocks = Blocks(edges, dtype)
    energies = constants[edges.elements]
    gradients = np.empty_like(edges.vectors)
    size = model.radial.coefficients.shape[2]

    def work(thread: int, start: int, stop: int) -> None:
        n_moments = len(model.energy.linear)
        near = make_neighborhood(blocks.slots, size, model.sums, dtype)
        memory = Memory(near, *(rows_of_lanes(n_moments, dtype) for _ in range(2)))
        _blocks(start, stop, blocks.order, model, edges, memory, energies, gradients)

    blocks.shares.items(work, blocks.count)
    return energies, gradients


def functions(tables: Tables, radial: RadialTables, edges: Edges) -> Reals:
    """The invariant functions of each atom, (n_atoms, n_scalars)."""
    dtype, program = tables.dtype, tables.every_product
    blocks = Blocks(edges, dtype)
    result = np.empty((len(edges.elements), len(tables.scalars)), dtype)

    def work(thread: int, start: int, stop: int) -> None:
        near = make_neighborhood(blocks.slots, radial.coefficients.shape[2], tables.sums, dtype)
        M = rows_of_lanes(tables.n_moments, dtype)
        for block in range(start, stop):
            atoms = blocks.order[blocks.lanes * block : blocks.lanes * (block + 1)]
            _functions(atoms, edges, radial, tables.sums, program, tables.scalars, near, M, result)

    blocks.shares.items(work, blocks.count)
    return result


@simd
def _functions(
    atoms: Integers,
    edges: Edges,
    radial: RadialTables,
    sums: SumTables,
    program: ProductTables,
    scalars: Integers,
    near: Neighborhood,
    M: Reals,
    result: Reals,
) -> None:
    n_slots = neighbors.gather(atoms, edges, radial, near)
    neighbors.radial_functions(n_slots, radial, near)
    neighbors.moments(n_slots, sums, near, M)
    products.derive(sums.derived, sums.n_summed, M)
    products.multiply(program, M)
    for lane in range(atoms.size):
        for s in range(scalars.size):
            result[atoms[lane], s] = M[scalars[s], lane]


@simd
def _blocks(
    start: int,
    stop: int,
    order: Integers,
    model: Potential,
    edges: Edges,
    memory: Memory,
    energies: Floats,
    gradients: Reals,
) -> None:
    near, M, M_bar = memory.near, memory.M, memory.M_bar
    lanes = M.shape[1]
    for block in range(start, stop):
        atoms = order[lanes * block : min(lanes * (block + 1), order.size)]
        n_slots = neighbors.gather(atoms, edges, model.radial, near)
        neighbors.radial_functions(n_slots, model.radial, near)
        neighbors.moments(n_slots, model.sums, near, M)
        products.derive(model.sums.derived, model.sums.n_summed, M)
        products.multiply(model.products, M)
        products.energy_and_gradient(model.energy, model.products, M, M_bar, near.mask)
        for lane in range(atoms.size):
            energies[atoms[lane]] += near.mask[0, lane]
        products.derive_reverse(model.sums.derived, model.sums.n_summed, M_bar)
        neighbors.gradients(n_slots, model.sums, near, M_bar, gradients)
