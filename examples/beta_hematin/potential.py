"""A potential of the crystal's own: GFN1-xTB, the active loop, MACE with dipoles.

GFN1-xTB has no energy of spin polarisation: the multiplicity says how many electrons are unpaired
(five at each iron, all parallel), but not what that gains. So it does not know that iron prefers to
be high-spin, distances at iron are as good as its parameters, and the weak antiferromagnetic
coupling of the two is missing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import ase.io
import numpy as np
from ase import Atoms

import ladera
from ladera.potential import Potential

UNPAIRED: Final = 5  # electrons of each Fe(III)
MODEL: Final = {
    "architecture": "mace",
    "cutoff": 5.0,
    "channels": 32,
    "max_l": 2,
    "hidden_l": 1,
    "correlation": 2,
    "outputs": ["energy", "dipole"],
}
_LOSS: Final = {"energy": 10.0, "forces": 1.0, "dipole": 10.0}
SMALL: Final = MODEL | {"channels": 4, "hidden_l": 0, "max_l": 1, "radial_layers": [8]}


def engine(n_irons: int) -> dict[str, Any]:
    """GFN1-xTB of structures with so many Fe(III), all spins parallel."""
    return {
        "engine": "tblite",
        "method": "GFN1-xTB",
        "multiplicity": UNPAIRED * n_irons + 1,
        "electronic_temperature": 600.0,
        "max_iterations": 500,
    }


def labelled(frames: list[Atoms], file: Path) -> list[Atoms]:
    """Frames with labels; a labelling that was killed goes on."""
    n_irons = frames[0].get_chemical_symbols().count("Fe")
    ladera.label(frames, engine(n_irons), file)
    return ase.io.read(file, index=":")


def shaken(atoms: Atoms, number: int, size: float = 0.03) -> list[Atoms]:
    """Copies with every coordinate displaced by chance, standard deviation ``size`` (Angstrom)."""
    copies = []
    for seed in range(number):
        copy = atoms.copy()
        copy.calc = None
        copy.rattle(size, seed=seed)
        copies.append(copy)
    return copies


def walked(
    start: Atoms, model: Potential, folder: Path, *, number: int, kelvin: float
) -> list[Atoms]:
    """Frames of dynamics, 50 fs apart after 0.25 ps on the way to ``kelvin``."""
    steps = 50 * (number + 5)
    ladera.run_md(
        start,
        model,
        folder=folder,
        resume=(folder / "restart.npz").exists(),
        temperature=kelvin,
        steps=steps,
        timestep=1.0,
        trajectory_interval=50,
    )
    return ase.io.read(folder / "trajectory.traj", index=":")[-number:]


def learned(structures: list[Atoms], begin: Path, walker: str, folder: Path) -> dict[str, Any]:
    """The active loop: from dynamics of the universal model to a MACE that was judged."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    given = folder.with_suffix(".extxyz")
    ase.io.write(given, [Atoms(a.numbers, a.positions, cell=a.cell, pbc=a.pbc) for a in structures])
    run = ladera.learn(
        {
            "structures": str(given),
            "engine": engine(2),
            "training": {
                "model": MODEL,
                "loss": _LOSS,
                "optimizer": {"name": "muon"},
                "epochs": 60,
                "batch_size": 2,
                "precision": "float32",
            },
            "begin": {
                "data": [str(begin)],
                "walker": walker,
                "frames": 60,
                "number": 6,
                "time": 0.5,
                "contacts": False,
            },
            "explore": {"temperatures": [200, 300, 450], "time": 0.5, "walkers": 1},
            "select": {"frames": 24, "checks": 8},
            "stop": {"forces": 0.06, "rounds": 3},
        },
        folder,
    )
    return {"model": str(run.model.relative_to(folder.parent)), "stopped": run.stopped}


def trained(file: Path, folder: Path, model: dict[str, Any], epochs: int) -> dict[str, Any]:
    """A MACE of the labels in one file."""
    ladera.train(
        {
            "data": {"files": str(file), "split": {"validation": 0.2, "test": 0}},
            "model": model,
            "loss": _LOSS,
            "optimizer": {"name": "muon"},
            "epochs": epochs,
            "batch_size": 2,
            "precision": "float32",
        },
        folder,
        resume=(folder / "checkpoint.safetensors").exists(),
    )
    return {"model": f"{folder.name}/model.ladera"}


def tuned(base: str, files: list[Path], replay: Path, folder: Path) -> dict[str, Any]:
    """The universal model fine-tuned to the same labels, and what it forgets of its own frames."""
    ladera.train(
        {
            "data": {"files": [str(f) for f in files], "split": {"validation": 0.1, "test": 0}},
            "finetune": {
                "base": base,
                "method": "naive",
                "replay": {"files": str(replay), "labels": "base"},
            },
            "optimizer": {"learning_rate": 0.001},
            "epochs": 20,
            "batch_size": 1,
            "precision": "float32",
        },
        folder,
        resume=(folder / "checkpoint.safetensors").exists(),
    )
    return {"model": f"{folder.name}/model.ladera"}


def errors(model: Potential, frames: list[Atoms]) -> dict[str, float]:
    """Of frames with labels: forces (meV/Angstrom) and energies but for one constant (meV/atom)."""
    forces, energies = [], []
    for frame in frames:
        copy = frame.copy()
        copy.calc = model.calculator()
        forces.append(copy.get_forces() - frame.get_forces())
        energies.append((copy.get_potential_energy() - frame.get_potential_energy()) / len(frame))
    off, energy = np.concatenate(forces), np.array(energies)
    return {
        "frames": len(frames),
        "force_mae": 1e3 * float(np.abs(off).mean()),
        "force_rmse": 1e3 * float(np.sqrt((off**2).mean())),
        "energy_spread": 1e3 * float(energy.std()),
    }
