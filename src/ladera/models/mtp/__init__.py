"""Moment tensor potentials: polynomials in the moments of an atom's neighbours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ladera.lazy import names_of

if TYPE_CHECKING:
    from ladera.models.mtp.config import MTPConfig
    from ladera.models.mtp.model import MTP

__all__ = ["MTP", "MTPConfig"]

_HOMES: Final = {
    "MTP": "ladera.models.mtp.model",
    "MTPConfig": "ladera.models.mtp.config",
}

__getattr__ = names_of(__name__, _HOMES)
