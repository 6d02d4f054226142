"""Models of mace-torch: read without running anything in their files, and written for it.

>>> from ladera.codes import mace_torch
>>> potential = mace_torch.load("MACE.model")
>>> mace_torch.export(potential, "FOLDER")
"""

from ladera.codes.mace_torch.checkpoint import reads
from ladera.codes.mace_torch.reading import load
from ladera.codes.mace_torch.writing import export

__all__ = ["export", "load", "reads"]
