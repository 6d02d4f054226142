"""The architectures: where each one's configuration and model live.

A new one is a line of :data:`ARCHITECTURES`; training, model files and the contract tests know it
then by its name.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from ladera.errors import ArgumentError, ConfigError, did_you_mean, first_problem, told

if TYPE_CHECKING:
    from ladera.potential import Potential, PotentialConfig

# Module, configuration and model of each; imported only when asked for.
ARCHITECTURES: Final = {
    "hdnnp": ("ladera.models.hdnnp", "HDNNPConfig", "HDNNP"),
    "hdnnp_4g": ("ladera.models.hdnnp_4g", "HDNNP4GConfig", "HDNNP4G"),
    "hdnnp_dipole": ("ladera.models.hdnnp", "HDNNPDipoleConfig", "HDNNPDipole"),
    "lennard_jones": ("ladera.models.lennard_jones", "LennardJonesConfig", "LennardJones"),
    "mace": ("ladera.models.mace", "MACEConfig", "MACE"),
    "mtp": ("ladera.models.mtp", "MTPConfig", "MTP"),
    "nequip": ("ladera.models.nequip", "NequIPConfig", "NequIP"),
}
# Not trained as such, but made of trained models.
_COMPOSED: Final = {
    "committee": ("ladera.models.committee", "StoredCommittee", "build"),
    "corrected": ("ladera.models.corrected", "CorrectedConfig", "Corrected"),
}


def config_class(architecture: str) -> type[PotentialConfig]:
    """Configuration class of an architecture; ConfigError for an unknown name."""
    module, name, _ = _entry(architecture)
    cls: type[PotentialConfig] = getattr(importlib.import_module(module), name)
    return cls


def build(config: PotentialConfig | Mapping[str, Any]) -> Potential:
    """A new potential with the parameters its configuration (and torch's seed) give it.

    The configuration may be what would stand in a file: a dictionary. The potential is ready for
    inference, as a loaded one; ``potential.train()`` makes its predictions differentiable.

    Raises ConfigError for an architecture that does not exist and for keys or values that are not
    of it.
    """
    config = _configuration(config)
    module, _, name = _entry(config.architecture)
    make = getattr(importlib.import_module(module), name)
    from ladera.models.corrected import corrected
    from ladera.models.repelled import RepelledConfig

    if not isinstance(config, RepelledConfig) or not config.zbl:
        potential: Potential = make(config)
        return potential.eval()
    return corrected(make(config.model_copy(update={"zbl": False})), zbl=True).eval()


def _configuration(values: PotentialConfig | Mapping[str, Any]) -> PotentialConfig:
    from pydantic import ValidationError

    if not isinstance(values, Mapping):
        if not hasattr(values, "architecture"):
            raise ArgumentError(
                f"config of build is {told(values)}; give a configuration, or a dictionary with "
                "architecture, species, cutoff and what else the model needs."
            )
        return values
    if "architecture" not in values:
        names = ", ".join(ARCHITECTURES)
        raise ConfigError(f"The configuration names no architecture; give one of {names}.")
    kind = config_class(values["architecture"])
    unknown = [key for key in values if key not in kind.model_fields]
    if unknown:
        hint = did_you_mean(str(unknown[0]), kind.model_fields)
        raise ConfigError(f"The {values['architecture']} model has no key '{unknown[0]}'; {hint}")
    try:
        return kind.model_validate(dict(values))
    except ValidationError as error:
        key, problem = first_problem(error)
        raise ConfigError(
            f"'{key}' of the {values['architecture']} model is wrong: {problem}; correct it."
            if key
            else f"The configuration of the {values['architecture']} model is wrong: {problem}."
        ) from None


def _entry(architecture: str) -> tuple[str, str, str]:
    if architecture in _COMPOSED:
        return _COMPOSED[architecture]
    if architecture not in ARCHITECTURES:
        hint = did_you_mean(str(architecture), ARCHITECTURES)
        raise ConfigError(f"There is no architecture '{architecture}'; {hint}")
    return ARCHITECTURES[architecture]
