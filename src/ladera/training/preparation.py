"""What happens before the first step: data read, examined and divided, and checked to fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, pairwise

import numpy as np
from numpy.typing import NDArray

from ladera.data import doctor, formats, reference_energies, splits
from ladera.data.dataset import Dataset
from ladera.data.doctor import Report
from ladera.data.splits import Split
from ladera.errors import ConfigError, DataError, did_you_mean
from ladera.potential import PotentialConfig, TrainingStatistics
from ladera.quantities import QUANTITIES
from ladera.training import config_file
from ladera.training import heads as head_names
from ladera.training.batches import GraphStore
from ladera.training.config import (
    DataConfig,
    FileSplit,
    FirstSplit,
    GroupSplit,
    RandomSplit,
    StoredSplit,
    TrainingConfig,
)
from ladera.training.finetune import replay as replays
from ladera.training.finetune.replay import Replay
from ladera.units import UNIT_SYSTEMS

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Prepared:
    """Everything a training run is made of, checked; the run itself has only to compute."""

    config: TrainingConfig  # with the species, and what the frames decide, written out
    dataset: Dataset  # all frames
    report: Report  # what the doctor found
    split: Split
    # The frames of each part but the free atoms: these set the reference energies, and teach
    # nothing about neighbours.
    train: Indices
    validation: Indices
    test: Indices
    weights: NDArray[np.float64]  # (n_frames,), factors on the loss
    heads: Indices | None = None  # (n_frames,), head of each frame, of a model with several
    replay: Replay | None = None  # of a fine-tuning; those trained on are the last of all frames

    @property
    def replayed(self) -> Indices:
        """The replay frames that are trained on."""
        count = 0 if self.replay is None else len(self.replay.chosen)
        return np.arange(len(self.dataset) - count, len(self.dataset))

    @property
    def known(self) -> Dataset:
        """The training frames, and the free atoms of the training part."""
        free = reference_energies.isolated_atoms(self.dataset)
        return self.dataset[np.union1d(self.train, np.intersect1d(free, self.split.train))]

    @property
    def parts(self) -> dict[str, Indices]:
        """The parts that have frames, by name."""
        named = {"train": np.unique(self.train), "validation": self.validation, "test": self.test}
        return {name: indices for name, indices in named.items() if len(indices)}

    @property
    def batch_size(self) -> int:
        """Frames in one step, over all processes; of batches by atoms, as many as may be."""
        size = self.config.batch_size
        return size if isinstance(size, int) else len(self.train)

    def require_sound_data(self) -> None:
        """Raise DataError when the doctor found an error."""
        errors = self.report.errors
        if errors:
            more = f" It found {len(errors)} errors in all." if len(errors) > 1 else ""
            raise DataError(
                f"The data have an error that forbids training ({errors[0].code}): "
                f"{errors[0].message}{more} 'ladera train --check' lists what it found."
            )

    def statistics(self) -> TrainingStatistics:
        """Reference energies, and scales of energies and forces, of the training frames.

        Of each head, where there are several; an element that its frames lack has the mean of the
        others' reference energies. Warns when the compositions do not determine them.
        """
        known, view = self.known, self.dataset[self.train]
        if self.heads is None:
            return self._statistics(known, view)
        names = self.config.model.head_names
        if isinstance(self.config.reference_energies, dict):
            raise ConfigError(
                "reference_energies are of one level of theory, and the frames have the heads "
                f"{', '.join(names)}; put free atoms with the head of each among the frames, or "
                "take least_squares."
            )
        parts = ([part[part.column("head") == name] for part in (known, view)] for name in names)
        return _together({n: self._statistics(*p) for n, p in zip(names, parts, strict=True)})

    def _statistics(self, known: Dataset, view: Dataset) -> TrainingStatistics:
        """Of training frames, and of these and the free atoms that go with them (known)."""
        references = _reference_energies(self.config, known)
        forces = view.column("forces")[np.repeat(view.has("forces"), view.atom_counts)]
        return TrainingStatistics(
            reference_energies=references,
            energy_shift=_energy_shift(view, references),
            force_scale=float(np.sqrt(np.mean(forces**2))) if forces.size else 0.0,
        )


def prepare(config: TrainingConfig) -> Prepared:
    """Read, examine and divide the data of a configuration.

    The doctor's errors are in the report; :meth:`Prepared.require_sound_data` refuses them. Raises
    DataError for files that cannot be read, ConfigError for a configuration they do not fit.
    """
    dataset, split = read_data(config.data)
    free = reference_energies.isolated_atoms(dataset)
    train, validation, test = (
        np.setdiff1d(part, free) for part in (split.train, split.validation, split.test)
    )
    train = _resampled(train, config)
    if len(train) == 0:
        raise DataError("All training frames are free atoms; add structures with neighbours.")
    config = _for_data(config, dataset, train)
    prepared = Prepared(
        config=config,
        dataset=dataset,
        report=doctor.check(dataset),
        split=split,
        train=train,
        validation=validation,
        test=test,
        weights=_weights(config, dataset),
        heads=None if config.finetune else head_names.of_frames(config.model, dataset, train),
    )
    if prepared.heads is not None and config.committee is not None:
        raise ConfigError(
            "committee: its members have one head, and the frames have several; train on those of "
            "one, or set data.keys.head: null to make no difference between them."
        )
    _check_sizes(prepared)
    _check_labels(prepared)
    _check_species(prepared)
    if prepared.report.errors:
        return prepared
    return _with_replay(prepared) if config.finetune is not None else _with_choices(prepared)


def _with_replay(prepared: Prepared) -> Prepared:
    """The same, with the frames that a fine-tuning replays behind the others."""
    section, dataset = prepared.config.finetune, prepared.dataset
    replay = None if section is None else replays.prepare(section, dataset[prepared.train])
    if section is None or section.replay is None or replay is None or not len(replay.chosen):
        return replace(prepared, replay=replay)
    chosen = replay.frames[replay.chosen]
    return replace(
        prepared,
        dataset=Dataset.from_frames(chain(dataset, chosen)),
        weights=np.append(prepared.weights, section.replay.weight * chosen.column("weight")),
        heads=_new_and_old_heads(prepared.config.model, len(dataset), len(chosen)),
        replay=replay,
    )


def _new_and_old_heads(base: PotentialConfig, new: int, replayed: int) -> Indices | None:
    """Heads of so many new frames, a head behind the base's, and replayed ones, the base's own."""
    heads = base.head_names
    if not heads:
        return None  # what Finetuning says a word about
    own = heads.index(head_names.predicts(base))
    return np.repeat(np.array([len(heads), own], dtype=np.int64), [new, replayed])


def _resampled(frames: Indices, config: TrainingConfig) -> Indices:
    """The training frames, or those of them that data.resample draws."""
    generator, count = np.random.default_rng(config.seed), len(frames)
    match config.data.resample:
        case "bootstrap":
            return np.sort(generator.choice(frames, count)) if count else frames
        case "subsample":
            return np.sort(generator.choice(frames, max(1, round(0.8 * count)), replace=False))
    return frames


def _for_data(config: TrainingConfig, dataset: Dataset, train: Indices) -> TrainingConfig:
    """The configuration for the elements and heads of the frames, where it leaves them out.

    Checked again: some keys have a value for each.
    """
    model, found = config.model, {}
    if config.finetune is not None:
        head_names.require_one(dataset)
    elif model.head_names and "heads" not in model.model_fields_set:
        found = {"heads": head_names.names(dataset) or model.head_names}
    if not model.species:
        found["species"] = dataset[train].symbols
    if not found:
        return config
    values = config_file.as_json(config)
    values["model"] |= found
    return config_file.parse(values, f"The configuration, for {', '.join(dataset.symbols)}")


def _with_choices(prepared: Prepared) -> Prepared:
    """The same, with what the model's configuration leaves to the training frames decided."""
    config = prepared.config
    graphs = GraphStore(prepared.dataset[prepared.train], config.model.cutoff, memory=0)
    model = config.model.for_training(graphs)
    return replace(prepared, config=config.model_copy(update={"model": model}))


