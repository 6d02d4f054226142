"""Potentials of Amp: ``.amp`` files with Gaussian descriptors and neural networks.

>>> from ladera.codes import amp
>>> potential = amp.load("calc.amp")
"""

from ladera.codes.amp.reading import load, reads

__all__ = ["load", "reads"]
