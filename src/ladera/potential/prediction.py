"""What a potential says about a graph: every quantity, derived when it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, final

import torch
from torch import Tensor

from ladera import display
from ladera.errors import ArgumentError, DataError, did_you_mean, told
from ladera.graph import Graph
from ladera.potential.sums import forces, over_structures, virials
from ladera.quantities import (
    ATOMIC_DIPOLES,
    CHARGES,
    DIPOLE,
    ENERGY,
    FORCES,
    STRESS,
    Quantity,
    everywhere,
)

# What else a model says of each atom, (n_atoms, *shape of the quantity).
AtomicValues = Mapping[Quantity, Tensor]

NO_ENERGY: Final = (
    "This model predicts dipole moments and neither energies nor forces; take another for these."
)


@dataclass(frozen=True, eq=False)
class LongRange:
    """The gradient of an energy in positions and cells, with the edge vectors held fixed."""

    position_gradients: Tensor  # (n_atoms, 3), dE/dr_i, eV/Angstrom
    virial: Tensor  # (n_structures, 3, 3), dE/d(strain), symmetric, eV


class _Each:
    """A value of each quantity, by a function."""

    def __init__(self, value: Callable[[Quantity], Tensor]) -> None:
        self._value = value

    def __getitem__(self, quantity: Quantity) -> Tensor:
        return self._value(quantity)


@final
class Prediction:
    """The values of one model, or the means of a committee's members and their spread.

    ``prediction[FORCES]`` is a quantity of all atoms or structures, NaN in the structures where it
    does not exist (see :meth:`exists`); ``prediction.stress`` and its like raise DataError there.
    Both do for what the model does not give. Sums over atoms and edges are done in float64,
    whatever the model's own precision.

    Of a graph with a halo (:class:`ladera.halo.Halo`) values of atoms are those of the owned ones,
    and 0 for ghosts; forces, virial, energy and all other sums are those of the whole system, and
    to ask for one of them, or for a quantity of atoms that hangs on one, is to talk to the other
    processes, which must ask as well. ``atomic_energies`` and ``edge_gradients`` are here already.

    Of a committee ``members`` are the predictions of its members, ``spread[FORCES]`` is their
    sample standard deviation s = sqrt( sum_m (x_m - mean)^2 / (M - 1) ), and ``std[FORCES]`` the
    standard deviation of the mean's error, alpha s with the factor alpha of the calibration and s
    itself without one.

    Parameters
    ----------
    graph
        The structures.
    atomic_energies
        E_i, (n_atoms,), eV; None of a model without energies.
    edge_gradients
        g_ij = dE/dr_ij, (n_edges, 3), eV/Angstrom; None where they were not computed.
    long_range
        Of a model whose energy depends on more than the edges.
    atomic_values
        Charges, atomic dipoles, ..., or how to compute them when the first is asked for.
    grade_features
        Of a model that knows them by now, those of :meth:`ladera.Potential.grade_features`.
    members, factors
        Of a committee: what its members say, and alpha of the quantities with a calibration.
    """

    def __init__(
        self,
        graph: Graph,
        atomic_energies: Tensor | None = None,
        edge_gradients: Tensor | None = None,
        long_range: LongRange | None = None,
        *,
        atomic_values: AtomicValues | Callable[[], AtomicValues] | None = None,
        grade_features: Tensor | None = None,
        members: Sequence[Prediction] = (),
        factors: Mapping[Quantity, float] | None = None,
    ) -> None:
        self.graph = graph
        self.long_range = long_range
        self.grade_features = grade_features
        self.members = tuple(members)
        self._energies = None if atomic_energies is None else graph.owned(atomic_energies)
        self._gradients = edge_gradients
        # Both are kept by hand: the lock of a cached_property is one of all predictions (until
        # Python 3.12), and to compute these may be to wait for another thread that does the same.
        self._given: AtomicValues | Callable[[], AtomicValues] = atomic_values or {}
        self._virial: Tensor | None = None
        self._recording = torch.is_grad_enabled()  # values that come later come the same way
        self._factors = factors or {}
        self._values: dict[Quantity, Tensor] = {}
        self._present: dict[Quantity, Tensor] = {}
        self._spreads: dict[Quantity, Tensor] = {}

    def __repr__(self) -> str:
        """What it is of, and what is known without computing more, with shapes and units."""
        graph = self.graph
        known = [ENERGY] * (self._energies is not None)
        known += [q for q in (FORCES, STRESS) if self._gradients is not None and self._somewhere(q)]
        known += [q for q in self._values if q not in known]
        said = [
            f"{q.name} {(graph.n_atoms if q.per_atom else graph.n_structures, *q.shape)} {q.unit}"
            for q in known
        ]
        committee = f"of a committee of {len(self.members)}" if self.members else ""
        structures = display.count(graph.n_structures, "structure")
        atoms = display.count(graph.n_atoms, "atom")
        return display.lines("Prediction", [structures, atoms, *said, committee])

    def _somewhere(self, quantity: Quantity) -> bool:
        return bool(self.exists(quantity).any())

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        known = [each for each in dir(type(self)) if not each.startswith("_")]
        raise AttributeError(f"A prediction has no '{name}'; {did_you_mean(name, known)}")

    def __getitem__(self, quantity: Quantity) -> Tensor:
        if not isinstance(quantity, Quantity):
            raise ArgumentError(
                f"A prediction is asked for a quantity such as ladera.quantities.FORCES, not for "
                f"{told(quantity)}; prediction.forces and its like have the values, too."
            )
        if quantity not in self._values:
            self._values[quantity] = self._derive(quantity)
        return self._values[quantity]

    @property
    def spread(self) -> _Each:
        """Sample standard deviation of the members, in the shape of the quantity."""
        return _Each(self._spread)

    @property
    def std(self) -> _Each:
        """Standard deviation of the error of a committee's mean."""
        return _Each(lambda quantity: self._factors.get(quantity, 1.0) * self._spread(quantity))

    def exists(self, quantity: Quantity) -> Tensor:
        """Which structures have the quantity, (n_structures,) bool.

        A stress needs a volume. The moment of charges is not defined in a cell; the sum of atomic
        dipoles, of a model without charges, is.
        """
        if quantity not in self._present:
            self._present[quantity] = self._find(quantity)
        return self._present[quantity]

    def _find(self, quantity: Quantity) -> Tensor:
        if self.members:
            return torch.stack([member.exists(quantity) for member in self.members]).all(0)
        if quantity == DIPOLE and CHARGES not in self.atomic_values:
            return everywhere(self.graph)
        return quantity.exists(self.graph)

    def required(self, quantity: Quantity) -> Tensor:
        """The same as ``prediction[quantity]``; DataError where a structure does not have it."""
        values = self[quantity]
        if quantity.misfit and not bool((present := self.exists(quantity)).all()):
            structure = int(torch.nonzero(~present)[0, 0])
            reason = quantity.absence(self.graph, structure)
            raise DataError(f"Structure {structure} {reason}.")
        return values

    def plus(
        self,
        graph: Graph,
        energies: Tensor,
        edge_gradients: Tensor | None = None,
        long_range: LongRange | None = None,
    ) -> Prediction:
        """The same with an energy added that was not learned, and that all members have.

        ``graph`` is this prediction's, in the precision of what is added.
        """
        return Prediction(
            graph,
            self.atomic_energies + energies,
            None if edge_gradients is None else self.edge_gradients + edge_gradients,
            _sum(self.long_range, long_range),
            atomic_values=lambda: self.atomic_values,
            members=[m.plus(graph, energies, edge_gradients, long_range) for m in self.members],
            factors=self._factors,
        )

    # --- what the model has computed -------------------------------------------------------------

    @property
    def atomic_energies(self) -> Tensor:
        """E_i, (n_atoms,), eV; DataError for a model without energies."""
        if self._energies is None:
            raise DataError(NO_ENERGY)
        return self._energies

    @property
    def edge_gradients(self) -> Tensor:
        """g_ij = dE/dr_ij, (n_edges, 3), eV/Angstrom; DataError where they were not computed."""
        if self._gradients is None:
            raise DataError(
                NO_ENERGY
                if self._energies is None
                else "This prediction has energies only; "
                "evaluate with gradients=True for forces, virial and stress."
            )
        return self._gradients

    @property
    def atomic_values(self) -> AtomicValues:
        """What the model says of each atom besides its energy."""
        if callable(self._given):
            with torch.set_grad_enabled(self._recording):
                given = self._given()
            self._given = {quantity: self.graph.owned(each) for quantity, each in given.items()}
        return self._given

    @property
    def charges(self) -> Tensor | None:
        """q_i, (n_atoms,), e; None of a model without charges."""
        return self.atomic_values.get(CHARGES)

    @property
    def atomic_dipoles(self) -> Tensor | None:
        """p_i, (n_atoms, 3), e*Angstrom; None of a model without them."""
        return self.atomic_values.get(ATOMIC_DIPOLES)

    # --- what follows from it --------------------------------------------------------------------

    @property
    def energy(self) -> Tensor:
        """E = sum_i E_i of each structure, (n_structures,), eV."""
        return self[ENERGY]

    @property
    def forces(self) -> Tensor:
        """F_i = sum_j g_ij - sum_j g_ji - dE/dr_i, (n_atoms, 3), eV/Angstrom.

        The last term is that of the long-range part.
        """
        return self[FORCES]

    @property
    def virial(self) -> Tensor:
        """W = sum_ij r_ij (x) g_ij = dE/d(strain), (n_structures, 3, 3), eV.

        With a long-range part, its own dE/d(strain) is in it.
        """
        if self._virial is None:
            self._virial = virials(self.graph, self.edge_gradients)
            if self.long_range is not None:
                self._virial = self._virial + self.long_range.virial.double()
        return self._virial

    @cached_property
    def atomic_virials(self) -> Tensor:
        """W_i = sum_j r_ij (x) g_ij, symmetrised, (n_atoms, 3, 3), eV; they sum to the virial.

        A long-range part belongs to no atom more than to another: each has an equal share.
        """
        gradients = self.edge_gradients.double()
        outer = self.graph.vectors.double()[:, :, None] * gradients[:, None, :]
        outer = 0.5 * (outer + outer.mT)
        zeros = outer.new_zeros(self.graph.n_atoms, 3, 3)
        of_atoms = zeros.index_add(0, self.graph.centers, outer)
        if self.long_range is None:
            return of_atoms
        shares = self.long_range.virial.double() / self.graph.atom_counts[:, None, None]
        return of_atoms + shares[self.graph.structure_index]

    @property
    def stress(self) -> Tensor:
        """sigma = W / V with the ASE sign (positive in tension), (n_structures, 3, 3), eV/A^3.

        Raises DataError for an open structure, and for a partly periodic one whose cell has no
        volume: neither has a stress.
        """
        return self.required(STRESS)

    @property
    def dipole(self) -> Tensor:
        """p = sum_i q_i r_i + p_i of each structure, (n_structures, 3), e*Angstrom, float64.

        q_i are the charges and p_i the atomic dipoles, as far as the model has them. For an ion it
        depends on the origin of the coordinates. Raises DataError for a model that has neither, and
        for charges in a periodic structure: their moment is not defined.
        """
        return self.required(DIPOLE)

    def _derive(self, quantity: Quantity) -> Tensor:
        rules: Mapping[Quantity, Callable[[], Tensor]] = {
            ENERGY: self._energy,
            FORCES: self._forces,
            STRESS: self._stress,
            DIPOLE: self._dipole,
        }
        if quantity in rules:
            return rules[quantity]()
        if quantity in self.atomic_values:
            return self.atomic_values[quantity]
        raise DataError(f"This model has no {quantity.name.replace('_', ' ')}.")

    def _energy(self) -> Tensor:
        return over_structures(self.graph, self.atomic_energies)

    def _forces(self) -> Tensor:
        of_edges = forces(self.graph, self.edge_gradients)
        if self.long_range is None:
            return of_edges
        return of_edges - self.long_range.position_gradients.double()

    def _stress(self) -> Tensor:
        volumes, present = self.graph.volumes.view(-1, 1, 1), self.exists(STRESS)
        if bool(present.all()):
            return self.virial / volumes
        # No division by zero: its derivative would spoil those of all structures.
        present = present.view(-1, 1, 1)
        return torch.where(present, self.virial / torch.where(present, volumes, 1.0), torch.nan)

    def _dipole(self) -> Tensor:
        if self.members:
            return torch.stack([member[DIPOLE] for member in self.members]).mean(0)
        if self.charges is None and self.atomic_dipoles is None:
            raise DataError(
                "This model has no charges and no atomic dipoles, and so no dipole moment; take "
                f"one that has, with {DIPOLE.remedy}."
            )
        moments = torch.zeros_like(self.graph.positions, dtype=torch.float64)
        if self.charges is not None:
            moments = moments + self.charges.double()[:, None] * self.graph.positions.double()
        if self.atomic_dipoles is not None:
            moments = moments + self.atomic_dipoles.double()
        present = self.exists(DIPOLE)[:, None]
        return torch.where(present, over_structures(self.graph, moments), torch.nan)

    # --- of a committee --------------------------------------------------------------------------

    def _spread(self, quantity: Quantity) -> Tensor:
        if not self.members:
            raise DataError("A single model has no spread, only a committee has; give several.")
        if quantity not in self._spreads:
            values = torch.stack([member[quantity].double() for member in self.members])
            self._spreads[quantity] = values.std(0)
        return self._spreads[quantity]


def _sum(one: LongRange | None, two: LongRange | None) -> LongRange | None:
    if one is None or two is None:
        return one or two
    return LongRange(
        one.position_gradients + two.position_gradients, one.virial.double() + two.virial
    )
