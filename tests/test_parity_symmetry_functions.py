"""Symmetry functions against numbers that n2p2 printed (not part of the repository)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase.data import atomic_numbers
from pydantic import TypeAdapter

from ladera import Graph
from ladera.data import formats
from ladera.kernels.symmetry_functions import cpu
from ladera.kernels.symmetry_functions.environment import Edges
from ladera.kernels.symmetry_functions.functions import SymmetryFunction
from ladera.kernels.symmetry_functions.plan import make_plan
from ladera.units import METAL

DATA = Path(__file__).parents[2] / "shared" / "data" / "n2p2"
ZOO = sorted((DATA / "sf_zoo").glob("*.nn"))
pytestmark = pytest.mark.skipif(
    not ZOO, reason=f"the reference numbers in {DATA} are not on this machine"
)


NAMES = {
    number: (kind, names)
    for kind, number, names in (
        ("radial", "2", ("neighbor", "eta", "shift", "cutoff")),
        ("narrow", "3", ("neighbor", "neighbor", "eta", "lambda", "zeta", "cutoff", "shift")),
        ("wide", "9", ("neighbor", "neighbor", "eta", "lambda", "zeta", "cutoff", "shift")),
        ("weighted_radial", "12", ("eta", "shift", "cutoff")),
        ("weighted_narrow", "13", ("eta", "shift", "lambda", "zeta", "cutoff")),
    )
}
for number, kind in (("20", "radial"), ("21", "narrow"), ("22", "wide")):
    partners = ("neighbor",) * (1 if kind == "radial" else 2)
    window = () if kind == "radial" else ("angle_left", "angle_right")
    own = ("inner", "cutoff", *window, "shape")
    NAMES[number] = f"polynomial_{kind}", (*partners, *own)
    NAMES[str(int(number) + 3)] = f"weighted_polynomial_{kind}", own
SHAPE_OF = {"e": "exponential"} | {
    f"p{n}{a}": f"poly{n}" + ("_asymmetric" if a else "") for n in range(1, 5) for a in ("", "a")
}
FUNCTION: TypeAdapter[SymmetryFunction] = TypeAdapter(SymmetryFunction)


def read_function(words: list[str]) -> SymmetryFunction:
    """The words after `symfunction_short`."""
    kind, names = NAMES[words[1]]
    values: dict[str, object] = {"kind": kind, "center": words[0]}
    pairs = list(zip(names, words[2:], strict=False))
    neighbors = [word for name, word in pairs if name == "neighbor"]
    for name, word in pairs[len(neighbors) :]:
        values[name] = SHAPE_OF[word] if name == "shape" else float(word)
    return FUNCTION.validate_python(values | {"neighbors": neighbors})


def read_settings(path: Path) -> tuple[list[str], int, float, list[SymmetryFunction]]:
    """Elements, cutoff type and alpha, and the functions of an input.nn."""
    elements, cutoff_type, alpha, functions = [], 1, 0.0, []
    for line in path.read_text().splitlines():
        words = line.split("#")[0].split()
        if words[:1] == ["elements"]:
            elements = sorted(words[1:], key=atomic_numbers.__getitem__)
        elif words[:1] == ["cutoff_type"]:
            cutoff_type, alpha = int(words[1]), float(words[2]) if len(words) > 2 else 0.0
        elif words[:1] == ["symfunction_short"]:
            functions.append(read_function(words[1:]))
    return elements, cutoff_type, alpha, functions


class Case:
    """A plan, a structure, and the arguments of the loops."""

    def __init__(self, settings: Path, structure: Path) -> None:
        species, cutoff_type, alpha, functions = read_settings(settings)
        frame = formats.read(structure, units=METAL)[0]  # the files have no units: used as they are
        atoms = frame.to_atoms()
        self.plan = make_plan(species, functions, cutoff_type, alpha)
        self.graph = Graph.from_atoms(atoms, max(f.cutoff for f in functions))
        self.index = np.array([species.index(symbol) for symbol in atoms.symbols])
        neighbors = self.graph.neighbors.numpy()
        self.edges = Edges(
            self.graph.vectors.numpy(),
            self.graph.row_pointer.numpy(),
            self.index,
            self.index[neighbors],
        )

    def compare_values(self, expected: Path) -> int:
        """Relative deviations below 1e-10; returns how many numbers were compared."""
        G = cpu.values(self.plan, self.edges)
        compared = 0
        rows = [line.split() for line in expected.read_text().splitlines() if line[0] != "#"]
        for atom, row in enumerate(rows):
            count = self.plan.counts[self.index[atom]]
            reference = np.array([float(word) for word in row[2:]])
            assert len(reference) == count
            scale = np.abs(reference).max()
            np.testing.assert_allclose(G[atom, :count], reference, rtol=1e-10, atol=1e-14 * scale)
            compared += count
        return compared

    def derivatives(self) -> np.ndarray:
        """dG_if/dr_a, (n_atoms, n_functions, n_atoms, 3), one function after the other."""
        n = len(self.index)
        centers, neighbors = self.graph.centers.numpy(), self.graph.neighbors.numpy()
        result = np.zeros((n, self.plan.n_functions, n, 3))
        for column in range(self.plan.n_functions):
            G_bar = np.zeros((n, self.plan.n_functions))
            G_bar[:, column] = 1.0
            gradient = cpu.reverse(self.plan, self.edges, G_bar)
            np.add.at(result, (centers, column, neighbors), gradient)
            np.add.at(result, (centers, column, centers), -gradient)
        return result

    def compare_derivatives(self, expected: Path) -> None:
        """Deviations below 1e-10 of the largest derivative of the same function."""
        reference = np.zeros((len(self.index), self.plan.n_functions, len(self.index), 3))
        for i, f, a, x, y, z in np.loadtxt(expected):
            reference[int(i), int(f) - 1, int(a)] = x, y, z
        scale = np.abs(reference).max(axis=(0, 2, 3))[None, :, None, None]
        deviation = np.abs(self.derivatives() - reference)
        assert (deviation <= 1e-10 * np.maximum(scale, 1e-6)).all(), (deviation / scale).max()


@pytest.mark.parametrize("structure", ["cluster", "triclinic"])
@pytest.mark.parametrize("settings", ZOO, ids=lambda path: path.stem)
def test_every_type_and_cutoff_function(settings: Path, structure: str) -> None:
    folder = settings.parent
    prefix = f"{settings.stem}_{structure}"
    values = folder / "expected" / f"{prefix}_sf_raw.dat"
    if not values.is_file():
        pytest.skip(f"no reference numbers: {values.name}")
    case = Case(settings, folder / f"{structure}.data")
    assert case.compare_values(values) > 100
    derivatives = folder / "expected" / f"{prefix}_dGdr.dat"
    if derivatives.is_file():
        case.compare_derivatives(derivatives)


@pytest.mark.parametrize("settings", ZOO, ids=lambda path: path.stem)
def test_order_of_the_functions(settings: Path) -> None:
    species, cutoff_type, alpha, functions = read_settings(settings)
    plan = make_plan(species, functions, cutoff_type, alpha)
    ours = [f for group in plan.functions for f in group]
    order = settings.parent / "expected" / f"{settings.stem}_cluster_sf_order.dat"
    lines = settings.read_text().splitlines()
    theirs = [
        read_function(lines[int(row.split()[2]) - 1].split()[1:])
        for row in order.read_text().splitlines()
        if row[0] != "#"
    ]
    assert ours == theirs


@pytest.mark.parametrize("case", ["water24", "water36", "water1080"])
def test_water_in_cells_smaller_than_the_cutoff(case: str) -> None:
    folder = DATA / "H2O_RPBE-D3"
    water = Case(folder / "potential" / "input.nn", folder / case / "input.data")
    assert water.compare_values(folder / case / "expected_sf_raw.dat") > 500
    if case == "water24":
        water.compare_derivatives(folder / case / "expected_dGdr.dat")


@pytest.mark.parametrize(("name", "count"), [("Cu2S_PBE", 5000), ("DMABN_SCAN", 1000)])
def test_shipped_potentials(name: str, count: int) -> None:
    folder = DATA / name
    case = Case(folder / "input.nn", folder / "input.data")
    assert case.compare_values(folder / "expected_sf_raw.dat") > count
