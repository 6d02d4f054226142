"""Models of mace-torch: read without running anything in their files, and written for it.

>>> from ladera.interop import mace_torch
>>> potential = mace_torch.load("MACE.model")
>>> mace_torch.export(potential, "FOLDER")
"""

from ladera.interop.mace_torch.reading import load
from ladera.interop.mace_torch.writing import export

__all__ = ["export", "load"]
