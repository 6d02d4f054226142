"""The training of a round, and how its model is judged."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ladera import loading
from ladera.active.config import ActiveConfig
from ladera.active.folder import Judgement, RoundFolder, read_frames
from ladera.data.dataset import Dataset
from ladera.errors import LabellingError
from ladera.potential import Potential
from ladera.quantities import MILLI
from ladera.sampling.generation import ISOLATED_ATOM
from ladera.training import config_file
from ladera.training.config import TrainingConfig
from ladera.training.evaluation import evaluate_dataset
from ladera.training.run_folder import RunFolder
from ladera.training.trainer import train


def training_of(config: ActiveConfig, rounds: Sequence[RoundFolder]) -> TrainingConfig:
    """What the next model is trained on: all that the rounds before have labelled."""
    files = [*config.begin.data, *(str(each.train) for each in rounds if _holds(each.train))]
    checks = [str(each.checks) for each in rounds if _holds(each.checks)]
    last = rounds[-1]
    if config.warm_start and last.number > 0:
        config = config.model_copy(update={"training": _warm(config, str(last.model))})
    training = config.training_config(tuple(files), tuple(checks))
    dataset = [frame for each in rounds for frame in read_frames(each.train)]
    frames = sum(frame.config_type != ISOLATED_ATOM for frame in dataset)
    if isinstance(training.batch_size, int) and not config.begin.data:
        # The first rounds have few frames, for which nobody sets another size; each member of a
        # committee may have four fifths of them.
        most = max(1, int(0.8 * frames))
        training = training.model_copy(update={"batch_size": min(training.batch_size, most)})
    return training


def _holds(path: Path) -> bool:
    return path.exists() and path.stat().st_size > 0


def _warm(config: ActiveConfig, base: str) -> dict[str, Any]:
    """A training that goes on from a model, for a share of the epochs."""
    whole = config.training_config(("data.extxyz",), ())
    return {
        **{key: value for key, value in config.training.items() if key != "model"},
        "optimizer": config_file.as_json(whole)["optimizer"],
        "epochs": max(1, round(config.warm_start * whole.epochs)),
        "finetune": {"base": base, "method": "naive"},
    }


def taught(config: ActiveConfig, rounds: Sequence[RoundFolder], folder: RoundFolder) -> Potential:
    """The model of a round, trained or what is left of that."""
    if folder.model.exists():
        return loading.load(folder.model)
    training = training_of(config, rounds)
    train(training, folder.run, resume=RunFolder(folder.run).holds_run)
    return loading.load(folder.model)


def judge(potential: Potential, folder: RoundFolder) -> Judgement:
    """Errors of a model on the frames that judge this round.

    Raises LabellingError where none of them could be labelled.
    """
    frames = read_frames(folder.checks)
    if not frames:
        raise LabellingError(
            f"Nothing judges round {folder.number}: of the structures in {folder.to_judge} none "
            "has a label that can be used. Raise select.checks, or look at what the engine says in "
            f"{folder.judging}.label."
        )
    return judgement_of(potential, Dataset.from_frames(frames))


def judgement_of(potential: Potential, frames: Dataset) -> Judgement:
    """Errors of a model on some frames."""
    found = evaluate_dataset(potential, frames).to_json()
    energy, forces = found["energy"], found["forces"]
    return Judgement(
        frames=len(frames),
        energy=_ev(energy, "mae"),
        energy_rmse=_ev(energy, "rmse"),
        forces=_ev(forces, "mae"),
        forces_rmse=_ev(forces, "rmse"),
        by_group={
            name: _ev(errors["forces"], "mae") for name, errors in found["by_config_type"].items()
        },
    )


def _ev(errors: dict[str, float] | None, name: str) -> float | None:
    return None if not errors else errors[name] / MILLI
