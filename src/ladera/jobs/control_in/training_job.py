"""``ladera train control.in``."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ladera.data import formats
from ladera.jobs.control_in import control_file, model, outputs
from ladera.jobs.control_in.control_file import ControlFile
from ladera.jobs.control_in.model import ControlWarning
from ladera.jobs.n2p2.outputs import write_function_data
from ladera.jobs.training_job import TrainingJob
from ladera.models.hdnnp import HDNNP
from ladera.training import config_file
from ladera.training.trainer import train_prepared
from ladera.units import UnitSystem

if TYPE_CHECKING:
    from ladera.data.dataset import Dataset
    from ladera.potential import Potential
    from ladera.training.observer import Observer
    from ladera.training.prepared import Prepared

PathLike = str | os.PathLike[str]

_OPTIMIZERS: Final = {
    "Adagrad": "adagrad",
    "SGD": "sgd",
    "RMSprop": "rmsprop",
    "Adam": "adam",
    "AdamW": "adamw",
}
_LOSSES: Final = {
    "mse": "mse",
    "mean_squared_error": "mse",
    "mae": "mae",
    "mean_absolute_error": "mae",
    "huber": "huber",
    "huber_loss": "huber",
}


class ControlTraining(TrainingJob):
    """The training of a control.in; its files are those of :mod:`~.control_in.outputs`."""

    def run(
        self, prepared: Prepared, folder: Path, resume: bool, observer: Observer | None
    ) -> Potential:
        """Train, from Ladera's own first parameters."""
        return train_prepared(prepared, folder, resume=resume, observer=observer)

    def write_outputs(self, folder: Path, potential: Potential, dataset: Dataset) -> None:
        """Write losses, and of a network its weights and functions."""
        outputs.write_losses(folder)
        if isinstance(potential, HDNNP):
            write_function_data(folder / "function.data", potential, dataset, self.units)
            outputs.write_weights(folder, potential)


def training(
    control: PathLike = "control.in",
    output: PathLike = "run",
    *,
    overrides: Sequence[str] = (),
    resume: bool = False,
    observer: Observer | None = None,
) -> Potential:
    """Train as a control.in says, and return the best potential.

    ``output`` receives what :meth:`TrainingJob.train` writes. ``overrides`` such as ``epochs=100``
    or ``loss.forces=1`` change what the control.in says. Raises what :func:`read_training` and
    :func:`ladera.training.trainer.train` raise.
    """
    return read_training(control, overrides).train(output, resume=resume, observer=observer)


def read_training(path: PathLike, overrides: Sequence[str] = ()) -> ControlTraining:
    """The training a control.in asks for, with overrides such as ``epochs=100``.

    Raises ConfigError, with file, line and key, for what cannot be used; DataError for data that
    cannot be read. Warns (ControlWarning) of what is not honoured.
    """
    control = control_file.read(Path(path))
    model.require_mode(control, model.TRAINING)
    units = control.units()
    data, n_train = _data(control, units)
    optimizer: dict[str, Any] = {
        "name": control.choice("optimization_method", _OPTIMIZERS),
        "learning_rate": control.number("learning_rate", 0.0),
    }
    if optimizer["name"] in ("adam", "adamw"):
        optimizer["betas"] = [0.9, 0.999]  # those of Keras
    values = {
        "data": data,
        "model": model.section(control, units),
        "loss": {
            "function": control.choice("loss_function", _LOSSES),
            "energy": 1.0,
            "forces": 0.0,
        },
        "optimizer": optimizer,
        "schedule": {"name": "constant"},
        "epochs": control.whole_number("number_of_epochs", 1),
        "batch_size": min(control.whole_number("minibatch_size", 1), n_train),
        "seed": control.whole_number("random_seed", 0) if "random_seed" in control else 0,
    }
    for message in _not_honoured(control):
        warnings.warn(f"{control.path}: {message}", ControlWarning, stacklevel=3)
    return ControlTraining(config_file.parse(values, str(control.path), overrides), units)


def _data(control: ControlFile, units: UnitSystem) -> tuple[dict[str, Any], int]:
    """The section 'data', and the number of training frames.

    As in Keras the last frames are for validation, and a minibatch may be larger than all.
    """
    file = control.file("atomic_data_path")
    key = "validation_fraction"
    fraction = control.number(key, 0.0, 0.999) if key in control else 0.0
    frames = formats.stream(file, units=units, atom_columns="energy charge")
    n_frames = sum(1 for _ in frames)
    n_train = max(1, int(n_frames * (1 - fraction) + 1e-9))
    section = {
        "files": [str(file)],
        "units": units.name,
        "atom_columns": "energy charge",
        "split": {"method": "first", "train": n_train, "validation": n_frames - n_train},
    }
    return section, n_train


def _not_honoured(control: ControlFile) -> list[str]:
    """A sentence for each key that Ladera does in another way."""
    messages = []
    if "timestep" in control:  # of the simulation, but nothing of a file goes unread
        control.timestep()
    if "iterations" in control:
        control.whole_number("iterations", 1)
    for key, first in (
        ("weight_initialization", "glorot_normal"),
        ("bias_initialization", "zeros"),
    ):
        if key in control and control.word(key).lower() not in (first, first.replace("_", "")):
            messages.append(
                f"{key} {control.word(key)} is not honoured; Ladera starts with {first}."
            )
    if "epsilon" in control:
        value = control.number("epsilon", 0.0)
        messages.append(
            f"epsilon {value:g} is not honoured; Ladera keeps that of its optimizer, 1e-10 or 1e-8."
        )
    if "decay_value" in control and (value := control.number("decay_value", 0.0)):
        messages.append(
            f"decay_value {value:g} is not honoured; the learning rate is constant "
            "(--set schedule.name=exponential lowers it)."
        )
    if "clipvalue" in control:
        value = control.number("clipvalue", 0.0)
        messages.append(
            f"clipvalue {value:g} is not honoured: Ladera limits the length of the gradient, not "
            "its components, and of another loss (--set gradient_clip=...)."
        )
    if "model_path" in control and control.word("model_path").lower() != "none":
        messages.append("model_path has no effect in a training, which begins with new networks.")
    activation = control.word("activation_function").lower()
    if activation == "rectilinear":
        messages.append("rectilinear is relu, without the slope of 0.1 below zero.")
    return messages
