"""Energies and edge gradients of a moment tensor potential, for a vector of atoms at a time."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ladera.arrays import Floats, Integers, Reals
from ladera.kernels.compilation import simd
from ladera.kernels.lanes import lanes_of, rows_of_lanes, tables_of_lanes
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


class Functions(NamedTuple):
    """Its functions alone."""

    radial: RadialTables
    sums: SumTables
    products: ProductTables
    scalars: Integers  # (n_scalars,) which moments they are


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
        self.order: Integers = np.lexsort((counts, edges.elements[: len(counts)]))
        self.dtype = dtype
        self.count = -(-len(counts) // lanes_of(dtype))
        self.slots = (int(counts.max(initial=0)) + TOGETHER - 1) // TOGETHER * TOGETHER
        self.shares = Shares(counts)

    def neighborhood(self, radial: RadialTables, sums: SumTables) -> Neighborhood:
        """Scratch memory for the neighbours of any of the vectors."""
        return make_neighborhood(self.slots, radial.coefficients.shape[2], sums, self.dtype)


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

    def work(thread: int, start: int, stop: int) -> None:
        n_moments = len(model.energy.linear)
        near = blocks.neighborhood(model.radial, model.sums)
        memory = Memory(near, *tables_of_lanes((n_moments, n_moments), dtype))
        _blocks(start, stop, blocks.order, model, edges, memory, energies, gradients)

    blocks.shares.items(work, blocks.count)
    return energies, gradients


def functions(tables: Tables, radial: RadialTables, edges: Edges) -> Reals:
    """The invariant functions of each atom, (n_atoms, n_scalars)."""
    blocks = Blocks(edges, tables.dtype)
    model = Functions(radial, tables.sums, tables.every_product, tables.scalars)
    result = np.zeros((len(edges.elements), len(tables.scalars)), tables.dtype)

    def work(thread: int, start: int, stop: int) -> None:
        near = blocks.neighborhood(radial, tables.sums)
        M = rows_of_lanes(tables.n_moments, tables.dtype)
        _functions(start, stop, blocks.order, model, edges, near, M, result)

    blocks.shares.items(work, blocks.count)
    return result


@simd
def _functions(
    start: int,
    stop: int,
    order: Integers,
    model: Functions,
    edges: Edges,
    near: Neighborhood,
    M: Reals,
    result: Reals,
) -> None:
    sums, lanes = model.sums, M.shape[1]
    for block in range(start, stop):
        atoms = order[lanes * block : min(lanes * (block + 1), order.size)]
        n_slots = neighbors.gather(atoms, edges, model.radial, near)
        neighbors.radial_functions(n_slots, model.radial, near)
        neighbors.moments(n_slots, sums, near, M)
        products.derive(sums.derived, sums.n_summed, M)
        products.multiply(model.products, M)
        for lane in range(atoms.size):
            for s in range(model.scalars.size):
                result[atoms[lane], s] = M[model.scalars[s], lane]


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
