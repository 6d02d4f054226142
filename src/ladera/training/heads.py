"""Which head of a model is for which frame: one for each level of theory of the labels.

Frames say it themselves (``head=`` in extended XYZ). A model with several heads has a readout,
reference energies, scale and shift for each; everything else they share.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ladera.data.dataset import Dataset
from ladera.errors import ConfigError, DataError, did_you_mean
from ladera.potential import Potential, PotentialConfig

Indices = NDArray[np.int64]


def names(dataset: Dataset) -> tuple[str, ...]:
    """The heads of the frames, in the order in which they come; none where no frame says one.

    Raises DataError where some frames say one and others do not.
    """
    labels = dataset.column("head")
    found, first = np.unique(labels, return_index=True)
    known = tuple(labels[np.sort(first)].tolist())
    if known in ((), ("",)):
        return ()
    if "" in known:
        frame = int(first[found == ""][0])
        others = ", ".join(name for name in known if name)
        raise DataError(
            f"Frame {frame} ({dataset[frame].source}) has no head, and others have {others}; "
            "label all frames, or set data.keys.head: null to make no difference between them."
        )
    return known


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


def by_head(potential: Potential, dataset: Dataset) -> list[tuple[str | None, Indices]]:
    """The head that is to predict, and the frames (indices) that it is to predict.

    That is the chosen one, and where none was chosen of several, each frame's own (frames that say
    none: the model's first). Raises DataError for a frame of a head that the model does not have.
    """
    heads, labels = potential.heads, dataset.column("head")
    if len(heads) < 2 or potential.config.chosen_head is not None or not names(dataset):
        return [(None, np.arange(len(dataset)))]
    for name in names(dataset):
        if name not in heads:
            frame = int(np.flatnonzero(labels == name)[0])
            raise DataError(
                f"Frame {frame} ({dataset[frame].source}) has the head '{name}', which the model "
                f"does not have; {did_you_mean(name, heads)} Or load it with one head for all "
                f"frames, such as head={heads[0]!r}."
            )
    return [(name, np.flatnonzero(labels == name)) for name in names(dataset)]
