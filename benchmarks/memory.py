"""Memory of a training from twenty thousand to half a million frames: it must not grow with them.

    OMP_NUM_THREADS=1 python benchmarks/memory.py [FRAMES ...] [--models hdnnp mace] [--write]

Molecules of 9 to 14 atoms (12 in the mean) shaken about their geometries, in an HDF5 file that
Ladera writes itself. Each number of frames is trained for one epoch in a process of its own, whose
peak resident memory and CPU time are noted for the preparation, the epoch and the evaluation. A
quarter of a GiB of neighbour lists is kept (``data.graph_memory``). A small training before them
compiles the kernels, which would add a third of a GiB to whichever is the first.

With --write the table goes into docs/performance.md.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from ase.build import molecule
from page import table, write_section
from scaling import resident

from ladera.data.dataset import Dataset
from ladera.data.store import write_file
from ladera.training import config_file
from ladera.training.trainer import train

BLOCK = 10_000
WARM_UP = 200  # frames that compile the kernels: memory that has nothing to do with the frames
MODELS = {
    "hdnnp": {"architecture": "hdnnp", "size": "small", "cutoff": 5.0, "hidden_layers": [10]},
    "mace": {
        "architecture": "mace",
        "cutoff": 4.0,
        "channels": 8,
        "max_l": 1,
        "hidden_l": 0,
        "correlation": 2,
    },
}
FRAMES = {"hdnnp": (20_000, 100_000, 500_000), "mace": (20_000, 100_000)}
NAME = {"hdnnp": "HDNNP, 10 nodes", "mace": "MACE, 8x0e"}
SPRING = 30.0  # eV/Angstrom^2
NAMES = ("CH3CH2OH", "isobutane", "C6H6", "trans-butane", "CH3COCH3", "C2H6CHOH")


def block(count: int, seed: int) -> Dataset:
    """Molecules whose atoms are bound to their places: exact forces, net force zero."""
    chosen = [molecule(NAMES[k % len(NAMES)]) for k in range(len(NAMES))]
    chosen = [chosen[k % len(chosen)] for k in range(count)]
    sizes = np.array([len(atoms) for atoms in chosen])
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    moves = np.random.default_rng(seed).normal(scale=0.04, size=(offsets[-1], 3))
    moves -= np.repeat(np.add.reduceat(moves, offsets[:-1]) / sizes[:, None], sizes, axis=0)
    work = np.add.reduceat((moves**2).sum(axis=1), offsets[:-1])
    text = np.zeros(count, dtype="S1")
    return Dataset(
        {
            "offsets": offsets,
            "numbers": np.concatenate([atoms.numbers for atoms in chosen]).astype("u1"),
            "positions": np.concatenate([atoms.positions for atoms in chosen]) + moves,
            "cell": np.zeros((count, 3, 3)),
            "periodic": np.zeros((count, 3), dtype=bool),
            "has_energy": np.ones(count, dtype=bool),
            "energy": 0.5 * SPRING * work - 100.0 * sizes,
            "has_forces": np.ones(count, dtype=bool),
            "forces": -SPRING * moves,
            "config_type": text,
            "head": text,
            "subset": text,
            "weight": np.ones(count),
            "source": np.array([b"block %d, frame %d" % (seed, k) for k in range(count)]),
        }
    )


class Phases:
    """CPU seconds and peak memory between the calls of a training's observer."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[str, float]] = {}
        self.begin("preparation")

    def begin(self, name: str) -> None:
        """A new phase; the last ends."""
        now = time.process_time()
        if self.rows:
            last = self.rows[self.name]
            last |= {"seconds": now - self.start, "bytes": resident("VmHWM")}
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
        self.name, self.start = name, now
        self.rows[name] = {}

    def step(self, epoch: int, step: int, n_steps: int) -> None:
        """After a step."""
        if step == 1:
            self.begin("epoch")

    def epoch(self, row: object) -> None:
        """After the epoch."""
        self.begin("evaluation")

    def committee(self, *_: object) -> None:
        """No committee is trained."""


def one(path: Path, model: str, folder: Path) -> dict[str, dict[str, float]]:
    """Train for an epoch, in this process."""
    phases = Phases()
    values = {
        "data": {"files": [str(path)], "graph_memory": 0.25},
        "model": MODELS[model],
        "epochs": 1,
        "batch_size": 32,
    }
    train(config_file.parse(values, "the benchmark"), folder, observer=phases)
    phases.begin("end")
    del phases.rows["end"]
    return phases.rows


def measured(count: int, model: str) -> dict[str, dict[str, float]]:
    """The same in a process of its own."""
    with TemporaryDirectory() as temporary:
        path = Path(temporary) / "data.h5"
        sizes = [min(BLOCK, count - start) for start in range(0, count, BLOCK)]
        write_file(path, [block(size, number) for number, size in enumerate(sizes)])
        arguments = [sys.executable, __file__, "--one", str(path), "--models", model]
        ran = subprocess.run(arguments, capture_output=True, text=True, check=False)
        if ran.returncode:
            raise SystemExit(ran.stderr)
        rows: dict[str, dict[str, float]] = json.loads(ran.stdout.splitlines()[-1])
    return rows


def main() -> None:
    """Measure every size."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("frames", nargs="*", type=int)
    parser.add_argument("--models", nargs="+", choices=list(MODELS), default=list(MODELS))
    parser.add_argument("--one", type=Path)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    if options.one:
        print(json.dumps(one(options.one, *options.models, options.one.parent / "run")))
        return
    lines = []
    for model in options.models:
        measured(WARM_UP, model)
        for count in options.frames or FRAMES[model]:
            rows = measured(count, model).values()
            cells = [f"{row['seconds']:.0f} s, {row['bytes'] / 2**30:.2f} GiB" for row in rows]
            lines.append([NAME[model], f"{count:,}", *cells])
            print(*lines[-1], sep="  ", flush=True)
    if options.write:
        header = ["model", "frames", "preparation", "epoch", "last evaluation"]
        write_section("memory", table(header, lines))


if __name__ == "__main__":
    main()
