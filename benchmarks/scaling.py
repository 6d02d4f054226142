"""Cost and memory of a step from a thousand to a hundred thousand atoms: both grow linearly.

    OMP_NUM_THREADS=1 python benchmarks/scaling.py [--write]

The published RPBE-D3 potential on a box of 1,080 water atoms, repeated in space. Every size runs in
a process of its own: energies and forces by the calculator, first with a new neighbour list, then
after all atoms have moved a little, its candidates kept (skin 1 Angstrom). CPU time, one thread.
Memory is the growth of the peak resident size over the whole, per atom. Where LADERA_BENCH_N2P2
names a build of n2p2, it computes the boxes of up to 10,000 atoms as well.

With --write the table goes into docs/performance.md and the figure into docs/images/scaling.png.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from n2p2_peer import N2P2, find
from page import DATA, ROOT, table, write_section

import ladera
from ladera.data import formats
from ladera.data.dataset import Dataset
from ladera.plotting import PALETTE, axes, log_scale, style
from ladera.simulation.calculator import LaderaCalculator
from ladera.units import ATOMIC

WATER = DATA / "data" / "n2p2" / "H2O_RPBE-D3"
REPEATS = ((1, 1, 1), (2, 1, 1), (2, 2, 1), (2, 2, 2), (3, 3, 2), (4, 3, 3), (5, 5, 4))
LARGEST_N2P2 = 10_000
FIGURE = ROOT / "docs" / "images" / "scaling.png"


def water() -> Dataset:
    """One frame of 1,080 atoms."""
    return formats.read(WATER / "water1080" / "input.data", units=ATOMIC)


def resident(name: str) -> int:
    """VmRSS or VmHWM of this process, bytes."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.split(f"{name}:")[1].split()[0])


def one(repeats: tuple[int, ...]) -> dict[str, float]:
    """Measure one size, in this process."""
    torch.set_num_threads(1)
    potential = ladera.load(WATER / "potential")
    box = water()[0].to_atoms()
    box.calc = LaderaCalculator(potential)
    box.get_forces()  # loads the kernels
    atoms = box.repeat(repeats)
    del box
    before = resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    generator = np.random.default_rng(0)
    first: list[float] = []
    later: list[float] = []
    peaks: list[int] = []
    for _ in range(2):
        atoms.calc = LaderaCalculator(potential)
        for seconds in (first, later):
            start = time.process_time()
            atoms.get_forces()
            seconds.append(time.process_time() - start)
            atoms.positions += generator.normal(scale=0.002, size=atoms.positions.shape)
        peaks.append(resident("VmHWM"))
    return {
        "atoms": len(atoms),
        "first": min(first),
        "next": min(later),
        "bytes": peaks[0] - before,  # later ones hold what the first calculator gave back
    }


def n2p2_seconds(n2p2: N2P2, repeats: tuple[int, ...]) -> float:
    """A step of n2p2, neighbour list included."""
    atoms = water()[0].to_atoms().repeat(repeats)
    box = ladera.Frame(
        numbers=atoms.numbers,
        positions=atoms.positions,
        cell=atoms.cell.array,
        periodic=atoms.pbc,
        energy=0.0,  # the format needs labels
        forces=np.zeros_like(atoms.positions),
    )
    with TemporaryDirectory() as folder:
        path = Path(folder, "input.data")
        boxes = Dataset.from_frames([box])
        formats.write(boxes, path, units=ATOMIC)
        return float(n2p2.steps(WATER / "potential", path, 2).seconds.sum(1).min())


def measure(n2p2: N2P2 | None) -> list[dict[str, float]]:
    """All sizes, each in its own process."""
    rows = []
    for repeats in REPEATS:
        command = [sys.executable, __file__, "--one", json.dumps(repeats)]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        row = json.loads(output)
        if n2p2 is not None and row["atoms"] <= LARGEST_N2P2:
            row["n2p2"] = n2p2_seconds(n2p2, repeats)
        rows.append(row)
        print(row, flush=True)
    return rows


def draw(rows: list[dict[str, float]]) -> None:
    """Seconds of a step against the number of atoms."""
    atoms = np.array([row["atoms"] for row in rows])
    step = np.array([row["next"] for row in rows])
    with style():
        figure, panel = axes(5.0, 3.4)
        exact = atoms / atoms[0] * step[0]
        panel.plot(atoms, exact, ":", color=PALETTE[7], lw=1, label="proportional to the atoms")
        panel.plot(atoms, step, "o-", color=PALETTE[0], label="Ladera, neighbours kept")
        first = [row["first"] for row in rows]
        panel.plot(atoms, first, "s--", color=PALETTE[5], label="Ladera, neighbour list anew")
        peer = [(row["atoms"], row["n2p2"]) for row in rows if "n2p2" in row]
        if peer:
            panel.plot(*zip(*peer, strict=True), "^-", color=PALETTE[1], label="n2p2")
        panel.set(xlabel="atoms of water", ylabel="CPU time of energies and forces / s")
        log_scale(panel, "x")
        log_scale(panel, "y")
        panel.legend()
        figure.savefig(FIGURE)
    print(f"wrote {FIGURE.relative_to(ROOT)}")


def main() -> None:
    if "--one" in sys.argv:
        repeats = json.loads(sys.argv[sys.argv.index("--one") + 1])
        print(json.dumps(one(tuple(repeats))))
        return
    rows = measure(find())
    header = [
        "atoms",
        "step, list kept, s",
        "µs per atom",
        "step, list anew, s",
        "peak memory, kB per atom",
        "n2p2, s",
    ]
    lines = [
        [
            f"{row['atoms']:,.0f}",
            f"{row['next']:.3g}",
            f"{1e6 * row['next'] / row['atoms']:.1f}",
            f"{row['first']:.3g}",
            f"{row['bytes'] / row['atoms'] / 1e3:.1f}",
            f"{row['n2p2']:.3g}" if "n2p2" in row else "-",
        ]
        for row in rows
    ]
    print(table(header, lines))
    if "--write" in sys.argv:
        draw(rows)
        picture = "![CPU time of a step against the number of atoms](images/scaling.png)"
        write_section("scaling", f"{table(header, lines)}\n\n{picture}")


if __name__ == "__main__":
    main()
