"""A model that is lost: a MACE of 34 frames of the dimer of hematin, and what it relaxes to.

    python benchmarks/hematin.py FOLDER [--epochs 8 60] [--write]

FOLDER receives frames of molecular dynamics at 300 K with GFN1-xTB (tblite; high spin, ten minutes
of one core) and a training for each number of epochs, unless they are there. A relaxation begins at
the minimum of GFN1-xTB, from where every step of a correct model leads uphill. Of its end and of
frames that were held out: what the model and GFN1-xTB say of the energy beside that of the minimum,
the largest grade of an atom, and the pairs of atoms that came through a gap of the training data,
with the depth of the deepest. --write renews the section of docs/uncertainty.md.
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
from page import DATA, ROOT, table, write_section

import ladera
from ladera.graph import Graph
from ladera.simulation.relaxation import relax
from ladera.training import config_file
from ladera.training.trainer import train

MINIMUM = DATA / "data" / "beta_hematin" / "hematin_dimer_gfn1_model.xyz"
FRAMES, EVERY = 34, 2  # how many, and steps of 1.5 fs between them
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


def row(
    name: list[str], atoms: Atoms, real: float, start: Atoms, model: ladera.Potential
) -> list[str]:
    """What is said of a structure beside the minimum; ``real`` is what GFN1-xTB says, eV."""
    here, there = (model.calculator().get_potential_energy(each) for each in (atoms, start))
    graphs = [Graph.from_atoms(each, model.cutoff) for each in (start, atoms)]
    found = model.active_set.reach.passages(*graphs)
    gap = f"{found[0].depth:.2f} Å" if found else ""
    count = str(len({(each.i, each.j) for each in found}))
    grade = f"{model.grade(graphs[1]).max():.2f}"
    return [*name, f"{here - there:+.2f}", f"{real:+.2f}", grade, count, gap]


def rows_of(epochs: int, folder: Path) -> list[list[str]]:
    """Of the model of so many epochs: two frames that were held out, and where it relaxes to."""
    frames, run = folder / "frames.extxyz", folder / f"run_{epochs}"
    if not (run / "model.ladera").exists():
        data = {"files": str(frames), "split": {"validation": 4, "test": 0}}
        train(config_file.parse(CONFIG | {"data": data, "epochs": epochs}, "The benchmark"), run)
    model, start, known = ladera.load(run), ase.io.read(MINIMUM), ase.io.read(frames, ":")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        end = relax(start, model, fmax=0.05)
    state = "converged" if end.converged else "relaxed"
    lowest = reference(start.copy()).get_potential_energy()
    held_out = [known[k] for k in model.provenance["split"]["validation"][:2]]
    found = [("held out", atoms, atoms.get_potential_energy()) for atoms in held_out]
    real = reference(end.atoms.copy()).get_potential_energy()
    found.append((f"{state}, {end.last.step} steps", end.atoms, real))
    return [row([str(epochs), name], a, e - lowest, start, model) for name, a, e in found]


HEAD = ("epochs", "structure", "MACE (eV)", "GFN1-xTB (eV)", "largest grade", "pairs", "deepest")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--epochs", type=int, nargs="+", default=[8, 60])
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    make_frames(options.folder / "frames.extxyz")
    rows = [row for epochs in options.epochs for row in rows_of(epochs, options.folder)]
    text = table(HEAD, rows)
    print(text)
    if options.write:
        write_section("hematin", text, ROOT / "docs" / "uncertainty.md")


if __name__ == "__main__":
    main()
