"""What all networks on symmetry functions share: the functions, their scaling, energy constants."""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Iterable
from typing import ClassVar

import torch
from torch import Tensor

from ladera.errors import ConfigError, DataError
from ladera.extrapolation import Extrapolation
from ladera.graph import Graph
from ladera.kernels.symmetry_functions import ops
from ladera.kernels.symmetry_functions.functions import CUTOFF_FUNCTIONS
from ladera.kernels.symmetry_functions.plan import make_plan
from ladera.models.hdnnp.config import HDNNPConfig
from ladera.models.hdnnp.network import AtomicNetwork
from ladera.models.hdnnp.scaling import RESOLUTION, InputScaling, components_of
from ladera.models.hdnnp.statistics import RunningMoments, gathered
from ladera.potential import Potential, Prediction, TrainingStatistics

log = logging.getLogger(__name__)

# A hundredth of what one neighbour, or one angle, may give to a symmetry function.
UNKNOWN_RANGE = 0.01


class SymmetryFunctionPotential(Potential):
    r"""Base of the networks on symmetry functions.

    The symmetry functions G_i (see ``SymmetryFunction``) are scaled by ``s`` with their range, mean
    and standard deviation sigma over the training set:

        none          G
        scale         S_min + (S_max - S_min) (G - G_min) / (G_max - G_min)
        center        G - mean
        scale_center  S_min + (S_max - S_min) (G - mean) / (G_max - G_min)
        sigma         S_min + (S_max - S_min) (G - mean) / sigma
        principal     (G - mean) M_e, the principal components of the functions of element e, large
                      ones made smaller (see ``scaling.principal_components``)

    The statistics are buffers: ``minimum``, ``maximum``, ``mean``, ``deviation``, each
    (n_species, n_functions) in the order of the columns of G; with ``principal`` also ``mixing``,
    (n_species, n_functions, largest number of components).
    """

    double_buffers: ClassVar[tuple[str, ...]] = (
        "reference_energies",
        "energy_shift",
        "energy_scale",
    )
    slow_hessian = True  # forces are compiled, their derivatives are torch's
    atoms_per_thread: ClassVar[int] = 500  # measured: 256 take as long on two threads as on one

    minimum: Tensor
    maximum: Tensor
    mean: Tensor
    deviation: Tensor
    mixing: Tensor | None
    reference_energies: Tensor
    energy_shift: Tensor
    energy_scale: Tensor

    def __init__(self, config: HDNNPConfig) -> None:
        super().__init__(config)
        config = config.complete()
        self.config: HDNNPConfig = config
        kind = CUTOFF_FUNCTIONS.index(config.cutoff_function)
        self.plan = make_plan(self.symbols, config.symmetry_functions, kind, config.cutoff_alpha)
        shape = (len(self.numbers), self.plan.n_functions)
        zeros, ones = (
            torch.zeros(shape, dtype=torch.float64),
            torch.ones(shape, dtype=torch.float64),
        )
        self.register_buffer("minimum", zeros.clone())
        self.register_buffer("maximum", ones.clone())
        self.register_buffer("mean", zeros.clone())
        self.register_buffer("deviation", ones.clone())
        self.input_counts = config.input_counts(self.plan.counts)
        mixing = None
        if config.scaling == "principal":
            mixing = torch.eye(self.plan.n_functions, max(self.input_counts), dtype=torch.float64)
            mixing = mixing.repeat(len(self.numbers), 1, 1)
        self.register_buffer("mixing", mixing)
        scalar = torch.zeros((), dtype=torch.float64)
        self.register_buffer("reference_energies", scalar.repeat(len(self.numbers)))
        self.register_buffer("energy_shift", scalar.clone())
        self.register_buffer("energy_scale", scalar + 1.0)

    def symmetry_functions(self, graph: Graph) -> Tensor:
        """Unscaled G of each atom, (n_atoms, n_functions); 0 beyond its element's functions."""
        _, *arguments = self._arguments(graph)
        values: Tensor = ops.values(graph.vectors, *arguments, self.plan_number)
        return values

    def descriptors(self, graph: Graph) -> Tensor:
        """Symmetry functions of each atom, in units of their spread over the training set.

            (G - mean) / sigma        (n_atoms, n_functions); 0 for those that did not vary there

        Beyond the functions of its element an atom has zeros.
        """
        values = self.symmetry_functions(graph.to(self.dtype, self.device)).double()
        index = self.element_index(graph)
        deviation = self.deviation[index]
        varied = deviation > 0
        scaled = (values - self.mean[index]) / torch.where(varied, deviation, 1.0)
        return graph.owned(torch.where(varied, scaled, 0.0))

    def grade_features(self, graph: Graph, prediction: Prediction | None = None) -> Tensor:
        """Nodes of the last hidden layer, 0 beyond those of the atom's element, and 1.

        (n_atoms, largest number of nodes + 1).
        """
        if prediction is not None and prediction.grade_features is not None:
            return prediction.grade_features
        graph = graph.to(self.dtype, self.device)
        index, inputs = self.element_index(graph), self.energy_inputs(graph, prediction)
        networks = self.atomic_networks()
        width = max(network.output.in_features for network in networks)
        features = inputs.new_zeros(graph.n_atoms, width + 1)
        features[:, width] = 1
        for element, network in enumerate(networks):
            atoms = torch.nonzero(index == element)[:, 0]
            nodes = network.last_inputs(inputs[atoms, : network.n_inputs])
            features[atoms, : nodes.shape[1]] = nodes
        return features

    @abstractmethod
    def energy_inputs(self, graph: Graph, prediction: Prediction | None = None) -> Tensor:
        """x of the networks of the energy, (n_atoms, largest number of inputs).

        ``prediction`` is what the model says of the graph, if it is at hand.
        """

    @abstractmethod
    def atomic_networks(self) -> list[AtomicNetwork]:
        """The network of the energy of each element."""

    def last_layers(self) -> tuple[str, ...]:
        """The last two layers of every network."""
        return tuple(
            f"{name}.{layer}"
            for name, module in self.named_modules()
            if isinstance(module, AtomicNetwork)
            for layer in ("output", f"hidden.{len(module.hidden) - 1}")
        )

    def fit_statistics(self, graphs: Iterable[Graph], statistics: TrainingStatistics) -> None:
        """Set the scaling of the symmetry functions, reference energies, energy shift and scale.

        The graphs are gone through once. Raises DataError when an element of the model has no atom
        in them.
        """
        with_covariances = self.mixing is not None
        found = [RunningMoments(count, with_covariances) for count in self.plan.counts]
        for batch in gathered(graphs):
            values = self.symmetry_functions(batch.to(self.dtype)).double()
            index = self.element_index(batch)
            for element, moments in enumerate(found):
                moments.add(values[index == element, : self.plan.counts[element]])
        for element, moments in enumerate(found):
            self._set_scaling(element, moments)
            symbol = self.symbols[element]
            self.reference_energies[element] = statistics.reference_energies[symbol]
        self.energy_shift.fill_(statistics.energy_shift)
        self.energy_scale.fill_(statistics.force_scale or 1.0)

    def _set_scaling(self, element: int, moments: RunningMoments) -> None:
        """That of the functions of an element; zero for those that other elements have beyond."""
        symbol, count = self.symbols[element], self.plan.counts[element]
        if moments.count == 0:
            raise DataError(
                f"No training structure has an atom of {symbol}; leave it out of the model's "
                "species or add structures with it."
            )
        constant = moments.high - moments.low < RESOLUTION
        for buffer, values in (
            (self.minimum, moments.low),
            (self.mean, moments.mean),
            (self.maximum, torch.where(constant, moments.low, moments.high)),
            (self.deviation, torch.where(constant, 0.0, moments.deviation)),
        ):
            buffer[element] = 0.0
            buffer[element, :count] = values
        if self.mixing is not None:
            covariance = moments.covariance.numpy()
            components = components_of(covariance, self.input_counts[element])
            self.mixing[element] = 0.0
            self.mixing[element, :count, : components.shape[1]] = torch.from_numpy(components)
        log.log(
            logging.INFO if constant.any() else logging.DEBUG,
            "%d of the %d symmetry functions of %s are constant in the training data.",
            int(constant.sum()),
            count,
            symbol,
        )

    def forget_ranges(self) -> None:
        """Have no ranges of the symmetry functions, as a model of other codes may; it grades none.

        For models whose scaling needs none.
        """
        self.minimum.fill_(torch.nan)
        self.maximum.fill_(torch.nan)

    @property
    def knows_ranges(self) -> bool:
        """Whether the ranges of the symmetry functions in the training data are known."""
        return not bool(torch.isnan(self.minimum).any())

    def grade(self, graph: Graph, prediction: Prediction | None = None) -> Tensor | None:
        """That of the active set; of a model without one, :meth:`range_grade` if it knows any."""
        gamma = self.active_set_grade(graph, prediction)
        if gamma is None and self.knows_ranges:
            return self.range_grade(graph)
        return gamma

    def range_grade(self, graph: Graph) -> Tensor:
        r"""How far the symmetry functions of each atom are from their ranges in the training data.

            g_i = max_k [ 1 + max(G_ik - max_k, min_k - G_ik) / (max_k - min_k) ]

        1 on the edge of a range, at most 1 where no function is outside its own. A function that
        did not vary in the training data has no range: it is left out until it changes by
        UNKNOWN_RANGE, then counts over a range of 1.
        """
        _, beyond, index = self._beyond(graph)
        span = self.maximum - self.minimum
        varied = (span > 0)[index]
        grades = 1 + beyond / torch.where(span > 0, span, torch.ones_like(span))[index]
        grade = torch.where(varied | (beyond > 0), grades, 0.0).amax(1).double()
        edge = 1 + torch.finfo(torch.float64).eps
        graded = torch.where((beyond > 0).any(1), grade.clamp(min=edge), grade.clamp(max=1))
        return graph.owned(graded)

    def explain_grade(
        self, graph: Graph, prediction: Prediction | None = None
    ) -> list[Extrapolation]:
        """What the active set says, and the symmetry functions outside their training range.

        Beside an active set these are those of the atoms that are outside by it: one function of
        many that is a little beyond its range means nothing by itself.
        """
        gamma = self.active_set_grade(graph, prediction)
        if gamma is None:
            return self._functions_outside(graph)
        if not bool((gamma > 1).any()):
            return []
        found = [*self.active_set_reasons(graph, gamma)]
        found += [each for each in self._functions_outside(graph) if gamma[each.atom] > 1]
        return sorted(found, key=lambda each: each.atom)

    def _functions_outside(self, graph: Graph) -> list[Extrapolation]:
        """The symmetry functions outside their training range, with value and range."""
        if not self.knows_ranges:
            return []
        G, beyond, index = self._beyond(graph)
        atoms, functions = torch.nonzero(beyond[: graph.n_owned] > 0).T
        elements = index[atoms]
        low, high = self.minimum[elements, functions], self.maximum[elements, functions]
        columns = (atoms, elements, functions, G[atoms, functions], low, high)
        rows = zip(*(column.tolist() for column in columns), strict=True)
        return [
            Extrapolation(
                atom,
                self.symbols[element],
                number + 1,
                self.plan.functions[element][number].number,
                value,
                minimum,
                maximum,
                self.plan.functions[element][number].about,
            )
            for atom, element, number, value, minimum, maximum in rows
        ]

    def _beyond(self, graph: Graph) -> tuple[Tensor, Tensor, Tensor]:
        """G, how far each is outside its training range, and the element index of each atom.

        Rounding is no step outside; below zero inside.
        """
        graph = graph.to(self.dtype, self.device)
        with torch.no_grad():
            G = self.symmetry_functions(graph)
        index = self.element_index(graph)
        rounding = torch.full_like(self.minimum, 1000 * torch.finfo(G.dtype).eps)
        slack = torch.where(self.maximum > self.minimum, rounding, UNKNOWN_RANGE)
        low, high = (self.minimum - slack)[index], (self.maximum + slack)[index]
        return G, torch.maximum(G - high, low - G), index

    def free_atom_energies(self, head: str | None = None) -> Tensor:
        """E0 of each element, (n_species,), eV."""
        return self.reference_energies

    @property
    def plan_number(self) -> int:
        return ops.number_of(self.plan)

    def _arguments(self, graph: Graph) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Element indices of the atoms, and what the symmetry functions need beside the vectors."""
        if graph.vectors.device.type != "cpu":
            raise ConfigError(
                f"The {self.config.architecture} model was asked to run on "
                f"{graph.vectors.device}; its kernels run on the CPU only, so choose device: cpu."
            )
        if graph.inputs is not None:
            raise ValueError("a reduced graph has no edges: it gives energies, and no gradients")
        index = self.element_index(graph)
        return index, graph.owned_rows, index, index[graph.neighbors]

    def input_scaling(self) -> InputScaling:
        """From symmetry functions to the inputs of the networks; constant functions keep G."""
        low, high = self.config.scale_range
        span = self.maximum - self.minimum
        one, zero = torch.ones_like(span), torch.zeros_like(span)
        match self.config.scaling:
            case "none":
                return InputScaling(zero, one, 0.0)
            case "scale":
                factor = (high - low) / torch.where(span > 0, span, one)
                return InputScaling(self.minimum, factor, low)
            case "center":
                return InputScaling(self.mean, one, 0.0)
            case "scale_center":
                factor = (high - low) / torch.where(span > 0, span, one)
                return InputScaling(self.mean, factor, low)
            case "sigma":
                sigma = torch.where(self.deviation > 0, self.deviation, one)
                return InputScaling(self.mean, (high - low) / sigma, low)
            case "principal":
                return InputScaling(self.mean, one, 0.0, self.mixing)
