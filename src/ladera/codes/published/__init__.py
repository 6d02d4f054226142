"""Published models by name, downloaded once or taken from a folder.

>>> from ladera.codes import published
>>> path = published.fetch(published.find("mace-mp-small"))
"""

from ladera.codes.published.registry import PublishedModel, find, is_name, models, of_family
from ladera.codes.published.store import DownloadNotice, fetch, folder_of_models

__all__ = [
    "DownloadNotice",
    "PublishedModel",
    "fetch",
    "find",
    "folder_of_models",
    "is_name",
    "models",
    "of_family",
]
