"""``ladera train control.in``."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
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
from ladera.units import HARTREE, UnitSystem

if TYPE_CHECKING:
    from ladera.data.dataset import Dataset
    from ladera.potential import Potential
    from ladera.training.batches import Batches
    from ladera.training.observer import Observer
    from ladera.training.prepared import Prepared

PathLike = str | os.PathLike[str]

# With the defaults of Keras, and the classical name of its SGD with momentum.
_OPTIMIZERS: Final[dict[str, dict[str, Any]]] = {
    "Adagrad": {"name": "adagrad", "initial_accumulator": 0.1},
    "SGD": {"name": "sgd", "momentum": 0.0},
    "Momentum": {"name": "sgd", "momentum": 0.9},
    "RMSprop": {"name": "rmsprop", "alpha": 0.9},
    "Adam": {"name": "adam", "betas": [0.9, 0.999]},
    "AdamW": {"name": "adamw", "betas": [0.9, 0.999], "weight_decay": 0.004},
}
_OTHERS: Final = ("Adadelta", "Adafactor", "Adamax", "Ftrl", "Lion", "Nadam", "Lamb", "Muon")
_EPSILON: Final = 1e-7  # of Keras's optimisers
_OUTPUTS: Final = "outputs"  # where the thesis's program writes
_LOSSES: Final = {
    "mse": "mse",
    "mean_squared_error": "mse",
    "mae": "mae",
    "mean_absolute_error": "mae",
    "huber": "huber",
    "huber_loss": "huber",
}


@dataclass(frozen=True)
class ControlTraining(TrainingJob):
    """The training of a control.in; its files are those of :mod:`~.control_in.outputs`."""

    range: float  # of the energies of all frames, eV

    def run(
        self, prepared: Prepared, folder: Path, resume: bool, observer: Observer | None
    ) -> Potential:
        """Train; a network of energies alone gives them in units of their range, as the program's.

        One that learns forces too, and the members of a committee, have Ladera's own scale.
        """
        as_keras = prepared.config.loss.forces == 0 and prepared.config.committee is None
        return train_prepared(
            prepared,
            folder,
            resume=resume,
            observer=observer,
            initialize=self._scale if as_keras else None,
        )

    def _scale(self, potential: Potential, prepared: Prepared, batches: Batches) -> None:
        if isinstance(potential, HDNNP):
            potential.energy_scale.fill_(self.range)

    def write_outputs(self, folder: Path, potential: Potential, dataset: Dataset) -> None:
        """Write losses, and of a network its weights and functions."""
        outputs.write_losses(folder)
        if isinstance(potential, HDNNP):
            write_function_data(folder / "function.data", potential, dataset, self.units)
            outputs.write_weights(folder, potential)


def training(
    control: PathLike = "control.in",
    output: PathLike | bool = "run",
    *,
    overrides: Sequence[str] = (),
    resume: bool = False,
    observer: Observer | None = None,
) -> Potential:
    """Train as a control.in says, and return the best potential.

    ``output`` receives what :meth:`TrainingJob.train` writes. True or False, as in scripts for the
    thesis's program, is its folder ``outputs``; function.data, which they say there whether to
    write, is written in any case. ``overrides`` such as ``epochs=100`` or ``loss.forces=1`` change
    what the control.in says. Raises what :func:`read_training` and
    :func:`ladera.training.trainer.train` raise.
    """
    folder = _OUTPUTS if isinstance(output, bool) else output
    return read_training(control, overrides).train(folder, resume=resume, observer=observer)


def read_training(path: PathLike, overrides: Sequence[str] = ()) -> ControlTraining:
    """The training a control.in asks for, with overrides such as ``epochs=100``.

    Raises ConfigError, with file, line and key, for what cannot be used; DataError for data that
    cannot be read. Warns (ControlWarning) of what is not honoured.
    """
    control = control_file.read(Path(path))
    model.require_mode(control, model.TRAINING)
    units = control.units()
    data, n_train, frames = _data(control, units)
    values = {
        "data": data,
        "model": model.section(control, units),
        "loss": _loss(control, frames),
        "optimizer": _optimizer(control, overrides),
        "gradient_clip_value": _clip_value(control, overrides),
        "schedule": {"name": "constant"},
        "epochs": control.whole_number("number_of_epochs", 1),
        "batch_size": min(control.whole_number("minibatch_size", 1), n_train),
        "seed": control.whole_number("random_seed", 0) if "random_seed" in control else 0,
    }
    for message in (*_not_honoured(control), *frames.warnings(), *control.strange_masses()):
        warnings.warn(f"{control.path}: {message}", ControlWarning, stacklevel=3)
    config = config_file.parse(values, str(control.path), overrides)
    return ControlTraining(config, units, frames.range)


@dataclass(frozen=True)
class _Frames:
    """What the frames say of the energies that the program's networks are trained on."""

    range: float  # largest less smallest energy, eV
    fewest: int  # atoms
    most: int

    @classmethod
    def of(cls, frames: list[tuple[float | None, int]]) -> _Frames:
        """Of energies and numbers of atoms; the program's range is at least 1e-7 Hartree."""
        energies = [energy for energy, _ in frames if energy is not None] or [0.0]
        atoms = [count for _, count in frames] or [1]
        span = max(max(energies) - min(energies), 1e-7 * HARTREE)
        return cls(span, min(atoms), max(atoms))

    def warnings(self) -> list[str]:
        """Where the frames are unlike those of the program."""
        if self.fewest == self.most:
            return []
        return [
            f"the frames have from {self.fewest} to {self.most} atoms; the program's loss is of "
            "their total energies, Ladera's of energies per atom."
        ]


