"""Training steps of MACE side by side: Ladera and mace-torch, one thread each.

    LADERA_BENCH_MACE=/env/bin/python OMP_NUM_THREADS=1 python benchmarks/mace_training.py [--write]

The variable names the Python of an environment with mace-torch and torch-ema. The step is that of
``../shared/workloads/mace/bench_train.py``: ten rattled frames of aspirin, energies and forces, a
weighted squared loss, its gradient clipped, Adam with amsgrad, a running mean of the parameters.
Both have the same layers, cutoff, batches and precision. Programs take turns; CPU time of the
fastest step, and the largest memory of the process. With --write, the table goes into
docs/performance.md.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from page import DATA, table, write_section

WORKLOAD = DATA / "workloads" / "mace"
PEER = "LADERA_BENCH_MACE"
MODELS = {"train_96x0e": (96, 0), "train_64x0e_64x1o": (64, 1)}
BATCH, STEPS, ROUNDS = 10, 4, 2


def main() -> None:
    """Time all cases and print a table."""
    if len(sys.argv) == 5 and sys.argv[1] == "--ladera":
        print(json.dumps(ladera_steps(sys.argv[2], sys.argv[3], int(sys.argv[4]))))
        return
    if PEER not in os.environ:
        raise SystemExit(f"Set {PEER} to the Python of an environment with mace-torch.")
    rows = []
    for model, (channels, hidden_l) in MODELS.items():
        for dtype in ("float32", "float64"):
            ours, theirs = [], []
            for _ in range(ROUNDS):
                ours.append(time_ladera(model, dtype))
                theirs.append(time_mace_torch(model, dtype))
            one, two = (min(each, key=lambda times: times["ms"]) for each in (ours, theirs))
            name = f"{channels}x0e" + (f" + {channels}x1o" if hidden_l else "")
            cells = [f"{each['ms']:.0f} ms, {each['mb']:.0f} MB" for each in (one, two)]
            rows.append([name, dtype, *cells, f"{two['ms'] / one['ms']:.1f}"])
            print(*rows[-1], sep="  ", flush=True)
    text = table(["model", "precision", "Ladera", "mace-torch", "ratio"], rows)
    print(text)
    if "--write" in sys.argv:
        write_section("mace training", text)


def time_ladera(model: str, dtype: str) -> dict[str, float]:
    """In a process of its own."""
    command = [sys.executable, __file__, "--ladera", model, dtype, str(STEPS)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    times: dict[str, float] = json.loads(output)
    return times


def time_mace_torch(model: str, dtype: str) -> dict[str, float]:
    """By the script of the workload."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "times.jsonl"
        options = f"--model {model} --dtype {dtype} --threads 1 --steps {STEPS} --eval_steps 0"
        command = [os.environ[PEER], "bench_train.py", str(path), *options.split()]
        # Nothing may be written beside the script, not even its modules' byte code.
        environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1"}
        subprocess.run(command, cwd=WORKLOAD, env=environment, check=True, capture_output=True)
        times = json.loads(path.read_text())
    return {"ms": times["step_cpu_min_ms"], "mb": times["peak_rss_MB"]}


def ladera_steps(model: str, dtype: str, steps: int) -> dict[str, float]:
    """Milliseconds of the fastest step, and MB of memory."""
    import resource

    import torch
    from ase.io import read

    import ladera
    from ladera import Graph, evaluate
    from ladera.kernels.autograd import parameters_only
    from ladera.models.mace import MACEConfig
    from ladera.training.optimizers import ParameterAverage

    torch.set_num_threads(1)
    torch.manual_seed(0)
    channels, hidden_l = MODELS[model]
    config = MACEConfig(
        species=("H", "C", "N", "O"),
        cutoff=5.0,
        channels=channels,
        hidden_l=hidden_l,
        interactions=("residual", "residual"),
        average_neighbors=(16.0, 16.0),
    )
    potential = ladera.build(config).to(getattr(torch, dtype)).train()
    parameters = list(potential.parameters())
    optimizer = torch.optim.Adam(parameters, lr=0.01, amsgrad=True)
    average = ParameterAverage(parameters, 0.99)
    generator, aspirin = np.random.default_rng(0), read(WORKLOAD / "aspirin.xyz")
    frames = []
    for _ in range(BATCH * (steps + 1)):
        moved: Any = aspirin.copy()
        moved.positions += generator.normal(scale=0.08, size=moved.positions.shape)
        frames.append(Graph.from_atoms(moved, config.cutoff).to(potential.dtype))
    times = []
    for step in range(steps + 1):
        graphs = frames[BATCH * step : BATCH * (step + 1)]
        start = time.process_time()
        graph = Graph.batch(graphs)
        energies = torch.from_numpy(generator.normal(size=BATCH))
        forces = torch.from_numpy(generator.normal(size=(graph.n_atoms, 3)))
        optimizer.zero_grad()
        prediction = evaluate(potential, graph)
        loss = ((prediction.energy - energies) / 21).pow(2).mean()
        loss = loss + 100 * (prediction.forces - forces).pow(2).mean()
        with parameters_only():  # as the trainer does it
            loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 10.0)
        optimizer.step()
        average.update()
        times.append(time.process_time() - start)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"ms": 1e3 * min(times[1:]), "mb": memory}  # the first one loads compiled code


if __name__ == "__main__":
    main()
