"""Small data sets and configurations for the tests of training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase import Atoms
from ase.build import bulk

import ladera
from ladera import Graph, evaluate
from ladera.data.dataset import Dataset
from ladera.data.formats import write
from ladera.data.frame import Frame
from ladera.models.lennard_jones import LennardJonesConfig
from ladera.training.config import TrainingConfig
from ladera.training.config_file import parse

EPSILON, SIGMA, CUTOFF = 0.0104, 3.4, 6.0  # the argon that is to be learned


def argon(n_frames: int = 24) -> Dataset:
    """Crystals of four atoms with the labels of a Lennard-Jones potential."""
    truth = ladera.build(
        LennardJonesConfig(
            species=("Ar",), cutoff=CUTOFF, epsilon={"Ar": EPSILON}, sigma={"Ar": SIGMA}
        )
    )
    return Dataset.from_frames(_labelled(truth, seed) for seed in range(n_frames))


def _labelled(truth: ladera.Potential, seed: int) -> Frame:
    generator = np.random.default_rng(seed)
    atoms: Atoms = bulk("Ar", "fcc", a=5.3 + 0.1 * generator.standard_normal(), cubic=True)
    atoms.positions += 0.1 * generator.standard_normal(atoms.positions.shape)
    with torch.no_grad():
        found = evaluate(truth, Graph.from_atoms(atoms, CUTOFF))
    return Frame(
        numbers=atoms.numbers.astype(np.int64),
        positions=atoms.positions,
        cell=atoms.cell.array,
        periodic=atoms.pbc,
        energy=float(found.energy[0]),
        forces=found.forces.numpy(),
        stress=found.stress[0].numpy(),
        config_type="even" if seed % 2 == 0 else "odd",
    )


def values(folder: Path, dataset: Dataset | None = None, **changes: Any) -> dict[str, Any]:
    """A configuration of a short run on argon, as nested dicts; the data are written to a file."""
    data = folder / "argon.extxyz"
    if dataset is not None or not data.exists():
        write(argon() if dataset is None else dataset, data)
    return {
        "data": {"files": str(data), "split": {"validation": 4, "test": 4}},
        "model": {
            "architecture": "lennard_jones",
            "cutoff": CUTOFF,
            "epsilon": {"Ar": 0.012},
            "sigma": {"Ar": 3.35},
        },
        "loss": {"energy": 10.0},
        "optimizer": {"name": "adam", "learning_rate": 1e-3},
        "epochs": 5,
        "batch_size": 4,
        "checkpoint_interval": 2,
        **changes,
    }


def config(folder: Path, dataset: Dataset | None = None, **changes: Any) -> TrainingConfig:
    """The same, checked."""
    return parse(values(folder, dataset, **changes), "config.yaml")


def hdnnp(**changes: Any) -> dict[str, Any]:
    """The model section of a small network."""
    return {
        "architecture": "hdnnp",
        "cutoff": 4.5,
        "size": "small",
        "hidden_layers": [4],
        **changes,
    }


def same_bits(one: ladera.Potential, other: ladera.Potential) -> bool:
    """Whether two potentials have the same tensors, bit for bit."""
    first, second = one.state_dict(), other.state_dict()
    return first.keys() == second.keys() and all(
        torch.equal(first[name], second[name]) for name in first
    )
