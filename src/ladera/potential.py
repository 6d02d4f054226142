"""The contract of every model: a potential maps edge vectors to atomic energies.

Forces, virial and stress follow from the one gradient g_ij = dE/dr_ij and are written here, once,
for all models. A model with electrostatics, whose energy depends on all positions and on the cell
as well, adds a :class:`LongRange` part to its predictions.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING, Any, ClassVar, Self

import torch
from ase.data import atomic_numbers, chemical_symbols
from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, field_validator
from torch import Tensor, nn

from ladera.errors import ConfigError, DataError, did_you_mean
from ladera.extrapolation import Extrapolation
from ladera.graph import Graph
from ladera.threads import torch_threads

if TYPE_CHECKING:
    import os


class PotentialConfig(BaseModel):
    """What every model's configuration has; models add their own keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    architecture: str = Field(description="Which model, such as hdnnp.")
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

    def for_training(self, graphs: Sequence[Graph]) -> Self:
        """The same configuration with what it leaves to the training data decided.

        Training calls it once, before the model is built. The result decides nothing more.
        """
        return self


@dataclass(frozen=True)
class TrainingStatistics:
    """What a model may need to know of its training data before the first step."""

    reference_energies: Mapping[str, float]  # E0 by chemical symbol, eV
    energy_shift: float  # mean of (E - sum of E0) / n_atoms over the structures, eV/atom
    force_scale: float  # root mean square of the force components, eV/Angstrom; 0 without forces
    # The same of the structures of each head, where they say to which they belong.
    heads: Mapping[str, TrainingStatistics] = field(default_factory=dict)


