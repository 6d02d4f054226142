"""Which grade finds the atoms and frames that a model gets wrong: ranges, active set or committee?

    python benchmarks/grades.py RUNS [--cases Si-hdnnp ...] [--members 3] [--write]

RUNS receives a training run for each case, a committee of three small models, unless it is there.
They learn from the cold frames of a data set (elastic, surfaces, 300 and 843 K of mlearn's silicon
and molybdenum; 300 K of acetylacetone) and predict others of the same kind and hot ones. Every
number is an area under the receiver operating characteristic: the probability that, of two atoms
(or frames) one of which is bad, the grade of the bad one is larger; 1 is perfect, 0.5 a coin. Bad
are the tenth of the atoms with the largest errors of the force, the tenth of the frames with the
largest such error, and, as a third question, the hot frames.

Grades are those of one model (ranges, active set) and of the committee (standard deviation of the
force); beside them the leverage of the active set's features, sqrt(b (B^T B)^-1 b) with B of the
training atoms, over the largest one of these, so that 1 is its edge, too. Two more rows have the
rank correlation of a grade with the errors of the force. A second table has the shares of atoms
beyond the edge. --write renews the section and the figure of docs/uncertainty.md.
"""

from __future__ import annotations

import argparse
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import ase.io
import matplotlib.pyplot as plt
import numpy as np
import torch
from ase import Atoms
from page import DATA, ROOT, table, write_section
from scipy.stats import rankdata, spearmanr

import ladera
from ladera.data.graphs import GraphStore
from ladera.graph import Graph
from ladera.models.hdnnp.base import SymmetryFunctionPotential
from ladera.plotting import FAINT, PALETTE, style
from ladera.potential import evaluate
from ladera.quantities import FORCES
from ladera.training import config_file
from ladera.training.active_set import choose_active_set
from ladera.training.trainer import train

HOTTEST = 900.0  # K, of what counts as cold
BAD = 0.1  # the share of atoms or frames that are called bad
PAGE = ROOT / "docs" / "uncertainty.md"


class Frames(NamedTuple):
    """What a case trains on and predicts."""

    train: list[Atoms]
    cold: list[Atoms]
    hot: list[Atoms]


def mlearn(element: str) -> Frames:
    """Cold and hot frames of an element."""
    folder = DATA / "data" / "mlearn"
    parts: dict[str, list[Atoms]] = {}
    for name in ("train", "test"):
        for atoms in ase.io.read(folder / f"{element}_{name}.extxyz.gz", ":"):
            found = re.search(r"([0-9]+) K\b", str(atoms.info.get("description", "")))
            hot = found is not None and float(found[1]) > HOTTEST
            parts.setdefault("hot" if hot else name, []).append(atoms)
    train = parts["train"]
    return Frames(train[::2] + train[1::4], parts["test"] + train[3::4], parts["hot"][::2])


def acetylacetone() -> Frames:
    """300 K, and 600 K."""
    folder = DATA / "data" / "acac"
    train, hot = (ase.io.read(folder / f"train_{t}K.extxyz.gz", ":") for t in (300, 600))
    cold = ase.io.read(folder / "test_MD_300K.extxyz.gz", ":")
    return Frames(train[:200], cold[:250], hot[::2])


DATA_SETS: dict[str, Callable[[], Frames]] = {
    "Si": lambda: mlearn("Si"),
    "Mo": lambda: mlearn("Mo"),
    "AcAc": acetylacetone,
}
MODELS: dict[str, dict[str, Any]] = {
    "hdnnp": {
        "model": {"architecture": "hdnnp", "cutoff": 5.0, "hidden_layers": [32, 32]},
        "optimizer": {"learning_rate": 0.01},
        "epochs": 30,
    },
    "mace": {
        "model": {
            "architecture": "mace",
            "cutoff": 4.5,
            "channels": 16,
            "max_l": 2,
            "hidden_l": 0,
            "correlation": 2,
            "radial_layers": [32],
        },
        "optimizer": {"learning_rate": 0.01},
        "epochs": 15,
        "precision": "float32",
    },
}
CASES = [f"{data}-{model}" for data in DATA_SETS for model in MODELS]


