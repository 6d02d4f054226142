"""What the sections of a training configuration are made of."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field

from ladera.schemas import Configured

Fraction = Annotated[float, Field(gt=0, lt=1)]
UpToOne = Annotated[float, Field(gt=0, le=1)]


class Section(Configured):
    """A group of keys; one that is not known is refused."""


def named(key: str, name: str) -> BeforeValidator:
    """A section that does not say which one it is, is the default one."""
    return BeforeValidator(lambda value: {key: name} | value if isinstance(value, dict) else value)
