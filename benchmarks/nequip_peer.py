"""nequix or sevenn as a peer: run by the Python of its own environment, not by Ladera's.

    python nequip_peer.py nequix|sevenn WORKLOAD

Reads one case a line from standard input, {"model", "system", "repeats"}, and answers each with a
line {"energy", "forces", "stress", "first", "cpu", "wall"}: CPU seconds of the first call; CPU and
wall seconds of the fastest of the repeats. WORKLOAD is the folder of common.py, with the systems.
"""

from __future__ import annotations

import json
import os
import sys
import time
import warnings
from functools import cache
from pathlib import Path
from typing import Any

warnings.filterwarnings("ignore")
PROGRAM, WORKLOAD = sys.argv[1:3]
sys.path.insert(0, WORKLOAD)

import common  # noqa: E402
from peers import fastest  # noqa: E402


@cache
def nequix(path: str) -> Any:
    """The calculator that comes with it, by jax."""
    from nequix.calculator import NequixCalculator

    return NequixCalculator(model_path=path, use_kernel=False)


@cache
def sevenn(path: str) -> Any:
    """The calculator that comes with it, by torch."""
    import torch
    from sevenn.calculator import SevenNetCalculator

    torch.set_num_threads(1)
    return SevenNetCalculator(path, device="cpu")


@cache
def prepared(model: str, system: str) -> tuple[Any, dict[str, Any]]:
    """A structure with a calculator, after its first call, and the results of that."""
    atoms = common.systems()[system]
    atoms.calc = {"nequix": nequix, "sevenn": sevenn}[PROGRAM](model)
    start = time.process_time()
    energy, forces, stress = atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress()
    first = time.process_time() - start
    values = {"energy": float(energy), "forces": forces.tolist(), "stress": stress.tolist()}
    return atoms, {**values, "first": first}


def main() -> None:
    """Answer cases until there are no more."""
    if not Path(WORKLOAD).is_dir():
        raise SystemExit(f"{WORKLOAD} is no folder.")
    os.environ["JAX_PLATFORMS"] = "cpu"
    for line in sys.stdin:
        case = json.loads(line)
        atoms, values = prepared(case["model"], case["system"])
        cpu, wall = fastest(atoms, case["repeats"], stress=True)
        print(json.dumps({**values, "cpu": cpu, "wall": wall}), flush=True)


if __name__ == "__main__":
    main()
