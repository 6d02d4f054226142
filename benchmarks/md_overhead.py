"""What a step of molecular dynamics costs besides the model, for 200 atoms.

Claim: less than 0.5 ms outside the model. A soft repulsion takes the place of the model; its time
is taken by itself. `run_md` does all that it always does, logs and trajectory included. Prints
milliseconds of processor time per step of model, neighbour list and rest, from the fastest block
of 100 steps, since other programs can only make one slower, and the median block.

    python benchmarks/md_overhead.py [cutoff in Angstrom, 6 by default]
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import warnings
from time import process_time

import torch
from ase.build import bulk

from ladera.graph import Graph, NeighborList
from ladera.potential import Potential, PotentialConfig
from ladera.simulation.molecular_dynamics import LogRow, run_md
from ladera.simulation.settings import MDSettings

BLOCK = 100  # steps
BLOCKS = 20
LIMIT = 0.5  # ms per step
PRESSURE = 15.0  # GPa, of the liquid at this density: with less it would boil off in the npt run

spent = {"model": 0.0, "neighbour list": 0.0}


class Repulsion(Potential):
    """E = sum over pairs of 10 (2.4 - r)^2 eV where r < 2.4 Angstrom: a liquid of soft balls."""

    def atomic_energies(self, graph: Graph) -> torch.Tensor:
        return self.energies_and_edge_gradients(graph)[0]

    def energies_and_edge_gradients(self, graph: Graph) -> tuple[torch.Tensor, torch.Tensor]:
        start = process_time()
        distances = graph.vectors.norm(dim=1)
        overlap = (2.4 - distances).clamp(min=0)
        energies = torch.zeros(graph.n_atoms, dtype=torch.float64)
        energies.index_add_(0, graph.centers, 5.0 * overlap**2)
        gradients = (-10.0 * overlap / distances)[:, None] * graph.vectors
        spent["model"] += process_time() - start
        return energies, gradients


def timed_build(self: NeighborList, *structure: object) -> Graph:
    """NeighborList.build under the clock."""
    start = process_time()
    graph = build(self, *structure)
    spent["neighbour list"] += process_time() - start
    return graph


build = NeighborList.build


def main() -> None:
    torch.set_num_threads(1)  # others wait in a loop for work, which would count
    cutoff = float(sys.argv[1]) if len(sys.argv) > 1 else 6.0
    NeighborList.build = timed_build  # type: ignore[method-assign, assignment]
    atoms = bulk("O", "fcc", a=3.43, cubic=True) * (5, 5, 2)  # 10 Angstrom^3 an atom, as in water
    potential = Repulsion(PotentialConfig(architecture="repulsion", species=("O",), cutoff=cutoff))
    blocks: list[dict[str, float]] = []
    last = process_time()

    def close_block(row: LogRow) -> None:
        nonlocal last
        if row.step % BLOCK:
            return
        now = process_time()
        blocks.append({"all": now - last, **spent})
        for name in spent:
            spent[name] = 0.0
        last = process_time()

    print(f"{len(atoms)} atoms, cutoff {cutoff:g} Angstrom, ms per step")
    for ensemble in ("nve", "nvt-langevin", "nvt-bussi", "nvt-nose-hoover", "npt"):
        blocks.clear()
        settings = MDSettings(
            ensemble=ensemble,  # type: ignore[arg-type]
            temperature=300.0,
            timestep=0.5,
            steps=BLOCK * BLOCKS,
            pressure=PRESSURE,
        )
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
            run_md(atoms, potential, settings, folder, on_row=close_block)
        rows = [{k: 1e3 * v / BLOCK for k, v in block.items()} for block in blocks[2:]]
        best = min(rows, key=lambda row: row["all"])
        outside = best["all"] - best["model"]
        median = statistics.median(row["all"] - row["model"] for row in rows)
        print(
            f"{ensemble:15s} model {best['model']:.3f}  neighbour list "
            f"{best['neighbour list']:.3f}  rest {outside - best['neighbour list']:.3f}  "
            f"outside the model {outside:.3f} (median {median:.3f}, limit {LIMIT:g}): "
            f"{'met' if outside < LIMIT else 'MISSED'}"
        )


if __name__ == "__main__":
    main()
