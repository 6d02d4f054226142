"""Whole numbers of a command line: 10.7 steps are refused; cyclopts alone would take eleven."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cyclopts import Token, convert


def whole(kind: Any, tokens: Sequence[Token]) -> Any:
    """Convert tokens to ``kind``, made of int; ValueError where one is no whole number."""
    words = [token.value for token in tokens]
    for word in words:
        try:
            number = float(word) if "." in word else 0.0
        except ValueError:
            continue  # cyclopts says what is wrong with it
        if not number.is_integer():
            raise ValueError(f"{word} is no whole number.")
    return convert(kind, words)
