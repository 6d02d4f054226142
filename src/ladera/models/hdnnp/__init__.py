"""High-dimensional neural network potentials (Behler and Parrinello)."""

from ladera.models.hdnnp.config import HDNNPConfig
from ladera.models.hdnnp.model import HDNNP

__all__ = ["HDNNP", "HDNNPConfig"]