def _loss(control: ControlFile, frames: _Frames) -> dict[str, Any]:
    """The section 'loss': Keras's, of total energies over their range.

    With n atoms, range s and the residual r of the energy per atom, Keras sees x = n r / s; huber
    turns at x = 1.
    """
    function = control.choice("loss_function", _LOSSES)
    unit = frames.range / frames.most  # eV/atom
    weight = unit**-1 if function == "mae" else unit**-2
    return {"function": function, "energy": weight, "forces": 0.0, "huber_delta": unit}


def _optimizer(control: ControlFile, overrides: Sequence[str]) -> dict[str, Any]:
    """The section 'optimizer': Keras's, or what an override needs of the control.in."""
    method = control.word("optimization_method")
    if method.lower() in map(str.lower, _OTHERS):
        raise control.error(
            f"optimization_method {method} is one of Keras's that Ladera does not have; choose one "
            f"of: {', '.join(_OPTIMIZERS)}.",
            control.entry("optimization_method"),
        )
    optimizer = dict(control.choice("optimization_method", _OPTIMIZERS))
    rate = control.number("learning_rate", 0.0)
    other = [o.partition("=")[2].strip() for o in overrides if o.startswith("optimizer.name=")]
    if other and other[-1] != optimizer["name"]:
        return {} if other[-1] == "kalman" else {"learning_rate": rate}
    if optimizer["name"] != "sgd":
        given = "epsilon" in control
        optimizer["epsilon"] = control.number("epsilon", 1e-30) if given else _EPSILON
    return optimizer | {"learning_rate": rate}


def _clip_value(control: ControlFile, overrides: Sequence[str]) -> float | None:
    """The largest component of a gradient, of Keras's optimisers alone."""
    if "clipvalue" not in control:
        return None
    value = control.number("clipvalue", 1e-30)
    return None if any(o.startswith("optimizer.name=") for o in overrides) else value


def _data(control: ControlFile, units: UnitSystem) -> tuple[dict[str, Any], int, _Frames]:
    """The section 'data', the number of training frames, and what all frames are like.

    As in Keras the last frames are for validation, and a minibatch may be larger than all.
    """
    file = control.file("atomic_data_path")
    key = "validation_fraction"
    fraction = control.number(key, 0.0, 0.999) if key in control else 0.0
    frames = formats.stream(file, units=units, atom_columns="energy charge")
    found = [(frame.energy, frame.n_atoms) for frame in frames]
    n_frames = len(found)
    n_train = max(1, int(n_frames * (1 - fraction) + 1e-9))
    section = {
        "files": [str(file)],
        "units": units.name,
        "atom_columns": "energy charge",
        "split": {"method": "first", "train": n_train, "validation": n_frames - n_train},
    }
    return section, n_train, _Frames.of(found)


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
    if "epsilon" in control and control.word("optimization_method").lower() in ("sgd", "momentum"):
        messages.append("epsilon has no effect: this optimization_method divides by nothing.")
    if "decay_value" in control and (value := control.number("decay_value", 0.0)):
        messages.append(
            f"decay_value {value:g} is not honoured; the learning rate is constant "
            "(--set schedule.name=exponential lowers it)."
        )
    if "model_path" in control and control.word("model_path").lower() != "none":
        messages.append("model_path has no effect in a training, which begins with new networks.")
    return messages
