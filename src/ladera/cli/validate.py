"""``ladera validate``: the card of a model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from ladera.cli.inputs import DATA, STRUCTURE
from ladera.cli.models import ModelOptions, load_model
from ladera.cli.numbers import KELVIN, PICOSECONDS
from ladera.cli.properties import Frame, Model
from ladera.cli.session import answer

if TYPE_CHECKING:
    from ase import Atoms

    from ladera.data.dataset import Dataset
    from ladera.potential import Potential


def validate(
    model: Model,
    /,
    *,
    structure: Annotated[
        Path | None,
        STRUCTURE,
        Parameter(help="Structure file; the lowest frame of the data by default."),
    ] = None,
    frame: Frame = None,
    data: Annotated[
        list[Path] | None,
        DATA,
        Parameter(help="Labelled frames to take errors from; those of the training by default."),
    ] = None,
    temperature: Annotated[
        float | None, KELVIN, Parameter(help="Hottest temperature of the training data, K.")
    ] = None,
    time: Annotated[
        float, PICOSECONDS, Parameter(help="Length of the run twice as hot, ps; 0 for no runs.")
    ] = 10.0,
    references: Annotated[
        Path | None, Parameter(help="YAML file with published numbers to compare with.")
    ] = None,
    options: ModelOptions | None = None,
    output: Annotated[Path, Parameter(help="Folder for the results.")] = Path("validation"),
) -> int:
    """Look at a model from all sides and write one page that says what it may be trusted for.

    Errors, relaxation, then for a crystal equation of state, elastic constants and phonons, for a
    molecule vibrations; every pair of elements pushed together to 0.5 Angstrom; energy conservation
    against the time step, with the longest safe one; a run at twice the hottest training
    temperature. Numbers of the crystal are held against published ones where --references names
    a file with them. What is in the folder already is not computed again. Writes report.html, and
    a folder for each result.

        ladera validate run/model.ladera --output validation
    """
    import json

    from ladera.cli.properties import show
    from ladera.properties.card import validate as compute
    from ladera.properties.result import FILE, load
    from ladera.properties.verdicts import NOTHING, read_references
    from ladera.report.report import write_report
    from ladera.simulation.preparation import check_species

    published = NOTHING if references is None else read_references(references)
    potential = load_model(model, options)
    dataset = _frames(potential, data)
    atoms = _structure(structure, frame, dataset)
    check_species(atoms, potential)
    errors = _errors(potential, dataset if data else None)
    folders = compute(
        potential,
        atoms,
        output,
        name=", ".join(map(str, model)),
        errors=errors,
        temperature=temperature if temperature is not None else _hottest(dataset),
        time=time,
        references=published,
    )
    page = write_report(output, properties=folders[1:])
    card, *results = (json.loads((folder / FILE).read_text("utf-8")) for folder in folders)
    answer({**card, "results": {result["kind"]: result for result in results}}, [page])
    show(load(folders[0]))
    print(f"Wrote {page}.")
    return 0


def _frames(potential: Potential, data: list[Path] | None) -> Dataset | None:
    """The frames given, or else those of the training where they still are."""
    from ladera.data import formats
    from ladera.properties.training_frames import frames_of_training

    return formats.read(data) if data else frames_of_training(potential)


def _structure(path: Path | None, frame: int | None, dataset: Dataset | None) -> Atoms:
    from ladera.errors import PropertyError
    from ladera.properties.training_frames import lowest_frame
    from ladera.simulation.structures import read_structure

    if path is not None:
        return read_structure(path, frame)
    if dataset is None:
        raise PropertyError(
            "The frames that this model was trained on are not at hand; give a structure with "
            "--structure FILE, or frames with --data FILE."
        )
    lowest = lowest_frame(dataset)
    if lowest is None:
        raise PropertyError("No frame of the data has an energy; give a --structure.")
    return lowest


def _hottest(dataset: Dataset | None) -> float | None:
    """The largest temperature in the names of the groups of frames, such as md_600K."""
    import re

    import numpy as np

    if dataset is None:
        return None
    names = " ".join(map(str, np.unique(dataset.column("config_type"))))
    temperatures = [float(value) for value in re.findall(r"(\d+(?:\.\d+)?) ?K(?![A-Za-z])", names)]
    return max(temperatures, default=None)


def _errors(potential: Potential, dataset: Dataset | None) -> dict[str, Any] | None:
    from ladera.training.evaluation import evaluate_dataset, require_foreign_labels

    if dataset is not None:
        return require_foreign_labels(evaluate_dataset(potential, dataset)).to_json()
    parts = potential.provenance.get("errors", {})
    errors: dict[str, Any] | None = parts.get("test") or parts.get("validation")
    return errors
