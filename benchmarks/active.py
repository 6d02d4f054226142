"""Active learning beside random picks from the engine's dynamics, with as many labels.

    python benchmarks/active.py RUNS [--cases methanol liquid ethanol] [--seeds 3] [--write]

RUNS holds, for each case and seed, an active learning (loop), dynamics of the engine at the loop's
temperatures (aimd), and a model of as many frames of that, drawn by chance (random). What is
missing is made; what was interrupted goes on. Both models train alike. They are tested on dynamics
of the engine with another seed, at the highest temperature of the loop and above it, and then move
the atoms at the latter until the structure is none any more, or for the whole time. Where dynamics
of the engine takes too long, another made it: random frames and the first test are of rMD17
(PBE/def2-SVP at 500 K; Christensen and von Lilienfeld, Mach. Learn.: Sci. Technol. 1, 045018
(2020)), and the second is a walk of xTB that the engine has labelled. Errors are mean absolute ones
of force components, meV/Angstrom.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
from ase import Atoms
from ase.build import molecule
from ase.io import read, write
from page import DATA, ROOT, table, write_section

import ladera
from ladera.active import learn
from ladera.active.folder import ActiveFolder, read_frames
from ladera.active.teaching import judgement_of
from ladera.data.dataset import Dataset
from ladera.data.frame import Frame
from ladera.errors import SimulationError
from ladera.labelling.engines import as_engine
from ladera.training import config_file
from ladera.training.trainer import train

SURVIVAL = {"walks": 5, "time": 5.0}  # ps
RANDOM = "random.extxyz"  # what was drawn by chance


def liquid() -> Atoms:
    """Eight molecules of methanol at 0.79 g/cm^3, turned at random and not on top of each other."""
    generator, edge = np.random.default_rng(0), 8.13
    box = Atoms(cell=[edge] * 3, pbc=True)
    centers = [edge * (np.array(k) + 0.5) / 2 for k in np.ndindex(2, 2, 2)]
    for center in centers:
        for _ in range(1000):
            one = molecule("CH3OH")
            one.positions -= one.get_center_of_mass()
            one.euler_rotate(*generator.uniform(0, 360, 3))
            one.positions += center
            trial = box + one
            apart = trial.get_all_distances(mic=True)[len(box) :, : len(box)]
            if not len(box) or apart.min() > 1.7:
                box = trial
                break
    return box


@dataclass(frozen=True)
class Case:
    """A system, its engine, and what is asked of the loop."""

    structure: Any  # a function that makes it
    engine: dict[str, Any]
    config: dict[str, Any]
    hot: float  # K, above the temperatures of the loop
    timestep: float = 0.5  # fs
    dynamics: float = 4.0  # ps of the walker at each temperature
    walker: dict[str, Any] | None = None  # in the place of an engine that is too slow for dynamics
    published: tuple[str, str] | None = None  # its frames for training, and for the first test


GFN1 = {"engine": "tblite", "method": "GFN1-xTB"}
MTP = {"architecture": "mtp", "cutoff": 5.0}
MACE = {
    "model": {"architecture": "mace", "cutoff": 5.0, "channels": 32, "hidden_l": 1},
    "loss": {"energy": 1.0, "forces": 30.0},
    "optimizer": {"name": "adamw", "learning_rate": 0.01, "weight_decay": 1e-6},
    "schedule": {"name": "cosine", "final_factor": 0.001},
    "ema_decay": 0.99,
    "gradient_clip": 10,
    "batch_size": 5,
    "epochs": 250,
    "precision": "float32",
}
SMALL_MACE = {
    "model": {"architecture": "mace", "cutoff": 5.0, "channels": 16, "hidden_l": 0},
    "batch_size": 2,
    "epochs": 60,
    "precision": "float32",
}
CASES = {
    "methanol": Case(
        lambda: molecule("CH3OH"),
        {"engine": "tblite", "method": "GFN2-xTB"},
        {
            "training": {"model": {**MTP, "level": 12}, "epochs": 60},
            "explore": {"temperatures": [300, 500], "time": 2.0},
            "select": {"frames": 12, "checks": 6},
            "stop": {"forces": 0.03, "rounds": 8},
        },
        hot=800.0,
    ),
    "liquid": Case(
        liquid,
        GFN1,
        {
            "training": SMALL_MACE,
            "begin": {"number": 8, "walker": GFN1, "frames": 12, "time": 0.15},
            "explore": {"temperatures": [300, 500], "time": 1.0, "timestep": 1.0, "walkers": 1},
            "select": {"frames": 12, "checks": 10},
            "stop": {"forces": 0.06, "rounds": 8},
        },
        hot=700.0,
        timestep=1.0,
        dynamics=0.4,
    ),
    "ethanol": Case(
        lambda: molecule("CH3CH2OH"),
        {
            "engine": "pyscf",
            "method": "pbe",
            "basis": "def2-svp",
            "density_fitting": True,
            "grid": 2,
        },
        {
            "training": MACE,
            "begin": {"number": 12, "walker": "tblite", "frames": 60, "contacts": False},
            "explore": {"temperatures": [300, 500], "time": 2.0},
            "select": {"frames": 30, "checks": 12},
            "stop": {"forces": 0.018, "rounds": 4},
        },
        hot=800.0,
        walker={"engine": "tblite", "method": "GFN2-xTB"},
        published=("rmd17/ethanol_train_01.extxyz.gz", "rmd17/ethanol_test_01.extxyz.gz"),
    ),
}


def main() -> None:
    """Make what is missing, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", type=Path)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--write", action="store_true")
    chosen = parser.parse_args()
    rows = [
        row
        for name in chosen.cases
        for seed in range(chosen.seeds)
        for row in rows_of(name, seed, chosen.runs / name / f"seed_{seed}")
    ]
    head = ["", "seed", "labels", "learned by", "on unseen of its own", "at the hottest", "above"]
    text = table([*head, "survives (ps)", "hours", "engine (CPU s)"], rows)
    print(text)
    if chosen.write:
        write_section("active", text, ROOT / "docs" / "active.md")


