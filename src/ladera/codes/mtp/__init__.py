"""Moment tensor potentials of MLIP-2 and MLIP-3: ``.mtp`` files.

>>> from ladera.codes import mtp
>>> potential = mtp.load("fitted.mtp", types=("Li", "P", "S"))
>>> mtp.export(potential, "another.mtp")
"""

from ladera.codes.mtp.parsing import reads
from ladera.codes.mtp.reading import described, load
from ladera.codes.mtp.writing import export

__all__ = ["described", "export", "load", "reads"]
