"""Charge equilibration of one structure: charges that minimise an energy, and its gradient.

The charges q of given sum Q minimise chi.q + q.K q / 2, where K = A + diag(J) is the Coulomb
matrix with the hardness of each atom on its diagonal:

    ( K    1 ) ( q  )   ( -chi )
    ( 1^T  0 ) ( mu ) = (  Q   )

An energy E(q, r) of these charges changes with q as the atoms move. Instead of dq/dr one more
solution of the same equations is needed, the adjoint l:

    ( K    1 ) ( l )   ( -dE/dq )            dE/dr = dE/dr|_q + l . (dchi/dr + dA/dr q)
    ( 1^T  0 ) ( m ) = (   0    ),
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import scipy.linalg
import torch
from torch import Tensor

from ladera.arrays import Floats
from ladera.errors import DataError
from ladera.graph import Graph
from ladera.kernels.electrostatics import cpu, reference
from ladera.kernels.electrostatics.ewald import (
    OPEN,
    EwaldSums,
    jackson_catlow,
    kolafa_perram,
    kolafa_perram_at_cutoff,
)
from ladera.kernels.electrostatics.screening import Screening
from ladera.kernels.symmetry_functions.functions import CUTOFF_FUNCTIONS
from ladera.models.hdnnp_4g.config import ElectrostaticsConfig, Ewald, JacksonCatlow
from ladera.units import COULOMB

NEUTRAL = 1e-6  # e; a total charge below it is rounding


class Part(NamedTuple):
    """One structure of a graph."""

    number: int
    atoms: slice
    positions: Tensor  # (n_atoms, 3), Angstrom, float64
    cell: Tensor  # (3, 3), Angstrom, float64
    kinds: Tensor  # (n_atoms,) index into the species
    total_charge: float  # e
    sums: EwaldSums


class Electrostatics:
    """The Coulomb interaction of a model's charges.

    ``widths`` are those of the Gaussian charges of each species, in Angstrom.
    """

    def __init__(self, config: ElectrostaticsConfig, widths: Sequence[float]) -> None:
        self.ewald = config.ewald
        self.widths = np.array(widths, dtype=np.float64)
        self.constant = COULOMB / config.permittivity  # eV*Angstrom/e^2
        self.screening: Screening | None = None
        if config.screening is not None:
            inner, outer = config.screening.inner, config.screening.outer
            kind = CUTOFF_FUNCTIONS.index(config.screening.shape)
            self.screening = Screening(kind, inner / outer, outer)

    def check(self, graph: Graph) -> None:
        """Raise DataError for structures that have no electrostatic energy.

        Those are a charged cell, one that is periodic in one or two directions, and two atoms in
        one place.
        """
        coincident = torch.nonzero((graph.vectors == 0).all(dim=1))
        if len(coincident):
            i, j = (int(ends[coincident[0, 0]]) for ends in (graph.centers, graph.neighbors))
            raise DataError(
                f"Atoms {i} and {j} are in one place, where their Coulomb interaction has no "
                "value; check the structure."
            )
        directions = graph.periodic.sum(dim=1)
        for number, (n_periodic, charge) in enumerate(
            zip(directions.tolist(), graph.total_charge.tolist(), strict=True)
        ):
            if n_periodic in (1, 2):
                raise DataError(
                    f"Structure {number} is periodic in {n_periodic} of three directions; Ewald "
                    "sums need all three, so surround it with vacuum and make it periodic in all."
                )
            if n_periodic and abs(charge) > NEUTRAL:
                raise DataError(
                    f"Structure {number} is periodic and has a total charge of {charge:g} e; only "
                    "a neutral cell has a finite electrostatic energy."
                )

    def parts(self, graph: Graph, kinds: Tensor) -> list[Part]:
        """The structures of a graph whose atoms are of species ``kinds``."""
        stops = torch.cumsum(graph.atom_counts, 0).tolist()
        parts = []
        for number, (start, stop) in enumerate(zip([0, *stops], stops, strict=False)):
            atoms, cell = slice(start, stop), graph.cell[number].double()
            sums = OPEN
            if bool(graph.periodic[number].all()):
                volume = float(torch.linalg.det(cell.detach()).abs())
                widest = float(self.widths.max())
                sums = _truncated(self.ewald, volume, stop - start, self.constant, widest)
            positions = graph.positions[atoms].double()
            charge = float(graph.total_charge[number])
            parts.append(Part(number, atoms, positions, cell, kinds[atoms], charge, sums))
        return parts

    def differentiable(self, part: Part, hardness: Tensor, chi: Tensor) -> tuple[Tensor, Tensor]:
        """Charges and electrostatic energies of the atoms, differentiable in everything.

        ``hardness`` (n_species,) in eV/e^2, electronegativities ``chi`` (n_atoms,) in eV/e.
        """
        widths = torch.from_numpy(self.widths)[part.kinds]
        A, S = reference.matrices(part.positions, part.cell, widths, part.sums, self.screening)
        n_atoms, ones = len(chi), chi.new_ones(len(chi))
        system = chi.new_zeros(n_atoms + 1, n_atoms + 1)
        system[:n_atoms, :n_atoms] = self.constant * A + torch.diag(hardness[part.kinds])
        system[n_atoms, :n_atoms] = system[:n_atoms, n_atoms] = ones
        right = torch.cat([-chi, chi.new_tensor([part.total_charge])])
        charges = torch.linalg.solve(system, right)[:n_atoms]
        _check_finite(part, charges)
        self_interaction = torch.diag(1 / (math.sqrt(math.pi) * widths))
        return charges, 0.5 * self.constant * charges * ((A - self_interaction + S) @ charges)


class Equilibrium:
    """Charges of one structure, and what their energy needs for its gradient.

    ``charges`` (n_atoms,) in e and electrostatic ``energies`` (n_atoms,) in eV.
    """

    def __init__(
        self, electrostatics: Electrostatics, part: Part, hardness: Floats, chi: Floats
    ) -> None:
        self._constant = electrostatics.constant
        kinds = part.kinds.numpy()
        self._gaussians = cpu.GaussianCharges(
            part.positions.numpy(),
            part.cell.numpy(),
            kinds,
            electrostatics.widths,
            part.sums,
            electrostatics.screening,
        )
        A, S = cpu.matrices(self._gaussians)
        n_atoms = len(chi)
        system = np.ones((n_atoms + 1, n_atoms + 1))
        system[:n_atoms, :n_atoms] = self._constant * A
        system[n_atoms, n_atoms] = 0.0
        system[np.arange(n_atoms), np.arange(n_atoms)] += hardness[kinds]
        self._factors: Any = scipy.linalg.lu_factor(system, overwrite_a=True, check_finite=False)
        self.charges = self._solution(-chi, part.total_charge)
        _check_finite(part, torch.from_numpy(self.charges))
        self_interaction = 1 / (math.sqrt(math.pi) * electrostatics.widths[kinds])
        self._potentials = (A + S) @ self.charges - self_interaction * self.charges
        self._potentials *= self._constant  # dE/dq, eV/e
        self.energies = 0.5 * self.charges * self._potentials

    def adjoint(self, slopes: Floats) -> Floats:
        """The adjoint l (n_atoms,), for ``slopes`` dE/dq in eV/e of all but the electrostatics."""
        return self._solution(-(slopes + self._potentials), 0.0)

    def gradient(self, adjoint: Floats) -> tuple[Floats, Floats]:
        """dE/dr (n_atoms, 3) in eV/Angstrom and dE/d(strain) (3, 3) in eV.

        That is dE/dr|_q of the electrostatic energy + l . dA/dr q: with the symmetric
        (q + l)(q + l)^T - l l^T = q q^T + q l^T + l q^T it takes one pass over the pairs.
        """
        q = self.charges
        positions, strain = cpu.gradient(self._gaussians, q + adjoint, adjoint, q)
        return self._constant * positions, self._constant * strain

    def _solution(self, right: Floats, last: float) -> Floats:
        solution = scipy.linalg.lu_solve(self._factors, np.append(right, last), check_finite=False)
        return np.asarray(solution[:-1])


def _truncated(
    ewald: Ewald, volume: float, n_atoms: int, constant: float, widest: float
) -> EwaldSums:
    if isinstance(ewald, JacksonCatlow):
        return jackson_catlow(volume, ewald.precision)
    strength = constant * ewald.maximum_charge**2
    if ewald.real_cutoff is None:
        return kolafa_perram(volume, n_atoms, ewald.precision, strength, widest)
    return kolafa_perram_at_cutoff(volume, n_atoms, ewald.precision, strength, ewald.real_cutoff)


def _check_finite(part: Part, charges: Tensor) -> None:
    if not bool(torch.isfinite(charges).all()):
        raise DataError(
            f"The charges of structure {part.number} are not finite; either the structure is "
            "broken, or the networks are, whose electronegativities and hardness decide them."
        )
