"""Error against time of a step, of all kinds of models, for silicon.

    OMP_NUM_THREADS=1 python benchmarks/which_model.py RUNS [--train] [--models ...] [--write]

RUNS holds a folder for each model with a training run in it; with --train the missing ones are
made, all from the training frames of mlearn (Zuo et al., J. Phys. Chem. A 124, 731 (2020)). Beside
them stand the published network and moment tensor potential; RUNS also keeps what becomes of the
latter, and of our own of the same level, pruned to some of their time. Errors are root mean squares
of the test frames; the time is CPU time of an atom, energy and forces of 216 atoms of a disordered
crystal by the ASE calculator after every atom has moved, neighbour list included, the fastest of
many in rounds that alternate. --write renews the rows of these models in docs/which-model.md, and
its figure from all rows.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import torch
from ase import Atoms
from ase.build import bulk
from atom_steps import microseconds
from mlearn import MLEARN, PUBLISHED
from page import ROOT, rows_with, table, write_section
from runs import options, trained

import ladera
from ladera.data import formats
from ladera.files import atomic_path
from ladera.plotting import PALETTE, log_scale, panel_grid, style
from ladera.training.evaluation import evaluate_dataset
from ladera.training.variable_projection.pruning import prune

HERE: Final = Path(__file__).parent
TRAIN, TEST = (MLEARN / f"Si_{part}.extxyz.gz" for part in ("train", "test"))
PAGE, FIGURE = ROOT / "docs" / "which-model.md", ROOT / "docs" / "images" / "which-model.png"
LEVELS: Final = (8, 12, 16, 20, 24)
HIGHEST: Final = f"mtp-{LEVELS[-1]}"
# With the weights of the highest level energies of the lower ones are twice as wrong.
LOWER: Final = ("loss.energy=100", "loss.stress=0")
FITTED: Final = PUBLISHED / "Si" / "mtp" / "fitted.mtp"
COSTS: Final = (0.5, 0.3, 0.2)  # that a potential of the highest level is pruned to


class Case(NamedTuple):
    """A model to train."""

    family: str
    name: str
    config: str
    changes: tuple[str, ...] = ()


CASES: Final = {
    "hdnnp": Case(
        "HDNNP",
        "132 functions, 64-64",
        "mlearn.yaml",
        (f"data.test_files={TEST}", "model.cutoff=5.5"),
    ),
    "kalman": Case("HDNNP", "28 functions, 24-24", "silicon.yaml", (f"data.test_files={TEST}",)),
    **{
        f"mtp-{level}": Case(
            "MTP",
            f"level {level}",
            "mtp_training.yaml",
            (f"model.level={level}", "model.cutoff=4.7", *(LOWER if level < LEVELS[-1] else ())),
        )
        for level in LEVELS
    },
    "mace": Case("MACE", "16x0e, float32", "which_model.yaml"),
}


class Point(NamedTuple):
    """A model and what it is worth."""

    family: str
    name: str
    potential: ladera.Potential
    errors: tuple[float, float]  # root mean squares, meV/atom and meV/Angstrom
    training: float  # CPU seconds; NaN where others trained it


def points(chosen: Any) -> Iterator[Point]:
    """The models that there are."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # training keywords that do not matter here
        network = ladera.load(PUBLISHED / "Si" / "nnp", units="bohr-hartree")
    yield point("HDNNP", "published", network)
    fitted = ladera.load(FITTED, types=("Si",))
    yield point("MTP", "published, level 24", fitted)
    yield from smaller(fitted, "published", chosen.runs)
    for key in chosen.models:
        case = CASES[key]
        changes = [f"data.files={TRAIN}", *case.changes, *chosen.changes]
        run = trained(chosen.runs / key, HERE / case.config, changes, chosen.train)
        if run:
            yield point(case.family, case.name, *run)
        if run and key == HIGHEST:
            yield from smaller(run[0], case.name, chosen.runs)


