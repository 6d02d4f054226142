"""A model with D3 dispersion, or the repulsion of nuclei, added to what it has learned."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Final, Literal

import torch
from pydantic import BeforeValidator, Field, SerializeAsAny
from torch import Tensor

from ladera.errors import ConfigError
from ladera.extrapolation import Extrapolation
from ladera.graph import Graph
from ladera.models import registry
from ladera.models.dispersion import HEAVIEST, Dispersion
from ladera.models.repelled import REACH
from ladera.models.zbl import PUBLISHED, ScreenedRepulsion
from ladera.potential import (
    LongRange,
    Potential,
    PotentialConfig,
    Prediction,
    TrainingStatistics,
    evaluate,
)
from ladera.quantities import ENERGY
from ladera.structure import Structure

_POWER: Final = 6  # of the switch, as in mace-torch


def _stored(value: Any) -> Any:
    """A configuration in the class of its architecture."""
    if not isinstance(value, Mapping):
        return value
    return registry.config_class(value["architecture"]).model_validate(value)


class CorrectedConfig(PotentialConfig):
    """The configuration of the model, and what is added to it."""

    architecture: Literal["corrected"] = "corrected"
    base: Annotated[SerializeAsAny[PotentialConfig], BeforeValidator(_stored)]
    dispersion: str | None = Field(
        default=None, description="Functional and damping of D3, such as pbe:bj."
    )
    zbl: bool = Field(default=False, description="Repulsion of nuclei at short distances.")

    @property
    def head_names(self) -> tuple[str, ...]:
        """Those of the model."""
        return self.base.head_names

    @property
    def chosen_head(self) -> str | None:
        """That of the model."""
        return self.base.chosen_head

    @property
    def head_index(self) -> int:
        """That of the model."""
        return self.base.head_index

    @property
    def corrections(self) -> dict[str, str | bool]:
        """What is added to the model, by name."""
        named = {"dispersion": self.dispersion, "zbl": self.zbl}
        return self.base.corrections | {name: value for name, value in named.items() if value}


class Corrected(Potential):
    r"""The sum of a model, D3 dispersion and the repulsion of nuclei, these as far as asked for.

        E_i = E_i(model) + E_i(D3) + V_i(ZBL)

    See :class:`ladera.models.dispersion.Dispersion`, of which each atom has half of its pairs, and
    :class:`ladera.models.zbl.ScreenedRepulsion`. What else the model says is as it was: grade,
    charges, dipoles, the spread of a committee.
    """

    config: CorrectedConfig
    base: Potential

    def __init__(self, config: CorrectedConfig, base: Potential | None = None) -> None:
        super().__init__(config)
        self.base = base = registry.build(config.base) if base is None else base
        self._dispersion = None if config.dispersion is None else Dispersion(config.dispersion)
        self.repulsion = None
        if config.zbl:
            self.repulsion = _repulsion(self.numbers)
        self.gives, self.knows_charge = base.gives, base.knows_charge
        self.hops = base.hops if self._dispersion is None else None
        self.slow_hessian, self.differentiable = base.slow_hessian, base.differentiable
        self.partitions_energy, self.storable = base.partitions_energy, base.storable
        self.partly_periodic = base.partly_periodic
        self.moments_of_atoms = base.moments_of_atoms
        self.provenance = base.provenance

    @property
    def uncorrected(self) -> Potential:
        """The model alone."""
        return self.base.uncorrected

    @property
    def members(self) -> tuple[Potential, ...]:
        """Those of a committee, each with what is added."""
        return tuple(_added(member, self.config) for member in self.base.members)

    @property
    def exchange_widths(self) -> tuple[int, ...]:
        """Those of the model: pairs need no exchange."""
        return self.base.exchange_widths

    @property
    def dtype(self) -> torch.dtype:
        """What is added takes float64, whatever the precision of the model."""
        return torch.float64

    def atomic_energies(self, graph: Graph) -> Tensor:
        """E_i, (n_atoms,), eV, float64."""
        return self.predict(graph, gradients=False).atomic_energies

    def predict(self, graph: Graph, gradients: bool = True) -> Prediction:
        """What the model says, on its own fast path, with what is added."""
        index = self.element_index(graph)
        found, long_range, by_edges = evaluate(self.base, graph, gradients), None, None
        energies = graph.vectors.new_zeros(graph.n_atoms)
        if gradients:
            by_edges = torch.zeros_like(graph.vectors)
        if self.repulsion is not None:
            pairs, slopes = self.repulsion.of_near(graph, index, gradients)
            energies = energies + pairs
            by_edges = slopes
        if self._dispersion is not None and gradients:
            more, long_range = _with_gradients(self._dispersion, graph)
            energies = energies + more
        elif self._dispersion is not None:
            energies = energies + _differentiable(self._dispersion, graph)
        return found.plus(graph, energies, by_edges, long_range)

    def fit_statistics(self, graphs: Iterable[Graph], statistics: TrainingStatistics) -> None:
        """Those of the model."""
        self.base.fit_statistics(graphs, statistics)

    @property
    def knows_domain(self) -> bool:
        """As the model."""
        return self.base.knows_domain

    def grade(self, graph: Graph, prediction: Prediction | None = None) -> Tensor | None:
        """That of the model: what is added was not learned."""
        return self.base.grade(graph, prediction)

    def explain_grade(
        self, graph: Graph, prediction: Prediction | None = None
    ) -> list[Extrapolation]:
        """The model's reasons."""
        return self.base.explain_grade(graph, prediction)

    def descriptors(self, graph: Graph) -> Tensor | None:
        """Those of the model."""
        return self.base.descriptors(graph)

    def free_atom_energies(self, head: str | None = None) -> Tensor | None:
        """Those of the model: free atoms have no neighbours to be drawn to."""
        return self.base.free_atom_energies(head)

    def decays(self, parameter: str) -> bool:
        """As the model's."""
        return self.base.decays(parameter.removeprefix("base."))

    def last_layers(self) -> tuple[str, ...]:
        """Those of the model."""
        return tuple(f"base.{name}" for name in self.base.last_layers())

    def with_head(self, name: str) -> Potential:
        """The model with one head more, and the same added to it."""
        return _added(self.base.with_head(name), self.config)

    def with_elements(self, relatives: Mapping[str, str]) -> Potential:
        """The model with more elements, and the same added to it."""
        return _added(self.base.with_elements(relatives), self.config)

    def with_dipole(self, charges: bool = True) -> Potential:
        """The model with dipoles, and the same added to its energies."""
        return _added(self.base.with_dipole(charges), self.config)


