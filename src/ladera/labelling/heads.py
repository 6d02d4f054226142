"""Which head of a model is for which frame: one for each level of theory of the labels.

Frames say it themselves (``head=`` in extended XYZ). A model with several heads has a readout,
reference energies, scale and shift for each; everything else they share.
"""

from __future__ import annotations

import numpy as np

from ladera.arrays import Integers
from ladera.data.dataset import Dataset
from ladera.errors import DataError, did_you_mean
from ladera.potential import Potential


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


def by_head(potential: Potential, dataset: Dataset) -> list[tuple[str | None, Integers]]:
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
