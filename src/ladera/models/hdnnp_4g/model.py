"""The fourth-generation network potential: charges that know the whole system."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import torch
from ase.data import atomic_numbers, covalent_radii
from torch import Tensor, nn

from ladera.graph import Graph
from ladera.kernels.symmetry_functions import ops
from ladera.models.hdnnp.base import SymmetryFunctionPotential
from ladera.models.hdnnp.network import AtomicNetwork
from ladera.models.hdnnp_4g.config import HDNNP4GConfig
from ladera.models.hdnnp_4g.equilibration import Electrostatics, Equilibrium
from ladera.potential import LongRange, Prediction, strained
from ladera.quantities import CHARGES, DIPOLE

START_HARDNESS = 10.0  # eV/e^2, about that of a free atom


class HDNNP4G(SymmetryFunctionPotential):
    r"""Behler-Parrinello potential with charge equilibration (Ko, Finkler, Goedecker and Behler,
    Nat. Commun. 12, 398 (2021)).

        chi_i = scale_chi * NN^chi_e( s(G_i) )                        electronegativities
        q     = argmin_q  sum_i (chi_i q_i + J_e q_i^2 / 2) + q.A q / 2,    sum_i q_i = Q
        E_i   = E0[e] + shift + scale * NN_e( s(G_i), q_i ) + q_i [(A - A_self + S) q]_i / 2

    e is the element of atom i, J_e its hardness, A the Coulomb interaction of Gaussian charges with
    itself and S its screening (see ``kernels.electrostatics.reference``), A_self the part of A that
    an atom has alone. Q is the total charge of the structure, which must be zero in a cell. ``s``
    are the scaled symmetry functions of ``SymmetryFunctionPotential``.

    ``hardness`` (n_species,) in eV/e^2 is the square of a parameter, and so never negative.
    """

    double_buffers = (*SymmetryFunctionPotential.double_buffers, "electronegativity_scale")
    gives = (*SymmetryFunctionPotential.gives, DIPOLE, CHARGES)
    knows_charge = True
    hops = None  # charges depend on all atoms
    partly_periodic = False  # Ewald sums are of three directions, or none

    electronegativity_scale: Tensor  # eV/e

    def __init__(self, config: HDNNP4GConfig) -> None:
        super().__init__(config)
        self.config: HDNNP4GConfig
        shapes = [
            (config.network(symbol), config.electronegativity_network(symbol))
            for symbol in self.symbols
        ]
        counts, normalize = self.input_counts, config.normalize_nodes
        self.networks = nn.ModuleList(
            AtomicNetwork((count + 1, *shape.hidden_layers, 1), shape.activations, normalize)
            for count, (shape, _) in zip(counts, shapes, strict=True)
        )
        self.electronegativities = nn.ModuleList(
            AtomicNetwork((count, *shape.hidden_layers, 1), shape.activations, normalize)
            for count, (_, shape) in zip(counts, shapes, strict=True)
        )
        self.register_buffer("electronegativity_scale", torch.ones((), dtype=torch.float64))
        start = torch.full((len(self.numbers),), math.sqrt(START_HARDNESS), dtype=torch.float64)
        self.root_hardness = nn.Parameter(start)
        widths = {symbol: float(covalent_radii[atomic_numbers[symbol]]) for symbol in self.symbols}
        widths |= config.electrostatics.gaussian_widths
        self.electrostatics = Electrostatics(
            config.electrostatics, [widths[symbol] for symbol in self.symbols]
        )

    @property
    def hardness(self) -> Tensor:
        """J of each element, (n_species,), eV/e^2, float64."""
        return self.root_hardness.double() ** 2

    def atomic_energies(self, graph: Graph) -> Tensor:
        """E_i of each atom, (n_atoms,), eV, float64."""
        return self.predict(graph, gradients=False).atomic_energies

    def energies_and_edge_gradients(self, graph: Graph) -> tuple[Tensor, Tensor]:
        """Atomic energies, and the part of the gradient that edges carry; see ``predict``."""
        prediction = self.predict(graph)
        return prediction.atomic_energies, prediction.edge_gradients

    def predict(self, graph: Graph, gradients: bool = True) -> Prediction:
        """Energies and charges, and all gradients.

        Raises DataError for a charged cell, for a structure that is periodic in one or two
        directions and for two atoms in one place.
        """
        self.electrostatics.check(graph)
        index, *arguments = self._arguments(graph)
        G = ops.values(graph.vectors, *arguments, self.plan_number)
        if not gradients:
            return self._differentiable(graph, index, G)
        if torch.is_grad_enabled():
            return self._trainable(graph, index, arguments, G.detach())
        return self._fast(graph, index, arguments, G)

    def _differentiable(self, graph: Graph, index: Tensor, G: Tensor) -> Prediction:
        """Energies and charges, differentiable in G, positions, cell and parameters."""
        inputs = self.input_scaling().inputs(G, index)
        chi = self._outputs(self.electronegativities, inputs, index) * self.electronegativity_scale
        parts = [
            self.electrostatics.differentiable(part, self.hardness, chi[part.atoms])
            for part in self.electrostatics.parts(graph, index)
        ]
        charges, energies = (torch.cat(column) for column in zip(*parts, strict=True))
        short = self._short_energies(inputs, index, charges)
        return Prediction(graph, short + energies, atomic_values={CHARGES: charges})

    def _trainable(
        self, graph: Graph, index: Tensor, arguments: list[Tensor], G: Tensor
    ) -> Prediction:
        """All gradients, differentiable in the parameters: dE/dG by torch, then dE/dr_ij."""
        G.requires_grad_()
        deformed, positions, strain = strained(graph)
        prediction = self._differentiable(deformed, index, G)
        by_G, by_positions, virial = torch.autograd.grad(
            prediction.atomic_energies.sum(),
            (G, positions, strain),
            create_graph=True,
            materialize_grads=True,
        )
        vectors = graph.vectors.detach()
        return Prediction(
            graph,
            prediction.atomic_energies,
            ops.reverse(vectors, *arguments, by_G, self.plan_number),
            LongRange(by_positions, virial),
            atomic_values=prediction.atomic_values,
        )

    def _fast(self, graph: Graph, index: Tensor, arguments: list[Tensor], G: Tensor) -> Prediction:
        """Compiled sums over pairs and one adjoint solution in the place of derivatives of charges.

        With G the symmetry functions, l the adjoint and x = s(G),

            dE/dx = dE_short/dx + l . dchi/dx
        """
        hardness = self.hardness.numpy()
        with torch.enable_grad():
            inputs = self.input_scaling().inputs(G, index).requires_grad_()
            outputs = self._outputs(self.electronegativities, inputs, index)
            chi = outputs * self.electronegativity_scale
        values = chi.detach().numpy()
        found = [
            Equilibrium(self.electrostatics, part, hardness, values[part.atoms])
            for part in self.electrostatics.parts(graph, index)
        ]
        charges = torch.from_numpy(np.concatenate([e.charges for e in found])).requires_grad_()
        with torch.enable_grad():
            short = self._short_energies(inputs, index, charges)
        by_inputs, by_charges = torch.autograd.grad(
            short, (inputs, charges), torch.ones_like(short)
        )
        slopes = np.split(by_charges.numpy(), np.cumsum([len(e.charges) for e in found])[:-1])
        adjoints = [e.adjoint(slope) for e, slope in zip(found, slopes, strict=True)]
        weights = torch.from_numpy(np.concatenate(adjoints))
        (by_chi,) = torch.autograd.grad(chi, inputs, weights)
        G_bar = self.input_scaling().gradients(by_inputs + by_chi, index)
        gradients = [e.gradient(l) for e, l in zip(found, adjoints, strict=True)]
        long_range = LongRange(
            torch.from_numpy(np.concatenate([positions for positions, _ in gradients])),
            torch.from_numpy(np.stack([strain for _, strain in gradients])),
        )
        energies = short.detach() + torch.from_numpy(np.concatenate([e.energies for e in found]))
        return Prediction(
            graph,
            energies,
            ops.reverse(graph.vectors, *arguments, G_bar, self.plan_number),
            long_range,
            atomic_values={CHARGES: charges.detach()},
        )

    def energy_inputs(self, graph: Graph, prediction: Prediction | None = None) -> Tensor:
        """x and the charge of all atoms, (n_atoms, n_inputs + 1), as the short-ranged energy's."""
        index, *arguments = self._arguments(graph)
        G = ops.values(graph.vectors, *arguments, self.plan_number)
        said = prediction or self.predict(graph, gradients=False)
        inputs = self.input_scaling().inputs(G, index)
        counts = torch.tensor(self.input_counts)[index]
        with_charge = torch.cat([inputs, inputs.new_zeros(len(inputs), 1)], dim=1)
        # Of each element behind the inputs that it has.
        charges = said.atomic_values[CHARGES][:, None].to(inputs)
        return with_charge.scatter(1, counts[:, None], charges)

    def atomic_networks(self) -> list[AtomicNetwork]:
        """The network of the short-ranged energy of each element."""
        return [network for network in self.networks if isinstance(network, AtomicNetwork)]

    def _short_energies(self, inputs: Tensor, index: Tensor, charges: Tensor) -> Tensor:
        """All of E_i but the electrostatics, (n_atoms,), eV, float64."""
        constants = (self.reference_energies + self.energy_shift).double()[index]
        return constants + self.energy_scale * self._outputs(self.networks, inputs, index, charges)

    def _outputs(
        self,
        networks: Iterable[nn.Module],
        inputs: Tensor,
        index: Tensor,
        charges: Tensor | None = None,
    ) -> Tensor:
        """What the network of each atom's element says, (n_atoms,), float64."""
        outputs = torch.zeros(len(index), dtype=torch.float64)
        for element, network in enumerate(networks):
            atoms = torch.nonzero(index == element)[:, 0]
            if len(atoms) == 0:
                continue
            x = inputs[atoms, : self.input_counts[element]]
            if charges is not None:
                x = torch.cat([x, charges[atoms, None].to(x)], dim=1)
            outputs = outputs.index_add(0, atoms, network(x).double())
        return outputs
