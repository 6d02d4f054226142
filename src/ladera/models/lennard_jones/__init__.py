"""The Lennard-Jones potential with shifted forces: the classical baseline."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ladera.lazy import names_of

if TYPE_CHECKING:
    from ladera.models.lennard_jones.config import LennardJonesConfig
    from ladera.models.lennard_jones.model import LennardJones

__all__ = ["LennardJones", "LennardJonesConfig"]

_HOMES: Final = {
    "LennardJones": "ladera.models.lennard_jones.model",
    "LennardJonesConfig": "ladera.models.lennard_jones.config",
}

__getattr__ = names_of(__name__, _HOMES)
