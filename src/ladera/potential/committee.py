"""Several potentials for one surface: the mean predicts, the spread says how far to trust it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, Literal

import torch
from ase.data import chemical_symbols
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeInt,
    PositiveFloat,
    SerializeAsAny,
    model_serializer,
)
from scipy.special import stdtrit
from torch import Tensor, nn

from ladera.errors import ArgumentError, ConfigError, told
from ladera.extrapolation import Extrapolation
from ladera.graph import Graph
from ladera.potential.config import PotentialConfig
from ladera.potential.contract import Potential
from ladera.potential.evaluation import evaluate
from ladera.potential.prediction import AtomicValues, LongRange, Prediction
from ladera.quantities import ENERGY, FORCES, Quantity

CALIBRATED: Final = (ENERGY, FORCES)  # the quantities whose spread is calibrated


class Calibration(BaseModel):
    """What a committee's spread is multiplied with to be the standard deviation of its error.

    Fitted to errors on labelled frames by :func:`ladera.training.committee.calibrate`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    energy: PositiveFloat | None = Field(
        default=None, description="Factor of the energies; none where no frame had an energy."
    )
    forces: PositiveFloat | None = Field(
        default=None, description="Factor of the force components; none without labels."
    )
    n_energies: NonNegativeInt = Field(default=0, description="Energies it was fitted to.")
    n_forces: NonNegativeInt = Field(default=0, description="Force components it was fitted to.")
    largest_force_std: PositiveFloat | None = Field(
        default=None,
        description="Largest standard deviation of an atom's force on those frames (Euclidean norm "
        "of its components', eV/Angstrom): where the grade is 1.",
    )

    @property
    def factors(self) -> dict[Quantity, float]:
        """Those that are known."""
        named = {quantity: getattr(self, quantity.name) for quantity in CALIBRATED}
        return {quantity: factor for quantity, factor in named.items() if factor is not None}

    @model_serializer(mode="wrap")
    def _as_before(self, serialize: Callable[[Calibration], dict[str, Any]]) -> dict[str, Any]:
        """Files from before there were grades, and what identifies them, stay as they are."""
        values = serialize(self)
        if self.largest_force_std is None:
            values.pop("largest_force_std", None)
        return values


class CommitteeConfig(PotentialConfig):
    """The configurations of the members and the calibration of their spread."""

    architecture: Literal["committee"] = "committee"
    members: tuple[SerializeAsAny[PotentialConfig], ...]
    calibration: Calibration | None = None

    @property
    def head_names(self) -> tuple[str, ...]:
        """Those of the members, if all have the same."""
        names = {member.head_names for member in self.members}
        return names.pop() if len(names) == 1 else ()

    @property
    def corrections(self) -> dict[str, str | bool]:
        """What any member has."""
        return {name: value for m in self.members for name, value in m.corrections.items()}

    @property
    def chosen_head(self) -> str | None:
        """That of the first member for which one was chosen."""
        chosen = (member.chosen_head for member in self.members)
        return next((name for name in chosen if name is not None), None)


def _listed(symbols: Sequence[str]) -> str:
    """Elements in a sentence, not all of them where they are many."""
    many = len(symbols) > 10
    return f"{', '.join(symbols[:5])} ... ({len(symbols)} elements)" if many else ", ".join(symbols)


