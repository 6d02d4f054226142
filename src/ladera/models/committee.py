"""Several potentials for one surface: the mean predicts, the spread says how far to trust it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, Any, Literal

import torch
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    NonNegativeInt,
    PositiveFloat,
    SerializeAsAny,
)
from scipy.special import stdtrit
from torch import Tensor, nn

from ladera.errors import ConfigError
from ladera.extrapolation import Extrapolation
from ladera.graph import Graph
from ladera.models import registry
from ladera.potential import (
    LongRange,
    Potential,
    PotentialConfig,
    Prediction,
    evaluate,
)


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


def _member_config(value: Any) -> Any:
    """A member's configuration in the class of its architecture."""
    if not isinstance(value, Mapping):
        return value
    return registry.config_class(value["architecture"]).model_validate(value)


class CommitteeConfig(PotentialConfig):
    """The configurations of the members and the calibration of their spread."""

    architecture: Literal["committee"] = "committee"
    members: tuple[Annotated[SerializeAsAny[PotentialConfig], BeforeValidator(_member_config)], ...]
    calibration: Calibration | None = None


@dataclass(frozen=True, eq=False)
class CommitteePrediction(Prediction):
    """The mean of what the members say of one graph, in float64, and their spread.

    The spread of x is s = sqrt( sum_m (x_m - mean)^2 / (M - 1) ) over the M members. The standard
    deviations ``energy_std`` and ``forces_std`` are alpha s with the factors alpha of the
    calibration, and s itself for a committee that is not calibrated.
    """

    members: Sequence[Prediction] = ()
    calibration: Calibration = field(default_factory=Calibration)

    @cached_property
    def energy_spread(self) -> Tensor:
        """Sample standard deviation of the members' energies, (n_structures,), eV."""
        return torch.stack([member.energy.double() for member in self.members]).std(0)

    @cached_property
    def forces_spread(self) -> Tensor:
        """Sample standard deviation of each force component, (n_atoms, 3), eV/Angstrom."""
        return torch.stack([member.forces.double() for member in self.members]).std(0)

    @property
    def dipole(self) -> Tensor:
        """Mean of the members' dipole moments, (n_structures, 3), e*Angstrom."""
        return torch.stack([member.dipole for member in self.members]).mean(0)

    @property
    def energy_std(self) -> Tensor:
        """Standard deviation of the energy's error, (n_structures,), eV."""
        return (self.calibration.energy or 1.0) * self.energy_spread

    @property
    def forces_std(self) -> Tensor:
        """Standard deviation of each force component's error, (n_atoms, 3), eV/Angstrom."""
        return (self.calibration.forces or 1.0) * self.forces_spread


class Committee(Potential):
    """The mean of several potentials; their spread says how far to trust it.

    Members share species; the cutoff is the largest one. ``evaluate`` gives a
    :class:`CommitteePrediction`.

    Raises ConfigError for fewer than two members and for members with different species.
    """

    config: CommitteeConfig

    def __init__(
        self, members: Sequence[Potential], calibration: Calibration | None = None
    ) -> None:
        if len(members) < 2:
            raise ConfigError(f"A committee needs two or more members, not {len(members)}.")
        if len({member.numbers for member in members}) > 1:
            lists = "; ".join(", ".join(member.symbols) for member in members)
            raise ConfigError(
                f"The members of a committee must know the same species, not {lists}."
            )
        super().__init__(
            CommitteeConfig(
                species=members[0].symbols,
                cutoff=max(member.cutoff for member in members),
                members=tuple(member.config for member in members),
                calibration=calibration,
            )
        )
        self.members = nn.ModuleList(members)
        self.slow_hessian = any(member.slow_hessian for member in members)
        self.has_charges = all(member.has_charges for member in members)
        self.has_atomic_dipoles = all(member.has_atomic_dipoles for member in members)
        self.provenance = {"members": [member.provenance for member in members]}

    @property
    def has_dipole(self) -> bool:
        """Whether all members have a dipole moment, be it of charges or of atomic dipoles."""
        return all(member.has_dipole for member in self.potentials)

    @property
    def dtype(self) -> torch.dtype:
        """The widest type among the members: a graph keeps what any of them needs."""
        single = all(member.dtype == torch.float32 for member in self.potentials)
        return torch.float32 if single else torch.float64

    @property
    def potentials(self) -> list[Potential]:
        """The members."""
        return [member for member in self.members if isinstance(member, Potential)]

    def calibrated(self, calibration: Calibration | None) -> Committee:
        """The same members with another calibration."""
        committee = Committee(self.potentials, calibration)
        committee.provenance = self.provenance
        return committee

    def atomic_energies(self, graph: Graph) -> Tensor:
        """Mean over the members."""
        return self.predict(graph, gradients=False).atomic_energies

    def predict(self, graph: Graph, gradients: bool = True) -> CommitteePrediction:
        """Means over the members, each on its own fast path, and what each of them says."""
        predictions = [evaluate(member, graph, gradients) for member in self.potentials]
        return CommitteePrediction(
            graph,
            torch.stack([p.atomic_energies.double() for p in predictions]).mean(0),
            _mean([p.edge_gradients for p in predictions]),
            _mean_long_range([p.long_range for p in predictions]),
            _mean([p.charges for p in predictions]),
            _mean([p.atomic_dipoles for p in predictions]),
            predictions,
            self.config.calibration or Calibration(),
        )

    def extrapolations(self, graph: Graph) -> Tensor | None:
        """The largest count among the members that keep one."""
        counts = [member.extrapolations(graph) for member in self.potentials]
        known = [count for count in counts if count is not None]
        return torch.stack(known).amax(0) if known else None

    def list_extrapolations(self, graph: Graph) -> list[Extrapolation]:
        """Of each atom those of the first member that finds it outside."""
        found: dict[int, list[Extrapolation]] = {}
        for member in self.potentials:
            of_member = member.list_extrapolations(graph)
            for atom in {each.atom for each in of_member} - found.keys():
                found[atom] = [each for each in of_member if each.atom == atom]
        return [each for atom in sorted(found) for each in found[atom]]


def build(config: CommitteeConfig) -> Committee:
    """A committee of new members."""
    return Committee([registry.build(member) for member in config.members], config.calibration)


def coverage_factor(level: float, n_members: int) -> float:
    r"""How many standard deviations to either side hold the share ``level`` of the errors.

    The spread s of M members is itself known from M values only. Of errors that are Gaussian with
    standard deviation alpha sigma, and members that are Gaussian with sigma, the ratio of error and
    alpha s follows Student's t distribution with M - 1 degrees of freedom, and this is its
    quantile (1 + level) / 2: for 68.3 and 95.4 % 1.20 and 3.31 with 4 members, 1.06 and 2.32 with
    10, and 1 and 2 with very many.
    """
    return float(stdtrit(n_members - 1, 0.5 + 0.5 * level))


def _mean(values: Sequence[Tensor | None]) -> Tensor | None:
    known = [value.double() for value in values if value is not None]
    return torch.stack(known).mean(0) if len(known) == len(values) else None


def _mean_long_range(values: Sequence[LongRange | None]) -> LongRange | None:
    """Members without such a part have none of it, which is zero."""
    parts = [value for value in values if value is not None]
    if not parts:
        return None
    return LongRange(
        torch.stack([part.position_gradients.double() for part in parts]).sum(0) / len(values),
        torch.stack([part.virial.double() for part in parts]).sum(0) / len(values),
    )
