"""Heads in training: which of the model's each frame teaches; see :mod:`ladera.labelling.heads`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ladera.data.dataset import Dataset
from ladera.errors import ConfigError, did_you_mean
from ladera.labelling.heads import names
from ladera.potential import PotentialConfig

Indices = NDArray[np.int64]


def require_one(dataset: Dataset) -> None:
    """Raise ConfigError for frames of several heads: a fine-tuning trains one."""
    found = names(dataset)
    if len(found) > 1:
        raise ConfigError(
            f"A fine-tuning trains one head, and its frames have {', '.join(found)}; give it those "
            "of one, or set data.keys.head: null to make no difference between them."
        )


def of_frames(model: PotentialConfig, dataset: Dataset, train: Indices) -> Indices | None:
    """Which of the model's heads each frame belongs to, (n_frames,); None where it has one.

    Raises ConfigError for a head that the model does not have, and for one without any of the
    frames ``train``.
    """
    heads, labels = model.head_names, dataset.column("head")
    found = names(dataset)
    if not heads and len(found) > 1:
        raise ConfigError(
            f"The frames have the heads {', '.join(found)}, and a {model.architecture} model has "
            "one for all of them; train a mace, or set data.keys.head: null to mix them."
        )
    if heads:
        for name in found:
            if name not in heads:
                raise ConfigError(
                    f"Frames have the head '{name}', which is not in model.heads; "
                    f"{did_you_mean(name, heads)}"
                )
    if len(heads) < 2:
        return None
    if model.chosen_head is not None:
        raise ConfigError(
            "model.head has no meaning in a training, where each frame teaches its own head; leave "
            "it out, and choose one when you load the model."
        )
    for name in heads:
        if not (labels[train] == name).any():
            raise ConfigError(
                f"model.heads has '{name}', but no training frame has that head; label the frames "
                f"(head={name}, or the key that data.keys.head says), or leave it out."
            )
    return np.array([heads.index(label) for label in labels.tolist()], dtype=np.int64)


def predicts(config: PotentialConfig) -> str:
    """The head by which a model predicts."""
    if not config.head_names:
        raise ConfigError(f"A {config.architecture} model has no heads.")
    return config.head_names[config.head_index]


def chosen(config: PotentialConfig) -> PotentialConfig:
    """The same, with the head that predicts named if there are several: it predicts all frames."""
    if len(config.head_names) < 2:
        return config
    return config.model_copy(update={"head": predicts(config)})
