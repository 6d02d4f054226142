"""A potential of the crystal's own: GFN1-xTB, the active loop, MACE with dipoles.

GFN1-xTB has no energy of spin polarisation: the multiplicity says how many electrons are unpaired
(five at each iron, all parallel), but not what that gains. So it does not know that iron prefers to
be high-spin, distances at iron are as good as its parameters, and the weak antiferromagnetic
coupling of the two is missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import ase.io
import numpy as np
from ase import Atoms

import ladera
from ladera.potential import Potential
from ladera.quantities import DIPOLE
from settings import Settings

UNPAIRED: Final = 5  # electrons of each Fe(III)
# Of a dipole's error, which is of the whole molecule, so little that the forces choose the epoch
_LOSS: Final = {"energy": 10.0, "forces": 1.0, "stress": 1.0, "dipole": 0.1}
_SHOWN: Final = 600  # force components of each model, for the figure of errors

Labels = Mapping[str, Any]  # keys of an engine


def xtb(n_irons: int) -> dict[str, Any]:
    """GFN1-xTB of structures with so many Fe(III), all spins parallel."""
    return {
        "engine": "tblite",
        "method": "GFN1-xTB",
        "multiplicity": UNPAIRED * n_irons + 1,
        "electronic_temperature": 600.0,
        "max_iterations": 500,
        "mixer_damping": 0.2,  # by the defaults open shells swing, and take twice the iterations
        "guess": "eeq",
    }


def labelled(frames: list[Atoms], file: Path, engine: Labels) -> list[Atoms]:
    """Frames with labels; a labelling that was killed goes on."""
    ladera.label(frames, dict(engine), file)
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
    start: Atoms, model: Potential, folder: Path, *, number: int, kelvin: float, every: int
) -> list[Atoms]:
    """Frames of dynamics, ``every`` so many fs after as long as five of them to get warm."""
    ladera.run_md(
        start,
        model,
        folder=folder,
        resume=(folder / "restart.npz").exists(),
        temperature=kelvin,
        steps=every * (number + 5),
        timestep=1.0,
        trajectory_interval=every,
    )
    return ase.io.read(folder / "trajectory.traj", index=":")[-number:]


def learned(
    structures: list[Atoms],
    begin: list[Path],
    walker: str | dict[str, Any],
    engine: Labels,
    settings: Settings,
    folder: Path,
) -> dict[str, Any]:
    """The active loop: from dynamics of the universal model to a MACE that was judged."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    given = folder.with_suffix(".extxyz")
    ase.io.write(given, [Atoms(a.numbers, a.positions, cell=a.cell, pbc=a.pbc) for a in structures])
    asked = settings.active
    first = {"data": [str(file) for file in begin], "walker": walker, "contacts": False}
    run = ladera.learn(
        {
            "structures": str(given),
            "engine": dict(engine),
            "training": _training(settings),
            **asked,
            "begin": first | asked["begin"],
        },
        folder,
    )
    return {"model": str(run.model.relative_to(folder.parent)), "stopped": run.stopped}


def _training(settings: Settings) -> dict[str, Any]:
    return {
        "model": settings.model,
        "loss": _LOSS,
        "optimizer": {"name": "muon"},
        "epochs": settings.epochs,
        "batch_size": 2,
        "precision": "float32",
    }


def tuned(base: str, files: list[Path], replay: Path, epochs: int, folder: Path) -> dict[str, Any]:
    """The universal model fine-tuned to the same labels, with frames of its own beside them.

    A MACE gets a second head and repeats the frames with the first; another one is measured on
    them, as it was and as it came to be.
    """
    known = ladera.load(base)
    has_dipole = DIPOLE in known.gives
    heads = known.config.architecture == "mace" and not has_dipole
    ladera.train(
        {
            "data": {"files": [str(f) for f in files], "split": {"validation": 0.1, "test": 0}},
            "finetune": {
                "base": base,
                "method": "replay" if heads else "naive",
                "replay": {"files": str(replay), "labels": "base"},
            },
            "loss": _LOSS if has_dipole else _LOSS | {"dipole": 0.0},
            "optimizer": {"learning_rate": 0.001},
            "epochs": epochs,
            "batch_size": 1,
            "precision": "float32",
        },
        folder,
        resume=(folder / "checkpoint.safetensors").exists(),
    )
    return {"model": f"{folder.name}/model.ladera"}


def errors(model: Potential, frames: list[Atoms]) -> dict[str, Any]:
    """Of frames with labels: forces (meV/Angstrom) and energies but for one constant (meV/atom).

    With the standard error of the mean over frames, and some components to draw.
    """
    said, labels, energies = [], [], []
    for frame in frames:
        copy = frame.copy()
        copy.calc = model.calculator()
        said.append(copy.get_forces())
        labels.append(frame.get_forces())
        energies.append((copy.get_potential_energy() - frame.get_potential_energy()) / len(frame))
    of_frames = 1e3 * np.array([np.abs(a - b).mean() for a, b in zip(said, labels, strict=True)])
    one, other = np.concatenate(said).ravel(), np.concatenate(labels).ravel()
    shown = np.random.default_rng(0).permutation(len(one))[:_SHOWN]
    return {
        "frames": len(frames),
        "force_mae": float(of_frames.mean()),
        "force_mae_error": float(of_frames.std(ddof=1) / np.sqrt(len(frames))),
        "force_rmse": 1e3 * float(np.sqrt(((one - other) ** 2).mean())),
        "force_size": 1e3 * float(np.abs(other).mean()),
        "energy_spread": 1e3 * float(np.std(energies)),
        "shown": np.stack([other[shown], one[shown]], axis=1).round(4).tolist(),
    }
