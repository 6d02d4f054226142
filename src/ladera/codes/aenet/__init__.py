"""Potentials of aenet: one network file for each element, binary or as text.

>>> from ladera.codes import aenet
>>> potential = aenet.load("FOLDER")
"""

from ladera.codes.aenet.reading import load, reads

__all__ = ["load", "reads"]
