"""A model made ready for the elements of a structure: splines, coefficients, matrices."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch

from ladera.arrays import Integers, Reals
from ladera.kernels.mace.linear import Linear
from ladera.kernels.mace.messages import Couplings, couple
from ladera.kernels.mace.monomials import Monomials, Nodes, find_monomials
from ladera.kernels.mace.tables import Layer, Model
from ladera.kernels.splines import ROWS, Knots, choose_knots, sites, tabulate

# Largest error between the knots of the splines, see ``choose_knots``; and the singular
# values of the first layer's radial functions that are left out.
TOLERANCES = {torch.float64: (2e-14, 1e-12), torch.float32: (2e-7, 1e-8)}
LANES = 8  # functions of the first layer come in multiples of this

KEPT = 4  # sets of elements


@dataclass(frozen=True, eq=False)
class Gate:
    """What a nonlinear_residual layer adds to the message, and the linear map behind the gates."""

    rest: Linear  # by degree of the input, from h; none in the first layer
    constants: Reals | None  # (elements present, scalars): what that one adds instead
    last: Linear  # by degree


@dataclass(frozen=True, eq=False)
class Sum:
    """The sum over neighbours of a layer, and the linear map of what it gives."""

    table: Reals  # splines of the radial functions, see ``tabulate``, pair after pair
    mix: Linear  # by degree
    up: Linear  # by degree of the input; none in the first layer
    n_input: int  # how many degrees the input has
    couplings: Couplings | None  # with the same table; none in the first layer
    columns: tuple[int, ...]  # how many rows of C (of n_functions) each (l, m) has
    density: Reals | None  # splines of one function
    least_density: float
    gate: Gate | None


@dataclass(frozen=True, eq=False)
class Product:
    """The symmetric contraction of a layer and the linear map behind it."""

    nodes: Nodes
    coefficients: Reals  # (elements present, n_terms, C)
    out: Linear  # by degree; for the last layer (C, n_hidden) alone
    skip: Linear  # by degree; empty without a residual
    constants: Reals | None  # (elements present, C): what the first layer's skip gives

    @property
    def depth(self) -> int:
        """One more than the factors of the longest monomial."""
        return int(self.nodes.order.max()) + 1


@dataclass(frozen=True, eq=False)
class Prepared:
    """Everything a run reads, for some elements ``present``, indices of the model's elements."""

    present: tuple[int, ...]
    knots: Knots
    pair_base: Integers  # (present, present) first coefficient for receiver and sender
    sums: list[Sum]
    products: list[Product]
    readouts: list[Reals]  # (C,) of every layer but the last
    constants: Reals  # (present,) reference energies, eV


