"""The published models that Ladera knows by name."""

from __future__ import annotations

import difflib
import re
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
    data: str = ""  # what it was trained on
    level: str = ""  # of theory, of these data
    cite: tuple[str, ...] = ()  # works on the model, keys of ladera/citing/references.yaml
    data_cite: tuple[str, ...] = ()  # works on the data

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
    """The model of a name, also one that others use, such as MACE-OFF23-small.

    Raises ModelFileError, with the closest ones, where there is none, and where there are several.
    """
    known, name_here = models(), _as_here(name)
    if name_here not in known:
        sizes = [other for other in known if re.fullmatch(re.escape(name_here) + "-[a-z]+", other)]
        family = re.escape(name_here.rpartition("-")[0])
        if not sizes and not difflib.get_close_matches(name_here, known, n=1, cutoff=0.9):
            sizes = [other for other in known if re.fullmatch(family + "-[a-z]+", other)]
        hint = f"choose one of: {', '.join(sizes)}." if sizes else did_you_mean(name_here, known)
        raise ModelFileError(f"There is no file and no published model '{name}'; {hint}")
    return known[name_here]


def _as_here(name: str) -> str:
    """A name as Ladera writes it: MACE-MP-0 is mace-mp, mace-off23 is mace-off."""
    name = name.lower().replace("_", "-")
    short = [known for known, model in models().items() if "-" in name and model.short == name]
    if len(short) == 1:  # mh-1 and medium-mpa-0 are what mace-torch says
        return short[0]
    name = re.sub(r"^mace-mp-?0a?(?=$|-)", "mace-mp", name)
    name = re.sub(r"^mace-off-?23b?(?=$|-)", "mace-off", name)
    shorter = name.removesuffix("-medium")
    return shorter if name not in models() and shorter in models() else name


def is_name(word: str) -> bool:
    """Whether a word is the name of a model, or as good as one, rather than the path of a file."""
    like = word.lower().startswith(("mace-", "ethanol-")) and not set(word) & set("./\\ ")
    return _as_here(word) in models() or like


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
    values = table["families"][values.get("family", PublishedModel.family)] | values
    plain = ("about", "sha256", "short", "family", "file", "data", "level")
    optional = {key: values[key] for key in plain if key in values}
    optional |= {key: tuple(values.get(key, ())) for key in ("cite", "data_cite")}
    return PublishedModel(
        name=name,
        url=values.get("url", ""),
        licence=table["licences"][values.get("licence", "MIT")],
        elements=tuple(table["elements"].get(elements, elements).split()),
        **optional,
    )