def committee(folder: Path, model: str, frames: Frames, members: int) -> ladera.Potential:
    """The committee of a case, or a single model, trained unless it is there."""
    if (folder / "model.ladera").is_file():
        return ladera.load(folder / "model.ladera")
    folder.mkdir(parents=True, exist_ok=True)
    data = folder.parent / f"{folder.name}.extxyz"
    ase.io.write(data, frames.train)
    values = (
        MODELS[model]
        | {
            "data": {"files": str(data), "split": {"validation": 0.1, "test": 0}},
            "loss": {"energy": 10, "forces": 1},
            "batch_size": 4 if len(frames.train[0]) > 20 else 10,
            "ema_decay": 0.99,
        }
        | ({"committee": {"members": members, "parallel": 1}} if members > 1 else {})
    )
    start = time.perf_counter()
    potential = train(config_file.parse(values, "The benchmark"), folder)
    print(f"trained {folder.name} in {time.perf_counter() - start:.0f} s", flush=True)
    return potential


GRADES = ("ranges", "active set", "leverage", "committee")
WITH_EDGE = GRADES[:3]


class Found(NamedTuple):
    """What one case gave: of each atom and frame the grades, errors, and whether it is hot."""

    atoms: dict[str, np.ndarray]
    frames: dict[str, np.ndarray]
    # Of cold and of hot atoms, and of the tenth with the largest errors, the share above 1.
    outside: dict[str, tuple[float, float, float]]


def found(potential: ladera.Potential, frames: Frames, leverage: Leverage) -> Found:
    """Grades and errors of the cold and the hot frames."""
    hot = np.repeat([False, True], [len(frames.cold), len(frames.hot)])
    given = [*frames.cold, *frames.hot]
    each = [_of_frame(potential, atoms, leverage) for atoms in given]
    atoms = {name: np.concatenate([of[name] for of in each]) for name in each[0]}
    worst = {name: np.array([of[name].max() for of in each]) for name in each[0]}
    atoms["hot"] = np.repeat(hot, [len(structure) for structure in given])
    outside = {
        name: tuple(
            float((atoms[name][which] > 1).mean())
            for which in (~atoms["hot"], atoms["hot"], bad_of(atoms, name, "worst atoms"))
        )
        for name in WITH_EDGE
        if name in atoms
    }
    return Found(atoms, worst | {"hot": hot}, outside)


def _of_frame(
    committee: ladera.Potential, atoms: Atoms, leverage: Leverage
) -> dict[str, np.ndarray]:
    """Grades of the atoms, and the errors of their forces: of one model, and of the committee."""
    graph, reference = Graph.from_atoms(atoms, committee.cutoff), atoms.get_forces()
    with torch.no_grad():
        prediction = evaluate(committee, graph)
        one, said = (*committee.members, committee)[0], (*prediction.members, prediction)[0]
        values = {"active set": one.active_set_grade(said.graph, said), "leverage": leverage(graph)}
        if isinstance(one, SymmetryFunctionPotential):
            values["ranges"] = one.range_grade(graph)
    if prediction.members:
        values["committee"] = prediction.std[FORCES].norm(dim=1)
    errors = {"error": said.forces, "error of the mean": prediction.forces}
    return {name: each.numpy() for name, each in values.items() if each is not None} | {
        name: np.linalg.norm(each.numpy() - reference, axis=1) for name, each in errors.items()
    }


class Leverage:
    """sqrt(b (B^T B)^-1 b) of the features b over the largest of the training atoms, rows of B."""

    def __init__(self, model: ladera.Potential, graphs: list[Graph]) -> None:
        self._model, rows = model, dict[int, list[torch.Tensor]]()
        for graph in graphs:
            features = self._features(graph)
            for number in graph.numbers.unique().tolist():
                rows.setdefault(number, []).append(features[graph.numbers == number])
        self._whitening = {number: _whitening(torch.cat(each)) for number, each in rows.items()}
        for number, each in rows.items():
            largest = (torch.cat(each) @ self._whitening[number]).norm(dim=1).max()
            self._whitening[number] /= largest

    def _features(self, graph: Graph) -> torch.Tensor:
        with torch.no_grad():
            return self._model.grade_features(graph).double()

    def __call__(self, graph: Graph) -> torch.Tensor:
        """(n_atoms,)."""
        features, values = self._features(graph), torch.zeros(graph.n_atoms, dtype=torch.float64)
        for number, matrix in self._whitening.items():
            own = graph.numbers == number
            values[own] = (features[own] @ matrix).norm(dim=1)
        return values