def read_data(config: DataConfig) -> tuple[Dataset, Split]:
    """All frames (those of validation_files and test_files after the others) and their parts."""
    groups = [config.files, config.validation_files, config.test_files]
    parts = [_read(files, config) for files in groups if files]
    dataset = parts[0] if len(parts) == 1 else Dataset.from_frames(chain.from_iterable(parts))
    return dataset, _split(config, dataset, parts)


def _read(files: Sequence[str], config: DataConfig) -> Dataset:
    units = None if config.units is None else UNIT_SYSTEMS[config.units]
    return formats.read(
        list(files), units=units, keys=config.keys, atom_columns=config.atom_columns
    )


def _split(config: DataConfig, dataset: Dataset, parts: list[Dataset]) -> Split:
    """The split of ``files``, with validation_files and test_files in their parts."""
    if isinstance(config.split, StoredSplit):
        return Split.load(config.split.path, dataset)
    drawn = _draw(config, parts[0])
    ends = np.cumsum([len(part) for part in parts])
    extra = [np.arange(start, end) for start, end in pairwise(ends.tolist())]
    validation = extra.pop(0) if config.validation_files else drawn.validation
    test = extra.pop(0) if config.test_files else drawn.test
    return Split(drawn.train, validation, test, dataset.hash, drawn.method)


