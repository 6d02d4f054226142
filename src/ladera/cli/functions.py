"""``ladera functions``: choose symmetry functions by data, and see what those of a model do."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from ladera.cli.data import Reading, read_files
from ladera.cli.inputs import CONFIG, DATA, MODEL
from ladera.cli.numbers import PLAIN
from ladera.cli.outputs import claim_file, claim_folder
from ladera.cli.session import answer

if TYPE_CHECKING:
    from ladera.kernels.symmetry_functions.functions import SymmetryFunction
    from ladera.models.hdnnp.sensitivity import ElementReport

_SHOWN = 10  # most sensitive functions, and redundant pairs, of each element


def select(
    config: Annotated[
        Path, CONFIG, Parameter(help="Training configuration with a model.selection.")
    ],
    /,
    *,
    set_: Annotated[
        list[str] | None,
        Parameter(name="--set", help="Another value for a key of the file, as key=value."),
    ] = None,
    output: Annotated[Path, Parameter(help="YAML file to write.")] = Path("functions.yaml"),
) -> int:
    """Choose symmetry functions by the training frames, as `ladera train` would, and stop there.

    The file holds them as symmetry_functions, to be put under model: and changed by hand.

        ladera functions select config.yaml --set "model.selection={number: 30}"
    """
    from collections import Counter

    from rich.console import Console
    from rich.table import Table

    from ladera.errors import ConfigError
    from ladera.files import write_text_atomic
    from ladera.training import config_file

    claim_file(output)
    settings = config_file.load_with_files(config, set_ or ())
    if getattr(settings.model, "selection", None) is None:
        raise ConfigError(
            f"{config} has no model.selection, so there is nothing to choose; add one, such as "
            "selection: {number: 30}, to a model of the architecture hdnnp."
        )
    from ladera.training.preparation import prepare

    prepared = prepare(settings)
    prepared.require_sound_data()
    functions: tuple[SymmetryFunction, ...] = getattr(prepared.model, "symmetry_functions")  # noqa: B009
    counts = Counter((function.center, function.kind) for function in functions)
    table = Table("element", "kind", "chosen")
    for (center, kind), count in counts.items():
        table.add_row(center, kind, str(count))
    Console(highlight=False).print(table)
    write_text_atomic(output, _as_yaml(functions))
    chosen = [each.model_dump(mode="json", by_alias=True, exclude_none=True) for each in functions]
    answer({"symmetry_functions": chosen}, [output])
    print(f"Wrote {len(functions)} symmetry functions to {output}.")
    return 0


def report(
    model: Annotated[Path, MODEL, Parameter(help="Model file.")],
    /,
    *files: Annotated[Path, DATA, Parameter(help="Data files, such as those of the training.")],
    reading: Reading | None = None,
    threshold: Annotated[
        float,
        PLAIN,
        Parameter(help="Two functions are redundant when they correlate more than this."),
    ] = 0.99,
    output: Annotated[Path, Parameter(help="Folder for the results.")] = Path("functions"),
) -> int:
    """Say which symmetry functions of a model matter, and which are redundant or constant.

    Sensitivity is how strongly the atomic energy answers to a scaled function: root mean square and
    maximum over atoms, in per cent of the sum over all functions. Writes functions.json, with every
    function and the correlations, and functions.svg.

        ladera functions report run/model.ladera train.extxyz --output functions
    """
    import json

    from ladera import loading
    from ladera.data.graphs import GraphStore
    from ladera.files import atomic_path, write_text_atomic
    from ladera.identity import describe_evaluation
    from ladera.models.hdnnp.sensitivity import examine
    from ladera.plotting import style
    from ladera.report.functions_figure import functions_figure

    claim_folder(output, "functions.json", "functions.svg")
    potential = loading.load(model)
    dataset = read_files(files, reading)
    elements = examine(potential, GraphStore(dataset, potential.cutoff, memory=0), threshold)
    for element in elements:
        _print_element(element, threshold)
    summary = {
        "model": str(model),
        "threshold": threshold,
        "provenance": describe_evaluation(potential, dataset, files, threshold=threshold),
        "elements": {element.symbol: element.to_json() for element in elements},
    }
    answer(summary, [output / "functions.json", output / "functions.svg"])
    write_text_atomic(output / "functions.json", json.dumps(summary) + "\n")
    with atomic_path(output / "functions.svg") as path, style():
        functions_figure(elements).savefig(path, format="svg", metadata={"Date": None})
    print(f"Wrote {output / 'functions.json'} and functions.svg.")
    return 0


def _print_element(element: ElementReport, threshold: float) -> None:
    from collections import Counter

    import numpy as np
    from rich.console import Console
    from rich.table import Table

    count, atoms = len(element.functions), element.n_atoms
    table = Table(
        "number",
        f"the most sensitive of the {count} functions of {element.symbol}",
        title=f"{element.symbol}, {atoms:,} atoms",
        title_justify="left",
    )
    for heading in ("rms %", "max %"):
        table.add_column(heading, justify="right")
    for k in np.argsort(-element.rms, kind="stable")[:_SHOWN]:
        name = describe(element.functions[k])
        table.add_row(str(k), name, f"{element.rms[k]:.2f}", f"{element.maximum[k]:.2f}")
    console = Console(highlight=False, markup=False)
    console.print(table)
    if element.constant:
        groups = Counter(_group(element.functions[k]) for k in element.constant)
        named = ", ".join(f"{name} ({count})" for name, count in groups.items())
        console.print(f"{len(element.constant)} are constant: {named}")
    if element.redundant:
        console.print(f"{len(element.redundant)} pairs correlate by more than {threshold:g}:")
    for i, j in element.redundant[:_SHOWN]:
        one, other = describe(element.functions[i]), describe(element.functions[j])
        value = element.correlations[i, j]
        console.print(f"  {value:+.5f}  {i} ({one}) and {j} ({other})", soft_wrap=True)
    if len(element.redundant) > _SHOWN:
        console.print(f"  and {len(element.redundant) - _SHOWN} more")


def describe(function: SymmetryFunction) -> str:
    """A symmetry function in one line: its kind, neighbours and parameters."""
    values = function.model_dump(by_alias=True, exclude_none=True)
    for name in ("kind", "center", "neighbors"):
        del values[name]
    words = (f"{name} {v if isinstance(v, str) else f'{v:.4g}'}" for name, v in values.items())
    return " ".join((_group(function), *words))


def _group(function: SymmetryFunction) -> str:
    return f"{function.kind} {'-'.join((function.center, *function.neighbors))}"


def _as_yaml(functions: tuple[SymmetryFunction, ...]) -> str:
    """One function on each line."""
    import yaml

    lines = ["# To be put under model: in a configuration.", "symmetry_functions:"]
    for function in functions:
        values = function.model_dump(mode="json", by_alias=True, exclude_none=True)
        text = yaml.safe_dump(values, default_flow_style=True, sort_keys=False, width=10**6)
        lines.append(f"  - {text.strip()}")
    return "\n".join(lines) + "\n"
