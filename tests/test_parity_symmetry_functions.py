"""Symmetry functions against numbers that n2p2 printed (not part of the repository)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ladera import Graph
from ladera.data import formats
from ladera.kernels.symmetry_functions import cpu
from ladera.kernels.symmetry_functions.functions import GaussianFunction
from ladera.kernels.symmetry_functions.plan import make_plan
from ladera.units import METAL

DATA = Path(__file__).parents[2] / "shared" / "data" / "n2p2"
ZOO = sorted((DATA / "sf_zoo").glob("exp_ct*.nn"))
pytestmark = pytest.mark.skipif(
    not ZOO, reason=f"the reference numbers in {DATA} are not on this machine"
)


def read_settings(path: Path) -> tuple[list[str], int, float, list[GaussianFunction]]:
    """Elements, cutoff type and alpha, and the functions of types 2, 3 and 9 of an input.nn."""
    elements, cutoff_type, alpha, functions = [], 1, 0.0, []
    for line in path.read_text().splitlines():
        words = line.split("#")[0].split()
        if not words:
            continue
        if words[0] == "elements":
            elements = words[1:]
        elif words[0] == "cutoff_type":
            cutoff_type, alpha = int(words[1]), float(words[2]) if len(words) > 2 else 0.0
        elif words[0] == "symfunction_short" and words[2] in ("2", "3", "9"):
            kind = {"2": "radial", "3": "narrow", "9": "wide"}[words[2]]
            partners = 1 if kind == "radial" else 2
            numbers = [float(word) for word in words[3 + partners :]]
            names = (
                ("eta", "shift", "cutoff")
                if kind == "radial"
                else ("eta", "lambda", "zeta", "cutoff", "shift")
            )
            parameters = dict(zip(names, numbers, strict=False))
            functions.append(
                GaussianFunction.model_validate(
                    {
                        "kind": kind,
                        "center": words[1],
                        "neighbors": words[3 : 3 + partners],
                        **parameters,
                    }
                )
            )
    return elements, cutoff_type, alpha, functions


def compare(settings: Path, structure: Path, expected: Path) -> int:
    """Largest relative deviations below 1e-10; returns how many numbers were compared."""
    elements, cutoff_type, alpha, functions = read_settings(settings)
    frame = formats.read(structure, units=METAL)[0]  # the files have no units: used as they are
    atoms = frame.to_atoms()
    species = sorted(elements, key=lambda s: int(atoms.numbers[atoms.symbols == s][0]))
    plan = make_plan(species, functions, cutoff_type, alpha)
    graph = Graph.from_atoms(atoms, max(f.cutoff for f in functions))
    index = np.array([species.index(symbol) for symbol in atoms.symbols])
    G = cpu.values(
        plan, graph.vectors.numpy(), graph.row_pointer.numpy(), index, index[graph.neighbors]
    )
    compared = 0
    rows = [line.split() for line in expected.read_text().splitlines() if line[0] != "#"]
    for atom, row in enumerate(rows):
        count = plan.counts[index[atom]]
        reference = np.array([float(word) for word in row[2 : 2 + count]])
        scale = np.abs(reference).max()
        np.testing.assert_allclose(G[atom, :count], reference, rtol=1e-10, atol=1e-14 * scale)
        compared += count
    return compared


@pytest.mark.parametrize("structure", ["cluster", "triclinic"])
@pytest.mark.parametrize("settings", ZOO, ids=lambda path: path.stem)
def test_all_cutoff_functions(settings: Path, structure: str) -> None:
    folder = settings.parent
    expected = folder / "expected" / f"{settings.stem}_{structure}_sf_raw.dat"
    assert compare(settings, folder / f"{structure}.data", expected) > 100


@pytest.mark.parametrize("case", ["water24", "water36", "water1080"])
def test_water_in_cells_smaller_than_the_cutoff(case: str) -> None:
    folder = DATA / "H2O_RPBE-D3"
    files = folder / case / "input.data", folder / case / "expected_sf_raw.dat"
    assert compare(folder / "potential" / "input.nn", *files) > 500


def test_copper_sulfide() -> None:
    folder = DATA / "Cu2S_PBE"
    files = folder / "input.data", folder / "expected_sf_raw.dat"
    assert compare(folder / "input.nn", *files) > 5000
