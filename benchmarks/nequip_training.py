"""Training steps of NequIP side by side: Ladera and nequip, one thread each.

    LADERA_BENCH_NEQUIP_TRAINING=/env/bin/python OMP_NUM_THREADS=1 \
        python benchmarks/nequip_training.py [--write]

The variable names the Python of an environment with nequip (0.19) and ase. The step is that of
``mace_training.py``: ten rattled frames of aspirin, energies and forces, a weighted squared loss,
its gradient clipped, Adam with amsgrad. Both have the same layers, channels, degrees, cutoff,
batches and precision; nequip runs eagerly, as it does unless compilation is asked for. Neighbour
lists are made beforehand. Programs take turns; CPU time of the fastest step, and the largest memory
of the process. With --write, the table goes into docs/performance.md.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import ase
import ase.io
import numpy as np
import torch
from page import DATA, table, write_section

PEER = "LADERA_BENCH_NEQUIP_TRAINING"
MODELS: dict[str, dict[str, Any]] = {
    "nequip's tutorial: 4 layers, 32x0e + 32x1o": {"max_l": 1, "channels": (32, 32), "nodes": 64},
    "Ladera's default: 4 layers, 64x0e + 32x1o + 16x2e": {
        "max_l": 2,
        "channels": (64, 32, 16),
        "nodes": 64,
    },
}
SYMBOLS, CUTOFF, NEIGHBORS = ("H", "C", "N", "O"), 5.0, 16.0
BATCH, STEPS, ROUNDS = 10, 8, 2

# A model, what predicts energies (BATCH,) and forces of a batch of frames, and what surrounds the
# backward pass in its own trainer.
Prepared = tuple[
    torch.nn.Module,
    Callable[[list[ase.Atoms]], tuple[torch.Tensor, torch.Tensor]],
    Callable[[], AbstractContextManager[None]],
]


def main() -> None:
    """Time all cases and print a table."""
    if len(sys.argv) > 2 and sys.argv[1] == "--one":
        print(json.dumps(steps(*sys.argv[2:])))
        return
    if PEER not in os.environ:
        raise SystemExit(f"Set {PEER} to the Python of an environment with nequip.")
    rows = []
    pythons = {"ladera": sys.executable, "nequip": os.environ[PEER]}
    for model in MODELS:
        times: dict[str, list[dict[str, float]]] = {"ladera": [], "nequip": []}
        for _ in range(ROUNDS):
            for program, python in pythons.items():
                times[program].append(timed(python, program, model))
        best = {p: min(each, key=lambda found: found["ms"]) for p, each in times.items()}
        cells = [f"{found['ms']:.0f} ms, {found['mb']:.0f} MB" for found in best.values()]
        sizes = " / ".join(f"{found['parameters']:,.0f}" for found in best.values())
        rows.append([model, sizes, *cells, f"{best['nequip']['ms'] / best['ladera']['ms']:.1f}"])
        print(*rows[-1], sep="  ", flush=True)
    text = table(["model", "parameters", "Ladera", "nequip", "ratio"], rows)
    print(text)
    if "--write" in sys.argv:
        write_section("nequip training", text)


def timed(python: str, program: str, model: str) -> dict[str, float]:
    """In a process of its own."""
    command = [python, __file__, "--one", program, model]
    environment = dict(os.environ)
    if program == "nequip":
        environment.pop(
            "PYTHONPATH", None
        )  # of a checkout of Ladera, which nequip's ase would load
    output = subprocess.run(
        command, check=True, capture_output=True, text=True, env=environment
    ).stdout
    found: dict[str, float] = json.loads(output.splitlines()[-1])
    return found


def steps(program: str, name: str) -> dict[str, float]:
    """Milliseconds of the fastest step, MB of memory, and how many parameters there are."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    frames = rattled(BATCH * (STEPS + 1))
    model, predict, backward = {"ladera": of_ladera, "nequip": of_nequip}[program](
        MODELS[name], frames
    )
    parameters = list(model.parameters())
    optimizer = torch.optim.Adam(parameters, lr=0.01, amsgrad=True)
    generator, times = np.random.default_rng(0), []
    for step in range(STEPS + 1):
        batch = frames[BATCH * step : BATCH * (step + 1)]
        energies = torch.from_numpy(generator.normal(size=BATCH))
        forces = torch.from_numpy(generator.normal(size=(sum(map(len, batch)), 3)))
        start = time.process_time()
        optimizer.zero_grad()
        energy, found = predict(batch)
        loss = ((energy - energies) / 21).pow(2).mean() + 100 * (found - forces).pow(2).mean()
        with backward():
            loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(parameters, 10.0)
        optimizer.step()
        times.append(time.process_time() - start)
    return {
        "ms": 1e3 * min(times[1:]),  # the first one loads compiled code
        "mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "parameters": sum(parameter.numel() for parameter in parameters),
    }


