"""mace-torch or symmetrix-xl as a peer: run by the Python of its own environment, not by Ladera's.

    python mace_peer.py build WORKLOAD FOLDER           writes the models of the workload
    python mace_peer.py mace-torch|symmetrix WORKLOAD FOLDER

The second form reads one case a line from standard input, {"model", "system", "dtype", "repeats"},
and answers each with a line {"energy", "forces", "cpu", "wall"}: times in seconds, the fastest of
the repeats. WORKLOAD is the folder of common.py, which has the models and the systems.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

warnings.filterwarnings("ignore")
PROGRAM, WORKLOAD, FOLDER = sys.argv[1], sys.argv[2], Path(sys.argv[3])
sys.path[0] = WORKLOAD  # and not this folder, whose mace.py is no mace-torch

import common  # noqa: E402

MODELS = ("off_small", "mp_small", "mp_medium")


def build() -> None:
    """The models as mace-torch writes them."""
    import torch

    for name in MODELS:
        torch.save(common.build_model(name), FOLDER / f"{name}.model")


@cache
def torch_model(name: str, dtype: str) -> Any:
    """A model of mace-torch, of random weights, that needs no gradients of them."""
    import torch

    model = common.build_model(name).to(getattr(torch, dtype))  # random weights depend on the type
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    return model


def mace_torch(case: dict[str, Any]) -> tuple[Callable[[], tuple[float, Any]], Any]:
    """Energy and forces on a graph that is there already."""
    import torch

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    torch.set_default_dtype(getattr(torch, case["dtype"]))
    model = torch_model(case["model"], case["dtype"])
    atoms = common.systems()[case["system"]]
    batch = common.make_batch(atoms, common.CONFIGS[case["model"]], case["dtype"]).to_dict()

    def step() -> tuple[float, Any]:
        output = model(batch, compute_force=True)
        return output["energy"].item(), output["forces"].detach().numpy()

    return step, step()


def symmetrix(case: dict[str, Any]) -> tuple[Callable[[], tuple[float, Any]], Any]:
    """Energy and forces through its ASE calculator, after the atoms have moved."""
    from symmetrix import Symmetrix, jit

    for function in vars(jit).values():  # its compiler may take longer than its ten minutes
        defaults = getattr(function, "__kwdefaults__", None) or {}
        if "compile_timeout" in defaults:
            defaults["compile_timeout"] = 3600.0
    atoms = common.systems()[case["system"]]
    if not atoms.pbc.any():
        atoms.set_cell([40.0] * 3)  # it refuses a molecule without a cell
    elements = sorted(set(atoms.numbers.tolist()))
    path = FOLDER / f"{case['model']}-{'-'.join(map(str, elements))}.json"
    if not path.exists():
        extract = Path(os.environ["LADERA_BENCH_MACE"]).with_name("symmetrix_extract_mace")
        command: list[Any] = [extract, "-m", FOLDER / f"{case['model']}.model", "-o", path]
        numbers = list(map(str, elements))
        subprocess.run([*command, "-Z", *numbers], check=True, stdout=subprocess.DEVNULL)
    options = {"streamed_edges": case["mode"]} if case.get("mode") else {}
    atoms.calc = Symmetrix(str(path), dtype=case["dtype"], **options)
    generator = np.random.default_rng(1)
    first = atoms.get_potential_energy(), atoms.get_forces()

    def step() -> tuple[float, Any]:
        atoms.positions += generator.normal(scale=0.002, size=atoms.positions.shape)
        return atoms.get_potential_energy(), atoms.get_forces()

    return step, first


def main() -> None:
    """Answer cases until there are no more."""
    run = cache(lambda text: prepare(json.loads(text)))
    prepare = {"mace-torch": mace_torch, "symmetrix": symmetrix}[PROGRAM]
    for line in sys.stdin:
        request = json.loads(line)
        repeats = request.pop("repeats")
        try:
            step, (energy, forces) = run(json.dumps(request))
        except Exception as error:  # what it cannot do is said in the table
            message = f"{type(error).__name__}: {error}".splitlines()[0][:200]
            print(json.dumps({"error": message}), flush=True)
            continue
        times = []
        for _ in range(repeats):
            cpu, wall = time.process_time(), time.perf_counter()
            step()
            times.append((time.process_time() - cpu, time.perf_counter() - wall))
        cpu, wall = np.min(times, axis=0).tolist()
        answer = {"energy": energy, "forces": forces.tolist(), "cpu": cpu, "wall": wall}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    build() if PROGRAM == "build" else main()
