"""The contract of every model: a potential maps edge vectors to atomic energies.

Forces, virial and stress follow from the one gradient g_ij = dE/dr_ij and are written here, once,
for all models.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING, Any, ClassVar, Self

import torch
from ase.data import atomic_numbers, chemical_symbols
from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, field_validator
from torch import Tensor, nn

from ladera.errors import ConfigError, DataError, did_you_mean
from ladera.graph import Graph

if TYPE_CHECKING:
    import os


class PotentialConfig(BaseModel):
    """What every model's configuration has; models add their own keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    architecture: str = Field(description="Which model: hdnnp or lennard_jones.")
    species: tuple[str, ...] = Field(
        default=(),
        description="Chemical symbols the model knows. Left out: those of the training data.",
    )
    cutoff: PositiveFloat = Field(description="Interaction cutoff in Angstrom.")

    @field_validator("species")
    @classmethod
    def _known_symbols(cls, species: tuple[str, ...]) -> tuple[str, ...]:
        for symbol in species:
            if symbol not in atomic_numbers:
                hint = did_you_mean(symbol, chemical_symbols[1:])
                raise ValueError(f"'{symbol}' is not a chemical symbol; {hint}")
        return tuple(sorted(set(species), key=atomic_numbers.__getitem__))


@dataclass(frozen=True)
class TrainingStatistics:
    """What a model may need to know of its training data before the first step."""

    reference_energies: Mapping[str, float]  # E0 by chemical symbol, eV
    energy_shift: float  # mean of (E - sum of E0) / n_atoms over the structures, eV/atom
    force_scale: float  # root mean square of the force components, eV/Angstrom; 0 without forces


