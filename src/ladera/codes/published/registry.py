"""The published models that Ladera knows by name."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache
from importlib import resources
from pathlib import PurePosixPath
from typing import Any

import yaml

from ladera.codes.published.wheels import Member, Wheel
from ladera.errors import ModelFileError, did_you_mean


@dataclass(frozen=True)
class PublishedModel:
    """Where a model comes from, what it is for and what it may be used for."""

    name: str
    about: str
    url: str  # of the file, or of those who made it; empty for one that comes with Ladera
    licence: str
    elements: tuple[str, ...]
    sha256: str | None = None  # only where public sources agree on it
    member: Member | None = None  # of one in a wheel of a package index: its place there
    short: str = ""  # what the code of its authors calls it, among its family
    family: str = "mace-mp"
    architecture: str = "mace"
    file: str = ""  # of one that comes with Ladera: its file among the embedded data
    dispersion: str = ""  # what its labels have of it
    data: str = ""  # what it was trained on
    level: str = ""  # of theory, of these data
    cite: tuple[str, ...] = ()  # works on the model, keys of ladera/citing/references.yaml
    data_cite: tuple[str, ...] = ()  # works on the data

    @property
    def file_name(self) -> str:
        """The name of its file, wherever that is kept."""
        if self.member is not None:  # several wheels name their files alike
            return self.name + PurePosixPath(self.member.path).suffix
        return self.file or self.url.rpartition("/")[2]

    @property
    def origin(self) -> str:
        """Where its file comes from, in words."""
        if self.member is None:
            return self.url
        return f"{self.member.path} in {self.member.wheel.file} of the Python package index"


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
    """A name as Ladera writes it: MACE-MP-0 is mace-mp, mace-off23 is mace-off, 7net-0 SevenNet."""
    name = name.lower().replace("_", "-")
    short = [known for known, model in models().items() if "-" in name and model.short == name]
    if len(short) == 1:  # mh-1 and medium-mpa-0 are what mace-torch says
        return short[0]
    name = re.sub("^7net(?=$|-)", "sevennet", name)
    name = re.sub(r"^mace-mp-?0a?(?=$|-)", "mace-mp", name)
    name = re.sub(r"^mace-off-?23b?(?=$|-)", "mace-off", name)
    shorter = name.removesuffix("-medium")
    return shorter if name not in models() and shorter in models() else name


def is_name(word: str) -> bool:
    """Whether a word is the name of a model, or as good as one, rather than the path of a file."""
    if _as_here(word) in models():
        return True
    if set(word) & set("./\\ "):
        return False
    family = word.lower().partition("-")[0]
    like = family in ("nequix", "sevennet", "7net") or (
        family in ("mace", "ethanol") and "-" in word
    )
    return like or bool(difflib.get_close_matches(word.lower(), models(), n=1, cutoff=0.8))


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
    given = ("name", "url", "licence", "elements", "member", "cite", "data_cite")
    plain = [field.name for field in fields(PublishedModel) if field.name not in given]
    optional = {key: values[key] for key in plain if key in values}
    optional |= {key: tuple(values.get(key, ())) for key in ("cite", "data_cite")}
    if "member" in values:
        wheel = Wheel(**table["wheels"][values["wheel"]])
        optional["member"] = Member(wheel, values["member"], values["size"])
    return PublishedModel(
        name=name,
        url=values.get("url", ""),
        licence=table["licences"][values.get("licence", "MIT")],
        elements=tuple(table["elements"].get(elements, elements).split()),
        **optional,
    )
