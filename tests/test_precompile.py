"""Kernels compiled ahead are those that a run needs."""

from __future__ import annotations

import subprocess
import sys

# Another process, where nothing of an earlier test is loaded. What is on disk may be loaded; a
# kernel that a run wants with other types is a signature more.
PROGRAM = """
import gc
import torch
from ase.build import molecule
from numba.core.dispatcher import Dispatcher
import ladera
from ladera.models.mace import MACEConfig
from ladera.models.precompile import FAMILIES
from ladera.simulation.calculator import LaderaCalculator

def compiled():
    kernels = [o for o in gc.get_objects() if isinstance(o, Dispatcher)]
    return {(k.__module__, k.__name__, s) for k in kernels for s in k.signatures}

FAMILIES["mace"]["MACE, float32: simulation"]()
ahead = compiled()
torch.manual_seed(1)
config = MACEConfig(species=("H", "C", "O"), cutoff=4.0, channels=12, hidden_l=0, max_l=2)
atoms = molecule("CH3CH2OH")
atoms.calc = LaderaCalculator(ladera.build(config).to(torch.float32))
atoms.get_forces()
print(len(ahead), sorted(name for _, name, _ in compiled() - ahead))
"""


def test_a_model_of_another_size_compiles_nothing_more() -> None:
    command = [sys.executable, "-c", PROGRAM]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    ahead, more = said.split(maxsplit=1)
    assert int(ahead) > 0
    assert more.strip() == "[]"
