"""Two versions of Ladera side by side: has a change cost speed?

    OMP_NUM_THREADS=1 python benchmarks/versions.py OTHER [CASE ...] [--rounds 3]

OTHER is the ``src`` folder of another checkout. Each case runs in processes of its own, the two
versions in turns, on the same structures with models of the same seed; printed is the smallest CPU
time of each (user and system, one thread) and the ratio of this version to the other. What a case
calls is the public face that both have. Steps are those of the ASE calculator after every atom has
moved; of an evaluation, the time of a frame; of a training, the wall time of its fastest epoch;
start-up is a whole command.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from time import process_time
from typing import Any

HERE = Path(__file__).parents[1] / "src"
EMBEDDED = HERE / "ladera" / "data" / "embedded" / "ethanol.extxyz.gz"
STEPS = 30

# --- what one process measures: milliseconds ----------------------------------------------------


def _step(config: Any, atoms: Any, dtype: str) -> float:
    import numpy as np
    import torch

    from ladera import Graph, build
    from ladera.potential import TrainingStatistics

    torch.manual_seed(1)
    torch.set_num_threads(1)
    potential = build(config)
    zero = dict.fromkeys(potential.symbols, 0.0)
    graphs = [Graph.from_atoms(atoms, potential.cutoff)]
    potential.fit_statistics(graphs, TrainingStatistics(zero, energy_shift=-1.0, force_scale=1.0))
    atoms.calc = potential.to(getattr(torch, dtype)).eval().calculator()
    rng, times = np.random.default_rng(2), []
    for _ in range(STEPS):
        atoms.positions += rng.normal(0, 0.003, atoms.positions.shape)
        start = process_time()
        atoms.get_forces()
        times.append(process_time() - start)
    return 1e3 * min(times[3:])


def _cluster() -> Any:
    from ase.build import bulk

    atoms = bulk("O", "fcc", a=4.2, cubic=True) * (4, 4, 4)
    atoms.numbers[::3], atoms.numbers[1::3] = 13, 1
    atoms.rattle(0.1, seed=3)
    return atoms


def hdnnp_wide() -> float:
    """Networks on the standard set of functions, 256 atoms of three elements."""
    from ladera.models.hdnnp import HDNNPConfig

    return _step(HDNNPConfig(species=("H", "O", "Al"), cutoff=6.0), _cluster(), "float64")


def hdnnp_molecule() -> float:
    """The same on one molecule, where what is around the loops counts."""
    from ase.build import molecule

    from ladera.models.hdnnp import HDNNPConfig

    config = HDNNPConfig(species=("H", "C", "O"), cutoff=6.0)
    return _step(config, molecule("CH3CH2OH"), "float64")


def mace() -> float:
    """A MACE of 32 channels in float32 on 64 atoms."""
    from ladera.models.mace import MACEConfig

    config = MACEConfig(species=("H", "O", "Al"), cutoff=4.5, channels=32, hidden_l=1)
    return _step(config, _cluster()[:64], "float32")


def md_nve() -> float:
    """A step of run_md on 200 atoms with a cheap model."""
    return _dynamics("nve")


def md_npt() -> float:
    """The same at constant pressure."""
    return _dynamics("npt")


def _dynamics(ensemble: str) -> float:
    import torch
    from ase.build import bulk

    import ladera
    from ladera.models.lennard_jones import LennardJonesConfig
    from ladera.simulation.molecular_dynamics import run_md
    from ladera.simulation.settings import MDSettings

    torch.set_num_threads(1)
    config = LennardJonesConfig(
        species=("Ar",), cutoff=6.0, epsilon={"Ar": 0.0104}, sigma={"Ar": 3.4}
    )
    atoms = bulk("Ar", "fcc", a=5.3, cubic=True) * (5, 5, 2)
    rows: list[float] = []
    settings = MDSettings(
        ensemble=ensemble, temperature=60.0, timestep=2.0, steps=2000, log_interval=100
    )
    with tempfile.TemporaryDirectory() as folder:
        run_md(
            atoms,
            ladera.build(config),
            settings,
            folder,
            on_row=lambda row: rows.append(process_time()),
        )
    return 1e3 * min(b - a for a, b in pairwise(rows[1:])) / 100


# --- many frames: milliseconds for one of them ---------------------------------------------------


def _frames(model: str, whole: bool) -> float:
    """All that ``ladera evaluate`` does with frames of ethanol; or energies and forces alone."""
    import numpy as np
    import torch

    import ladera
    from ladera import Graph
    from ladera.data import formats
    from ladera.training.evaluation import evaluate_dataset

    torch.set_num_threads(1)
    potential, embedded = ladera.load(model), formats.read(EMBEDDED)
    dataset = embedded[np.arange(1000) % len(embedded)]
    graphs = [dataset[k].graph(potential.cutoff) for k in range(0 if whole else len(dataset))]
    batches = [Graph.batch(graphs[k : k + 100]) for k in range(0, len(graphs), 100)]

    def once() -> None:
        if whole:
            evaluate_dataset(potential, dataset)
        with torch.no_grad():
            for batch in batches:
                prediction = ladera.evaluate(potential, batch)
                _ = prediction.energy, prediction.forces

    once()
    times = []
    for _ in range(5):
        start = process_time()
        once()
        times.append(process_time() - start)
    return 1e3 * min(times) / len(dataset)


def evaluate_hdnnp() -> float:
    """A frame of ethanol in an evaluation, with networks: grades and reasons in it."""
    return _frames("ethanol-hdnnp", True)


def evaluate_mace() -> float:
    """The same with a MACE, dipoles and charges in it."""
    return _frames("ethanol-mace", True)


def model_hdnnp() -> float:
    """What the networks alone need for its energy and forces, a hundred frames at once."""
    return _frames("ethanol-hdnnp", False)


def model_mace() -> float:
    """What the MACE alone needs."""
    return _frames("ethanol-mace", False)


# --- whole commands: CPU seconds ----------------------------------------------------------------


def _command(*words: str) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-m", "ladera", *words], check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _training(model: str, epochs: int) -> float:
    """Milliseconds of the fastest epoch, as the training's own log has them."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "e.extxyz").write_bytes(gzip.decompress(EMBEDDED.read_bytes()))
        config = folder / "config.yaml"
        config.write_text(
            f"data: {{files: {folder / 'e.extxyz'}}}\nmodel: {model}\nbatch_size: 8\n"
        )
        run = folder / "run"
        _command("train", str(config), "--output", str(run), "--set", f"epochs={epochs}")
        with (run / "log.csv").open() as file:
            return 1e3 * min(float(row["seconds"]) for row in csv.DictReader(file))


