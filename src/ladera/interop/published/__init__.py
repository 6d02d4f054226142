"""Published models by name, downloaded once or taken from a folder, and calculators of them.

>>> from ladera.interop import published
>>> potential = published.load("mace-mp-small")
>>> atoms.calc = published.mace_off("medium")
"""

from ladera.interop.published.calculators import load, mace_mp, mace_off
from ladera.interop.published.registry import PublishedModel, find, is_name, models
from ladera.interop.published.store import DownloadNotice, fetch, folder_of_models

__all__ = [
    "DownloadNotice",
    "PublishedModel",
    "fetch",
    "find",
    "folder_of_models",
    "is_name",
    "load",
    "mace_mp",
    "mace_off",
    "models",
]
