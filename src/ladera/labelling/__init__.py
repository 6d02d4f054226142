"""Labels: what a model says of many structures, and what an engine computes of them.

=====================================  ===========================================================
:mod:`~ladera.labelling.asking`        frames to batches, and each batch to a prediction
:mod:`~ladera.labelling.labelled`      :func:`predict`: the frames with a model's labels
:mod:`~ladera.labelling.files`         writing them: extended XYZ, HDF5, CSV, JSON
:mod:`~ladera.labelling.heads`         which head of a model is for which frame
:mod:`~ladera.labelling.engines`       what computes labels: xTB, PySCF, programs, calculators
:mod:`~ladera.labelling.job`           :func:`label`: a set of frames by an engine, resumed
:mod:`~ladera.labelling.plan`          which frames, by which settings
:mod:`~ladera.labelling.cost`          how long it would take, by a timed sample
:mod:`~ladera.labelling.journal`       what it has done, line by line
:mod:`~ladera.labelling.work`          one frame, in a process of its own
:mod:`~ladera.labelling.free_atoms`    free atoms, to be labelled with the others
=====================================  ===========================================================
"""

from ladera.labelling.job import LabelRun, label
from ladera.labelling.labelled import Labelled, predict

__all__ = ["LabelRun", "Labelled", "label", "predict"]
