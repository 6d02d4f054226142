"""``ladera train FOLDER``: an ``input.nn`` and an ``input.data``, trained as the settings say.

What the keywords mean in Ladera's words:

=============================  ===================================================================
test_fraction                  frames to validate on, for n2p2's test set is what it watches
use_short_forces               forces are trained on
atom_energy                    reference energies of the elements, 0 without
mean_energy, conv_energy, ...  shift and scale of the networks' energies, as in a potential
normalize_data_set             the same, computed from the data
scaling.data                   its statistics are used; without it, those of the training frames
weights_min, weights_max, ...  first weights, see :mod:`~ladera.jobs.n2p2.initial_values`
updater_type 0                 gradient descent, see :func:`~.training_keywords.gradient_descent`
updater_type 1                 the Kalman filter, see :func:`~.training_keywords.kalman`
=============================  ===================================================================

Every keyword that is not honoured is named in a SettingsWarning.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ladera.codes.n2p2 import (
    networks,
    reading,
    symmetry_functions,
    units,
    weights,
    writing,
)
from ladera.codes.n2p2.keywords import MODEL_KEYWORDS, TRAINING_KEYWORDS
from ladera.codes.n2p2.settings import Settings, SettingsWarning
from ladera.errors import ConfigError, DataError
from ladera.jobs.n2p2 import initial_values, outputs, training_keywords
from ladera.jobs.training_job import TrainingJob
from ladera.models.hdnnp import HDNNP, HDNNPConfig
from ladera.training import config_file
from ladera.training.observer import Silent
from ladera.training.processes import is_first_process
from ladera.training.trainer import train_prepared

if TYPE_CHECKING:
    from ladera.data.dataset import Dataset
    from ladera.potential import Potential
    from ladera.training.batches import Batches
    from ladera.training.observer import Observer, Row
    from ladera.training.prepared import Prepared
    from ladera.units import UnitSystem

DATA: Final = "input.data"


@dataclass(frozen=True)
class N2P2Training(TrainingJob):
    """What a folder asks for.

    Its run writes ``learning-curve.out``, ``function.data`` (of all frames),
    ``weights.ZZZ.EEEEEE.out`` and the potential as n2p2 reads it: ``input.nn``, ``scaling.data``,
    ``weights.ZZZ.data``.
    """

    settings: Settings

    def run(
        self, prepared: Prepared, folder: Path, resume: bool, observer: Observer | None
    ) -> Potential:
        """Train from n2p2's first weights; ConfigError when ``folder`` is that of the settings."""
        if folder.resolve() == self.settings.path.parent.resolve():
            raise ConfigError(
                f"The run would overwrite files of {self.settings.path.parent}; name another "
                "--output."
            )
        start = _Start(self, folder, observer or Silent(), resume)
        return train_prepared(
            prepared, folder, resume=resume, observer=start, initialize=start.initialize
        )

    def weights_are_due(self, epoch: int) -> bool:
        """Whether ``write_weights_epoch`` asks for the weights of an epoch.

        It has one or two numbers: every so many epochs, and always up to that epoch.
        """
        if "write_weights_epoch" not in self.settings:
            return False
        line, words = (
            self.settings.line("write_weights_epoch"),
            (*self.settings.words("write_weights_epoch"), "0"),
        )
        every, always = (self.settings.whole_number(line, word) for word in words[:2])
        return epoch <= always or (every > 0 and epoch % every == 0)

    def write_outputs(self, folder: Path, potential: Potential, dataset: Dataset) -> None:
        """Write the potential with the settings of its training, and ``function.data``."""
        if not isinstance(potential, HDNNP):
            return
        kept = [
            " ".join((line.keyword, *line.words))
            for keyword in self.settings.keywords
            if keyword in TRAINING_KEYWORDS
            for line in self.settings.lines(keyword)
        ]
        writing.export(potential, folder, self.units, kept)
        outputs.write_function_data(folder / "function.data", potential, dataset, self.units)


def read_training(
    folder: str | os.PathLike[str],
    given_units: UnitSystem | str | None = None,
    overrides: Sequence[str] = (),
) -> N2P2Training:
    """The training that a folder with ``input.nn`` and ``input.data`` asks for.

    ``overrides`` such as ``epochs=100`` change the configuration made of it. Raises ConfigError for
    settings that are missing, given twice, not understood, or unknown but like a known one;
    DataError for data that cannot be read. Warns (SettingsWarning) of what is not honoured.
    """
    settings = reading.read_settings(Path(folder))
    settings.check_unknown(MODEL_KEYWORDS | TRAINING_KEYWORDS)
    system = units.of_folder(settings, given_units)
    if reading.generation(settings) != 2:
        raise settings.error(
            "4G potentials can be evaluated, but not trained; train with nnp-train and import.",
            settings.line("nnp_type"),
        )
    values = {
        "data": _data(settings, system),
        "model": _model(settings, system).model_dump(mode="json", by_alias=True),
        "reference_energies": {
            symbol: settings.by_element("atom_energy").get(symbol, 0.0) * system.energy
            for symbol in settings.elements
        },
        **training_keywords.read(settings, system, settings.path.parent / DATA),
    }
    config = config_file.parse(values, str(settings.path), overrides)
    return N2P2Training(config, system, settings)


