"""The commented configuration that ``ladera template`` prints, made from the key descriptions."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from ladera.data.label_keys import LabelKeys
from ladera.training.config import TrainingConfig
from ladera.training.config_file import parse, tags

_WIDTH = 96


def template() -> str:
    """A complete configuration in YAML, every key with its default and what it is for."""
    example = {
        "data": {"files": ["train.extxyz"], "keys": {"energy": "energy", "forces": "forces"}},
        "model": {"architecture": "hdnnp", "cutoff": 6.0},
    }
    lines = [
        "# Configuration of `ladera train`. What stands here is the default, and may be left out,",
        "# but for data.files, model.architecture and model.cutoff, which must be given.",
        "# Units are Angstrom and eV.",
        *commented(parse(example, "the template")),
    ]
    return "\n".join(lines) + "\n"


def schema() -> str:
    """The JSON schema of configurations, for editors that complete and check YAML."""
    return json.dumps(TrainingConfig.model_json_schema(), indent=1) + "\n"


def commented(section: BaseModel, indent: str = "") -> Iterator[str]:
    """The lines of a configuration in YAML, each key with what it is for."""
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        if not indent:
            yield ""
        yield from _comment(field, indent)
        key = field.alias or name
        if isinstance(value, BaseModel):
            yield f"{indent}{key}:"
            yield from commented(value, indent + "  ")
        else:
            # A label key that is named must be in the files; most files have no dipoles.
            off = isinstance(section, LabelKeys) and name not in section.model_fields_set
            yield f"{indent}{'# ' if off else ''}{key}: {_inline(value)}"


def _comment(field: FieldInfo, indent: str) -> list[str]:
    """The description, and the choices where there are some."""
    names = choices(field.annotation)
    text = (field.description or "") + (f" One of: {', '.join(names)}." if names[1:] else "")
    prefix = f"{indent}# "
    return textwrap.wrap(text, _WIDTH, initial_indent=prefix, subsequent_indent=prefix)


def choices(kind: Any) -> list[str]:
    """The names among which a key chooses: of a literal, or of the sections of a union."""
    if get_origin(kind) is Annotated:
        return choices(get_args(kind)[0])
    if get_origin(kind) is Literal:
        return [str(choice) for choice in get_args(kind)]
    if get_origin(kind) not in (Union, UnionType):
        return []
    if all(isinstance(member, type) and issubclass(member, BaseModel) for member in get_args(kind)):
        return tags(kind)
    return [name for member in get_args(kind) for name in choices(member)]


def _inline(value: Any) -> str:
    plain = value if not isinstance(value, tuple) else list(value)
    return yaml.safe_dump(plain, default_flow_style=True, width=10**6).removesuffix("...\n").strip()
