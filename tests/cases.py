"""Cases of other people that failed once: read from ``shared/cases``, where that folder is laid."""

from __future__ import annotations

from pathlib import Path

import pytest


def shared(name: str) -> Path:
    """A file of ``shared``, in any folder above the repository, or the test is skipped."""
    for folder in Path(__file__).resolve().parents:
        path = folder / "shared" / name
        if path.exists():
            return path
    pytest.skip(f"no shared/{name} above the repository")


def case(kind: str, name: str) -> Path:
    """One file of ``shared/cases/KIND``."""
    return shared(f"cases/{kind}/{name}")
