"""A committee as the registry makes it: from the configurations of its members."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, SerializeAsAny

from ladera.models import registry
from ladera.potential import Committee, PotentialConfig
from ladera.potential.committee import CommitteeConfig


def _member_config(value: Any) -> Any:
    """A member's configuration in the class of its architecture."""
    if not isinstance(value, Mapping):
        return value
    return registry.config_class(value["architecture"]).model_validate(value)


class StoredCommittee(CommitteeConfig):
    """The configuration as it stands in a model file."""

    members: tuple[Annotated[SerializeAsAny[PotentialConfig], BeforeValidator(_member_config)], ...]


def build(config: StoredCommittee) -> Committee:
    """A committee of new members."""
    return Committee([registry.build(member) for member in config.members], config.calibration)
