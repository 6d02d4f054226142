"""``ladera prune``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from ladera.cli.data import Reading, read_files
from ladera.cli.inputs import DATA, MODEL
from ladera.cli.numbers import PLAIN, whole
from ladera.cli.outputs import claim_file
from ladera.cli.session import answer


def prune(
    model: Annotated[Path, MODEL, Parameter(help="An mtp: a model file, or a training run.")],
    /,
    *files: Annotated[Path, DATA, Parameter(help="Frames, those of the training.")],
    cost: Annotated[
        float, PLAIN, Parameter(help="Time of an atom to come down to, of the model's.")
    ] = 0.5,
    epochs: Annotated[
        int, Parameter(help="Passes that improve the radial functions after it.", converter=whole)
    ] = 10,
    output: Annotated[Path, Parameter(help="Model file to write.")] = Path("pruned.ladera"),
    reading: Reading | None = None,
) -> int:
    """Remove the functions of a moment tensor potential that say least for their time.

    The others make up for them, so that energies and forces of the frames stay what the model says
    they are; labels do not matter for that. The table has the errors on these frames, in
    meV/atom, meV/Angstrom and meV/Angstrom^3, before and after; `ladera evaluate` tells those on
    others.

        ladera prune run/model.ladera train.extxyz --cost 0.4 --output fast.ladera
    """
    from rich.console import Console

    from ladera import loading
    from ladera.cli.evaluate import error_table
    from ladera.training.evaluation import evaluate_dataset
    from ladera.training.variable_projection.pruning import prune

    claim_file(output)
    potential, dataset = loading.load(model), read_files(files, reading)
    pruned = prune(potential, dataset, cost=cost, epochs=epochs)
    pruned.potential.save(output)
    errors = {
        name: evaluate_dataset(each, dataset).to_json()
        for name, each in (("before", potential), ("after", pruned.potential))
    }
    sizes = {name: getattr(pruned, name) for name in ("functions", "products", "components")}
    answer({"kind": "pruned", "cost": pruned.cost, **sizes, "errors": errors}, [output])
    Console().print(error_table(errors, "model"))
    parts = (f"{name} {before} → {after}" for name, (before, after) in sizes.items())
    print(f"{', '.join(parts)}: about {pruned.cost:.2f} of the time.")
    print(f"Wrote {output}.")
    return 0
