"""What happens before the first step: data read, examined and divided, and checked to fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import chain, pairwise

import numpy as np

from ladera.arrays import Floats, Integers
from ladera.data import doctor, formats, reference_energies, splits
from ladera.data.dataset import Dataset
from ladera.data.splits import Split
from ladera.errors import ConfigError, DataError, did_you_mean
from ladera.potential import Potential, PotentialConfig
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
from ladera.training.finetune import base as bases
from ladera.training.finetune import replay as replays
from ladera.training.finetune.config import Method
from ladera.training.prepared import Prepared
from ladera.units import UNIT_SYSTEMS


def prepare(config: TrainingConfig) -> Prepared:
    """Read, examine and divide the data of a configuration, and decide what it leaves open.

    The base of a fine-tuning is loaded here, and nowhere else. The doctor's errors are in the
    report; :meth:`Prepared.require_sound_data` refuses them. Raises DataError for files that cannot
    be read, ConfigError for a configuration they do not fit, and what :func:`ladera.load` raises.
    """
    base = None
    if config.finetune is not None:
        base = bases.load(config.finetune.base)
        config = _for_base(config, config.finetune.base, base)
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
        base=base,
    )
    if base is None:
        heads = head_names.of_frames(prepared.model, dataset, train)
        prepared = replace(prepared, heads=heads)
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
    if config.finetune is not None and base is not None:
        return _with_replay(prepared, config.finetune, base)
    return _with_choices(prepared)


def _for_base(config: TrainingConfig, name: str, base: Potential) -> TrainingConfig:
    """The configuration with the model and, if it asks for that, the precision of a base."""
    if config.model not in (None, base.config):
        raise ConfigError(f"The section 'model' is not that of the base {name}; leave it out.")
    changes: dict[str, object] = {"model": base.config}
    if config.precision == "base":
        changes["precision"] = str(base.dtype).removeprefix("torch.")
    return config.model_copy(update=changes)


def _with_replay(prepared: Prepared, section: Method, base: Potential) -> Prepared:
    """The same, with the frames that a fine-tuning replays behind the others."""
    dataset = prepared.dataset
    replay = replays.prepare(section, base, dataset[prepared.train])
    if section.replay is None or replay is None or not len(replay.chosen):
        return replace(prepared, replay=replay)
    chosen = replay.frames[replay.chosen]
    return replace(
        prepared,
        dataset=Dataset.from_frames(chain(dataset, chosen)),
        weights=np.append(prepared.weights, section.replay.weight * chosen.column("weight")),
        heads=_new_and_old_heads(base.config, len(dataset), len(chosen)),
        replay=replay,
    )


def _new_and_old_heads(base: PotentialConfig, new: int, replayed: int) -> Integers | None:
    """Heads of so many new frames, a head behind the base's, and replayed ones, the base's own."""
    heads = head_names.of_model(base)
    if not heads:
        return None  # what Finetuning says a word about
    old = heads.index(head_names.predicts(base))
    return np.repeat(np.array([len(heads), old], dtype=np.int64), [new, replayed])


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


def _for_data(config: TrainingConfig, dataset: Dataset, train: Integers) -> TrainingConfig:
    """The configuration for the elements and heads of the frames, where it leaves them out.

    Checked again: some keys have a value for each.
    """
    model, choices = config.model, {}
    if config.finetune is not None:
        head_names.require_one(dataset)
    if config.finetune is not None or model is None:
        return config  # that of the base is whole
    if head_names.of_model(model) and "heads" not in model.model_fields_set:
        choices = {"heads": head_names.names(dataset) or head_names.of_model(model)}
    if not model.species:
        choices["species"] = dataset[train].symbols
    if not choices:
        return config
    values = config_file.as_json(config)
    values["model"] |= choices
    return config_file.parse(values, f"The configuration, for {', '.join(dataset.symbols)}")


def _with_choices(prepared: Prepared) -> Prepared:
    """The same, with what the model's configuration leaves to the training frames decided."""
    graphs = GraphStore(prepared.dataset[prepared.train], prepared.model.cutoff, memory=0)
    model = prepared.model.for_training(graphs)
    return replace(prepared, config=prepared.config.model_copy(update={"model": model}))


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
    has_validation, has_test = bool(config.validation_files), bool(config.test_files)
    match config.split:
        case RandomSplit(validation=validation, test=test, seed=seed):
            sizes = 0.0 if has_validation else validation, 0.0 if has_test else test
            return splits.random_split(dataset, *sizes, seed=seed)
        case GroupSplit(validation=validation, test=test):
            return splits.group_split(dataset, validation, test)
        case FirstSplit(train=train, validation=validation):
            return splits.first_split(dataset, train, validation)
        case FileSplit(validation=validation, seed=seed):
            return splits.file_split(dataset, 0.0 if has_validation else validation, seed)
    raise ConfigError(f"data.split.method '{config.split.method}' draws no frames.")


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
    for name in ("energy", "forces", "stress", "dipole"):
        weight = getattr(prepared.config.loss, name)
        if weight > 0 and not view.has(name).any():
            raise ConfigError(
                f"loss.{name} is {weight:g}, but no training frame has a label for it; check "
                f"data.keys.{name}, or set loss.{name}: 0 to train without."
            )


def _check_species(prepared: Prepared) -> None:
    known = prepared.model.species
    view = prepared.dataset[np.concatenate(list(prepared.parts.values()))]
    unknown = [symbol for symbol in view.symbols if symbol not in known]
    if unknown:
        raise ConfigError(
            f"The frames contain {', '.join(unknown)}, but the model is for {', '.join(known)} "
            "(model.species, or the elements of the training frames); make them agree."
        )