def train_hdnnp() -> float:
    """An epoch of networks on the embedded frames of ethanol."""
    return _training("{architecture: hdnnp, cutoff: 5.0}", 12)


def train_mace() -> float:
    """An epoch of a small MACE on the same."""
    return _training("{architecture: mace, cutoff: 4.0, channels: 16}", 4)


def help_() -> float:
    """ladera --help."""
    return 1e3 * _command("--help")


def first_step() -> float:
    """ladera md for one step, its loops compiled."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        from ase.build import molecule

        molecule("CH3CH2OH").write(folder / "e.xyz")
        words = ("--steps", "1", "--output", str(folder / "md"))
        return 1e3 * _command("md", "ethanol-hdnnp", str(folder / "e.xyz"), *words)


CASES: dict[str, Callable[[], float]] = {
    "hdnnp": hdnnp_wide,
    "hdnnp-molecule": hdnnp_molecule,
    "mace": mace,
    "md-nve": md_nve,
    "md-npt": md_npt,
    "model-hdnnp": model_hdnnp,
    "evaluate-hdnnp": evaluate_hdnnp,
    "model-mace": model_mace,
    "evaluate-mace": evaluate_mace,
    "train-hdnnp": train_hdnnp,
    "train-mace": train_mace,
    "help": help_,
    "first-step": first_step,
}


def measure(case: str, source: Path) -> float:
    """One case in a process of its own that imports Ladera from ``source``."""
    environment = {**os.environ, "PYTHONPATH": str(source)}
    result = subprocess.run(
        [sys.executable, __file__, "--measure", case],
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    answer = json.loads(result.stdout.splitlines()[-1])
    if Path(answer["source"]) != source.resolve():
        raise SystemExit(f"Ladera came from {answer['source']}, not from {source}.")
    return float(answer["ms"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("other", nargs="?")
    parser.add_argument("cases", nargs="*", default=[])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--measure")
    options = parser.parse_args()
    if options.measure:
        import ladera

        value = CASES[options.measure]()
        source = str(Path(ladera.__file__).resolve().parents[1])
        print(json.dumps({"ms": value, "source": source}))
        return
    if options.other is None:
        raise SystemExit(__doc__)
    other = Path(options.other).resolve()
    print(f"{'case':16s} {'this, ms':>10s} {'other, ms':>10s} {'ratio':>7s}")
    for case in options.cases or CASES:
        pairs = [(measure(case, HERE), measure(case, other)) for _ in range(options.rounds)]
        this, that = (min(times) for times in zip(*pairs, strict=True))
        print(f"{case:16s} {this:10.3f} {that:10.3f} {this / that:7.2f}", flush=True)


if __name__ == "__main__":
    main()