def corrected(potential: Potential, dispersion: str | None = None, zbl: bool = False) -> Potential:
    """A model with D3 of a functional, with the repulsion of nuclei, with both, or as it is.

    ``dispersion`` is such as "pbe" or "pbe:zero"; ``zbl`` adds the repulsion where atoms are closer
    than :data:`ladera.models.repelled.REACH` of a sum of covalent radii. Raises ConfigError for a
    model without energies, for one that has the same added or learned already, and what
    :class:`Dispersion` raises.
    """
    if dispersion is None and not zbl:
        return potential
    _require_without(potential, dispersion, zbl)
    if dispersion is not None:
        dispersion = Dispersion(dispersion).method
    wanted = CorrectedConfig(cutoff=1.0, base=potential.config, dispersion=dispersion, zbl=zbl)
    return _added(potential, wanted)


def _added(base: Potential, like: CorrectedConfig) -> Corrected:
    """A model with the corrections of another's."""
    reach = _repulsion(base.numbers).cutoff if like.zbl else 0.0
    parts = {"base": base.config, "dispersion": like.dispersion, "zbl": like.zbl}
    config = CorrectedConfig(species=base.symbols, cutoff=max(base.cutoff, reach), **parts)
    return Corrected(config, base)


def _repulsion(numbers: Sequence[int]) -> ScreenedRepulsion:
    return ScreenedRepulsion(numbers, _POWER, PUBLISHED, REACH)


def _require_without(potential: Potential, dispersion: str | None, zbl: bool) -> None:
    """ConfigError for what cannot be added, or is there already."""
    if ENERGY not in potential.gives:
        raise ConfigError(
            f"The {potential.config.architecture} model has no energies that dispersion or "
            "repulsion could be added to; leave dispersion and zbl out."
        )
    there = potential.config.corrections
    if zbl and "zbl" in there:
        raise ConfigError("The model has the repulsion of nuclei (ZBL) already; leave zbl out.")
    if dispersion is None:
        return
    if "dispersion" in there:
        raise ConfigError(
            f"The model has D3 dispersion already ({there['dispersion']}); leave dispersion out."
        )
    learned = _learned(potential)
    if learned:
        raise ConfigError(
            f"The labels that the model has learned from have dispersion in them ({learned}); "
            "leave dispersion out."
        )
    heavy = [s for s, n in zip(potential.symbols, potential.numbers, strict=True) if n > HEAVIEST]
    if len(heavy) == len(potential.symbols):
        raise ConfigError(f"D3 has no parameters for {', '.join(heavy)}, which the model is for.")


def _learned(potential: Potential) -> str:
    """The dispersion that a published model has learned, if it is known."""
    for each in (potential.uncorrected, *potential.members):
        learned = each.uncorrected.provenance.get("dispersion", "")
        if learned:
            return str(learned)
    return ""


def _structures(graph: Graph) -> list[tuple[Structure, Tensor, Tensor]]:
    """Each structure of a batch, with the positions and the cell that torch knows."""
    counts = graph.atom_counts.tolist()
    positions, numbers = torch.split(graph.positions, counts), torch.split(graph.numbers, counts)
    return [
        (Structure.of(_array(z), _array(r), _array(cell), _array(periodic)), r, cell)
        for z, r, cell, periodic in zip(numbers, positions, graph.cell, graph.periodic, strict=True)
    ]


def _array(tensor: Tensor) -> Any:
    return tensor.detach().cpu().numpy()


def _with_gradients(dispersion: Dispersion, graph: Graph) -> tuple[Tensor, LongRange]:
    found = [dispersion.of(structure) for structure, _, _ in _structures(graph)]
    energies, gradients = (
        torch.cat([torch.from_numpy(array) for array in arrays]).to(graph.positions)
        for arrays in zip(*((each.energies, each.gradient) for each in found), strict=True)
    )
    virials = torch.stack([torch.from_numpy(each.virial) for each in found])
    return energies, LongRange(gradients, virials.to(graph.positions))


def _differentiable(dispersion: Dispersion, graph: Graph) -> Tensor:
    return torch.cat([dispersion.energy(*each) for each in _structures(graph)])
