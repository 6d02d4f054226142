"""Models of SevenNet: its checkpoints (``.pth``), of which nothing is run.

>>> from ladera.codes import sevennet
>>> potential = sevennet.load("checkpoint_sevennet_0.pth")
"""

from ladera.codes.sevennet.checkpoint import reads
from ladera.codes.sevennet.reading import load

__all__ = ["load", "reads"]
