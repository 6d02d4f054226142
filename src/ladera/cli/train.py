"""``ladera train``, ``ladera template`` and ``ladera schema``."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from ladera import progress
from ladera.cli.data import Units
from ladera.cli.inputs import CONFIG
from ladera.cli.session import answer

if TYPE_CHECKING:
    from ladera.potential import Potential
    from ladera.training.config import TrainingConfig


def train(
    config: Annotated[
        Path,
        CONFIG,
        Parameter(
            help="YAML file, as `ladera template` prints one, a control.in, or a folder of n2p2 "
            "with input.nn and input.data."
        ),
    ],
    /,
    *,
    output: Annotated[Path, Parameter(help="Folder of the run.")] = Path("run"),
    set_: Annotated[
        list[str] | None,
        Parameter(name="--set", help="Another value for a key of the file, as key=value."),
    ] = None,
    units: Annotated[
        Units | None,
        Parameter(help="Units of an n2p2 folder, unless comments of its input.nn state them."),
    ] = None,
    resume: Annotated[
        bool, Parameter(negative=(), help="Continue the run in the folder, bit for bit.")
    ] = False,
    check: Annotated[
        bool, Parameter(negative=(), help="Only check configuration and data; train nothing.")
    ] = False,
) -> int:
    """Train a potential on labelled structures.

    Writes model.ladera (the best model by validation loss), log.csv, evaluation.json and more to
    the folder. Ctrl-C leaves a checkpoint; the same command with --resume goes on from there.
    Errors are in meV/atom and meV/Angstrom. With `--set committee.members=4` four models are
    trained side by side and make one, with calibrated uncertainties.

        ladera train config.yaml --output run --set epochs=100 --set optimizer.learning_rate=0.005
    """
    settings, run = _read(config, set_ or (), units)
    if check:
        return _check(settings)
    from rich.console import Console

    from ladera.cli.evaluate import error_table
    from ladera.training.processes import is_first_process

    if not is_first_process():
        return _train_silently(run, output, resume)
    potential = run(output, resume=resume)
    answer(trained(potential), [output / "model.ladera"])
    Console().print(error_table(potential.provenance["errors"]))
    for part, row in potential.provenance["errors"].items():
        for name in (name for name, errors in row.items() if errors and (errors["r2"] or 0) < 0):
            print(f"Warning: {name} of the {part} frames: worse than guessing the labels' mean.")
    if settings.committee is not None:
        members, model = settings.committee.members, output / "model.ladera"
        print(f"Committee of {members} members, calibrated, in {model}.")
        return 0
    print(f"Best model: epoch {potential.provenance['epoch']}, in {output / 'model.ladera'}.")
    return 0


def _read(
    path: Path, overrides: Sequence[str], units: Units | None
) -> tuple[TrainingConfig, Callable[..., Potential]]:
    """The configuration that a file of any kind asks for, and what trains by it."""
    if path.is_dir():
        from ladera.jobs import n2p2

        folder = n2p2.read_training(path, units, overrides)
        return folder.config, folder.train
    if units is not None:
        from ladera.errors import ConfigError

        raise ConfigError(f"--units is for a folder of n2p2; {path} says its units itself.")
    if path.suffix == ".in":
        from ladera.jobs import control_in

        job = control_in.read_training(path, overrides)
        return job.config, job.train
    from ladera.training import config_file

    config = config_file.load_with_files(path, overrides)
    from ladera.training.trainer import train  # torch, which a mistake need not wait for

    return config, partial(train, config)


def template() -> int:
    """Print a commented training configuration with every key, ready to be changed.

    ladera template > config.yaml
    """
    import yaml

    from ladera.training.template import template as text

    answer(yaml.safe_load(text()))
    print(text(), end="")
    return 0


def schema() -> int:
    """Print the JSON schema of training configurations, which editors use to check YAML.

    ladera schema > ladera.schema.json
    """
    import json

    from ladera.training.template import schema as text

    answer(json.loads(text()))
    print(text(), end="")
    return 0


def _check(settings: TrainingConfig) -> int:
    from ladera.cli.data import print_report
    from ladera.training.preparation import prepare

    prepared = prepare(settings)
    print_report(prepared.report, prepared.dataset)
    prepared.require_sound_data()
    prepared.start.check(prepared)
    if prepared.unlearned:
        weights = ", ".join(f"loss.{name}" for name in prepared.unlearned)
        print(f"The frames have labels that are not trained on: {weights} = 0.")
    parts = (prepared.train, prepared.validation, prepared.test)
    train_, validation, test = (len(part) for part in parts)
    counts = {"train": train_, "validation": validation, "test": test}
    answer({"n_frames": counts, "species": prepared.model.species} | prepared.report.to_json())
    print(
        f"Configuration and data fit: {train_:,} training, {validation:,} validation and "
        f"{test:,} test frames of {', '.join(prepared.model.species)}."
    )
    return 0


def trained(potential: Potential) -> dict[str, Any]:
    """What a training came to, as a document."""
    from ladera.quantities import QUANTITIES

    record = dict(potential.provenance)
    return {
        "kind": "training",
        "errors": record.pop("errors"),
        "units": {quantity.name: quantity.unit_of_errors for quantity in QUANTITIES},
        "epoch": record.get("epoch"),
        "provenance": record,
    }


def _train_silently(run: Callable[..., Potential], output: Path, resume: bool) -> int:
    """One of several processes, in silence: what it could say, the first one says."""
    from ladera.cli import FAILURE, INTERRUPTED
    from ladera.errors import LaderaError

    warnings.simplefilter("ignore")
    progress.hide()
    try:
        run(output, resume=resume)
    except LaderaError:
        return FAILURE
    except KeyboardInterrupt:
        return INTERRUPTED
    return 0