def rows_of(name: str, seed: int, folder: Path) -> Iterator[list[str]]:
    """The loop and, where there is one, the random model."""
    case = CASES[name]
    folder.mkdir(parents=True, exist_ok=True)
    structure = folder / "structure.extxyz"
    if not structure.exists():
        write(structure, case.structure(), format="extxyz")
    config = {**case.config, "structures": str(structure), "engine": case.engine, "seed": seed}
    run = learn(config, folder / "loop")
    last = run.rounds[-1]
    tests = list(tests_of(case, seed, structure, folder))
    model = ladera.load(run.model)
    assert last.judged is not None
    assert last.judged.forces is not None
    yield [
        *(name, str(seed), str(last.labels_so_far), "loop", f"{1000 * last.judged.forces:.1f}"),
        *scores(model, tests),
        survival(case, structure, run.model, folder / "survival-loop"),
        f"{last.seconds_so_far / 3600:.2f}",
        f"{sum(each.engine_seconds for each in run.rounds):.0f}",
    ]
    print(f"{name} {seed}: {run.stopped}", flush=True)
    path = random_model(case, config, folder, run)
    drawn = sum(1 for _ in ladera.read(folder / RANDOM))  # fewer where dynamics has no more
    yield [
        *(name, str(seed), str(drawn), "chance", ""),
        *scores(ladera.load(path), tests),
        survival(case, structure, path, folder / "survival-random"),
        *("", ""),
    ]


