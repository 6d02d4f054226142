"""What a property comes to: numbers with their units, shown as a table, a figure and a file."""

from __future__ import annotations

import dataclasses
import importlib
import io
import json
import math
import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self

import numpy as np
from ase import Atoms
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import ladera
from ladera import display, provenance
from ladera.errors import DataError
from ladera.extrapolation import LARGEST_GRADE
from ladera.files import check_form, write_text_atomic
from ladera.plotting import style, to_svg
from ladera.schemas import Record, Stored
from ladera.tables import Number, Table

if TYPE_CHECKING:
    from pandas import DataFrame

FORMAT_VERSION: Final = 1
FILE: Final = "result.json"
TABLE: Final = "table.csv"
FIGURE: Final = "figure.svg"

# Where the classes live; imported only when a file of theirs is read.
KINDS: Final = {
    "agreement": ("ladera.properties.agreement", "Agreement"),
    "equation_of_state": ("ladera.properties.equation_of_state", "EquationOfState"),
    "elasticity": ("ladera.properties.elasticity", "Elasticity"),
    "phonons": ("ladera.properties.phonons", "Phonons"),
    "quasi_harmonic": ("ladera.properties.quasi_harmonic", "QuasiHarmonic"),
    "lattice_conductivity": (
        "ladera.properties.lattice_conductivity",
        "LatticeConductivity",
    ),
    "green_kubo": ("ladera.properties.green_kubo", "GreenKubo"),
    "diffusion": ("ladera.properties.diffusion", "Diffusion"),
    "arrhenius": ("ladera.properties.arrhenius", "Arrhenius"),
    "energy_path": ("ladera.properties.energy_path", "EnergyPath"),
    "scan": ("ladera.properties.scan", "Scan"),
    "van_hove": ("ladera.properties.van_hove", "VanHove"),
    "site_density": ("ladera.properties.site_density", "SiteDensity"),
    "dimers": ("ladera.properties.dimers", "Dimers"),
    "energy_conservation": ("ladera.properties.conservation", "EnergyConservation"),
    "survival": ("ladera.properties.survival", "Survival"),
    "card": ("ladera.properties.card", "Card"),
    "check": ("ladera.properties.check", "Check"),
    "infrared": ("ladera.properties.infrared", "Infrared"),
    "raman": ("ladera.properties.raman", "Raman"),
    "structure": ("ladera.properties.distributions", "Structure"),
    "surfaces": ("ladera.properties.surfaces", "Surfaces"),
    "vacancies": ("ladera.properties.vacancies", "Vacancies"),
    "spectrum": ("ladera.properties.spectrum", "Spectrum"),
    "vibrations": ("ladera.properties.vibrations", "Vibrations"),
}


def quantity(unit: str = "", **arguments: Any) -> Any:
    """A dataclass field that holds a number or an array in ``unit``; "" for a pure number."""
    return dataclasses.field(metadata={"unit": unit}, **arguments)


