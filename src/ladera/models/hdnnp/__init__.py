"""High-dimensional neural network potentials (Behler and Parrinello)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ladera.lazy import names_of

if TYPE_CHECKING:
    from ladera.models.hdnnp.config import HDNNPConfig, HDNNPDipoleConfig
    from ladera.models.hdnnp.dipole import HDNNPDipole
    from ladera.models.hdnnp.model import HDNNP

__all__ = ["HDNNP", "HDNNPConfig", "HDNNPDipole", "HDNNPDipoleConfig"]

_HOMES: Final = {
    "HDNNP": "ladera.models.hdnnp.model",
    "HDNNPConfig": "ladera.models.hdnnp.config",
    "HDNNPDipole": "ladera.models.hdnnp.dipole",
    "HDNNPDipoleConfig": "ladera.models.hdnnp.config",
}

__getattr__ = names_of(__name__, _HOMES)