class Potential(nn.Module, ABC):
    """Base of all models. A new model implements :meth:`atomic_energies` and nothing else.

    ``numbers`` are the atomic numbers the model knows, ascending; ``cutoff`` is in Angstrom;
    ``config`` rebuilds the model, ``provenance`` says where its parameters come from.

    Buffers named in ``double_buffers`` stay in float64 when the model becomes float32: energies of
    thousands of eV would lose their last meV.
    """

    double_buffers: ClassVar[tuple[str, ...]] = ()
    atoms_per_thread: ClassVar[int] = 1  # of a training step that are worth a thread
    slow_hessian: bool = False  # whether differences of forces are a better way to one
    has_energy: bool = True  # whether predictions come with energies and forces
    has_charges: bool = False  # whether predictions come with atomic charges
    has_atomic_dipoles: bool = False  # whether they come with dipoles of atoms

    _lookup: Tensor  # (119,) index among ``numbers``, -1 for the others

    def __init__(self, config: PotentialConfig) -> None:
        super().__init__()
        if not config.species:
            raise ConfigError(
                f"The {config.architecture} model was given no species; "
                "name the chemical symbols it is for, such as species: [H, O]."
            )
        self.config = config
        self.cutoff: float = config.cutoff
        self.numbers: tuple[int, ...] = tuple(atomic_numbers[s] for s in config.species)
        self.provenance: dict[str, Any] = {}
        lookup = torch.full((len(chemical_symbols),), -1, dtype=torch.int64)
        lookup[list(self.numbers)] = torch.arange(len(self.numbers))
        self.register_buffer("_lookup", lookup, persistent=False)

    @abstractmethod
    def atomic_energies(self, graph: Graph) -> Tensor:
        """Energy of each atom in eV, (n_atoms,).

        Differentiable in ``graph.vectors`` and in the parameters; uses nothing of the positions
        but the edge vectors. ``graph`` has this model's dtype and every edge within its cutoff;
        edges beyond the cutoff, which a committee may bring, must contribute nothing.

        A model with a long-range part is differentiable in ``graph.positions`` and ``graph.cell``
        besides, and overrides :meth:`predict`.
        """

    def predict(self, graph: Graph, gradients: bool = True) -> Prediction:
        """What :func:`evaluate` returns, of a graph that has this model's dtype and device.

        A model with a long-range part, charges or dipoles overrides it; :func:`differentiate` gives
        it all gradients.
        """
        if gradients:
            return Prediction(graph, *self.energies_and_edge_gradients(graph))
        return Prediction(graph, self.atomic_energies(graph))

    def energies_and_edge_gradients(self, graph: Graph) -> tuple[Tensor, Tensor]:
        """Atomic energies (n_atoms,) in eV and g_ij = dE/dr_ij (n_edges, 3) in eV/Angstrom.

        Differentiable in the parameters while torch records gradients. A model with a hand-written
        gradient overrides this; the contract tests hold it to this automatic one.
        """
        prediction = differentiate(self, graph)
        return prediction.atomic_energies, prediction._gradients()

    def fit_statistics(self, graphs: Sequence[Graph], statistics: TrainingStatistics) -> None:
        """Set the constants that come from the training data. Most models have some."""

    def extrapolations(self, graph: Graph) -> Tensor | None:
        """How many descriptors of each atom lie outside their training range, (n_atoms,) int64.

        None for a model that keeps no record of its training domain.
        """
        return None

    def list_extrapolations(self, graph: Graph) -> list[Extrapolation]:
        """The descriptors that :meth:`extrapolations` counts, in the order of the atoms.

        Empty for a model that keeps no record of its training domain.
        """
        return []

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Move or convert the parameters (torch's hook below ``to``, ``float``, ``double``)."""
        kept = {name: getattr(self, name) for name in self.double_buffers}
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        for name, buffer in kept.items():
            setattr(self, name, buffer.to(device=self.device))
        return self

    @property
    def has_dipole(self) -> bool:
        """Whether predictions for open structures have a dipole moment."""
        return self.has_charges or self.has_atomic_dipoles

    def decays(self, parameter: str) -> bool:
        """Whether an optimiser's weight decay is for the parameter of this name; all by default."""
        return True

    def last_layers(self) -> tuple[str, ...]:
        """Beginnings of the names of the parameters that a fine-tuning changes first, if known."""
        return ()

    def with_head(self, name: str) -> Potential:
        """A copy with one head more, which begins as the one that predicts, and predicts.

        Raises ConfigError for an architecture with one head for everything.
        """
        raise ConfigError(
            f"finetune.method: replay gives a MACE a second head, and the base is a "
            f"{self.config.architecture} model; take naive or frozen."
        )

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
        """Chemical symbols of ``numbers``."""
        return tuple(chemical_symbols[number] for number in self.numbers)

    def element_index(self, graph: Graph) -> Tensor:
        """Index of each atom's element in ``numbers``, (n_atoms,) int64.

        Raises DataError for an element the model does not know, naming the atom.
        """
        index = self._lookup[graph.numbers]
        if bool((index < 0).any()):
            atom = int(torch.nonzero(index < 0)[0, 0])
            symbol = chemical_symbols[int(graph.numbers[atom])]
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
class LongRange:
    """The gradient of an energy in positions and cells, with the edge vectors held fixed."""

    position_gradients: Tensor  # (n_atoms, 3), dE/dr_i, eV/Angstrom
    virial: Tensor  # (n_structures, 3, 3), dE/d(strain), symmetric, eV


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a potential says about a graph; everything but the energies is derived when asked for.

    Sums over atoms are done in float64, whatever the model's own precision.
    """

    graph: Graph
    atomic_energies: Tensor  # (n_atoms,), eV
    edge_gradients: Tensor | None = None  # (n_edges, 3), eV/Angstrom
    long_range: LongRange | None = None  # of a model whose energy depends on more than the edges
    charges: Tensor | None = None  # (n_atoms,), e; of a model that has them
    atomic_dipoles: Tensor | None = None  # (n_atoms, 3), e*Angstrom; likewise

    @cached_property
    def energy(self) -> Tensor:
        """E = sum_i E_i of each structure, (n_structures,), eV."""
        energies = self.atomic_energies.double()
        return energies.new_zeros(self.graph.n_structures).index_add(
            0, self.graph.structure_index, energies
        )

    @cached_property
    def forces(self) -> Tensor:
        """F_i = sum_j g_ij - sum_j g_ji - dE/dr_i, (n_atoms, 3), eV/Angstrom.

        The last term is that of the long-range part.
        """
        gradients = self._gradients()
        zeros = gradients.new_zeros(self.graph.n_atoms, 3)
        outgoing = zeros.index_add(0, self.graph.centers, gradients)
        # -g and not alpha=-1, which takes torch's slow path: 0.05 against 0.45 ms for 8,000 edges.
        forces = outgoing.index_add(0, self.graph.neighbors, -gradients)
        if self.long_range is None:
            return forces
        return forces - self.long_range.position_gradients.to(forces)

    @cached_property
    def atomic_virials(self) -> Tensor:
        """W_i = sum_j r_ij (x) g_ij, symmetrised, (n_atoms, 3, 3), eV; they sum to the virial.

        A long-range part belongs to no atom more than to another: each has an equal share.
        """
        gradients = self._gradients()
        outer = self.graph.vectors.to(gradients)[:, :, None] * gradients[:, None, :]
        outer = 0.5 * (outer + outer.transpose(1, 2))
        zeros = outer.new_zeros(self.graph.n_atoms, 3, 3)
        virials = zeros.index_add(0, self.graph.centers, outer)
        if self.long_range is None:
            return virials
        shares = self.long_range.virial / self.graph.atom_counts[:, None, None]
        return virials + shares.to(virials)[self.graph.structure_index]

    @cached_property
    def virial(self) -> Tensor:
        """W = sum_ij r_ij (x) g_ij = dE/d(strain), (n_structures, 3, 3), eV.

        With a long-range part, its own dE/d(strain) is in it.
        """
        if self.graph.n_structures == 1 and self.long_range is None:
            # Molecular dynamics: one product, no tensor per edge.
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

    @property
    def dipole(self) -> Tensor:
        """p = sum_i q_i r_i + p_i of each structure, (n_structures, 3), e*Angstrom, float64.

        q_i are the charges and p_i the atomic dipoles, as far as the model has them. For an ion it
        depends on the origin of the coordinates. Raises DataError for a model that has neither, and
        for charges in a periodic structure: their moment is not defined.
        """
        moments = torch.zeros_like(self.graph.positions, dtype=torch.float64)
        if self.charges is None and self.atomic_dipoles is None:
            raise DataError(
                "This model has no charges and no atomic dipoles, and so no dipole moment."
            )
        if self.charges is not None:
            self._refuse_periodic()
            moments = moments + self.charges.double()[:, None] * self.graph.positions.double()
        if self.atomic_dipoles is not None:
            moments = moments + self.atomic_dipoles.double()
        zeros = moments.new_zeros(self.graph.n_structures, 3)
        return zeros.index_add(0, self.graph.structure_index, moments)

    def _refuse_periodic(self) -> None:
        if bool(self.graph.periodic.any()):
            structure = int(torch.nonzero(self.graph.periodic.any(dim=1))[0, 0])
            raise DataError(
                f"Structure {structure} is periodic: its dipole moment depends on the choice of "
                "the cell; use the charges."
            )

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
    with torch_threads(1):  # a conversion at most
        graph = graph.to(potential.dtype, potential.device)
    return potential.predict(graph, gradients)


def differentiate(potential: Potential, graph: Graph) -> Prediction:
    """Energies and all their gradients by automatic differentiation.

    The energy is a function of the edge vectors r_ij and, if it has a long-range part, of the
    positions and cell vectors, as in :func:`strained`. Differentiable in the parameters while torch
    records gradients.
    """
    differentiable = torch.is_grad_enabled()
    with torch.enable_grad():
        vectors = graph.vectors.detach().requires_grad_()
        deformed, positions, strain = strained(graph)
        prediction = potential.predict(replace(deformed, vectors=vectors), gradients=False)
        energy, leaves = prediction.atomic_energies.sum(), (vectors, positions, strain)
        if energy.requires_grad:
            slopes = torch.autograd.grad(
                energy, leaves, create_graph=differentiable, materialize_grads=True
            )
        else:  # no edges and no parameters: nothing depends on them
            slopes = tuple(torch.zeros_like(leaf) for leaf in leaves)
    energies, charges = prediction.atomic_energies, prediction.charges
    dipoles = prediction.atomic_dipoles
    if not differentiable:
        energies = energies.detach()
        charges = None if charges is None else charges.detach()
        dipoles = None if dipoles is None else dipoles.detach()
    return Prediction(graph, energies, slopes[0], LongRange(*slopes[1:]), charges, dipoles)


def strained(graph: Graph) -> tuple[Graph, Tensor, Tensor]:
    """A graph whose positions and cell, but not its edge vectors, hang on leaves of torch.

    The strain e, a leaf (n_structures, 3, 3) of zeros, takes positions r_i, the other leaf
    (n_atoms, 3), and cell vectors a to r_i (1 + e) and a (1 + e). Returns graph, positions, strain.
    """
    positions = graph.positions.detach().requires_grad_()
    strain = torch.zeros_like(graph.cell).requires_grad_()
    deformation = torch.eye(3).to(strain) + 0.5 * (strain + strain.mT)
    moved = (positions[:, None, :] @ deformation[graph.structure_index])[:, 0]
    return replace(graph, positions=moved, cell=graph.cell @ deformation), positions, strain
