"""A high-dimensional neural network potential that knows the dipole moment as well."""

from __future__ import annotations

from ladera.models.hdnnp.config import HDNNPDipoleConfig
from ladera.models.hdnnp.model import HDNNP
from ladera.models.hdnnp.moments import DipoleNetworks
from ladera.quantities import ATOMIC_DIPOLES, CHARGES, DIPOLE

__all__ = ["HDNNPDipole", "HDNNPDipoleConfig"]


class HDNNPDipole(HDNNP):
    r"""HDNNP energies beside charges and atomic dipoles that depend on the environment.

    The charges q_i and atomic dipoles p_i of :class:`DipoleNetworks`, on the same inputs as the
    energies, make the dipole moment sum_i q_i r_i + p_i. It turns with the molecule exactly, and
    for a neutral one does not depend on the origin. The charges are whatever makes the best
    moments.
    """

    config: HDNNPDipoleConfig
    gives = (*HDNNP.gives, DIPOLE, CHARGES, ATOMIC_DIPOLES)

    def __init__(self, config: HDNNPDipoleConfig) -> None:
        super().__init__(config)
        self.dipole_networks = DipoleNetworks(self.input_counts, config.dipole_layers, self.cutoff)
