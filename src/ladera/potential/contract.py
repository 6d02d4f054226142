"""The contract of every model: a potential maps edge vectors to atomic energies.

Forces, virial and stress follow from the one gradient g_ij = dE/dr_ij: :class:`Prediction` has them
for all models. A model with electrostatics, whose energy depends on all positions and on the cell
as well, adds a :class:`LongRange` part to its predictions.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Any, ClassVar, Self, final

import torch
from ase.data import atomic_numbers, chemical_symbols
from torch import Tensor, nn

from ladera import display
from ladera.arguments import checked
from ladera.errors import ConfigError, DataError
from ladera.extrapolation import ACTIVE_SET as ABOUT_ACTIVE_SET
from ladera.extrapolation import Extrapolation
from ladera.graph import Graph
from ladera.potential.active_set import ACTIVE_SET, ActiveSet
from ladera.potential.config import PotentialConfig
from ladera.potential.evaluation import differentiate
from ladera.potential.prediction import Prediction
from ladera.quantities import ENERGY, FORCES, STRESS, Quantity

if TYPE_CHECKING:
    import os

    from ladera.potential.calculator import LaderaCalculator


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
    knows_charge: bool = False  # whether the energy depends on the total charge
    # How many edges away an atom may be that changes an atomic energy; None: at any distance.
    hops: int | None = 1
    slow_hessian: bool = False  # whether differences of forces are a better way to one
    differentiable: bool = True  # whether torch can follow its energy
    partitions_energy: bool = True  # whether the energies of single atoms mean something
    partly_periodic: bool = True  # whether it takes films and wires, open along some directions
    storable: bool = True  # whether a model file can hold it
    moments_of_atoms: bool = True  # whether a dipole is made of what it says of the atoms
    gives: tuple[Quantity, ...] = (ENERGY, FORCES, STRESS)  # what its predictions hold
    active_set: ActiveSet | None = None  # of the atoms it was trained on, if that is known

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
        self._dtype: torch.dtype | None = None  # of the parameters, once that was asked

    def __repr__(self) -> str:
        """Architecture, elements, cutoff, size, and what it gives."""
        elements, *facts = self.facts().items()
        return display.lines(type(self).__name__, [elements[1], *map(" ".join, facts)])

    def _repr_html_(self) -> str:
        return display.table(("", ""), list(self.facts().items()), type(self).__name__)

    @final
    def facts(self) -> dict[str, str]:
        """What is told of it at a glance."""
        where = f"{self.dtype} on {self.device}".removeprefix("torch.")
        facts = {
            "elements": ", ".join(self.symbols),
            "members": ", ".join(type(member).__name__ for member in self.members),
            "cutoff": f"{self.cutoff:g} Angstrom",
            "parameters": f"{sum(p.numel() for p in self.parameters()):,} ({where})",
            "gives": ", ".join(each.name.replace("_", " ") for each in self.gives),
            "heads": ", ".join(self.heads) if len(self.heads) > 1 else "",
            "published as": self.provenance.get("published_as", ""),
        }
        return {name: fact for name, fact in facts.items() if fact}

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

        A model with a long-range part, charges or dipoles implements it; :func:`differentiate`
        gives it all gradients.
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
        return prediction.atomic_energies, prediction.edge_gradients

    def fit_statistics(self, graphs: Iterable[Graph], statistics: TrainingStatistics) -> None:
        """Set the constants that come from the training data, gone through once. Most have some."""

    def reduced(self, graph: Graph) -> Graph:
        """What a training on energies needs of a graph: the same energies, not their gradients.

        Of a model that sees its neighbours through fixed functions alone a graph without edges,
        with the values of these functions as its ``inputs``; of most the graph itself.
        """
        return graph

    # --- what only some models can do ------------------------------------------------------------

    def grade(self, graph: Graph, prediction: Prediction | None = None) -> Tensor | None:
        """How far each atom is from the training data, (n_atoms,) float64; None if unknown.

        At most 1 inside the training domain, above 1 outside, the larger the farther; 0 of ghosts.
        ``prediction`` is what :func:`evaluate` said of the graph, if it is at hand: some models
        grade by it. This one is that of the active set (:mod:`ladera.potential.active_set`).
        """
        return self.active_set_grade(graph, prediction)

    @property
    def knows_domain(self) -> bool:
        """Whether :meth:`grade` says something: by an active set, or in a way of its own."""
        return self.active_set is not None or type(self).grade is not Potential.grade

    def grade_features(self, graph: Graph, prediction: Prediction | None = None) -> Tensor | None:
        """What the last layer of the model multiplies, of each atom: (n_atoms, m).

        All that the model's energies are linear in, 1 included where there are constants; the same
        when a structure is turned or shifted. None of a model without such a thing: it has no
        active set. ``prediction`` as in :meth:`grade`.
        """
        return None

    @property
    def has_grade_features(self) -> bool:
        """Whether it has :meth:`grade_features`."""
        return type(self).grade_features is not Potential.grade_features

    @final
    def active_set_grade(self, graph: Graph, prediction: Prediction | None = None) -> Tensor | None:
        """gamma of each atom (:mod:`ladera.potential.active_set`), None without an active set."""
        if self.active_set is None:
            return None
        with torch.no_grad():
            features = self.grade_features(graph, prediction)
        if features is None:
            return None
        return graph.owned(self.active_set.grade(graph.numbers, features))

    def explain_grade(
        self, graph: Graph, prediction: Prediction | None = None
    ) -> list[Extrapolation]:
        """What puts atoms outside: everything behind a grade above 1, in the order of the atoms."""
        return self.active_set_reasons(graph, self.active_set_grade(graph, prediction))

    @final
    def active_set_reasons(self, graph: Graph, gamma: Tensor | None) -> list[Extrapolation]:
        """The atoms with a ``gamma`` (n_atoms,) above 1, with it; none where it is not known."""
        if gamma is None:
            return []
        symbols = [chemical_symbols[number] for number in graph.numbers.tolist()]
        atoms = torch.nonzero(gamma > 1)[:, 0].tolist()
        return [
            Extrapolation(k, symbols[k], None, None, float(gamma[k]), 0.0, 1.0, ABOUT_ACTIVE_SET)
            for k in atoms
        ]

    @final
    def extrapolations(self, graph: Graph) -> Tensor | None:
        """How many reasons :meth:`explain_grade` has for each atom, (n_atoms,) int64.

        None for a model that keeps no record of its training domain.
        """
        if self.grade(graph) is None:
            return None
        atoms = [each.atom for each in self.explain_grade(graph)]
        return torch.tensor(atoms, dtype=torch.int64).bincount(minlength=graph.n_atoms)

    @property
    def exchange_widths(self) -> tuple[int, ...]:
        """How many numbers of an atom each exchange with ghosts is of, in the order of exchanges.

        Of one evaluation on the fast path, by a graph with a halo: as many go back for gradients,
        in the opposite order. None of a model that looks no farther than its edges.
        """
        return ()

    @property
    def is_active_set_known(self) -> bool:
        """Whether the model, or one that it is made of, has an active set."""
        parts = (part for part in self.modules() if isinstance(part, Potential))
        return any(part.active_set is not None for part in parts)

    def stored_tensors(self) -> dict[str, Tensor]:
        """What a model file holds: parameters, buffers, and the active sets of all parts."""
        sets = {
            f"{name}.{ACTIVE_SET}.{key}".removeprefix("."): tensor
            for name, part in self.named_modules()
            if isinstance(part, Potential) and part.active_set is not None
            for key, tensor in part.active_set.stored().items()
        }
        return {**self.state_dict(), **sets}

    def load_stored_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Take what :meth:`stored_tensors` gave; RuntimeError for what is of another model."""
        rest = dict(tensors)
        for name, part in self.named_modules():
            prefix = f"{name}.{ACTIVE_SET}.".removeprefix(".")
            if isinstance(part, Potential):
                found = {
                    k.removeprefix(prefix): rest.pop(k) for k in [*rest] if k.startswith(prefix)
                }
                part.active_set = ActiveSet.restored(found) if found else None
        self.load_state_dict(rest)

    def descriptors(self, graph: Graph) -> Tensor | None:
        """The surroundings of each atom in numbers, (n_atoms, n_descriptors); None without any.

        They do not change when a structure is turned or shifted. Those of ghosts are 0.
        """
        return None

    def free_atom_energies(self, head: str | None = None) -> Tensor | None:
        """E0 of each element, (n_species,), eV; None of a model that has no such thing.

        Of a model with heads, of this one or of the one that predicts. Not a copy: to change it is
        to change the model.
        """
        return None

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Move or convert the parameters (torch's hook below ``to``, ``float``, ``double``)."""
        self._dtype = None
        kept = {name: getattr(self, name) for name in self.double_buffers}
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        for name, buffer in kept.items():
            setattr(self, name, buffer.to(device=self.device))
        return self

    @property
    def members(self) -> tuple[Potential, ...]:
        """The potentials a committee is made of; none of any other."""
        return ()

    @property
    def uncorrected(self) -> Potential:
        """The model without what is added to it (:mod:`ladera.models.corrected`): mostly itself."""
        return self

    @property
    def heads(self) -> tuple[str, ...]:
        """Names for ``evaluate(..., head=...)``; none of a model that has one kind of energies."""
        return self.config.head_names

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

    def with_elements(self, relatives: Mapping[str, str]) -> Potential:
        """A copy that knows new elements too, each to begin with as one of those it knew.

        Of these it says the same. Raises ConfigError for an architecture that cannot be given any.
        """
        raise ConfigError(
            f"A {self.config.architecture} model cannot be given an element: this one is for "
            f"{', '.join(self.symbols)}, not for {', '.join(relatives)}; train a new one, or "
            "fine-tune a mace, nequip or mtp model."
        )

    def with_dipole(self, charges: bool = True) -> Potential:
        """A copy that gives dipoles too, zero as yet, and the same energies.

        They are of charges and atomic dipoles, or of these alone. Raises ConfigError for an
        architecture that cannot be given them.
        """
        raise ConfigError(
            f"loss.dipole is above 0, but a {self.config.architecture} model cannot be given "
            "dipoles; fine-tune a mace or hdnnp model, or set loss.dipole: 0."
        )

    @property
    def dtype(self) -> torch.dtype:
        """Floating-point type of the parameters."""
        if self._dtype is None:  # to walk the modules takes longer than some models for a few atoms
            floating = (
                t.dtype for t in chain(self.parameters(), self.buffers()) if t.is_floating_point()
            )
            self._dtype = next(floating, torch.float64)
        return self._dtype

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

        Raises DataError for an element the model does not know, naming the atom, and for a graph
        that ends before the model's cutoff.
        """
        graph.require_pairs(self.cutoff)
        return self.indices_of(graph.numbers)

    @final
    def indices_of(self, numbers: Tensor) -> Tensor:
        """Indices of atomic numbers in ``numbers``, (n_atoms,) int64.

        Raises DataError for an element the model does not know, naming the atom.
        """
        index = self._lookup[numbers]
        if index.numel() and int(index.min()) < 0:
            atom = int(torch.nonzero(index < 0)[0, 0])
            symbol = chemical_symbols[int(numbers[atom])]
            raise DataError(
                f"Atom {atom} is {symbol}, which this model does not know; "
                f"it was made for {', '.join(self.symbols)}."
            )
        return index

    @checked
    def calculator(
        self,
        skin: float = 1.0,
        *,
        device: str | torch.device | None = None,
        dtype: str | torch.dtype | None = None,
    ) -> LaderaCalculator:
        """An ASE calculator; see :class:`ladera.potential.calculator.LaderaCalculator`."""
        from ladera.potential.calculator import LaderaCalculator

        return LaderaCalculator(self, skin, device=device, dtype=dtype)

    @checked
    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a ``.ladera`` model file; see :mod:`ladera.modelfile`."""
        from ladera import modelfile

        modelfile.save(self, path)
