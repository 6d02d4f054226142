"""A run killed at random instants comes to the bits of one that was not: scripts/kill_runs.py."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "scripts"))

from kill_runs import compare, disturb, kinds


@pytest.mark.parametrize("name", ["md", "train"])
def test_a_killed_run_comes_to_the_same_bits(tmp_path: Path, name: str) -> None:
    kind = kinds(tmp_path, steps=300, epochs=12)[name]
    kind.start(tmp_path / "whole").communicate()
    expected = kind.numbers(tmp_path / "whole")
    disturb(kind, tmp_path / "parts", random.Random(1), kills=1, span=0.5)
    compare(kind, tmp_path / "parts", expected)