def tests_of(case: Case, seed: int, structure: Path, folder: Path) -> Iterator[Dataset]:
    """Labelled frames at the highest temperature of the loop, and above it."""
    if case.published:
        yield Dataset.from_frames(published(case.published[1])[:500])
        # One for all seeds: its labels take longer than its dynamics.
        frames = dynamics(case, structure, case.hot, 1000, folder.parent / f"test-{case.hot}")
        path = folder.parent / "hot.extxyz"
        yield Dataset.from_frames(labelled(case.engine, frames[len(frames) // 4 :: 10], path))
        return
    for temperature in (case.config["explore"]["temperatures"][-1], case.hot):
        frames = dynamics(case, structure, temperature, 1000 + seed, folder / f"test-{temperature}")
        yield Dataset.from_frames(frames[len(frames) // 4 :])  # when it is as hot as was asked


def published(name: str) -> list[Frame]:
    """Frames that others have labelled."""
    return list(ladera.read(DATA / "data" / name))


def labelled(engine: dict[str, Any], frames: list[Frame], path: Path) -> list[Frame]:
    """Frames with labels of the engine, kept in a file."""
    ladera.label(Dataset.from_frames(frames), engine, path)
    return list(ladera.read(path))


def dynamics(
    case: Case, structure: Path, temperature: float, seed: int, folder: Path
) -> list[Frame]:
    """Frames of the engine's dynamics."""
    if not (folder / "final.extxyz").exists():
        ladera.run_md(
            structure,
            as_engine(case.walker or case.engine).calculator(),
            folder=folder,
            resume=(folder / "restart.npz").exists(),
            temperature=float(temperature),
            time=case.dynamics,
            timestep=case.timestep,
            seed=seed,
            trajectory_interval=10,
        )
    frames = read(folder / "trajectory.traj", ":")
    write(folder / "frames.extxyz", frames)
    return list(ladera.read(folder / "frames.extxyz"))


def random_model(case: Case, config: dict[str, Any], folder: Path, run: Any) -> Path:
    """A model of as many labels, drawn by chance from the engine's dynamics and its free atoms."""
    path = folder / "random"
    if (path / "model.ladera").exists():
        return path / "model.ladera"
    pool = published(case.published[0]) if case.published else []
    for temperature in () if case.published else config["explore"]["temperatures"]:
        place = folder / f"aimd-{temperature}"
        pool += dynamics(case, folder / "structure.extxyz", temperature, config["seed"], place)
    first = read_frames(ActiveFolder(run.folder).round(0).train)
    atoms = [frame for frame in first if frame.config_type == "IsolatedAtom"]
    count = run.rounds[-1].labels_so_far - len(atoms)
    draw = np.random.default_rng(config["seed"]).permutation(len(pool))[:count]
    data = folder / RANDOM
    ladera.write(Dataset.from_frames([*atoms, *(pool[k] for k in draw)]), data)
    split = {"method": "random", "validation": 0.1, "test": 0}
    values = {**config["training"], "data": {"files": str(data), "split": split}}
    train(config_file.parse({**values, "seed": config["seed"]}, "random"), path)
    return path / "model.ladera"


def scores(model: ladera.Potential, tests: list[Dataset]) -> list[str]:
    """Mean absolute errors of forces, meV/Angstrom, on each test."""
    found = [judgement_of(model, frames).forces for frames in tests]
    return [f"{1000 * (error or 0):.1f}" for error in found] + ["-"] * (2 - len(found))


def survival(case: Case, structure: Path, model: Path, folder: Path) -> str:
    """How long dynamics lasts at the temperature above, ps: the mean of some."""
    path = folder / "survival.json"
    if not path.exists():
        times = [survived(case, structure, model, folder, k) for k in range(SURVIVAL["walks"])]
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(times))
    return f"{mean(json.loads(path.read_text())):.1f}"


def survived(case: Case, structure: Path, model: Path, folder: Path, k: int) -> float:
    """How long one lasts, ps."""
    place = folder / f"{k}-{time.time_ns()}"
    try:
        ladera.run_md(
            structure,
            model,
            folder=place,
            temperature=case.hot,
            time=SURVIVAL["time"],
            timestep=case.timestep,
            seed=k,
            stop_grade=0.0,
            max_extrapolating=1.0,
        )
    except SimulationError:
        rows = (place / "md.csv").read_text().splitlines()
        return float(rows[-1].split(",")[1]) / 1000
    return SURVIVAL["time"]


if __name__ == "__main__":
    main()
