"""Models of Nequix: ``.nqx`` files.

>>> from ladera.codes import nequix
>>> potential = nequix.load("nequix-mp-1.nqx")
"""

from ladera.codes.nequix.archive import reads
from ladera.codes.nequix.reading import load

__all__ = ["load", "reads"]