class Committee(Potential):
    """The mean of several potentials; their spread says how far to trust it.

    Members share species; the cutoff is the largest one. What all of them give, it gives. The
    :class:`Prediction` of a committee has its ``members``, ``spread`` and ``std``.

    Raises ConfigError for fewer than two members and for members with different species.
    """

    config: CommitteeConfig

    def __init__(
        self, members: Sequence[Potential], calibration: Calibration | None = None
    ) -> None:
        given: Any = members  # whatever somebody gave
        several = isinstance(given, Iterable) and not isinstance(given, str)
        members = tuple(given) if several else (given,)
        others = [one for one in members if not isinstance(one, Potential)]
        if others:
            raise ArgumentError(
                f"A member of the committee is {told(others[0])}; give potentials, as "
                "ladera.load(PATH) reads them."
            )
        if len(members) < 2:
            raise ConfigError(
                f"A committee needs two or more members, and here is {len(members)}; name another."
            )
        if len({member.numbers for member in members}) > 1:
            lists = "; ".join(_listed(member.symbols) for member in members)
            raise ConfigError(
                f"The members of a committee must know the same species, and these know: {lists}; "
                "leave out those that differ."
            )
        super().__init__(
            CommitteeConfig(
                species=members[0].symbols,
                cutoff=max(member.cutoff for member in members),
                members=tuple(member.config for member in members),
                calibration=calibration,
            )
        )
        # The name in model files is that of the property below, which torch would refuse.
        self._modules["members"] = nn.ModuleList(members)
        self.knows_charge = all(member.knows_charge for member in members)
        hops = [member.hops for member in members]
        self.hops = None if None in hops else max(each or 0 for each in hops)
        self.slow_hessian = any(member.slow_hessian for member in members)
        self.differentiable = all(member.differentiable for member in members)
        self.partitions_energy = all(member.partitions_energy for member in members)
        self.partly_periodic = all(member.partly_periodic for member in members)
        self.moments_of_atoms = all(member.moments_of_atoms for member in members)
        self.storable = all(member.storable for member in members)
        self.gives = tuple(
            quantity
            for quantity in members[0].gives
            if all(quantity in member.gives for member in members)
        )
        self.provenance = {"members": [member.provenance for member in members]}

    @property
    def members(self) -> tuple[Potential, ...]:
        """The potentials it is made of."""
        modules: Any = self._modules["members"]
        return tuple(modules)

    @property
    def exchange_widths(self) -> tuple[int, ...]:
        """Those of all members, one after the other."""
        return tuple(width for member in self.members for width in member.exchange_widths)

    @property
    def dtype(self) -> torch.dtype:
        """The widest type among the members: a graph keeps what any of them needs."""
        single = all(member.dtype == torch.float32 for member in self.members)
        return torch.float32 if single else torch.float64

    def calibrated(self, calibration: Calibration | None) -> Committee:
        """The same members with another calibration."""
        committee = Committee(self.members, calibration)
        committee.provenance = self.provenance
        return committee

    def atomic_energies(self, graph: Graph) -> Tensor:
        """Mean over the members."""
        return self.predict(graph, gradients=False).atomic_energies

    def predict(self, graph: Graph, gradients: bool = True) -> Prediction:
        """Means over the members, each on its own fast path, and what each of them says."""
        found = [evaluate(member, graph, gradients) for member in self.members]
        has_energy = ENERGY in self.gives
        return Prediction(
            graph,
            _mean([each.atomic_energies for each in found]) if has_energy else None,
            _mean([each.edge_gradients for each in found]) if has_energy and gradients else None,
            _mean_long_range([each.long_range for each in found]),
            atomic_values=lambda: _mean_values([each.atomic_values for each in found]),
            members=found,
            factors=calibration_of(self).factors,
        )

    @property
    def knows_domain(self) -> bool:
        """Whether a member does, or the spread is calibrated."""
        known = calibration_of(self).largest_force_std is not None
        return known or any(member.knows_domain for member in self.members)

    def grade(self, graph: Graph, prediction: Prediction | None = None) -> Tensor | None:
        r"""The largest grade among the members', and that of the spread.

            g_i = |sigma_i| / sigma_max

        sigma_i are the standard deviations of the atom's force components and sigma_max the
        largest |sigma| of the frames that the committee was calibrated on. A committee that is not
        calibrated, or was by an older Ladera, has its members' grades alone.
        """
        grades = [grade for grade in self._grades(graph, prediction) if grade is not None]
        return torch.stack([grade.double() for grade in grades]).amax(0) if grades else None

    def descriptors(self, graph: Graph) -> Tensor | None:
        """Those of all members side by side, (n_atoms, n); None unless all have some."""
        found = [member.descriptors(graph.to(member.dtype)) for member in self.members]
        known = [each.double() for each in found if each is not None]
        return torch.cat(known, dim=1) / len(known) ** 0.5 if len(known) == len(found) else None

    def explain_grade(
        self, graph: Graph, prediction: Prediction | None = None
    ) -> list[Extrapolation]:
        """Of each atom the reasons of the member with the largest grade, and its force's spread."""
        *of_members, of_spread = self._grades(graph, prediction)
        found: dict[int, list[Extrapolation]] = {}
        known = [grade for grade in of_members if grade is not None]
        if known:
            graded = [k for k, grade in enumerate(of_members) if grade is not None]
            worst = torch.stack(known).argmax(0).tolist()
            for place, member in enumerate(graded):
                for each in self.members[member].explain_grade(graph):
                    if worst[each.atom] == place:
                        found.setdefault(each.atom, []).append(each._replace(member=member))
        limit = calibration_of(self).largest_force_std
        if of_spread is not None and limit is not None:
            for atom in torch.nonzero(of_spread > 1)[:, 0].tolist():
                symbol = chemical_symbols[int(graph.numbers[atom])]
                value, about = limit * float(of_spread[atom]), "forces of the members"
                reason = Extrapolation(atom, symbol, None, None, value, 0.0, limit, about)
                found.setdefault(atom, []).append(reason)
        return [each for atom in sorted(found) for each in found[atom]]

    def _grades(self, graph: Graph, prediction: Prediction | None) -> list[Tensor | None]:
        """Those of the members, and of the spread.

        The prediction of a derivative of the mean, as automatic differentiation makes one, has no
        members, and is as good as none.
        """
        if prediction is not None and not prediction.members:
            prediction = None
        said = [None] * len(self.members) if prediction is None else prediction.members
        grades = [m.grade(graph, each) for m, each in zip(self.members, said, strict=True)]
        limit = calibration_of(self).largest_force_std
        if limit is None:
            return [*grades, None]
        with torch.no_grad():
            prediction = prediction or evaluate(self, graph)
            return [*grades, prediction.std[FORCES].norm(dim=1) / limit]