class Preparation:
    """Makes and keeps what structures of the same elements need."""

    def __init__(self, model: Model, dtype: torch.dtype) -> None:
        self.model, self.dtype = model, dtype
        self.numpy_dtype: np.dtype[Any] = np.dtype(str(dtype).removeprefix("torch."))
        self._prepared: dict[tuple[int, ...], Prepared] = {}
        self._tables: dict[tuple[int, ...], Reals] = {}
        self._knots: dict[tuple[tuple[int, int], ...], Knots] = {}
        self._singular: dict[tuple[int, ...], tuple[Reals, Reals]] = {}
        self._coefficients: dict[tuple[int, int], Reals] = {}

    def of(self, present: tuple[int, ...]) -> Prepared:
        """What a structure of these elements needs; kept for the sets of elements used last."""
        prepared = self._prepared.pop(present, None) or self._prepare(present)
        self._prepared[present] = prepared
        if len(self._prepared) > KEPT:
            del self._prepared[next(iter(self._prepared))]
        return prepared

    def unfolded(self, prepared: Prepared) -> Prepared:
        """The same with features after the last layer, not those times the readout's matrix."""
        products = list(prepared.products)
        products[-1] = self._product(len(products) - 1, prepared.present, fold=False)
        return replace(prepared, products=products)

    @cached_property
    def _monomials(self) -> list[Monomials]:
        return [find_monomials(layer.contractions) for layer in self.model.layers]

    def _prepare(self, present: tuple[int, ...]) -> Prepared:
        model = self.model
        pairs, pair_base = self._pairs(present)
        knots = self._knots_for(tuple(pairs))
        sums = [
            self._first_sum(present, pairs, knots),
            *(self._sum(t, present, pairs, knots) for t in range(1, len(model.layers))),
        ]
        return Prepared(
            present=present,
            knots=knots,
            pair_base=pair_base * knots.size,
            sums=sums,
            products=[self._product(t, present) for t in range(len(model.layers))],
            readouts=[self._array(readout) for readout in model.readouts],
            constants=model.reference_energies[list(present)],
        )

    def _pairs(self, present: tuple[int, ...]) -> tuple[list[tuple[int, int]], Integers]:
        """Pairs of elements with radial functions of their own, and each pair's number."""
        count = len(present)
        match self.model.pairs:
            case "same":
                return [(0, 0)], np.zeros((count, count), np.int64)  # any pair will do
            case "ordered":
                pairs = [(a, b) for a in present for b in present]
                return pairs, np.arange(count * count, dtype=np.int64).reshape(count, count)
        pairs = [(a, b) for i, a in enumerate(present) for b in present[i:]]
        numbers = {pair: number for number, pair in enumerate(pairs)}
        table = [[numbers[min(a, b), max(a, b)] for b in present] for a in present]
        return pairs, np.array(table, np.int64)

    def _knots_for(self, pairs: tuple[tuple[int, int], ...]) -> Knots:
        """Dense enough for the radial functions of these pairs in all layers."""
        if pairs not in self._knots:
            functions = [layer.radial for layer in self.model.layers]
            functions += [layer.density for layer in self.model.layers if layer.density is not None]
            radials = [partial(f, receiver=a, sender=b) for f in functions for a, b in pairs]
            tolerance = TOLERANCES[self.dtype][0]
            self._knots[pairs] = choose_knots(radials, self.model.cutoff, tolerance)
        return self._knots[pairs]

    def _factors(self, pair: tuple[int, int], knots: Knots) -> tuple[Reals, Reals]:
        """Radial functions of the first layer as functions on the knots times vectors."""
        key = (*knots.intervals.tolist(), *pair)
        if key not in self._singular:
            values = self.model.layers[0].radial(sites(knots), *pair)
            self._singular[key] = _singular(values, TOLERANCES[self.dtype][1])
        return self._singular[key]

    def _first_sum(
        self, present: tuple[int, ...], pairs: list[tuple[int, int]], knots: Knots
    ) -> Sum:
        """Singular vectors of the radial functions, and one matrix for all that is linear."""
        model, layer = self.model, self.model.layers[0]
        x = model.embedding @ layer.up[0]
        n = x.shape[1]
        factors = [self._factors(pair, knots) for pair in pairs]
        rank = max(len(vectors) for _, vectors in factors)
        rank += -rank % LANES
        tables, vectors = [], []
        for values, rows in factors:
            missing = rank - len(rows)
            tables.append(tabulate(np.pad(values, ((0, 0), (0, missing))), knots))
            vectors.append(np.pad(rows, ((0, missing), (0, 0))))
        _, numbers = self._pairs(present)
        own = model.pairs != "same" or layer.mix_element
        receivers = range(len(present)) if own else range(1)
        mix: list[list[Reals]] = []
        for p, path in enumerate(layer.paths):  # one to each degree
            l, columns = path.l3, slice(p * n, (p + 1) * n)
            matrix = layer.mix[l] * path.coupling.flat[0]  # of scalars: a multiple of one
            mix.append([])
            for r in receivers:
                parts = [vectors[numbers[r, s]][:, columns] * x[z] for s, z in enumerate(present)]
                folded = np.concatenate(parts) @ matrix
                if layer.mix_element is not None:
                    folded = folded @ layer.mix_element[l][present[r]]
                mix[l].append(self._array(folded))
        gate = None
        if layer.gate is not None:
            rows = self._array(x[list(present)] @ layer.gate.rest[0])
            gate = Gate(Linear([]), rows, self._one_each(layer.gate.last))
        return Sum(
            table=self._array(np.concatenate(tables)),
            mix=Linear(mix),
            up=Linear([]),
            n_input=1,
            couplings=None,
            columns=(len(present),) * len(mix),
            density=self._density(layer, pairs, knots),
            least_density=layer.least_density,
            gate=gate,
        )

    def _sum(
        self, t: int, present: tuple[int, ...], pairs: list[tuple[int, int]], knots: Knots
    ) -> Sum:
        layer = self.model.layers[t]
        mix: list[list[Reals]] = []
        for l, matrix in enumerate(layer.mix):
            if layer.mix_element is None:
                mix.append([self._array(matrix)])
            else:
                mix.append([self._array(matrix @ layer.mix_element[l][z]) for z in present])
        columns = tuple(sum(path.l3 == l for path in layer.paths) for l in range(len(mix)))
        gate = None
        if layer.gate is not None:
            rest = [up @ matrix for up, matrix in zip(layer.up, layer.gate.rest, strict=True)]
            gate = Gate(self._one_each(rest), None, self._one_each(layer.gate.last))
        table = self._table(t, pairs, knots)
        return Sum(
            table=table,
            mix=Linear(mix),
            up=self._one_each(layer.up),
            n_input=len(self.model.layers[t - 1].out),
            couplings=couple(layer.paths, table),
            columns=columns,
            density=self._density(layer, pairs, knots),
            least_density=layer.least_density,
            gate=gate,
        )

    def _table(self, t: int, pairs: list[tuple[int, int]], knots: Knots) -> Reals:
        """Splines of all pairs; without a dependence on pairs they are the same for every set."""
        layer, key = self.model.layers[t], (t, *knots.intervals.tolist())
        if key in self._tables:
            return self._tables[key]
        size = ROWS * knots.size * len(layer.paths)
        table = np.empty((len(pairs) * size, layer.up[0].shape[1]), self.numpy_dtype)
        for i, pair in enumerate(pairs):
            values = layer.radial(sites(knots), *pair)
            table[i * size : (i + 1) * size] = tabulate(values, knots, len(layer.paths))
        if self.model.pairs == "same":
            self._tables[key] = table
        return table

    def _density(self, layer: Layer, pairs: list[tuple[int, int]], knots: Knots) -> Reals | None:
        if layer.density is None:
            return None
        tables = [tabulate(layer.density(sites(knots), *pair), knots) for pair in pairs]
        return self._array(np.concatenate(tables))

    def _product(self, t: int, present: tuple[int, ...], fold: bool = True) -> Product:
        model, layer = self.model, self.model.layers[t]
        for z in present:
            if (t, z) not in self._coefficients:
                self._coefficients[t, z] = self._array(self._monomials[t].coefficients(z))
        skip, out, constants = layer.skip, layer.out, None
        if fold and t + 1 == len(model.layers):
            last = model.last_readout.weights[0]
            out, skip = (out[0] @ last,), tuple(matrices @ last for matrices in skip[:1])
        if t == 0 and skip:
            rows = [model.embedding[z] @ _of(skip[0], z) for z in present]
            constants, skip = self._array(np.array(rows)), ()
        return Product(
            nodes=self._monomials[t].nodes,
            coefficients=np.stack([self._coefficients[t, z] for z in present]),
            out=self._one_each(out),
            skip=Linear(
                [
                    [self._array(_of(each, z)) for z in (present if len(each) > 1 else (0,))]
                    for each in skip
                ]
            ),
            constants=constants,
        )

    def _one_each(self, matrices: Iterable[Reals]) -> Linear:
        """One matrix for all atoms, of each degree."""
        return Linear([[self._array(matrix)] for matrix in matrices])

    def _array(self, values: Reals) -> Reals:
        return np.ascontiguousarray(values, self.numpy_dtype)


def _of(matrices: Reals, element: int) -> Reals:
    """Of (S or 1, C, C) that of an element."""
    matrix: Reals = matrices[element if len(matrices) > 1 else 0]
    return matrix


def _singular(values: Reals, cut: float) -> tuple[Reals, Reals]:
    """Functions (n, rank) and vectors (rank, n_functions) whose product is ``values``."""
    left, sizes, right = np.linalg.svd(values, full_matrices=False)
    rank = int((sizes > cut * sizes[0]).sum())
    return left[:, :rank] * sizes[:rank], right[:rank]