def smaller(potential: ladera.Potential, name: str, runs: Path) -> Iterator[Point]:
    """A potential pruned to some of its time, without a step of its radial functions."""
    for cost in COSTS:
        kept = runs / f"{name.replace(' ', '-')}-{cost:g}.ladera"
        if not kept.is_file():
            prune(potential, formats.read([str(TRAIN)]), cost=cost, epochs=0).potential.save(kept)
        yield point("MTP pruned", f"{name}, to {cost:g} of the time", ladera.load(kept))


def point(family: str, name: str, potential: ladera.Potential, training: float = np.nan) -> Point:
    """With its errors on the test frames."""
    found = evaluate_dataset(potential, formats.read([str(TEST)])).to_json()
    errors = found["energy"]["rmse"], found["forces"]["rmse"]
    print(f"{family}, {name}: {errors[0]:.2f} meV/atom, {errors[1]:.1f} meV/Å", flush=True)
    return Point(family, name, potential, errors, training)


def disordered_crystal() -> Atoms:
    """Where steps are timed."""
    start = bulk("Si", cubic=True) * 3
    start.rattle(0.1, seed=1)
    return start


def draw(rows: list[list[str]]) -> None:
    """Errors of forces and energies against the time of a step, of the rows of the table."""
    names = [row[0].split(", ", 1) for row in rows]
    energies, forces, times = (np.array([float(row[k]) for row in rows]) for k in (1, 2, 3))
    families = list(dict.fromkeys(family for family, _ in names))
    labels = ("RMSE of forces / (meV/Å)", "RMSE of energies / (meV/atom)")
    with style():
        figure, panels = panel_grid(7.6, 3.6, columns=(1, 1))
        for panel, errors, label in zip(panels, (forces, energies), labels, strict=True):
            for family, color, marker in zip(families, PALETTE, "osD^", strict=False):
                some = [k for k, (kind, _) in enumerate(names) if kind == family]
                own = [k for k in some if "published" not in names[k][1]]
                shape = {"color": color, "marker": marker}
                for members, filled in ((own, True), (sorted(set(some) - set(own)), False)):
                    if not members:
                        continue
                    fill = {} if filled else {"markerfacecolor": "white", "ls": ""}
                    name = family if filled else f"{family}, published"
                    panel.plot(times[members], errors[members], **shape, **fill, lw=1, label=name)
                for k in some:
                    place = (-4, 7) if "published" in names[k][1] else (-4, -14)
                    panel.annotate(
                        short(names[k][1]),
                        (times[k], errors[k]),
                        xytext=place,
                        textcoords="offset points",
                        fontsize=7,
                    )
            panel.set(xlabel="CPU time of an atom and step / µs", ylabel=label)
            log_scale(panel, "x")
            panel.set_ylim(bottom=0)
            panel.margins(x=0.12)
        panels[0].legend(fontsize=7, loc="lower left")
        with atomic_path(FIGURE) as path:
            figure.savefig(path, format="png", dpi=130)
    print(f"wrote {FIGURE.relative_to(ROOT)}")


def short(name: str) -> str:
    """What the figure calls a model of a family: the part of its time, or the size."""
    _, cut, part = name.partition(", to ")
    for word in ("published, ", "published", " functions", ", float32", "level ", " of the time"):
        name, part = name.replace(word, ""), part.replace(word, "")
    return part if cut else name.split(", ")[0]


def main() -> None:
    """Train what is missing, measure, and print the table."""
    chosen = options(__doc__, "models", tuple(CASES), HERE / "which_model.yaml")
    torch.set_num_threads(1)
    models = list(points(chosen))
    times = microseconds([model.potential for model in models], disordered_crystal())
    rows = []
    for model, taken in zip(models, times, strict=True):
        energy, forces = model.errors
        training = "-" if np.isnan(model.training) else f"{model.training:.0f}"
        name = f"{model.family}, {model.name}"
        rows.append([name, f"{energy:.2f}", f"{forces:.1f}", f"{taken:.1f}", training])
    head = ["", "energy, meV/atom", "forces, meV/Å", "µs an atom", "training, CPU s"]
    print(table(head, rows))
    if chosen.write:
        rows = rows_with("which model", head, rows, PAGE)
        draw(rows)
        write_section("which model", table(head, rows), PAGE)


if __name__ == "__main__":
    main()