def coverage_factor(level: float, n_members: int) -> float:
    r"""How many standard deviations to either side hold the share ``level`` of the errors.

    The spread s of M members is itself known from M values only. Of errors that are Gaussian with
    standard deviation alpha sigma, and members that are Gaussian with sigma, the ratio of error and
    alpha s follows Student's t distribution with M - 1 degrees of freedom, and this is its
    quantile (1 + level) / 2: for 68.3 and 95.4 % 1.20 and 3.31 with 4 members, 1.06 and 2.32 with
    10, and 1 and 2 with very many.
    """
    return float(stdtrit(n_members - 1, 0.5 + 0.5 * level))


def calibration_of(potential: Potential) -> Calibration:
    """That of a committee; one without any factor where it was not calibrated."""
    model = potential.uncorrected
    calibration = model.config.calibration if isinstance(model, Committee) else None
    return calibration or Calibration()


def _mean(values: Sequence[Tensor]) -> Tensor:
    return torch.stack([value.double() for value in values]).mean(0)


def _mean_values(values: Sequence[AtomicValues]) -> Mapping[Quantity, Tensor]:
    """Of what all members say."""
    common = [q for q in values[0] if all(q in each for each in values)]
    return {quantity: _mean([each[quantity] for each in values]) for quantity in common}


def _mean_long_range(values: Sequence[LongRange | None]) -> LongRange | None:
    """Members without such a part have none of it, which is zero."""
    parts = [value for value in values if value is not None]
    if not parts:
        return None
    return LongRange(
        torch.stack([part.position_gradients.double() for part in parts]).sum(0) / len(values),
        torch.stack([part.virial.double() for part in parts]).sum(0) / len(values),
    )
