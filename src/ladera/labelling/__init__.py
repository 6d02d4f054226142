"""What a model says of many structures, asked in batches, and the files that hold it.

=====================================  ===========================================================
:mod:`~ladera.labelling.asking`        frames to batches, and each batch to a prediction
:mod:`~ladera.labelling.labelled`      :func:`predict`: the frames with a model's labels
:mod:`~ladera.labelling.files`         writing them: extended XYZ, HDF5, CSV, JSON
:mod:`~ladera.labelling.heads`         which head of a model is for which frame
=====================================  ===========================================================
"""

from ladera.labelling.labelled import Labelled, predict

__all__ = ["Labelled", "predict"]
