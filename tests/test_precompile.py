"""Kernels compiled ahead are those that a run needs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

# Another process, with an empty cache, so that nothing an earlier test compiled is found.
AHEAD = """
from ladera.models.precompile import FAMILIES
FAMILIES["mace"]["MACE, float32: simulation"]()
"""
RUN = """
import gc
import torch
from ase.build import molecule
from numba.core.dispatcher import Dispatcher
import ladera
from ladera.models.mace import MACEConfig
from ladera.simulation.calculator import LaderaCalculator

torch.manual_seed(1)
config = MACEConfig(species=("H", "C", "O"), cutoff=4.0, channels=12, hidden_l=0, max_l=2)
atoms = molecule("CH3CH2OH")
atoms.calc = LaderaCalculator(ladera.build(config).to(torch.float32))
atoms.get_forces()
kernels = [o for o in gc.get_objects() if isinstance(o, Dispatcher) and "kernels" in o.__module__]
loaded = sum(len(kernel.stats.cache_hits) for kernel in kernels)
compiled = [kernel.__name__ for kernel in kernels if kernel.stats.cache_misses]
print(loaded, compiled)
"""


def python(program: str, cache: Path) -> str:
    environment = os.environ | {"NUMBA_CACHE_DIR": str(cache)}
    command = [sys.executable, "-c", program]
    return subprocess.run(
        command, env=environment, check=True, capture_output=True, text=True
    ).stdout


def test_a_model_of_another_size_compiles_nothing_more(tmp_path: Path) -> None:
    python(AHEAD, tmp_path)
    loaded, compiled = python(RUN, tmp_path).split(maxsplit=1)
    assert int(loaded) > 0
    assert compiled.strip() == "[]"
