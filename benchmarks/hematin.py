"""A model that is lost: a MACE of 34 frames of the dimer of hematin, and what it relaxes to.

    python benchmarks/hematin.py FOLDER [--epochs 60] [--threads 1]

FOLDER receives frames of molecular dynamics at 300 K with GFN1-xTB (tblite; high spin, half an hour
of one core), the training and the relaxations, unless they are there. The first of these begins at
the minimum of GFN1-xTB, from which any step of a correct model leads uphill. Of every structure:
what the model and GFN1-xTB say of its energy, the largest grade of an atom, and the deepest gap of
the training data that a pair of atoms came through.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path

import ase.io
import numpy as np
from ase import Atoms, units
from ase.calculators.singlepoint import SinglePointCalculator
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution
from page import DATA, table

import ladera
from ladera.graph import Graph
from ladera.simulation.relaxation import relax
from ladera.training import config_file
from ladera.training.trainer import train

MINIMUM = DATA / "data" / "beta_hematin" / "hematin_dimer_gfn1_model.xyz"
FRAMES, EVERY = 34, 4  # how many, and steps of 1.5 fs between them
CONFIG = {
    "model": {
        "architecture": "mace",
        "cutoff": 5.0,
        "channels": 16,
        "max_l": 2,
        "hidden_l": 0,
        "correlation": 2,
        "radial_layers": [32],
    },
    "loss": {"energy": 1, "forces": 10},
    "optimizer": {"learning_rate": 0.01},
    "batch_size": 2,
    "precision": "float32",
}


def reference(atoms: Atoms) -> Atoms:
    """The structure with GFN1-xTB, as the minimum was made."""
    from tblite.ase import TBLite

    atoms.calc = TBLite(
        method="GFN1-xTB", multiplicity=11, electronic_temperature=600.0, verbosity=0
    )
    return atoms


def make_frames(path: Path) -> None:
    """Labelled frames of dynamics; an interrupted run goes on from its last frame."""
    done = ase.io.read(path, ":") if path.exists() else []
    atoms, rng = reference(done[-1].copy() if done else ase.io.read(MINIMUM)), len(done)
    generator = np.random.default_rng(rng)
    if not done:
        MaxwellBoltzmannDistribution(atoms, temperature_K=450, rng=generator)
    dynamics = Langevin(
        atoms, 1.5 * units.fs, temperature_K=300, friction=0.02 / units.fs, rng=generator
    )
    for _ in range(len(done), FRAMES):
        dynamics.run(EVERY)
        frame = atoms.copy()
        results = {"energy": atoms.get_potential_energy(), "forces": atoms.get_forces()}
        frame.calc = SinglePointCalculator(frame, **results)
        ase.io.write(path, frame, append=True)
        print(f"{len(ase.io.read(path, ':'))} frames, {atoms.get_temperature():.0f} K", flush=True)


def row(name: str, atoms: Atoms, start: Atoms, model: ladera.Potential) -> list[str]:
    """What is said of a structure beside another one."""
    here, there = (model.calculator().get_potential_energy(each) for each in (atoms, start))
    real, real_there = (reference(each.copy()).get_potential_energy() for each in (atoms, start))
    graphs = [Graph.from_atoms(each, model.cutoff) for each in (start, atoms)]
    found = model.active_set.reach.passages(*graphs)
    gap = f"{2 * found[0].depth:.2f} Å" if found else "none"
    return [
        name,
        f"{here - there:+.2f}",
        f"{real - real_there:+.2f}",
        f"{model.grade(graphs[1]).max():.3g}",
        gap,
        str(len({(each.i, each.j) for each in found})),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--epochs", type=int, default=60)
    options = parser.parse_args()
    folder = options.folder
    folder.mkdir(parents=True, exist_ok=True)
    frames = folder / "frames.extxyz"
    make_frames(frames)
    run = folder / f"run_{options.epochs}"
    if not (run / "model.ladera").exists():
        data = {"files": str(frames), "split": {"validation": 4, "test": 0}}
        train(config_file.parse(CONFIG | {"data": data, "epochs": options.epochs}, "it"), run)
    model = ladera.load(run)
    start, known = ase.io.read(MINIMUM), ase.io.read(frames, ":")
    held_out = model.provenance["split"]["validation"]
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        ends = {f"relaxed, {n} steps": relax(start, model, fmax=0.05, steps=n) for n in (30, 300)}
    rows = [row(f"held out, frame {k}", known[k], start, model) for k in held_out]
    rows += [row(name, end.atoms, start, model) for name, end in ends.items()]
    head = ["structure", "model (eV)", "GFN1-xTB (eV)", "largest grade", "deepest gap", "pairs"]
    print(table(head, rows))


if __name__ == "__main__":
    main()
