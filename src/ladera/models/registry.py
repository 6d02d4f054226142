"""The architectures: where each one's configuration and model live.

A new one is a line of :data:`ARCHITECTURES`; training, model files and the contract tests know it
then by its name.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Final

from ladera.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from ladera.potential import Potential, PotentialConfig

# Module, configuration and model of each; imported only when asked for.
ARCHITECTURES: Final = {
    "hdnnp": ("ladera.models.hdnnp", "HDNNPConfig", "HDNNP"),
    "hdnnp_4g": ("ladera.models.hdnnp_4g", "HDNNP4GConfig", "HDNNP4G"),
    "hdnnp_dipole": ("ladera.models.hdnnp", "HDNNPDipoleConfig", "HDNNPDipole"),
    "lennard_jones": ("ladera.models.lennard_jones", "LennardJonesConfig", "LennardJones"),
    "mace": ("ladera.models.mace", "MACEConfig", "MACE"),
}
# Not trained as such, but made of trained models.
_COMMITTEE: Final = ("ladera.models.committee", "StoredCommittee", "build")


def config_class(architecture: str) -> type[PotentialConfig]:
    """Configuration class of an architecture; ConfigError for an unknown name."""
    module, name, _ = _entry(architecture)
    cls: type[PotentialConfig] = getattr(importlib.import_module(module), name)
    return cls


def build(config: PotentialConfig) -> Potential:
    """A new potential with the parameters its configuration (and torch's seed) give it.

    Raises ConfigError for an architecture that does not exist.
    """
    module, _, name = _entry(config.architecture)
    potential: Potential = getattr(importlib.import_module(module), name)(config)
    return potential


def _entry(architecture: str) -> tuple[str, str, str]:
    if architecture == "committee":
        return _COMMITTEE
    if architecture not in ARCHITECTURES:
        hint = did_you_mean(str(architecture), ARCHITECTURES)
        raise ConfigError(f"There is no architecture '{architecture}'; {hint}")
    return ARCHITECTURES[architecture]