def _draw(config: DataConfig, dataset: Dataset) -> Split:
    """The split of ``files``; no frames are drawn for a part that has its own files."""
    own_validation, own_test = bool(config.validation_files), bool(config.test_files)
    match config.split:
        case RandomSplit(validation=validation, test=test, seed=seed):
            sizes = 0.0 if own_validation else validation, 0.0 if own_test else test
            return splits.random_split(dataset, *sizes, seed=seed)
        case GroupSplit(validation=validation, test=test):
            return splits.group_split(dataset, validation, test)
        case FirstSplit(train=train, validation=validation):
            return splits.first_split(dataset, train, validation)
        case FileSplit(validation=validation, seed=seed):
            return splits.file_split(dataset, 0.0 if own_validation else validation, seed)
    raise ConfigError(f"data.split.method '{config.split.method}' draws no frames.")


def _weights(config: TrainingConfig, dataset: Dataset) -> NDArray[np.float64]:
    groups = dataset.column("config_type")
    weights = np.array(dataset.column("weight"), dtype=np.float64)
    for group, factor in config.loss.config_weights.items():
        chosen = groups == group
        if not chosen.any():
            named = set(groups.tolist()) - {""}
            hint = did_you_mean(group, named) if named else "no frame has one."
            raise ConfigError(
                f"loss.config_weights.{group}: no frame has the config_type '{group}'; {hint}"
            )
        weights[chosen] *= factor
    if not (np.isfinite(weights).all() and (weights >= 0).all() and weights.any()):
        raise DataError("The weights of the frames must be finite, not negative and not all zero.")
    return weights


def _check_sizes(prepared: Prepared) -> None:
    config, available = prepared.config, len(prepared.train)
    if prepared.batch_size > available:
        raise ConfigError(
            f"batch_size is {config.batch_size}, but there are {available} training frames; "
            f"set batch_size to {available} or less, or to all."
        )
    if config.processes > prepared.batch_size:
        raise ConfigError(
            f"{config.processes} processes cannot share a batch of {prepared.batch_size} frames; "
            "raise batch_size or lower processes."
        )
    if len(prepared.validation) == 0:
        for key, used in (
            ("early_stopping", config.early_stopping is not None),
            ("schedule.name: plateau", config.schedule.name == "plateau"),
        ):
            if used:
                raise ConfigError(
                    f"{key} looks at the validation loss, but no frames are for validation; "
                    "set data.split.validation or data.validation_files."
                )


def _check_labels(prepared: Prepared) -> None:
    """Refuse a loss of labels that are not there: it would train on the others alone."""
    view = prepared.dataset[prepared.train]
    for name in (quantity.name for quantity in QUANTITIES):
        weight = getattr(prepared.config.loss, name)
        if weight > 0 and not view.has(name).any():
            raise ConfigError(
                f"loss.{name} is {weight:g}, but no training frame has a label for it; check "
                f"data.keys.{name}, or set loss.{name}: 0 to train without."
            )


def _check_species(prepared: Prepared) -> None:
    known = prepared.config.model.species
    view = prepared.dataset[np.concatenate(list(prepared.parts.values()))]
    unknown = [symbol for symbol in view.symbols if symbol not in known]
    if unknown:
        raise ConfigError(
            f"The frames contain {', '.join(unknown)}, but the model is for {', '.join(known)} "
            "(model.species, or the elements of the training frames); make them agree."
        )


def _reference_energies(config: TrainingConfig, dataset: Dataset) -> dict[str, float]:
    match config.reference_energies:
        case "automatic":
            return reference_energies.automatic(dataset)
        case "isolated_atoms":
            return reference_energies.from_isolated_atoms(dataset)
        case "least_squares":
            return reference_energies.least_squares(dataset)
        case "base":
            raise ConfigError("reference_energies: base is for a fine-tuning.")
        case values:
            return reference_energies.given(values, dataset)


def _together(parts: Mapping[str, TrainingStatistics]) -> TrainingStatistics:
    """Statistics of each head, each with the reference energies of all elements."""
    of_element: dict[str, list[float]] = {}
    for part in parts.values():
        for symbol, energy in part.reference_energies.items():
            of_element.setdefault(symbol, []).append(energy)
    mean = {symbol: float(np.mean(energies)) for symbol, energies in of_element.items()}
    heads = {
        name: replace(part, reference_energies=mean | dict(part.reference_energies))
        for name, part in parts.items()
    }
    return replace(next(iter(heads.values())), heads=heads)


def _energy_shift(dataset: Dataset, references: dict[str, float]) -> float:
    """Mean of (E - sum of E0) / n_atoms over the frames with an energy; 0 without any."""
    known = dataset.has("energy")
    if not known.any():
        return 0.0
    free = dataset.compositions @ np.array([references[symbol] for symbol in dataset.symbols])
    per_atom = (dataset.column("energy") - free) / dataset.atom_counts
    return float(per_atom[known].mean())
