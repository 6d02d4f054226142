"""Model folders of n2p2 and RuNNer: ``input.nn``, ``scaling.data``, ``weights.ZZZ.data``.

>>> from ladera.codes import n2p2
>>> potential = n2p2.load("FOLDER", "bohr-hartree")
>>> n2p2.export(potential, "ANOTHER")
"""

from ladera.codes.n2p2.folder import load, reads
from ladera.codes.n2p2.writing import export

__all__ = ["export", "load", "reads"]