class Potential(nn.Module, ABC):
    """Base of all models. A new model implements :meth:`atomic_energies` and nothing else.

    ``species`` are the atomic numbers the model knows, ascending; ``cutoff`` is in Angstrom;
    ``config`` rebuilds the model, ``provenance`` says where its parameters come from.

    Buffers named in ``double_buffers`` stay in float64 when the model becomes float32: energies of
    thousands of eV would lose their last meV.
    """

    double_buffers: ClassVar[tuple[str, ...]] = ()

    _lookup: Tensor  # (119,) index in ``species`` of each atomic number, -1 for the others

    def __init__(self, config: PotentialConfig) -> None:
        super().__init__()
        if not config.species:
            raise ConfigError(
                f"The {config.architecture} model was given no species; "
                "name the chemical symbols it is for, such as species: [H, O]."
            )
        self.config = config
        self.cutoff: float = config.cutoff
        self.species: tuple[int, ...] = tuple(atomic_numbers[s] for s in config.species)
        self.provenance: dict[str, Any] = {}
        lookup = torch.full((len(chemical_symbols),), -1, dtype=torch.int64)
        lookup[list(self.species)] = torch.arange(len(self.species))
        self.register_buffer("_lookup", lookup, persistent=False)

    @abstractmethod
    def atomic_energies(self, graph: Graph) -> Tensor:
        """Energy of each atom in eV, (n_atoms,).

        Differentiable in ``graph.vectors`` and in the parameters; uses nothing of the positions
        but the edge vectors. ``graph`` has this model's dtype and every edge within its cutoff;
        edges beyond the cutoff, which a committee may bring, must contribute nothing.
        """

    def energies_and_edge_gradients(self, graph: Graph) -> tuple[Tensor, Tensor]:
        """Atomic energies (n_atoms,) in eV and g_ij = dE/dr_ij (n_edges, 3) in eV/Angstrom.

        Differentiable in the parameters while torch records gradients. A model with a hand-written
        gradient overrides this; the contract tests hold it to this automatic one.
        """
        differentiable = torch.is_grad_enabled()
        with torch.enable_grad():
            vectors = graph.vectors.detach().requires_grad_()
            energies = self.atomic_energies(replace(graph, vectors=vectors))
            if not energies.requires_grad:  # no edges and no parameters: nothing depends on them
                return energies, torch.zeros_like(vectors)
            (gradients,) = torch.autograd.grad(
                energies.sum(), vectors, create_graph=differentiable, materialize_grads=True
            )
        return (energies, gradients) if differentiable else (energies.detach(), gradients.detach())

    def fit_statistics(self, graphs: Sequence[Graph], statistics: TrainingStatistics) -> None:
        """Set the constants that come from the training data. Most models have some."""

    def extrapolations(self, graph: Graph) -> Tensor | None:
        """How many descriptors of each atom lie outside their training range, (n_atoms,) int64.

        None for a model that keeps no record of its training domain.
        """
        return None

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Move or convert the parameters (torch's hook below ``to``, ``float``, ``double``)."""
        kept = {name: getattr(self, name) for name in self.double_buffers}
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        for name, buffer in kept.items():
            setattr(self, name, buffer.to(device=self.device))
        return self

    @property
    def dtype(self) -> torch.dtype:
        """Floating-point type of the parameters."""
        for tensor in chain(self.parameters(), self.buffers()):
            if tensor.is_floating_point():
                return tensor.dtype
        return torch.float64

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return self._lookup.device

    @property
    def symbols(self) -> tuple[str, ...]:
        """Chemical symbols of ``species``."""
        return tuple(chemical_symbols[number] for number in self.species)

    def species_index(self, graph: Graph) -> Tensor:
        """Index of each atom's element in ``species``, (n_atoms,) int64.

        Raises DataError for an element the model does not know, naming the atom.
        """
        index = self._lookup[graph.species]
        if bool((index < 0).any()):
            atom = int(torch.nonzero(index < 0)[0, 0])
            symbol = chemical_symbols[int(graph.species[atom])]
            raise DataError(
                f"Atom {atom} is {symbol}, which this model does not know; "
                f"it was made for {', '.join(self.symbols)}."
            )
        return index

    def calculator(self, **options: Any) -> Any:
        """An ASE calculator; see :class:`ladera.simulation.calculator.LaderaCalculator`."""
        from ladera.simulation.calculator import LaderaCalculator

        return LaderaCalculator(self, **options)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a ``.ladera`` model file; see :mod:`ladera.modelfile`."""
        from ladera import modelfile

        modelfile.save(self, path)


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a potential says about a graph; everything but the energies is derived when asked for.

    Sums over atoms are done in float64, whatever the model's own precision.
    """

    graph: Graph
    atomic_energies: Tensor  # (n_atoms,), eV
    edge_gradients: Tensor | None = None  # (n_edges, 3), eV/Angstrom

    @cached_property
    def energy(self) -> Tensor:
        """E = sum_i E_i of each structure, (n_structures,), eV."""
        energies = self.atomic_energies.double()
        return energies.new_zeros(self.graph.n_structures).index_add(
            0, self.graph.structure_index, energies
        )

    @cached_property
    def forces(self) -> Tensor:
        """F_i = sum_j g_ij - sum_j g_ji, (n_atoms, 3), eV/Angstrom."""
        gradients = self._gradients()
        zeros = gradients.new_zeros(self.graph.n_atoms, 3)
        outgoing = zeros.index_add(0, self.graph.centers, gradients)
        # -g and not alpha=-1, which takes torch's slow path: 0.05 against 0.45 ms for 8,000 edges.
        return outgoing.index_add(0, self.graph.neighbors, -gradients)

    @cached_property
    def atomic_virials(self) -> Tensor:
        """W_i = sum_j r_ij (x) g_ij, symmetrised, (n_atoms, 3, 3), eV; they sum to the virial."""
        gradients = self._gradients()
        outer = self.graph.vectors.to(gradients)[:, :, None] * gradients[:, None, :]
        outer = 0.5 * (outer + outer.transpose(1, 2))
        zeros = outer.new_zeros(self.graph.n_atoms, 3, 3)
        return zeros.index_add(0, self.graph.centers, outer)

    @cached_property
    def virial(self) -> Tensor:
        """W = sum_ij r_ij (x) g_ij = dE/d(strain), (n_structures, 3, 3), eV."""
        if self.graph.n_structures == 1:  # molecular dynamics: one product, no tensor per edge
            gradients = self._gradients()
            product = self.graph.vectors.to(gradients).T @ gradients
            return (0.5 * (product + product.T))[None]
        virials = self.atomic_virials
        zeros = virials.new_zeros(self.graph.n_structures, 3, 3)
        return zeros.index_add(0, self.graph.structure_index, virials)

    @property
    def stress(self) -> Tensor:
        """sigma = W / V with the ASE sign (positive in tension), (n_structures, 3, 3), eV/A^3.

        Raises DataError for an open structure, and for a partly periodic one whose cell has no
        volume: neither has a stress.
        """
        volumes = self.graph.volumes
        if bool((volumes <= 0).any()):
            structure = int(torch.nonzero(volumes <= 0)[0, 0])
            reason = (
                "its cell has no volume; give the non-periodic directions a cell vector"
                if bool(self.graph.periodic[structure].any())
                else "it is not periodic; ask for the virial instead"
            )
            raise DataError(f"Structure {structure} has no stress: {reason}.")
        return self.virial / volumes.to(self.virial)[:, None, None]

    def _gradients(self) -> Tensor:
        if self.edge_gradients is None:
            raise DataError(
                "This prediction has energies only; "
                "evaluate with gradients=True for forces, virial and stress."
            )
        return self.edge_gradients


def evaluate(potential: Potential, graph: Graph, gradients: bool = True) -> Prediction:
    """Energies and, with ``gradients``, the edge gradients that give forces, virial and stress.

    The result is differentiable in the parameters while torch records gradients (training); under
    ``torch.no_grad()`` models take their fast path.
    """
    graph = graph.to(dtype=potential.dtype, device=potential.device)
    if gradients:
        return Prediction(graph, *potential.energies_and_edge_gradients(graph))
    return Prediction(graph, potential.atomic_energies(graph))


class Committee(Potential):
    """The mean of several potentials; their spread says how far to trust it.

    Members share species; the cutoff is the largest one.
    """

    def __init__(self, members: Sequence[Potential]) -> None:
        if len(members) < 2:
            raise ConfigError(f"A committee needs two or more members, not {len(members)}.")
        if len({member.species for member in members}) > 1:
            lists = "; ".join(", ".join(member.symbols) for member in members)
            raise ConfigError(
                f"The members of a committee must know the same species, not {lists}."
            )
        widest = max(members, key=lambda member: member.cutoff)
        super().__init__(
            PotentialConfig(
                architecture="committee", species=members[0].symbols, cutoff=widest.cutoff
            )
        )
        self.members = nn.ModuleList(members)

    def atomic_energies(self, graph: Graph) -> Tensor:
        """Mean over the members."""
        return torch.stack([p.atomic_energies for p in self.predictions(graph, False)]).mean(0)

    def energies_and_edge_gradients(self, graph: Graph) -> tuple[Tensor, Tensor]:
        """Means over the members, each on its own fast path."""
        predictions = self.predictions(graph)
        energies = torch.stack([p.atomic_energies for p in predictions]).mean(0)
        return energies, torch.stack([p._gradients() for p in predictions]).mean(0)

    def predictions(self, graph: Graph, gradients: bool = True) -> list[Prediction]:
        """Each member's own prediction; their standard deviation is the committee's doubt."""
        return [evaluate(member, graph, gradients) for member in self._potentials()]

    def extrapolations(self, graph: Graph) -> Tensor | None:
        """The largest count among the members that keep one."""
        counts = [member.extrapolations(graph) for member in self._potentials()]
        known = [count for count in counts if count is not None]
        return torch.stack(known).amax(0) if known else None

    def _potentials(self) -> list[Potential]:
        return [member for member in self.members if isinstance(member, Potential)]
