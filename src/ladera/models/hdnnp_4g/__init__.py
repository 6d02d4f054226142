"""Behler-Parrinello networks with charge equilibration (fourth generation)."""

from ladera.models.hdnnp_4g.config import ElectrostaticsConfig, HDNNP4GConfig
from ladera.models.hdnnp_4g.model import HDNNP4G

__all__ = ["HDNNP4G", "ElectrostaticsConfig", "HDNNP4GConfig"]
