"""ANI potentials: folders of NeuroChem and state dicts of TorchANI.

>>> from ladera.codes import ani
>>> potential = ani.load("resources/ani-2x_8x")
"""

from ladera.codes.ani.reading import load, reads

__all__ = ["load", "reads"]
