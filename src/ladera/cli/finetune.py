"""``ladera finetune``: a trained model goes on with a few frames of other data."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from ladera.cli.inputs import DATA, MODEL
from ladera.cli.numbers import whole
from ladera.cli.session import answer

if TYPE_CHECKING:
    from ladera.training.config import TrainingConfig


def finetune(
    base: Annotated[
        str, MODEL, Parameter(help="The model to start from: a file, a run, or a published name.")
    ],
    /,
    *data: Annotated[Path, DATA, Parameter(help="Files with the new frames.")],
    method: Annotated[
        Literal["naive", "frozen", "lora", "replay"],
        Parameter(
            help="naive: every parameter changes; frozen: only readouts and last layers; lora: by "
            "corrections of low rank; replay: a second head, while the first repeats old frames."
        ),
    ] = "naive",
    replay: Annotated[
        list[Path] | None,
        DATA,
        Parameter(
            help="Frames like those of the base, on which to measure what is forgotten; with "
            "--method replay also to repeat.",
            consume_multiple=1,
        ),
    ] = None,
    epochs: Annotated[int, Parameter(help="Passes through the new frames.", converter=whole)] = 100,
    output: Annotated[Path, Parameter(help="Folder of the run.")] = Path("finetuned"),
    set_: Annotated[
        list[str] | None,
        Parameter(name="--set", help="A value for a key of the configuration, as key=value."),
    ] = None,
    resume: Annotated[
        bool, Parameter(negative=(), help="Continue the run in the folder, bit for bit.")
    ] = False,
) -> int:
    """Fine-tune a model on labelled structures, few of them if need be.

    A training run as any other, with all its files, that starts from the base: of the new frames a
    tenth validates. The energies of atoms at the new level of theory are estimated, and the run
    warns where they do not go with the base. Errors are in meV/atom and meV/Angstrom. Every key of
    a training configuration can be set, such as `--set finetune.replay.frames=100`.

        ladera finetune mace-mp-small frames.extxyz --method lora --set finetune.rank=8
        ladera finetune base.ladera new.extxyz --method replay --replay old.extxyz
    """
    from rich.console import Console

    from ladera.cli.evaluate import error_table
    from ladera.cli.train import trained

    config = _config(base, data, method, replay, epochs, set_ or ())
    from ladera.training.evaluation_files import read_finetune
    from ladera.training.trainer import train

    potential = train(config, output, resume=resume)
    Console().print(error_table(potential.provenance["errors"]))
    result = read_finetune(output)
    answer({**trained(potential), "finetune": result}, [output / "model.ladera"])
    references = result["reference_energies"]
    if added := _added(result.get("added", {})):
        print(f"Added to the base: {added}.")
    print(
        f"{result['n_trainable']:,} of {result['n_parameters']:,} parameters could change; "
        f"reference energies: {references['method'] if references else 'as they were'}."
    )
    if result["forgetting"]:
        print(_forgetting(result["forgetting"]))
    if not potential.provenance["epoch"]:
        print(
            "No epoch was better on the validation frames than the base with these reference "
            "energies, which is the model; lower optimizer.learning_rate, or give more frames."
        )
    print(f"Best model: epoch {potential.provenance['epoch']}, in {output / 'model.ladera'}.")
    return 0


def _config(
    base: str,
    data: Sequence[Path],
    method: str,
    replay: Sequence[Path] | None,
    epochs: int,
    overrides: Sequence[str],
) -> TrainingConfig:
    """The training that the words of the command line ask for."""
    from ladera.training import config_file

    section: dict[str, Any] = {"base": base, "method": method}
    if replay:
        section["replay"] = {"files": [str(path) for path in replay]}
    values = {
        "data": {"files": [str(path) for path in data], "split": {"validation": 0.1, "test": 0}},
        "finetune": section,
        "epochs": epochs,
        "batch_size": 4,
        "optimizer": {"learning_rate": _rate(base)},
        "precision": "base",
    }
    return config_file.parse(values, "ladera finetune", overrides)


def _rate(base: str) -> float:
    """At which a model keeps what it knows."""
    from ladera.loading import read_header
    from ladera.models.registry import ARCHITECTURES, config_class
    from ladera.potential import PotentialConfig

    config = read_header(base)["config"]
    family = config.get("base", config)["architecture"]
    # What cannot be fine-tuned is refused with its reason where it is loaded.
    known = family in ARCHITECTURES
    return (config_class(family) if known else PotentialConfig).finetuning_rate


def _added(result: dict[str, Any]) -> str:
    """What the base was given, in words."""
    known = [f"{new}, which began as {old}" for new, old in result.get("elements", {}).items()]
    return "; ".join([*known, *(f"a {name}, zero at first" for name in result.get("outputs", []))])


def _forgetting(result: dict[str, Any]) -> str:
    """One line: errors on the replay frames before and after."""
    parts = []
    for name, unit in (("energy", "meV/atom"), ("forces", "meV/Å")):
        before, after = result["before"][name], result["after"][name]
        if before and after:
            parts.append(f"{name} {before['rmse']:.1f} → {after['rmse']:.1f} {unit}")
    return f"RMSE on {result['n_frames']} replay frames, before → after: {', '.join(parts)}."
