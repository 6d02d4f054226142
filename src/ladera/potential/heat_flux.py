r"""The heat flux of a structure in motion, J = d/dt sum_i r_i e_i, of potentials with a reach.

    J = sum_i e_i v_i  -  sum_i sum_b (r_b - r_i) (dE_i/dr_b . v_b),      e_i = m_i v_i^2 / 2 + E_i

with b all atoms that E_i depends on, each periodic image by itself: the many-body form, which is
the time derivative of the energy's barycentre wherever that exists (Fan et al., Phys. Rev. B 92,
094301 (2015)). Where E_i depends on the edges of atom i alone, dE_i/dr_b is the edge gradient and

    J = sum_i e_i v_i  -  sum_ij r_ij (g_ij . v_j)

Message passing carries dependence farther, and the edges' form misses part of the flux. There the
derivatives are those of the atoms of the cell in an open surrounding that holds all they depend on
(Langer, Frank and Knoop, Phys. Rev. B 108, L100302 (2023)).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np
import torch

from ladera.arrays import Floats
from ladera.errors import SimulationError
from ladera.graph import Graph
from ladera.potential.evaluation import evaluate
from ladera.quantities import ENERGY
from ladera.units import FEMTOSECOND

if TYPE_CHECKING:
    from ase import Atoms
    from torch import Tensor

    from ladera.potential.contract import Potential
    from ladera.potential.prediction import Prediction

_SAME: Final = 1e-5  # eV, beside rounding, of atomic energies that are the same


class HeatFlux:
    """The heat flux of one model, for structure after structure.

    The zero of the atomic energies is a matter of convention, which no conductivity of a solid or
    of a pure liquid depends on; far from it the flux is mostly noise. With ``start`` energies are
    counted from their mean over the atoms of the same element in that structure.

    Raises SimulationError for a model without energies, and for one whose atomic energies depend on
    atoms at any distance (electrostatics): their heat flux has another form.
    """

    def __init__(self, potential: Potential, start: Atoms | None = None) -> None:
        if ENERGY not in potential.gives:
            raise SimulationError("This model has no energies, and so no heat flux; take another.")
        if potential.hops is None:
            raise SimulationError(
                f"The heat flux of a {potential.config.architecture} is not known: it needs "
                "energies of single atoms that depend on atoms within a reach, which neither "
                "electrostatics nor an ASE calculator has; take a model without charges in its "
                "energy."
            )
        self._potential = potential
        self._hops = potential.hops
        self._checked = False
        self._zero: Floats | float = 0.0
        if start is not None:
            with torch.no_grad():
                graph = Graph.from_atoms(start, potential.cutoff)
                energies = _atomic_energies(evaluate(potential, graph, gradients=False))
            _, kinds = np.unique(start.numbers, return_inverse=True)
            self._zero = (np.bincount(kinds, energies) / np.bincount(kinds))[kinds]

    def __call__(self, prediction: Prediction, masses: Floats, velocities: Floats) -> Floats:
        """J (3,), eV*Angstrom/fs, of the one structure that was predicted with its gradients.

        ``masses`` (n_atoms,) are in amu, ``velocities`` (n_atoms, 3) in Angstrom/fs. The first call
        makes sure that atomic energies depend on no atom farther than the model says; it raises
        SimulationError where they do.
        """
        if prediction.graph.halo is not None:
            raise SimulationError(
                "The heat flux is that of atoms on one process, and here they are distributed over "
                "several; run ladera md, or let the engine sum per-atom virials."
            )
        prediction.graph.require_pairs(self._potential.cutoff)
        if not self._checked:
            self._require_reach(prediction)
            self._checked = True
        energies = _atomic_energies(prediction) - self._zero
        kinetic = 0.5 * masses * ((velocities / FEMTOSECOND) ** 2).sum(axis=1)
        carried: Floats = (kinetic + energies) @ velocities
        if self._hops == 1:
            return carried + _by_edges(prediction, velocities)
        return carried + _by_surroundings(self._potential, prediction.graph, self._hops, velocities)

    def _require_reach(self, prediction: Prediction) -> None:
        """Refuse a model of whose atomic energies part comes from beyond its ``hops``."""
        if prediction.long_range is not None:
            raise SimulationError(
                "This model has a long-range energy, which no heat flux is known for; take one "
                "without."
            )
        graph, _ = surroundings(prediction.graph, self._hops)
        with torch.no_grad():
            alone = self._potential.predict(graph, gradients=False).atomic_energies
        inside = prediction.atomic_energies.detach()
        differences = (alone[: len(inside)] - inside).double().abs()
        rounding = 8 * torch.finfo(self._potential.dtype).eps * float(inside.abs().max())
        if float(differences.max()) > _SAME + rounding:
            atom = int(differences.argmax())
            raise SimulationError(
                f"The energy of atom {atom} changes by {float(differences[atom]):.2g} eV when "
                f"atoms farther than {self._hops} edge(s) are taken away, so the heat flux of this "
                "model is not known; its class must say how far it sees (Potential.hops)."
            )


def _atomic_energies(prediction: Prediction) -> Floats:
    energies: Floats = prediction.atomic_energies.detach().double().cpu().numpy()
    return energies


def _by_edges(prediction: Prediction, velocities: Floats) -> Floats:
    """- sum_ij r_ij (g_ij . v_j), (3,)."""
    graph = prediction.graph
    moving = torch.from_numpy(velocities).to(graph.vectors.device)[graph.neighbors]
    power = (prediction.edge_gradients.detach().double() * moving).sum(dim=1)
    flux: Floats = -(power @ graph.vectors.double()).cpu().numpy()
    return flux


def _by_surroundings(potential: Potential, graph: Graph, hops: int, velocities: Floats) -> Floats:
    r"""- sum_i sum_b (r_b - r_i) (dE_i/dr_b . v_b), (3,), by differentiating barycentres.

    ::

        B_k = sum_i r_ik E_i,    G = d/d(r_ab) sum_i E_i,    G_k = d B_k / d(r_ab)
        J_k = sum_ab [ (G_k - r_bk G) . v_b - (G_k - r_ak G) . v_a ]

    with a and b the ends of an edge and i the atoms of the cell; r_i in B_k is a constant.
    """
    n_atoms = graph.n_atoms
    around, sources = surroundings(graph, hops)
    places = around.positions - around.positions[:n_atoms].mean(dim=0)
    vectors = around.vectors.detach().requires_grad_()
    with torch.enable_grad():
        around = replace(around, vectors=vectors)
        energies = potential.predict(around, gradients=False).atomic_energies[:n_atoms]
        weights = torch.cat([torch.ones_like(places[:n_atoms, :1]), places[:n_atoms]], dim=1)
        total, *centres = [
            torch.autograd.grad((w * energies).sum(), vectors, retain_graph=True)[0].double()
            for w in weights.to(energies.dtype).T
        ]
    moving = torch.from_numpy(velocities).to(vectors.device)[sources]
    a, b = around.centers, around.neighbors
    flux = []
    for k, centre in enumerate(centres):
        to_b, to_a = (centre - places[end, k, None].double() * total for end in (b, a))
        flux.append(float((to_b * moving[b]).sum() - (to_a * moving[a]).sum()))
    return np.array(flux)


def surroundings(graph: Graph, hops: int) -> tuple[Graph, Tensor]:
    """One structure's atoms with all images they see over ``hops`` edges, open; whose images.

    The graph begins with the atoms of the cell. It has the edges of all atoms that are fewer than
    ``hops`` edges away. The second, (n_all,) int64, says of which atom each is an image.
    """
    device, counts = graph.vectors.device, graph.row_pointer.diff()
    atoms = torch.arange(graph.n_atoms, device=device)[:, None]
    images = torch.cat([atoms, atoms.new_zeros(graph.n_atoms, 3)], dim=1)  # atom and cell
    for _ in range(hops):
        inner = counts[images[:, 0]]
        owner = torch.repeat_interleave(torch.arange(len(images), device=device), inner)
        starts = torch.repeat_interleave(graph.row_pointer[images[:, 0]], inner)
        firsts = torch.repeat_interleave(inner.cumsum(0) - inner, inner)
        edge = starts + torch.arange(len(owner), device=device) - firsts
        cells = images[owner, 1:] + graph.shifts[edge]
        reached = torch.cat([graph.neighbors[edge][:, None], cells], dim=1)
        images, places = _in_order_of_appearance(torch.cat([images, reached]))
        ends = places[len(places) - len(edge) :]
    row_pointer = torch.searchsorted(owner, torch.arange(len(images) + 1, device=device))
    cell = graph.cell[0]
    opened = Graph(
        numbers=graph.numbers[images[:, 0]],
        positions=graph.positions[images[:, 0]] + images[:, 1:].to(cell) @ cell,
        cell=torch.zeros_like(graph.cell),
        periodic=torch.zeros_like(graph.periodic),
        structure_index=torch.zeros_like(images[:, 0]),
        centers=owner,
        neighbors=ends,
        shifts=torch.zeros_like(graph.shifts[edge]),
        vectors=graph.vectors[edge],
        row_pointer=row_pointer,
        total_charge=graph.total_charge,
        heads=graph.heads,
        cutoff=graph.cutoff,
    )
    return opened, images[:, 0]


def _in_order_of_appearance(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Distinct rows in the order in which they first come, and the place of each row in these."""
    distinct, inverse = torch.unique(rows, dim=0, return_inverse=True)
    last = len(rows)
    first = torch.full((len(distinct),), last, device=rows.device)
    first = first.scatter_reduce(0, inverse, torch.arange(last, device=rows.device), "amin")
    order = first.argsort()
    place = torch.empty_like(order)
    place[order] = torch.arange(len(order), device=rows.device)
    return distinct[order], place[inverse]