@dataclass(frozen=True, kw_only=True)
class Result(ABC):
    """Base of all results: a frozen dataclass whose fields say their units.

    ``spread`` holds for each numeric field the sample standard deviation over the members of a
    committee, in the field's unit and shape; it is empty for a single potential. ``provenance`` is
    the record of how it was made, see :mod:`ladera.properties.recorded`. ``largest_grade`` is that
    of an atom in any structure that the result is made of (:meth:`ladera.Potential.grade`), NaN
    where it is not known.
    """

    kind: ClassVar[str]  # its key in KINDS
    title: ClassVar[str]  # for people
    caption: ClassVar[str]  # what the figure shows

    spread: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    provenance: Mapping[str, Any] = dataclasses.field(default_factory=dict, compare=False)
    largest_grade: float = dataclasses.field(default=math.nan, compare=False)

    @abstractmethod
    def table(self) -> Table:
        """The numbers people look for."""

    def tables(self) -> tuple[Table, ...]:
        """That table, and where there is more than one kind of thing to tell, others."""
        return (self.table(),)

    @abstractmethod
    def plot(self, ax: Axes | None = None) -> Figure:
        """The figure people draw of it, axes labelled with units."""

    def to_frame(self) -> DataFrame:
        """Its table as a DataFrame of pandas; ConfigError where pandas is not installed."""
        return self.table().to_frame()

    def __init_subclass__(cls) -> None:
        """Keep a dataclass from printing all its arrays."""
        super().__init_subclass__()
        cls.__repr__ = Result.__repr__  # type: ignore[method-assign]

    def __repr__(self) -> str:
        """Scalars, and the shapes of arrays, with units."""
        parts = [
            f"{field.name} {display.short(getattr(self, field.name), field.metadata['unit'])}"
            for field in dataclasses.fields(self)
            if "unit" in field.metadata
        ]
        return display.lines(type(self).__name__, [*parts, "with spread" if self.spread else ""])

    def _repr_html_(self) -> str:
        """Title, table and figure, for notebooks."""
        name = f"{self.kind}-{id(self)}"  # every identifier of a page is its own
        figure = to_svg(self.plot(), self.caption, name)
        tables = [
            display.table(each.columns, each.rows, "" if number else self.title, each.foot)
            for number, each in enumerate(self.tables())
        ]
        return "".join([*tables, figure])

    def in_this_order(self, member: Self) -> Self:
        """What a member of the committee found, its parts in the order of those here."""
        return member

    def structures_met(self) -> list[Atoms]:
        """The structures that it is made of, where they are others than it was given."""
        return []

    def domain(self) -> str:
        """The largest grade in words; "" where it is not known."""
        if not math.isfinite(self.largest_grade):
            return ""
        return (
            f"Largest grade of an atom: {self.largest_grade:.3g}; up to 1 it is like the training "
            "data."
        )

    def motion(self) -> tuple[list[Atoms], list[str]] | None:
        """Frames for the report's 3D view and what each is; None where nothing moves."""
        return None

    def isosurface(self) -> tuple[str, float] | None:
        """A cube file's text and the level to draw it at, beside what moves; None for most."""
        return None

    def number(self, name: str, index: Any = (), *, factor: float = 1, **words: str) -> Number:
        """A field, or one entry of it, for a table: with its error, spread, and ``words``.

        Its error is the field of that name and ``_error``; all is multiplied by ``factor``.
        """
        sources = (getattr(self, name), getattr(self, f"{name}_error", None), self.spread.get(name))
        value, error, deviation = (
            math.nan if source is None else factor * float(np.asarray(source)[index])
            for source in sources
        )
        return Number(value, error, deviation, **words)

    def to_json(self) -> str:
        """All fields with their units, and the tables; nothing where there is no number."""
        fields = {
            field.name: {
                "value": _plain(getattr(self, field.name)),
                "unit": field.metadata.get("unit", ""),
            }
            for field in dataclasses.fields(self)
            if field.name not in ("spread", "provenance")
        }
        contents = {
            "kind": self.kind,
            "format_version": FORMAT_VERSION,
            "ladera": ladera.__version__,
            "fields": fields,
            "tables": {
                table.name: {head: _plain(values) for head, values in table.records().items()}
                for table in self.tables()
            },
            "spread": {name: _plain(value) for name, value in self.spread.items()},
            "provenance": self.provenance or provenance.how(),
        }
        return json.dumps(contents, indent=1, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """What :meth:`to_json` wrote. Raises DataError for anything else."""
        try:
            contents = json.loads(text)
            if contents["kind"] != cls.kind:
                raise DataError(f"This is a result of kind {contents['kind']}, not {cls.kind}.")
            values = {name: _rich(field["value"]) for name, field in contents["fields"].items()}
            for field in dataclasses.fields(cls):
                value = values.get(field.name)
                of_numbers = "unit" in field.metadata or field.name == LARGEST_GRADE
                if of_numbers and value is not None:
                    np.asarray(value, float)  # TypeError or ValueError for other than numbers
            spread = {name: _rich(value) for name, value in contents["spread"].items()}
            # Those of version 0.1 have no record.
            return cls(**values, spread=spread, provenance=contents.get("provenance", {}))
        except (LookupError, ValueError, TypeError, AttributeError, RecursionError) as error:
            raise DataError(f"This is no complete result file ({error}).") from error

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write result.json, table.csv, those of other tables and figure.svg into ``folder``."""
        folder = Path(folder)
        tables, picture = {each.name: each.to_csv() for each in self.tables()}, io.StringIO()
        with style():
            self.plot().savefig(picture, format="svg", metadata={"Date": None})
        for name, text in tables.items():
            write_text_atomic(folder / f"{name}.csv", text)
        write_text_atomic(folder / FIGURE, picture.getvalue())
        write_text_atomic(folder / FILE, self.to_json())  # last: it says that all is there


class _Stored(Stored):
    """What is not of the kind of a result in result.json."""

    provenance: Record = Record()


def load(path: str | os.PathLike[str]) -> Result:
    """The result in a folder or file. Raises DataError when there is none or it is damaged."""
    path = Path(path)
    path = path / FILE if path.is_dir() else path
    if not path.is_file():
        raise DataError(f"There is no result {path}; give a folder that a property was saved in.")
    try:
        text = path.read_text(encoding="utf-8")
        module, name = KINDS[json.loads(text)["kind"]]
        cls: type[Result] = getattr(importlib.import_module(module), name)
        found = cls.from_json(text)
    except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
        raise DataError(f"{path} is no result of this Ladera ({error}).") from error
    except DataError as error:
        raise DataError(f"{path}: {error}") from error
    check_form(text, _Stored, path)
    return found


def _plain(value: Any) -> Any:
    """A value as JSON has it; numbers that are not finite become null."""
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _rich(value: Any) -> Any:
    """Back again: lists of numbers are arrays, other lists tuples, null is not a number."""
    if value is None:
        return math.nan
    if not isinstance(value, list):
        return value
    items = [_rich(item) for item in value]
    if all(isinstance(item, (bool, int, float, np.ndarray)) for item in items):
        return np.array(items)
    return tuple(items)


def is_property(folder: str | os.PathLike[str]) -> bool:
    """Whether a folder holds the result of a property."""
    return (Path(folder) / FILE).is_file()
