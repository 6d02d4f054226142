"""``ladera committee``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from ladera.cli.data import Reading, read_files
from ladera.cli.inputs import DATA, MODEL
from ladera.cli.outputs import claim_file
from ladera.cli.session import answer


def committee(
    *models: Annotated[Path, MODEL, Parameter(help="Model files or folders of training runs.")],
    data: Annotated[
        list[Path],
        DATA,
        Parameter(
            help="Labelled frames to calibrate on, which no member was trained on; several files "
            "may follow.",
            consume_multiple=1,
        ),
    ],
    output: Annotated[Path, Parameter(help="Model file to write.")],
    reading: Reading | None = None,
) -> int:
    """Make one model of several trained ones, with calibrated uncertainties.

    The committee predicts the mean of its members; their spread, multiplied with factors fitted to
    its errors on the frames given, is the standard deviation of energies and force components. Use
    the file like any other model. (`ladera train` with `--set committee.members=4` does all of it.)

        ladera committee one.ladera two.ladera --data validation.extxyz --output committee.ladera
    """
    from rich.console import Console

    from ladera import loading
    from ladera.cli.evaluate import reliability_table
    from ladera.errors import ConfigError
    from ladera.potential import Committee
    from ladera.training.committee import calibrate
    from ladera.training.evaluation import evaluate_dataset

    claim_file(output)
    loaded = [loading.load(model) for model in models]
    for model, other in zip(models, loaded, strict=True):
        if other.numbers != loaded[0].numbers:
            raise ConfigError(
                f"{model} is for {', '.join(other.symbols)} and {models[0]} for "
                f"{', '.join(loaded[0].symbols)}; members of a committee must be for the same."
            )
    members = Committee(loaded)
    dataset = read_files(data, reading)
    calibrated = calibrate(members, dataset)
    calibrated.save(output)
    evaluation = evaluate_dataset(calibrated, dataset).to_json()
    answer({"kind": "committee", **evaluation, "provenance": calibrated.provenance}, [output])
    Console().print(reliability_table(evaluation["uncertainty"]))
    print(f"Wrote {output}: {len(models)} members, calibrated on {len(dataset):,} frames.")
    return 0
