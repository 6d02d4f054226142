"""What to cite for a model or a run: found in its record, with the reason of each.

A run's record (:mod:`ladera.provenance`) says which model, data and settings made it; what a kind
of result, a setting or an architecture stands on is in the tables below, and the works themselves
are in ``references.yaml``. Libraries are named where they computed, not where they are installed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Final

import ladera
from ladera import inputs, modelfile
from ladera.codes import mtp, published
from ladera.errors import DataError
from ladera.files import read_json
from ladera.loading import load, read_header
from ladera.schemas import Record

LADERA: Final = "ladera"

_ARCHITECTURES: Final = {
    "hdnnp": ("behler2007", "behler2011"),
    "hdnnp_dipole": ("behler2007", "behler2011", "gastegger2017"),
    "hdnnp_4g": ("behler2007", "behler2011", "ko2021"),
    "mace": ("batatia2022", "batatia2025"),
    "mtp": ("shapeev2016",),
    "nequip": ("batzner2022",),
}
_COMPILED: Final = (
    "hdnnp",
    "hdnnp_dipole",
    "hdnnp_4g",
    "mace",
    "mtp",
    "nequip",
)  # whose loops Numba makes
_KINDS: Final = {
    "phonons": ("phonopy", "phonopy2", "spglib", "setyawan2010"),
    "quasi_harmonic": ("phonopy", "phonopy2", "spglib"),
    "elasticity": ("spglib",),
    "energy_path": ("henkelman2000", "bitzek2006"),
}
_ENSEMBLES: Final = {
    "nvt-bussi": ("bussi2007",),
    "nvt-langevin": ("vanden2006",),
    "nvt-nose-hoover": ("martyna1992",),
    "npt": ("martyna1992", "martyna1994"),
}
_OPTIMIZERS: Final = {
    "kalman": ("kalman",),
    "adam": ("kingma2014",),
    "adamw": ("kingma2014", "loshchilov2017"),
    "muon": ("jordan2024", "liu2025muon"),
    "schedule_free": ("defazio2024",),
}
_CALCULATORS: Final = {"EMT": ("emt",), "TBLite": ("xtb",), "XTB": ("xtb",)}
_IMPORTED: Final = {
    "n2p2": ("n2p2",),
    "MLIP": ("novikov2021",),
    "Nequix": ("koker2025",),
    "Amp": ("khorshidi2016",),
    "aenet": ("artrith2016", "artrith2017"),
    "NeuroChem": ("smith2017", "devereux2020"),
    "TorchANI": ("smith2017", "devereux2020", "gao2020"),
}


@dataclass(frozen=True)
class Work:
    """Something to cite: its key and fields as BibTeX has them, and why."""

    key: str
    fields: Mapping[str, str]
    reason: str

    def text(self) -> str:
        """The work in one line."""
        authors = self.fields["author"].split(" and ")
        names = ", ".join(" ".join(reversed(author.strip("{}").split(", "))) for author in authors)
        where = [names.replace(", others", " et al."), self.fields["title"]]
        journal = " ".join(self.fields[key] for key in ("journal", "volume") if key in self.fields)
        pages = self.fields.get("pages", "").replace("--", "-")
        where.append(", ".join(part for part in (journal, pages) if part))
        where.append(f"({self.fields['year']})" if "year" in self.fields else "")
        where.append(self._address())
        return ", ".join(part for part in where if part).replace(", (", " (") + "."

    def bibtex(self) -> str:
        """The work as an entry of a .bib file."""
        fields = {name: text for name, text in self.fields.items() if name != "type"}
        kind = self.fields.get("type", "article")
        if kind == "inproceedings":
            fields["booktitle"] = fields.pop("journal")
        if "arxiv" in fields:
            fields |= {"eprint": fields.pop("arxiv"), "archiveprefix": "arXiv"}
        fields["title"] = f"{{{fields['title']}}}"  # names keep their capitals
        lines = "".join(f"  {name} = {{{text}}},\n" for name, text in fields.items())
        return f"@{kind}{{{self.key},\n{lines}}}"

    def _address(self) -> str:
        if "doi" in self.fields:
            return f"https://doi.org/{self.fields['doi']}"
        if "arxiv" in self.fields:
            return f"https://arxiv.org/abs/{self.fields['arxiv']}"
        return self.fields.get("url", "")


def works(subject: str) -> tuple[list[Work], list[str]]:
    """What to cite for a run's folder, a model file or the name of a published model.

    Each once, with the first reason; and sentences for what must be asked elsewhere. Raises
    DataError for a folder that holds no result, and what :func:`ladera.load` raises.
    """
    reasons: dict[str, str] = {LADERA: "this software"}
    words: dict[str, None] = {}
    for key, reason in _subject(subject):
        if key:
            reasons.setdefault(key, reason)
        else:
            words[reason] = None
    known = references()
    return [Work(key, known[key], reason) for key, reason in reasons.items()], list(words)


@cache
def references() -> Mapping[str, Mapping[str, str]]:
    """All works there are, by key."""
    import yaml

    text = resources.files(__package__).joinpath("references.yaml").read_text(encoding="utf-8")
    found: dict[str, dict[str, Any]] = yaml.safe_load(text)
    own = {
        "type": "misc",
        "author": "{The Ladera founders}",
        "title": "Ladera",
        "version": ladera.__version__,
    }
    return {
        LADERA: own,
        **{key: {name: str(v) for name, v in work.items()} for key, work in found.items()},
    }


# --- what stands in a folder or a file ---------------------------------------------------------

Reasons = Iterator[tuple[str, str]]  # key and reason; no key for a sentence


class _Cited(Record):
    """A record, or a result that has one."""

    kind: str = ""
    provenance: Record = Record()


def _subject(subject: str) -> Reasons:
    path = Path(subject)
    if not path.is_dir() or (path / modelfile.MODEL).exists():
        if not path.exists():
            if not published.is_name(subject):
                raise DataError(
                    f"There is no folder, model file or published model '{subject}'; give the "
                    "folder of a run or a result, or a model."
                )
            known = published.find(subject)
            if not known.file:  # nothing is downloaded for this
                yield from _model(known.architecture, {"published_as": known.name})
                return
        if path.is_file() and inputs.kind_of(path) != "model":
            raise DataError(
                f"{path} is neither a model nor the folder of a run; give the folder of a run or a "
                "result, a model file, or the name of a published model."
            )
        if mtp.reads(path):  # whose elements need not be known for this
            yield from _model("mtp", {"imported_from": "MLIP"})
            return
        header = read_header(path) if path.exists() else modelfile.header_of(load(subject))
        yield from _model(header["config"]["architecture"], header["provenance"])
        yield from _training(header["provenance"])
        return
    recorded = False
    for name in ("result.json", "settings.json", "evaluation.json"):
        contents = read_json(path / name, _Cited)
        if contents:
            recorded = True
            yield from _record(contents.get("provenance", contents), contents.get("kind", ""))
    if not recorded:
        raise DataError(
            f"{path} holds no result that says how it was made; give a folder of ladera train, md, "
            "relax or of a property, or a model."
        )
    for result in sorted(path.glob("*/result.json")):  # of a validation, or several temperatures
        yield from _subject(str(result.parent))


def _record(record: Mapping[str, Any], kind: str) -> Reasons:
    """What a result stands on."""
    settings = record.get("settings", {})
    model = record.get("model") or {}
    if model.get("calculator"):
        yield from _calculator(model["calculator"].rpartition(":")[2])
    elif model.get("architecture"):
        yield from _stored_model(model)
    if "ase" in (record.get("versions") or {}):
        yield "ase", "structures, relaxations and file formats"
    for key in _KINDS.get(kind, ()):
        yield key, kind.replace("_", " ")
    for key in _ENSEMBLES.get(settings.get("ensemble"), ()):
        yield key, f"the ensemble {settings['ensemble']}"
    if settings.get("optimizer") == "fire":
        yield "bitzek2006", "the optimiser FIRE"
    if settings.get("symmetry"):
        yield "spglib", "the space group that was kept"
    if settings.get("dispersion"):
        for key in ("d3", "d3bj", "dftd3"):
            yield key, f"dispersion of {settings['dispersion']}"
    if "numpy" in (record.get("versions") or {}):
        yield "numpy", "arrays"
    yield from _earlier(record)


def _earlier(record: Mapping[str, Any]) -> Reasons:
    """What the results and trajectories stand on that a result was made of."""
    for result in record.get("results", ()):
        yield from _record(result, "")
    data = record.get("data") or {}
    for part in (data, *data.get("trajectories", ())):
        for folder in {Path(file["path"]).parent for file in part.get("files") or ()}:
            yield from _settings_of(folder)


def _settings_of(folder: Path) -> Reasons:
    try:
        record = read_json(folder / "settings.json", _Cited)
    except DataError:
        return  # not of a run of Ladera
    yield from _record(record, "")


def _stored_model(model: Mapping[str, Any]) -> Reasons:
    """A model as a record describes it; what its file says besides, where that still is."""
    origin: Mapping[str, Any] = {"published_as": model.get("published_as")}
    for file in model.get("files") or ():
        path = Path(file["path"])
        if path.is_file() and modelfile.is_model(path):
            origin = read_header(path)["provenance"] | {k: v for k, v in origin.items() if v}
    yield from _model(model["architecture"], origin)


def _model(architecture: str, origin: Mapping[str, Any]) -> Reasons:
    """An architecture, and where its parameters come from."""
    for key in _ARCHITECTURES.get(architecture, ()):
        yield key, f"the architecture {architecture}"
    if origin.get("published_as"):
        yield from _published(origin["published_as"])
    for key in _IMPORTED.get(origin.get("imported_from", ""), ()):
        yield key, f"imported from {origin['imported_from']}"
    config = origin.get("config", {})
    cite = config.get("data", {}).get("cite")
    if cite:
        yield "", f"The training data: {cite}"
    base = (config.get("finetune") or {}).get("base")
    if base and published.is_name(base):
        yield from _published(published.find(base).name)
    yield "pytorch", "tensors and derivatives"
    if architecture in _COMPILED:
        yield "numba", "compiled loops"
    yield "vesin", "neighbour lists"


def _training(origin: Mapping[str, Any]) -> Reasons:
    """How a model was trained."""
    config = origin.get("config", {})
    name = str((config.get("optimizer") or {}).get("name", ""))
    for key in _OPTIMIZERS.get(name, ()):
        yield key, f"the optimizer {name}"
    if (config.get("finetune") or {}).get("method") == "lora":
        yield "hu2021", "fine-tuning by corrections of low rank"


def _published(name: str) -> Reasons:
    model = published.find(name)
    for key in model.cite:
        yield key, f"the model {model.name}"
    for key in model.data_cite:
        yield key, f"the training data of {model.name}: {model.data}"


def _calculator(name: str) -> Reasons:
    if name in _CALCULATORS:
        for key in _CALCULATORS[name]:
            yield key, f"the calculator {name}"
    else:
        yield "", f"The calculator {name}: cite it as its authors ask."
