"""What happens before the first step: data read, examined and divided, and checked to fit."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, pairwise

import numpy as np

from ladera.arrays import Booleans, Floats, Integers
from ladera.data import doctor, formats, reference_energies, splits
from ladera.data.dataset import Dataset
from ladera.data.splits import Split
from ladera.errors import ConfigError, DataError, did_you_mean
from ladera.quantities import QUANTITIES, STRESS
from ladera.training.config import TrainingConfig
from ladera.training.data_config import (
    DataConfig,
    FileSplit,
    FirstSplit,
    GroupSplit,
    RandomSplit,
    StoredSplit,
)
from ladera.training.finetune.start import FromBase
from ladera.training.prepared import Prepared
from ladera.training.start import FromScratch, Start


def prepare(config: TrainingConfig) -> Prepared:
    """Read, examine and divide the data of a configuration, and decide what it leaves open.

    The base of a fine-tuning is loaded here, and nowhere else. The doctor's errors are in the
    report; :meth:`Prepared.require_sound_data` refuses them. Raises DataError for files that cannot
    be read, ConfigError for a configuration they do not fit, and what :func:`ladera.load` raises.
    """
    start: Start = FromScratch() if config.finetune is None else FromBase(config.finetune)
    dataset, split = read_data(config.data)
    free = reference_energies.isolated_atoms(dataset)
    train, validation, test = (
        np.setdiff1d(part, free) for part in (split.train, split.validation, split.test)
    )
    train = _resampled(train, config)
    if len(train) == 0:
        raise DataError("All training frames are free atoms; add structures with neighbours.")
    prepared = Prepared(
        config=start.complete(config, dataset, train),
        dataset=dataset,
        report=doctor.check(dataset),
        split=split,
        train=train,
        validation=validation,
        test=test,
        weights=_weights(config, dataset),
        start=start,
    )
    _check_sizes(prepared)
    _check_labels(prepared)
    _check_species(prepared)
    return prepared if prepared.report.errors else start.prepare(prepared)


def read_data(config: DataConfig) -> tuple[Dataset, Split]:
    """All frames (those of validation_files and test_files after the others) and their parts."""
    groups = [config.files, config.validation_files, config.test_files]
    parts = [_read(files, config) for files in groups if files]
    dataset = parts[0] if len(parts) == 1 else Dataset.from_frames(chain.from_iterable(parts))
    return dataset, _split(config, dataset, parts)


def _read(files: Sequence[str], config: DataConfig) -> Dataset:
    return formats.read(
        list(files),
        units=config.units,
        keys=config.keys,
        atom_columns=config.atom_columns,
        types=config.types,
    )


def _split(config: DataConfig, dataset: Dataset, parts: list[Dataset]) -> Split:
    """The split of ``files`` (the first part), with validation_files and test_files in theirs.

    No frames are drawn for what has files of its own.
    """
    frames, has_validation, has_test = parts[0], config.validation_files, config.test_files
    match config.split:
        case StoredSplit(path=path):
            return Split.load(path, dataset)
        case RandomSplit(validation=fraction, test=test_fraction, seed=seed):
            sizes = 0.0 if has_validation else fraction, 0.0 if has_test else test_fraction
            drawn = splits.random_split(frames, *sizes, seed=seed)
        case GroupSplit(validation=groups, test=test_groups):
            drawn = splits.group_split(frames, groups, test_groups)
        case FirstSplit(train=n_train, validation=n_validation):
            drawn = splits.first_split(frames, n_train, n_validation)
        case FileSplit(validation=fraction, seed=seed):
            drawn = splits.file_split(frames, 0.0 if has_validation else fraction, seed)
    ends = np.cumsum([len(part) for part in parts])
    extra = [np.arange(start, end) for start, end in pairwise(ends.tolist())]
    validation = extra.pop(0) if has_validation else drawn.validation
    test = extra.pop(0) if has_test else drawn.test
    return Split(drawn.train, validation, test, dataset.hash, drawn.method)


def _resampled(frames: Integers, config: TrainingConfig) -> Integers:
    """The training frames, or those of them that data.resample draws.

    A committee looks at all of them: each member draws its own.
    """
    if config.committee is not None:
        return frames
    generator, count = np.random.default_rng(config.seed), len(frames)
    match config.data.resample:
        case "bootstrap":
            return np.sort(generator.choice(frames, count)) if count else frames
        case "subsample":
            return np.sort(generator.choice(frames, max(1, round(0.8 * count)), replace=False))
    return frames


def _weights(config: TrainingConfig, dataset: Dataset) -> Floats:
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
            f"The data leave {available} frame{'s' if available > 1 else ''} to train on, and "
            f"batch_size is {config.batch_size}; give more frames, or set it to {available}."
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
    dataset = prepared.dataset
    wrong = np.flatnonzero(dataset.has("stress") & dataset.of_frames(_without_volume))
    if len(wrong):
        raise DataError(
            f"{dataset.place(int(wrong[0]))} {STRESS.misfit} (data.keys.stress: null leaves all "
            "out)."
        )


def _without_volume(view: Dataset) -> Booleans:
    """Which frames have no cell that a stress could be of."""
    bulk = np.asarray(view.column("periodic").any(axis=1))
    flat: Booleans = np.linalg.det(np.where(bulk[:, None, None], view.column("cell"), 0)) == 0
    return flat


def _check_species(prepared: Prepared) -> None:
    known = prepared.model.species
    view = prepared.dataset[np.concatenate(list(prepared.parts.values()))]
    unknown = [symbol for symbol in view.symbols if symbol not in known]
    if unknown:
        tuned = prepared.config.finetune
        origin = (
            "model.species, or the elements of the training frames"
            if tuned is None
            else f"the elements of {tuned.base} and of the training frames"
        )
        raise ConfigError(
            f"The frames contain {', '.join(unknown)}, but the model is for {', '.join(known)} "
            f"({origin}); make them agree."
        )
