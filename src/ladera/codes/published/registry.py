"""The published models that Ladera knows by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import yaml

from ladera.errors import ModelFileError, did_you_mean


@dataclass(frozen=True)
class PublishedModel:
    """Where a model comes from, what it is for and what it may be used for."""

    name: str
    about: str
    url: str  # empty for one that comes with Ladera
    licence: str
    elements: tuple[str, ...]
    sha256: str | None = None  # only where public sources agree on it
    short: str = ""  # what mace-torch calls it among its family
    family: str = "mace-mp"
    file: str = ""  # of one that comes with Ladera: its file among the embedded data

    @property
    def file_name(self) -> str:
        """The name of its file, wherever that is kept."""
        return self.file or self.url.rpartition("/")[2]


@cache
def models() -> Mapping[str, PublishedModel]:
    """All of them, by name."""
    text = resources.files(__package__).joinpath("models.yaml").read_text(encoding="utf-8")
    table = yaml.safe_load(text)
    return {name: _entry(name, values, table) for name, values in table["models"].items()}


def find(name: str) -> PublishedModel:
    """The model of a name; ModelFileError, with the closest one, where there is none."""
    known = models()
    if name not in known:
        raise ModelFileError(
            f"There is no file and no published model '{name}'; {did_you_mean(name, known)}"
        )
    return known[name]


def is_name(word: str) -> bool:
    """Whether a word is the name of a model, or as good as one, rather than the path of a file."""
    like = word.startswith(("mace-", "ethanol-")) and not set(word) & set("./\\ ")
    return word in models() or like


def of_family(family: str, short: str) -> PublishedModel:
    """The model by the name that mace-torch gives it, such as "medium", or by its own."""
    named = {model.short: model for model in models().values() if model.family == family}
    if short in named:
        return named[short]
    if short in models():
        return models()[short]
    raise ModelFileError(
        f"There is no file and no model '{short}' of {family}; {did_you_mean(short, named)}"
    )


def _entry(name: str, values: Mapping[str, Any], table: Mapping[str, Any]) -> PublishedModel:
    elements = values.get("elements", "materials")
    optional = {
        key: values[key] for key in ("about", "sha256", "short", "family", "file") if key in values
    }
    return PublishedModel(
        name=name,
        url=values.get("url", ""),
        licence=table["licences"][values.get("licence", "MIT")],
        elements=tuple(table["elements"].get(elements, elements).split()),
        **optional,
    )