def rattled(number: int) -> list[ase.Atoms]:
    """Frames of aspirin, the same for both."""
    generator = np.random.default_rng(0)
    aspirin = ase.io.read(DATA / "workloads" / "mace" / "aspirin.xyz")
    frames = []
    for _ in range(number):
        moved = ase.Atoms(aspirin.numbers, aspirin.positions)
        moved.positions += generator.normal(scale=0.08, size=moved.positions.shape)
        frames.append(moved)
    return frames


def of_ladera(model: dict[str, Any], frames: list[ase.Atoms]) -> Prepared:
    """Ladera, its graphs made."""
    import ladera
    from ladera import Graph, evaluate
    from ladera.kernels.autograd import parameters_only
    from ladera.models.nequip import NequIPConfig

    config = NequIPConfig(
        species=SYMBOLS,
        cutoff=CUTOFF,
        max_l=model["max_l"],
        channels=model["channels"],
        radial_layers=(model["nodes"],),
        average_neighbors=NEIGHBORS,
    )
    potential = ladera.build(config).float().train()
    graphs = {id(atoms): Graph.from_atoms(atoms, CUTOFF).to(torch.float32) for atoms in frames}

    def predict(batch: list[ase.Atoms]) -> tuple[torch.Tensor, torch.Tensor]:
        prediction = evaluate(potential, Graph.batch([graphs[id(atoms)] for atoms in batch]))
        return prediction.energy, prediction.forces

    return potential, predict, parameters_only


def of_nequip(model: dict[str, Any], frames: list[ase.Atoms]) -> Prepared:
    """Nequip, its neighbour lists made."""
    here = str(Path(__file__).parent)  # where a script stands that is called nequip.py as well
    sys.path[:] = [folder for folder in sys.path if folder != here]
    from nequip.data import AtomicDataDict, from_ase
    from nequip.data.transforms import ChemicalSpeciesToAtomTypeMapper, NeighborListTransform
    from nequip.model import NequIPGNNModel
    from nequip.utils.global_state import set_global_state

    set_global_state(allow_tf32=False)
    potential = NequIPGNNModel(
        seed=0,
        model_dtype="float32",
        type_names=list(SYMBOLS),
        r_max=CUTOFF,
        num_layers=4,
        l_max=model["max_l"],
        parity=False,
        num_features=list(model["channels"]),
        radial_mlp_depth=1,
        radial_mlp_width=model["nodes"],
        avg_num_neighbors=NEIGHBORS,
    )
    neighbors = NeighborListTransform(r_max=CUTOFF)
    types = ChemicalSpeciesToAtomTypeMapper(list(SYMBOLS))
    graphs = {id(atoms): neighbors(types(from_ase(atoms))) for atoms in frames}

    def predict(batch: list[ase.Atoms]) -> tuple[torch.Tensor, torch.Tensor]:
        data = AtomicDataDict.batched_from_list([dict(graphs[id(atoms)]) for atoms in batch])
        found = potential(data)
        return found["total_energy"][:, 0], found["forces"]

    return potential, predict, nullcontext


if __name__ == "__main__":
    main()
