"""Is this the same run? The first setting in which two runs differ."""

from __future__ import annotations

from typing import Any


def first_difference(old: Any, new: Any, path: str = "") -> tuple[str, Any, Any] | None:
    """The first key, with both values, in which two nested dicts differ; None when they agree.

    The keys of a section are joined by dots, as a user writes them.
    """
    if not (isinstance(old, dict) and isinstance(new, dict)):
        return None if old == new else (path, old, new)
    for key in [*old, *(key for key in new if key not in old)]:
        name = f"{path}.{key}" if path else key
        difference = first_difference(old.get(key), new.get(key), name)
        if difference:
            return difference
    return None
