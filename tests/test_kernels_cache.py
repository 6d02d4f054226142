"""Machine code on disk saves time and nothing else: lost, damaged or refused, loops still run."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numba
import pytest

from ladera.kernels.machine_code import CheckedCache

RUN = """
import numpy as np
from ladera.kernels.neighbors import virial
print(virial(np.ones((4, 3)), np.ones((4, 3)))[0, 0])
"""


def doubled(x: float) -> float:
    return 2 * x


def run(folder: Path) -> tuple[float, int]:
    """What a process that finds this cache computes, and how often it found code."""
    loop = numba.njit(doubled)
    loop._cache = CheckedCache(folder, doubled)
    return loop(2.0), sum(loop.stats.cache_hits.values())


@pytest.mark.parametrize(
    ("ending", "damage"),
    [
        ("nbc", lambda data: data[: len(data) // 2]),
        # A bit of the machine code itself: Numba runs what comes of it.
        ("nbc", lambda data: data[:2000] + bytes([data[2000] ^ 1]) + data[2001:]),
        ("nbi", lambda data: b"garbage"),
        ("nbi", lambda data: b""),
    ],
)
def test_damaged_code_is_compiled_anew(
    tmp_path: Path, ending: str, damage: Callable[[bytes], bytes]
) -> None:
    assert [run(tmp_path), run(tmp_path)] == [(4.0, 0), (4.0, 1)]
    (path,) = tmp_path.rglob(f"*.{ending}")
    path.write_bytes(damage(path.read_bytes()))
    assert [run(tmp_path), run(tmp_path)] == [(4.0, 0), (4.0, 1)]


def test_without_a_place_to_write_loops_run_and_one_warning_says_so() -> None:
    environment = os.environ | {"NUMBA_CACHE_DIR": "/proc/nowhere", "NUMBA_OPT": "0"}
    command = [sys.executable, "-c", RUN]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "4.0"
    assert ended.stderr.count("are not kept for the next command") == 1
    assert "/proc/nowhere" in ended.stderr
    assert "NUMBA_CACHE_DIR" in ended.stderr


def test_a_user_without_home_or_name_gets_as_far_as_the_others(tmp_path: Path) -> None:
    program = (
        "import os, pathlib, sys; from ladera.cli import main\n"
        "def home(cls): raise RuntimeError('no home')\n"
        "if 'HOME' not in os.environ: pathlib.Path.home = classmethod(home)\n"
        "try: main(['data', 'info', sys.argv[1]])\n"
        "finally: print(os.environ.get('HOME'))"
    )
    (tmp_path / "a.extxyz").write_text('1\nenergy=-1.0 pbc="F F F"\nH 0 0 0\n')
    environment = {key: value for key, value in os.environ.items() if key != "HOME"}
    command = [sys.executable, "-c", program, str(tmp_path / "a.extxyz")]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ended.stdout.strip().endswith("/nonexistent")