def _data(settings: Settings, system: UnitSystem) -> dict[str, Any]:
    path = settings.path.parent / DATA
    if not path.is_file():
        raise DataError(f"There is no {path}; a training needs the labelled structures.")
    fraction = settings.real("test_fraction", 0.1)
    if not 0 <= fraction < 1:
        raise settings.error(
            f"test_fraction is {fraction:g}; expected at least 0 and below 1.",
            settings.line("test_fraction"),
        )
    split: dict[str, Any] = {"validation": fraction, "seed": settings.integer("random_seed", 0)}
    if _has_sets(path):
        split["method"] = "file"
    else:
        split |= {"method": "random", "test": 0}
    return {"files": [str(path)], "units": system.name, "split": split}


def _has_sets(path: Path) -> bool:
    """Whether the structures say which set they belong to (set=train, set=test)."""
    with path.open(encoding="utf-8", errors="replace") as file:
        return any("set=" in line for line in file if line.lstrip().startswith("begin"))


def _model(settings: Settings, system: UnitSystem) -> HDNNPConfig:
    """The model; functions that stand twice are taken once."""
    functions = symmetry_functions.read(settings, system)
    for symbol, listed in functions.items():
        functions[symbol] = list(dict.fromkeys(listed))
        if len(functions[symbol]) < len(listed):
            warnings.warn(
                f"{settings.path}: {symbol} has {len(listed) - len(functions[symbol])} symmetry "
                "functions twice; they are taken once.",
                SettingsWarning,
                stacklevel=4,
            )
    inputs = {symbol: len(listed) for symbol, listed in functions.items()}
    old = settings.elements if "use_old_weights_short" in settings else ()
    n_values = {s: len(weights.read(settings.path.parent / weights.file_name(s))) for s in old}
    shapes = networks.shapes(settings, "short", inputs, n_values)
    return reading.model_config(settings, functions, shapes)


class _Start:
    """Gives a new potential its first weights and constants, and then writes the learning curve."""

    def __init__(self, job: N2P2Training, output: Path, observer: Observer, resume: bool) -> None:
        self._job, self._output, self._observer, self._resume = job, output, observer, resume
        self._potential: HDNNP | None = None  # of the process that writes
        self._curve: outputs.LearningCurve | None = None

    def initialize(self, potential: Potential, prepared: Prepared, batches: Batches) -> None:
        """Before the first step, and before the state of a run to be resumed is restored."""
        if not isinstance(potential, HDNNP):
            raise ConfigError(
                f"{self._job.settings.path} is of a network on symmetry functions; "
                f"--set model.architecture={potential.config.architecture} does not fit it."
            )
        settings, system = self._job.settings, self._job.units
        initial_values.set_scaling(potential, settings)
        reading.set_energies(potential, settings, system)
        initial_values.set_weights(potential, settings, prepared.config.seed)
        conv_length = initial_values.set_normalization(potential, settings, system, batches)
        normalized = "mean_energy" in settings or "normalize_data_set" in settings
        conv_energy = system.energy / float(potential.energy_scale)
        test = np.sort(np.concatenate([prepared.validation, prepared.test]))
        if not is_first_process():
            return
        self._curve = outputs.LearningCurve(
            self._output / outputs.CURVE,
            potential,
            batches,
            (prepared.train, test),
            system,
            forces="use_short_forces" in settings,
            internal=outputs.Internal(conv_energy, conv_energy / conv_length)
            if normalized
            else None,
        )
        self._potential = potential
        if not self._resume:
            self._write(0)

    def step(self, epoch: int, batch: int, n_batches: int) -> None:
        """Pass on."""
        self._observer.step(epoch, batch, n_batches)

    def epoch(self, row: Row) -> None:
        """Add to the learning curve and, if they are due, write the weights."""
        self._write(int(row["epoch"] or 0))
        self._observer.epoch(row)

    def _write(self, epoch: int) -> None:
        if self._curve is None or self._potential is None:
            return
        self._curve.write(epoch)
        if self._job.weights_are_due(epoch):
            writing.write_weights(self._potential, self._output, f"{epoch:06d}.out")
