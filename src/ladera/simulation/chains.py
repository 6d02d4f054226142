"""ASE's Nose-Hoover chains and isotropic barostat at a fifth of their cost.

The algorithm is ASE's, and so are the state and its names; only the way to the same numbers, but
for rounding, is shorter. A chain acts on the momenta by a factor alone, p -> s p, so the kinetic
energy goes along as K -> s^2 K instead of being summed over the atoms again, and the numbers of a
chain are moved by compiled code.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numba
import numpy as np
from ase.md.nose_hoover_chain import (
    FOURTH_ORDER_COEFFS,
    IsotropicMTKBarostat,
    IsotropicMTKNPT,
    NoseHooverChainThermostat,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

_WEIGHTS: Final = tuple(FOURTH_ORDER_COEFFS)


class Thermostat(NoseHooverChainThermostat):
    """A Nose-Hoover chain on the momenta of the atoms."""

    _eta: Array
    _p_eta: Array

    def integrate_nhc(self, p: Array, delta: float) -> Array:
        """Advance the chain by ``delta`` and scale the momenta p (n_atoms, 3), in place."""
        wanted = 3 * self._num_atoms_global * self._kT
        twice_kinetic = float(np.vdot(p, p / self._masses))
        p *= _advance(self._eta, self._p_eta, self._Q, twice_kinetic, wanted, self._kT, delta)
        return p


class Barostat(IsotropicMTKBarostat):
    """A Nose-Hoover chain on the momentum of the volume."""

    _xi: Array
    _p_xi: Array

    def integrate_nhc_baro(self, p_eps: float, delta: float) -> float:
        """Advance the chain by ``delta``; returns the scaled momentum."""
        twice_kinetic = float(p_eps * p_eps / self._W)
        kt = self._kT
        return p_eps * float(_advance(self._xi, self._p_xi, self._R, twice_kinetic, kt, kt, delta))


class IsotropicNPT(IsotropicMTKNPT):
    """Martyna, Tobias and Klein's equations of motion; atoms and cell move once a step."""

    _known: tuple[Array, float] | None = None  # of the structure as it is: forces, tr sigma

    def _update_atoms(self) -> None:
        self.atoms.set_momenta(self._p)

    def _integrate_q_cell(self, delta: float) -> None:
        super()._integrate_q_cell(delta)
        self.atoms.positions = self._q
        self.atoms.cell.array[:] = self._cell0 * math.exp(self._eps)
        self._known = None

    def _results(self) -> tuple[Array, float]:
        if self._known is None:
            stress = self.atoms.get_stress(apply_constraint=False)
            self._known = self.atoms.get_forces(md=True), float(stress[:3].sum())
        return self._known

    def _get_forces(self) -> Array:
        return self._results()[0]

    def _integrate_p_cell(self, delta: float) -> None:
        """dp_eps/dt = 3 V (P - P_0) + K / n = (1 + 1 / n) K - V (tr sigma + 3 P_0).

        K = sum_i p_i^2 / m_i, 3 n degrees of freedom, P = (K / V - tr sigma) / 3 the pressure.
        """
        twice_kinetic = float(np.vdot(self._p, self._p / self.masses))
        force = (1 + 1 / self._num_atoms_global) * twice_kinetic
        force -= self._get_volume() * (self._results()[1] + 3 * self._pressure_au)
        self._p_eps += delta * force


@numba.njit(cache=True, error_model="numpy")
def _advance(positions, momenta, masses, twice_kinetic, wanted, temperature, time):  # type: ignore[no-untyped-def]
    """Move a chain by ``time`` and return the factor s for the momenta it acts on.

    With 2 K the sum of p^2 / m of these, ``wanted`` its mean, and Q the chain's masses,

        d eta_j / dt = pi_j / Q_j,    d pi_j / dt = G_j - pi_j pi_j+1 / Q_j+1,
        G_0 = 2 K - wanted,    G_j = pi_j-1^2 / Q_j-1 - k_B T,    dp / dt = -p pi_0 / Q_0,

    split symmetrically (the last of the chain first, its positions, and back) in three steps of
    Suzuki and Yoshida's fourth order. ``positions`` and ``momenta``, eta and pi, change in place.
    """
    last = len(masses) - 1
    scale = 1.0
    for weight in _WEIGHTS:
        step = weight * time
        for visit in range(2 * last + 2):
            j = last - visit if visit <= last else visit - last - 1
            if visit == last + 1:
                for k in range(last + 1):
                    positions[k] += step * momenta[k] / masses[k]
                scale *= math.exp(-step * momenta[0] / masses[0])
            if j == 0:
                force = scale * scale * twice_kinetic - wanted
            else:
                force = momenta[j - 1] ** 2 / masses[j - 1] - temperature
            drag = 1.0
            if j < last:
                drag = math.exp(-0.25 * step * momenta[j + 1] / masses[j + 1])
            momenta[j] = (momenta[j] * drag + 0.5 * step * force) * drag
    return scale