def _whitening(rows: torch.Tensor) -> torch.Tensor:
    values, vectors = torch.linalg.eigh(rows.T @ rows / len(rows))
    return vectors / torch.sqrt(values + 1e-8 * values.max())


def area(grades: np.ndarray, bad: np.ndarray) -> float:
    """Under the receiver operating characteristic: Mann and Whitney's U over n_bad n_good."""
    n_bad, n_good = int(bad.sum()), int((~bad).sum())
    return float((rankdata(grades)[bad].sum() - n_bad * (n_bad + 1) / 2) / (n_bad * n_good))


def bad_of(values: dict[str, np.ndarray], grade: str, question: str) -> np.ndarray:
    """What is bad: the tenth with the largest errors of whom the grade is of, or what is hot."""
    if question == "hot frames":
        return values["hot"]
    errors = values["error of the mean" if grade == "committee" else "error"]
    return errors > np.quantile(errors, 1 - BAD)


ABOVE = [f"{which} atoms above 1" for which in ("cold", "hot", "worst")]
QUESTIONS = {"worst atoms": "atoms", "worst frames": "frames", "hot frames": "frames"}


def rows_of(case: str, of: Found) -> list[list[str]]:
    """A row of the table for each question."""
    rows = []
    for question, which in QUESTIONS.items():
        values = getattr(of, which)
        cells = [
            f"{area(values[name], bad_of(values, name, question)):.2f}" if name in values else ""
            for name in GRADES
        ]
        rows.append([case, question, *cells])
    for question, which in (("errors of atoms", "atoms"), ("errors of frames", "frames")):
        values = getattr(of, which)
        cells = []
        for name in GRADES:
            errors = values["error of the mean" if name == "committee" else "error"]
            known = name in values
            cells.append(f"{spearmanr(values[name], errors).statistic:.2f}" if known else "")
        rows.append([case, f"{question} (correlation)", *cells])
    return rows


def draw(cases: dict[str, Found], path: Path) -> None:
    """Receiver operating characteristics of the worst atoms, a panel for each case."""
    with style():
        figure, panels = plt.subplots(
            1, len(cases), figsize=(2.6 * len(cases), 2.8), sharey=True, squeeze=False
        )
        for panel, (case, of) in zip(panels[0], cases.items(), strict=True):
            for name, color in zip(GRADES, PALETTE, strict=False):
                if name in of.atoms:
                    bad = bad_of(of.atoms, name, "worst atoms")
                    order = np.argsort(-of.atoms[name], kind="stable")
                    hits = np.cumsum(bad[order]) / bad.sum()
                    alarms = np.cumsum(~bad[order]) / (~bad).sum()
                    panel.plot(100 * alarms, 100 * hits, color=color, lw=1.2, label=name)
            panel.plot([0, 100], [0, 100], color=FAINT, lw=0.8)
            panel.set(title=case, xlabel="false alarms (%)")
        panels[0][0].set(ylabel="worst atoms found (%)")
        panels[0][0].legend(fontsize=7)
        figure.savefig(path, dpi=130, bbox_inches="tight")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", type=Path)
    parser.add_argument("--cases", nargs="+", default=CASES, choices=CASES)
    parser.add_argument("--members", type=int, default=3, help="1 for no committee")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    rows, shares, cases = [], [], {}
    for case in options.cases:
        data, model = case.split("-")
        frames = DATA_SETS[data]()
        potential = committee(options.runs / case, model, frames, options.members)
        dataset = ladera.read(options.runs / f"{case}.extxyz")
        one = (*potential.members, potential)[0]
        train = np.array(potential.provenance["split"]["train"])
        graphs = GraphStore(dataset, one.cutoff)
        if one.active_set is None:  # a run of an older Ladera
            choose_active_set(one, dataset, graphs, train)
        leverage = Leverage(one, [graphs[int(k)] for k in train])
        cases[case] = found(potential, frames, leverage)
        rows += rows_of(case, cases[case])
        shares += [
            [case, name, *(f"{100 * share:.1f} %" for share in found_outside)]
            for name, found_outside in cases[case].outside.items()
        ]
    text = table(["model", "to be found", *GRADES], rows)
    text += "\n\n" + table(["model", "grade", *ABOVE], shares)
    print(text)
    if options.write:
        draw(cases, ROOT / "docs" / "images" / "grades.png")
        write_section("grades", text, PAGE)


if __name__ == "__main__":
    main()
