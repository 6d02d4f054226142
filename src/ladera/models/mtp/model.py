"""The moment tensor potential."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, Self

import numpy as np
import torch
from ase.data import chemical_symbols
from torch import Tensor, nn

from ladera.errors import ConfigError
from ladera.extrapolation import NEAREST, Extrapolation
from ladera.graph import Graph
from ladera.kernels.moment_tensors import ops, reference
from ladera.kernels.moment_tensors.neighbors import RadialRange
from ladera.kernels.moment_tensors.program import MomentProgram
from ladera.kernels.moment_tensors.tables import Tables
from ladera.models import elements
from ladera.models.mtp.config import MTPConfig, ProgramSize
from ladera.models.mtp.fast import FastPath, Programs, edges_of
from ladera.models.mtp.generation import program_of_level
from ladera.potential import Potential, Prediction, TrainingStatistics


class MTP(Potential):
    r"""Moment tensor potential (Shapeev, Multiscale Model. Simul. 14, 1153 (2016)).

        E_i = E0_z + e_z + sum_s w_s B_s(i)
        f_mu(r; z, z') = sum_b c[z, z', mu, b] Q_b(r)

    The functions B_s are those of a :class:`.MomentProgram` on the moments of the neighbours of
    atom i with the radial functions f_mu, z and z' being the elements of the atom and of its
    neighbour; see :func:`.reference.chebyshev` for Q_b. Parameters: ``radial_coefficients`` c
    (n_species, n_species, n_radial, radial_basis_size), not symmetric in the elements,
    ``moment_coefficients`` w (n_scalars,), ``species_energies`` e (n_species,) in eV.
    """

    double_buffers: ClassVar[tuple[str, ...]] = ("reference_energies",)
    slow_hessian = True  # forces are compiled, their derivatives are torch's

    reference_energies: Tensor
    basic: Tensor
    products: Tensor
    scalars: Tensor

    def __init__(self, config: MTPConfig) -> None:
        super().__init__(config)
        program, size = _sized(config)
        self.config: MTPConfig = config.model_copy(update={"program": size})
        self._own = config.program is None  # not a program of somebody else's
        self._programs: tuple[object, Programs] | None = None
        self._fast: FastPath | None = None
        self.register_buffer("basic", torch.from_numpy(program.basic.copy()))
        self.register_buffer("products", torch.from_numpy(program.products.copy()))
        self.register_buffer("scalars", torch.from_numpy(program.scalars.copy()))
        n_species = len(self.numbers)
        shape = (n_species, n_species, size.radial, config.radial_basis_size)
        self.radial_coefficients = nn.Parameter(torch.randn(shape, dtype=torch.float64))
        zeros = torch.zeros(size.scalars, dtype=torch.float64)
        self.moment_coefficients = nn.Parameter(zeros)
        self.species_energies = nn.Parameter(torch.zeros(n_species, dtype=torch.float64))
        self.register_buffer("reference_energies", torch.zeros(n_species, dtype=torch.float64))

    @classmethod
    def with_program(cls, config: MTPConfig, program: MomentProgram) -> MTP:
        """A model with functions of its own, whatever the level of ``config``."""
        model = cls(config.model_copy(update={"program": ProgramSize.of(program)}))
        for name in ("basic", "products", "scalars"):
            getattr(model, name).copy_(torch.from_numpy(getattr(program, name)))
        return model

    @property
    def program(self) -> MomentProgram:
        """How its functions are made; raises ConfigError where that was never said."""
        return self._known().program

    def _known(self) -> Programs:
        """The program, and what was made of it, which is kept while it stays."""
        buffers = (self.basic, self.products, self.scalars)
        version = tuple((id(buffer), buffer._version) for buffer in buffers)
        if self._programs is None or self._programs[0] != version:
            if bool((self.scalars < 0).any()):
                raise ConfigError(
                    "The configuration of the mtp model speaks of functions of its own "
                    "('program'), and there are none; leave program out for those of the level."
                )
            program = MomentProgram(*(buffer.cpu().numpy().copy() for buffer in buffers))
            self._programs = version, Programs(program, None if self._own else self.config.level)
        return self._programs[1]

    def tables(self) -> Tables:
        """The program as the compiled loops take it."""
        return self._known().tables(self._numpy_dtype())

    def _numpy_dtype(self) -> np.dtype[Any]:
        return np.dtype(str(self.dtype).removeprefix("torch."))

    @property
    def distances(self) -> RadialRange:
        """Of its radial functions."""
        return RadialRange(self.config.min_distance, self.cutoff)

    def constants(self) -> Tensor:
        """E0_z + e_z of each element, (n_species,), eV, float64."""
        return self.reference_energies + self.species_energies

    def radial_functions(self, graph: Graph, index: Tensor) -> Tensor:
        """f_mu of each edge, (n_edges, n_radial); ``index`` (n_atoms,) the element of each atom."""
        config = self.config
        basis = reference.chebyshev(
            graph.vectors.norm(dim=1), config.radial_basis_size, config.min_distance, self.cutoff
        )
        pairs = self.radial_coefficients[index[graph.centers], index[graph.neighbors]]
        return torch.einsum("emb,eb->em", pairs, basis)

    def functions(self, graph: Graph) -> Tensor:
        """The invariant functions B of each atom, (n_atoms, n_scalars)."""
        if not torch.is_grad_enabled() and self.device.type == "cpu":
            return self._tables().functions(graph, self.element_index(graph))
        radial = self.radial_functions(graph, self.element_index(graph))
        basic = reference.basic_moments(
            self.program, graph.vectors, radial, graph.centers, graph.n_atoms
        )
        return reference.functions(self.program, basic)

    def atomic_energies(self, graph: Graph) -> Tensor:
        """E0_z + e_z + sum_s w_s B_s of each atom, (n_atoms,), eV."""
        learned = self.functions(graph) @ self.moment_coefficients
        return learned + self.constants()[self.element_index(graph)]

    def energies_and_edge_gradients(self, graph: Graph) -> tuple[Tensor, Tensor]:
        """One compiled pass; in training, one that is differentiable in the parameters."""
        if self.device.type != "cpu":
            return super().energies_and_edge_gradients(graph)
        index = self.element_index(graph)
        if not torch.is_grad_enabled():
            return self._tables().energies_and_edge_gradients(graph, index)
        energies, gradients = ops.energies_and_edge_gradients(
            self.radial_coefficients,
            self.moment_coefficients,
            self.tables(),
            self.distances,
            edges_of(graph, index),
        )
        return energies + self.constants()[index], gradients

    def _tables(self) -> FastPath:
        if self._fast is None or self._fast.outdated:
            self._fast = FastPath(self, self._known(), self._numpy_dtype())
        return self._fast

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Forget the tables of the compiled loops when tensors are moved or converted."""
        self._fast = None
        return super()._apply(fn, recurse)

    def descriptors(self, graph: Graph) -> Tensor:
        """What each function adds to the energy of an atom, w_s B_s in eV: (n_atoms, n_scalars)."""
        return self.functions(graph.to(self.dtype, self.device)) * self.moment_coefficients

    def grade_features(self, graph: Graph, prediction: Prediction | None = None) -> Tensor:
        """The functions B and 1, which the linear coefficients multiply: (n_atoms, n_scalars + 1).

        MLIP's grade has the derivatives in the radial coefficients beside them.
        """
        functions = self.functions(graph.to(self.dtype, self.device))
        return torch.cat([functions, torch.ones_like(functions[:, :1])], dim=1)

    def grade(self, graph: Graph, prediction: Prediction | None = None) -> Tensor:
        """That of the active set; without one, of the distance r of the nearest neighbour.

            1 + (min_distance - r) / (cutoff - min_distance)

        A file of MLIP says no more of its training data than that distance.
        """
        gamma = self.active_set_grade(graph, prediction)
        if gamma is not None:
            return gamma
        nearest, width = self._nearest(graph), self.cutoff - self.config.min_distance
        return graph.owned(1.0 + (self.config.min_distance - nearest) / width)

    def explain_grade(
        self, graph: Graph, prediction: Prediction | None = None
    ) -> list[Extrapolation]:
        """The same, of the atoms that are outside."""
        if self.active_set is not None:
            return super().explain_grade(graph, prediction)
        nearest, shortest = self._nearest(graph), self.config.min_distance
        symbols = [chemical_symbols[number] for number in graph.numbers.tolist()]
        return [
            Extrapolation(
                k, symbols[k], None, None, float(nearest[k]), shortest, self.cutoff, NEAREST
            )
            for k in torch.nonzero(nearest < shortest)[:, 0].tolist()
        ]

    def _nearest(self, graph: Graph) -> Tensor:
        """Distance of the nearest neighbour of each atom, (n_atoms,), at most the cutoff."""
        distances = graph.vectors.detach().double().norm(dim=1)
        farthest = torch.full((graph.n_atoms,), self.cutoff, dtype=torch.float64)
        return farthest.to(graph.vectors.device).scatter_reduce(0, graph.centers, distances, "amin")

    def free_atom_energies(self, head: str | None = None) -> Tensor:
        """E0 of each element, (n_species,), eV."""
        return self.reference_energies

    def last_layers(self) -> tuple[str, ...]:
        """What the energy is linear in."""
        return "moment_coefficients", "species_energies"

    def with_elements(self, relatives: Mapping[str, str]) -> MTP:
        """A copy for more elements; see :mod:`ladera.models.elements`."""
        changes = {"species": elements.joined(self.symbols, relatives)}
        size = {"program": None} if self._own else {}
        larger = MTP(self.config.model_copy(update=changes | size))
        return elements.extended(self, larger, relatives, lambda name: False)

    def fit_statistics(self, graphs: Iterable[Graph], statistics: TrainingStatistics) -> None:
        """Take the reference energies, and radial functions that are orthonormal in the data.

        f_mu, the same for all pairs of elements, is a polynomial of degree mu times what makes it
        vanish at the cutoff; sum_j f_mu f_nu is 1 for mu = nu and else 0 in the mean of the atoms.
        """
        energies = [statistics.reference_energies[symbol] for symbol in self.symbols]
        self.reference_energies.copy_(torch.tensor(energies, dtype=torch.float64))
        size, n_atoms = self.config.radial_basis_size, 0
        products = torch.zeros(size, size, dtype=torch.float64)
        for graph in graphs:
            distances = graph.vectors.double().norm(dim=1)
            basis = reference.chebyshev(distances, size, self.config.min_distance, self.cutoff)
            products, n_atoms = products + basis.T @ basis, n_atoms + graph.n_atoms
        count = min(size, self.radial_coefficients.shape[2])
        lower, failed = torch.linalg.cholesky_ex(products / max(n_atoms, 1))
        if not failed:  # else there are fewer distances than polynomials: stay with random ones
            orthonormal = torch.linalg.inv(lower)[:count]
            with torch.no_grad():
                self.radial_coefficients[:, :, :count] = orthonormal.to(self.radial_coefficients)


def _sized(config: MTPConfig) -> tuple[MomentProgram, ProgramSize]:
    """The program of the level, or room for one of its own, which is -1 until it comes."""
    if config.program is None:
        program = program_of_level(config.level)
        return program, ProgramSize.of(program)
    size = config.program
    shapes = ((size.basic, 4), (size.products, 4), (size.scalars,))
    return MomentProgram(*(np.full(shape, -1, dtype=np.int64) for shape in shapes)), size
