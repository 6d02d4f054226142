"""Behler-Parrinello networks with charge equilibration (fourth generation)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ladera.lazy import names_of

if TYPE_CHECKING:
    from ladera.models.hdnnp_4g.config import ElectrostaticsConfig, HDNNP4GConfig
    from ladera.models.hdnnp_4g.model import HDNNP4G

__all__ = ["HDNNP4G", "ElectrostaticsConfig", "HDNNP4GConfig"]

_HOMES: Final = {
    "HDNNP4G": "ladera.models.hdnnp_4g.model",
    "HDNNP4GConfig": "ladera.models.hdnnp_4g.config",
    "ElectrostaticsConfig": "ladera.models.hdnnp_4g.config",
}

__getattr__ = names_of(__name__, _HOMES)
