"""``ladera grade``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from ladera.cli.data import read_files
from ladera.cli.inputs import DATA, MODEL
from ladera.cli.outputs import claim_file
from ladera.cli.predict import StructureReading
from ladera.cli.session import answer


def grade(
    model: Annotated[
        Path,
        MODEL,
        Parameter(help="Model file, folder of a training run, or name of a published model."),
    ],
    /,
    *files: Annotated[
        Path, DATA, Parameter(help="Frames that the model knows: what it was trained on.")
    ],
    output: Annotated[Path, Parameter(help="Model file to write.")],
    reading: StructureReading | None = None,
) -> int:
    """Give a model an active set, so that it knows when it is lost.

    Training does so by itself. A model from before there were active sets, or from elsewhere, gets
    one of the frames given here, labelled or not: those of its training, or others on which its
    errors are known to be small. The model written is the same but for the grades: every atom of
    these frames has a grade of 1 at most, and what is unlike all of them has a larger one.

        ladera grade mace-mp-small frames.extxyz --output graded.ladera
    """
    from ase.data import chemical_symbols

    from ladera import loading
    from ladera.data.graphs import GraphStore
    from ladera.errors import ConfigError
    from ladera.training.active_set import choose_active_set, parts_with_features

    claim_file(output)
    potential = loading.load(model)
    if not parts_with_features(potential):
        raise ConfigError(
            f"The {potential.config.architecture} model {model} has no last layer that an active "
            "set could be made of; take a network, or a committee."
        )
    dataset = read_files(files, (reading or StructureReading()).without_labels())
    choose_active_set(potential, dataset, GraphStore(dataset, potential.cutoff))
    potential.save(output)
    sizes = {
        chemical_symbols[number]: len(inverse)
        for part in parts_with_features(potential)
        if part.active_set is not None
        for number, inverse in part.active_set.inverses.items()
    }
    answer({"kind": "active_set", "frames": len(dataset), "features": sizes}, [output])
    print(
        f"Wrote {output}: the model with the active set of {len(dataset):,} frames, for "
        f"{', '.join(sizes)}. Atoms of other elements count as unknown."
        if len(sizes) < len(potential.symbols)
        else f"Wrote {output}: the model with the active set of {len(dataset):,} frames."
    )
    return 0
