"""``ladera info``: what a file is; of a model, where it comes from, and on which terms."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

from cyclopts import Parameter

from ladera import inputs
from ladera.cli.session import answer
from ladera.recognition import recognise

if TYPE_CHECKING:
    from rich.console import Console

    from ladera.codes.published import PublishedModel
    from ladera.potential import Potential
    from ladera.recognition import FileKind

_MANY_FUNCTIONS: Final = 1000


def info(
    file: Annotated[
        Path,
        Parameter(
            help="Model file, folder of a training run or of an active learning, name of a "
            "published model; or any other file or folder."
        ),
    ],
    /,
) -> int:
    """Say what a file is: a model, data, an output, a run, also of codes that Ladera does not read.

    Of a model with parameters, data, level of theory, licence, configuration, code and errors; of
    the name of a published one that is not here yet what is known of it, without a download.
    `ladera cite MODEL` says what to cite. Other files are known by their content.

        ladera info run/model.ladera
        ladera info mace-mp-small
        ladera info nep.txt
        ladera info methanol  # the rounds of an active learning
    """
    if (file / "round_0").is_dir():
        return _print_loop(file)
    kind = recognise(file)
    if kind is not None and not (kind.role == "model" and kind.is_read):
        return _print_kind(file, kind)
    inputs.require_known(file)
    return _print_model(file)


def _print_kind(path: Path, kind: FileKind) -> int:
    """What a file is that is no model, or one that Ladera does not read; what to do with it."""
    what_to_do = kind.what_to_do(path)
    answer(
        {
            "kind": "file",
            "format": kind.name,
            "role": kind.role,
            "is_read": kind.is_read,
            "what_to_do": what_to_do,
        }
    )
    print(f"{path}: {kind.name}" + ("" if kind.is_read else ", which Ladera does not read"))
    print(f"What to do: {what_to_do}.")
    return 0


def _print_loop(folder: Path) -> int:
    """An active learning and its rounds."""
    from ladera.cli.active import print_head, print_round
    from ladera.errors import DataError
    from ladera.report import active_section

    if not active_section.is_loop(folder):
        raise DataError(
            f"{folder} is an active learning whose first labels are not there yet; 'ladera active' "
            "goes on with it."
        )
    loop = active_section.read(folder)
    model = loop.folder.model
    answer(
        {
            "kind": "active_learning",
            "config": loop.config.model_dump(mode="json"),
            "rounds": [record.model_dump(mode="json") for record in loop.rounds],
            "stopped": loop.stopped,
            "model": str(model) if model.exists() else None,
        }
    )
    print(f"{folder}: an active learning")
    for title, words in active_section.facts(loop):
        print(f"{title}: {words}")
    if loop.judged:
        print_head()
    for record, _ in loop.judged:
        print_round(record)
    if model.exists():
        print(f"The model: ladera info {model}")
    return 0


def _print_model(model: Path) -> int:
    import yaml
    from rich.console import Console

    from ladera import loading
    from ladera.codes import mtp, published

    if mtp.reads(model):
        return _print_mtp(model)
    name, known = model, None
    if not model.exists() and published.is_name(str(model)):
        known = published.find(str(model))
        if not known.file:
            return _print_published(known)
        model = published.fetch(known)
    potential = loading.load(name if known else model)
    header = loading.read_header(model)
    config, origin = header["config"], header["provenance"] | potential.provenance
    n_parameters = sum(parameter.numel() for parameter in potential.parameters())
    terms = _terms(origin, known)
    if potential.heads:
        terms["heads"] = ", ".join(potential.heads)
    elif "heads" in origin:  # of the file that one of them was taken from
        terms["head"] = f"{origin['head']}, of {', '.join(origin['heads'])} (ladera import --head)"
    terms["knows_when_it_is_lost"] = _domain(potential)
    answer(
        {
            "kind": "model",
            "config": config,
            "n_parameters": n_parameters,
            "format_version": header["format_version"],
            **terms,
            "provenance": origin,
        }
    )
    console = Console(highlight=False, markup=False)
    console.print(
        f"{config['architecture']} for {', '.join(config['species'])}, cutoff "
        f"{config['cutoff']:g} Angstrom, {n_parameters:,} parameters (model format "
        f"{header['format_version']})"
    )
    if config.get("calibration"):
        factors = {name: config["calibration"][name] for name in ("energy", "forces")}
        shown = ", ".join(f"{k} {v:.3f}" for k, v in factors.items() if v is not None)
        console.print(f"Spread calibrated with the factors: {shown}")
    _print_origin(console, origin)
    for title, words in terms.items():
        console.print(f"{title.replace('_', ' ').capitalize()}: {words}", soft_wrap=True)
    settings = _shortened(origin.get("config", {"model": config}))
    console.print(yaml.safe_dump(settings, sort_keys=False, default_flow_style=None).rstrip())
    return 0


def _shortened(settings: Any) -> Any:
    """Settings to print, in which thousands of symmetry functions are a number of each kind."""
    if isinstance(settings, dict):
        return {
            key: _counted(value)
            if key == "symmetry_functions" and len(value) > _MANY_FUNCTIONS
            else _shortened(value)
            for key, value in settings.items()
        }
    return [_shortened(value) for value in settings] if isinstance(settings, list) else settings


def _counted(functions: list[dict[str, Any]]) -> str:
    counts = Counter(function["kind"] for function in functions)
    listed = ", ".join(f"{number:,} {kind}" for kind, number in counts.items())
    return f"{listed}; --json prints each"


def _domain(potential: Potential) -> str:
    """By what the model grades atoms that are unlike its training data."""
    from ladera.models.hdnnp.base import SymmetryFunctionPotential

    if potential.is_active_set_known:
        return "yes, by the active set of its training frames."
    parts = [potential.uncorrected, *potential.members]
    if any(isinstance(part, SymmetryFunctionPotential) and part.knows_ranges for part in parts):
        return (
            "by the ranges of its symmetry functions; 'ladera grade' adds an active set, made of "
            "frames that it knows."
        )
    return "no; 'ladera grade' adds an active set, made of frames that it knows."


def _print_origin(console: Console, origin: dict[str, Any]) -> None:
    """How it came to be."""
    from ladera.cli.evaluate import error_table

    if "imported_from" in origin:
        units = f", in {origin['units']}" if "units" in origin else ""
        where = origin.get("folder") or origin["file"]
        console.print(f"Imported from {origin['imported_from']}: {where}{units}")
        if "published_as" in origin:
            console.print(f"Published as {origin['published_as']} at {origin['url']}")
    elif "errors" in origin:
        versions = ", ".join(f"{name} {number}" for name, number in origin["versions"].items())
        console.print(f"Trained {origin['date']} with {versions}, seed {origin['seed']}")
        console.print(f"Data {', '.join(origin['config']['data']['files'])}")
        console.print(f"Data hash {origin['data_hash']}")
        best = [member["epoch"] for member in origin.get("members", [origin])]
        epochs = f"{', '.join(map(str, best))} of {origin['config']['epochs']}"
        console.print(f"Best epoch {epochs}")
        console.print(error_table(origin["errors"]))
    elif "members" in origin:
        console.print(f"Made of {len(origin['members'])} models.")
    else:
        console.print("Not trained: its parameters are those of its configuration.")


def _terms(origin: dict[str, Any], known: PublishedModel | None) -> dict[str, str]:
    """Data, level, licence, and what to cite."""
    from ladera.codes import published

    if known is None and "published_as" in origin:
        known = published.find(origin["published_as"])
    base = (origin.get("config", {}).get("finetune") or {}).get("base")
    data = origin.get("config", {}).get("data", {})
    licence = "that of who trained it; none is written down here"
    if known is not None:
        licence = known.licence
    elif base and published.is_name(base):
        licence = f"made from {base}, whose licence is {published.find(base).licence}"
    files = f"{', '.join(data['files'])}" if data.get("files") else "not written down"
    if data.get("cite"):
        files += f" ({data['cite']})"
    return {
        "training_data": known.data if known is not None else files,
        "level_of_theory": known.level
        if known is not None
        else data.get("level") or "not written down (data.level of a training configuration)",
        "licence": licence,
        "to_cite": f"ladera cite {'MODEL' if known is None else known.name}",
    }


def _print_mtp(path: Path) -> int:
    """What an .mtp file says of itself, which is not what its elements are."""
    from ladera.codes import mtp

    facts = mtp.described(path)
    answer({"kind": "mtp_file", **{title.replace(" ", "_"): said for title, said in facts.items()}})
    print(f"Moment tensor potential, file of MLIP: {path}")
    for title, words in facts.items():
        print(f"{title[0].upper()}{title[1:]}: {words}")
    return 0


def _print_published(model: PublishedModel) -> int:
    """What is known of a published model without its file."""
    from ladera.citing import works
    from ladera.codes import published

    path = published.folder_of_models() / model.file_name
    found, _ = works(model.name)
    cite = [work.text() for work in found if work.key in (*model.cite, *model.data_cite)]
    facts = {
        "elements": " ".join(model.elements),
        "training data": model.data,
        "level of theory": model.level,
        "licence": model.licence,
        "origin": model.origin if model.member is None else f"{model.origin}; {model.url}",
        "SHA-256": model.sha256 or "not published; that of the first download will be kept",
    }
    answer({"kind": "published_model", "name": model.name, "about": model.about, **facts})
    print(f"{model.name}: {model.about}")
    for title, words in facts.items():
        print(f"{title[0].upper()}{title[1:]}: {words}")
    print("Parameters: known when it is here")
    print(f"Here: {path}" if path.is_file() else f"Not here yet; its place is {path}")
    print(f"To cite (all: ladera cite {model.name}):")
    for words in cite:
        print(f"  {words}")
    return 0
