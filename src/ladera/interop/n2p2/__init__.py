"""Folders of n2p2 and RuNNer: ``input.nn``, ``scaling.data``, ``weights.ZZZ.data``, ``input.data``.

>>> from ladera.interop import n2p2
>>> potential = n2p2.load("FOLDER", "bohr-hartree")
>>> n2p2.export(potential, "ANOTHER")
>>> potential = n2p2.read_training("FOLDER", "bohr-hartree").train("run")
"""

from ladera.interop.n2p2.reading import load
from ladera.interop.n2p2.training import read_training
from ladera.interop.n2p2.writing import export

__all__ = ["export", "load", "read_training"]
