"""Folders like those that training and simulations leave, made of numbers instead of physics."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io.trajectory import Trajectory

import ladera
from ladera.models.lennard_jones import LennardJonesConfig

HOSTILE = "<script>alert(1)</script> & $x_1$"


def training_run(
    folder: Path,
    *,
    epochs: int = 60,
    frames: int = 40,
    stress: bool = False,
    config_types: tuple[str, ...] = ("md_300K", "md_600K"),
) -> Path:
    """A finished training on ethanol-like frames."""
    folder.mkdir(parents=True)
    generator = np.random.default_rng(1)
    _write_log(folder / "log.csv", epochs, stress, generator)
    start = 0
    split: dict[str, Any] = {
        "method": "random, seed 0",
        "data_hash": "ab" * 32,
        "format_version": 1,
    }
    for part, count in (("train", frames), ("validation", frames // 4), ("test", frames // 4)):
        _write_predictions(
            folder / f"predictions_{part}.npz", start, count, stress, config_types, generator
        )
        split[part] = list(range(start, start + count))
        start += count
    (folder / "evaluation.json").write_text(json.dumps(_evaluation(split, config_types, stress)))
    findings = [
        _finding("warning", "duplicate-frames", f"Frame 3 is frame 1 again ({HOSTILE}).", frame=3),
        _finding("note", "few-examples", "Element O is in every frame."),
    ]
    check = {"n_frames": start, "n_atoms": 9 * start, "findings": findings}
    (folder / "check.json").write_text(json.dumps(check))
    (folder / "split.json").write_text(json.dumps(split))
    (folder / "config.yaml").write_text(f"seed: 1\n# {HOSTILE}\ntraining:\n  epochs: {epochs}\n")
    species = ("H", "C", "O")
    config = LennardJonesConfig(
        species=species,
        cutoff=5.0,
        epsilon=dict.fromkeys(species, 0.1),
        sigma=dict.fromkeys(species, 2.0),
    )
    ladera.build(config).save(folder / "model.ladera")
    return folder


def md_run(folder: Path, *, rows: int = 400, frames: int = 50, periodic: bool = False) -> Path:
    """A finished simulation of a shaking molecule or crystal."""
    folder.mkdir(parents=True)
    generator = np.random.default_rng(2)
    start = bulk("Si", cubic=True) if periodic else molecule("CH3CH2OH")
    columns = ["step", "time_fs", "temperature_k", "potential_energy_ev", "kinetic_energy_ev"]
    columns += ["total_energy_ev", "conserved_energy_ev", "pressure_gpa", "volume_angstrom3"]
    columns += ["extrapolating_atoms"]
    with (folder / "md.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        for row in range(rows):
            kinetic = 0.35 + 0.03 * generator.normal()
            potential = -4220.0 + 0.3 * (1 - np.exp(-row / 30)) + 0.03 * generator.normal()
            cell = (0.1 * generator.normal(), 160.0) if periodic else ("", "")
            conserved = -4219.65 + 1e-6 * row + 1e-4 * generator.normal()
            temperature = 300 * kinetic / 0.35
            energies = (potential, kinetic, potential + kinetic, conserved)
            writer.writerow([row * 10, row * 5.0, temperature, *energies, *cell, row // 300])
    settings = {
        "settings": {
            "ensemble": "nvt-langevin",
            "temperature": 300.0,
            "temperature_end": None,
            "timestep": 0.5,
            "trajectory_interval": 20,
        },
        "model": {"architecture": "hdnnp"},
        "structure": {"formula": start.get_chemical_formula(), "n_atoms": len(start)},
    }
    (folder / "settings.json").write_text(json.dumps(settings))
    _write_trajectory(folder / "trajectory.traj", start, frames, generator)
    return folder


def relax_run(folder: Path, *, steps: int = 12) -> Path:
    """A finished relaxation."""
    folder.mkdir(parents=True)
    lines = ["step,energy_ev,max_force_ev_per_angstrom,max_stress_gpa,volume_angstrom3,"]
    lines[0] += "extrapolating_atoms"
    lines += [f"{n},{-4220 + np.exp(-n)},{3 * np.exp(-n / 2)},,,0" for n in range(steps)]
    (folder / "relax.csv").write_text("\n".join(lines) + "\n")
    settings = {
        "settings": {"optimizer": "lbfgs", "fmax": 0.01},
        "structure": {"formula": "C2H6O", "n_atoms": 9},
    }
    (folder / "settings.json").write_text(json.dumps(settings))
    generator = np.random.default_rng(3)
    _write_trajectory(folder / "trajectory.traj", molecule("CH3CH2OH"), steps, generator)
    return folder


def _write_log(path: Path, epochs: int, stress: bool, generator: np.random.Generator) -> None:
    names = ["energy_{}_mev_per_atom", "force_{}_mev_per_angstrom"]
    names += ["stress_{}_mev_per_angstrom3"] if stress else []
    columns = ["epoch", "seconds", "learning_rate"]
    for part in ("train", "validation"):
        columns += [f"{part}_loss"]
        columns += [f"{part}_{name.format(kind)}" for name in names for kind in ("mae", "rmse")]
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        for epoch in range(1, epochs + 1):
            decay = 2 + 200 * np.exp(-epoch / 8)
            row: list[float] = [epoch, 1.5 * epoch, 1e-3 * 0.97**epoch]
            row += [decay * (1 + 0.1 * generator.random()) for _ in columns[3:]]
            writer.writerow(row)


def _write_predictions(
    path: Path,
    start: int,
    count: int,
    stress: bool,
    config_types: tuple[str, ...],
    generator: np.random.Generator,
) -> None:
    numbers = np.tile(molecule("CH3CH2OH").numbers, count)
    energy = -4220.0 + 0.4 * generator.normal(size=count)
    forces = 1.5 * generator.normal(size=(9 * count, 3))
    arrays = {
        "frame_index": np.arange(start, start + count),
        "n_atoms": np.full(count, 9),
        "config_type": np.resize(np.array(config_types), count),
        "energy_reference": energy,
        "energy_predicted": energy + 0.01 * generator.normal(size=count),
        "numbers": numbers,
        "forces_reference": forces,
        "forces_predicted": forces + 0.03 * generator.standard_t(4, size=forces.shape),
    }
    if stress:
        tensor = 0.02 * generator.normal(size=(count, 3, 3))
        arrays["stress_reference"] = tensor
        arrays["stress_predicted"] = tensor + 1e-3 * generator.normal(size=tensor.shape)
    np.savez(path, **arrays)


def _write_trajectory(
    path: Path, start: Atoms, frames: int, generator: np.random.Generator
) -> None:
    with Trajectory(path, "w") as trajectory:
        for _ in range(frames):
            atoms = start.copy()
            atoms.positions += 0.06 * generator.normal(size=atoms.positions.shape)
            atoms.calc = SinglePointCalculator(atoms, energy=-1.0, forces=0 * atoms.positions)
            trajectory.write(atoms)


def _evaluation(
    split: dict[str, Any], config_types: tuple[str, ...], stress: bool
) -> dict[str, dict[str, Any]]:
    error = {"count": 40, "mae": 12.3456, "rmse": 23.4567, "max": 98.7654, "r2": 0.99876}
    errors = {"energy": error, "forces": error, "stress": error if stress else None}
    worst = {"frame": 41, "source": f"{HOSTILE}.xyz, frame 41", "config_type": config_types[0]}
    return {
        part: {
            "n_frames": len(split[part]),
            "n_atoms": 9 * len(split[part]),
            "units": {},
            **errors,
            "by_config_type": dict.fromkeys(config_types, errors),
            "by_element": {symbol: {"forces": error} for symbol in ("H", "C", "O")},
            "worst_frames": {
                "energy": [{**worst, "error": 4.5}],
                "forces": [{**worst, "error": 98.0, "atom": 6}],
            },
        }
        for part in ("train", "validation", "test")
    }


def _finding(
    severity: str, code: str, message: str, frame: int | None = None
) -> dict[str, str | int | None]:
    return {
        "severity": severity,
        "code": code,
        "message": message,
        "frame": frame,
        "atom": None,
        "frames": [],
    }
