"""Lattice, elasticity and phonons of Si, Cu and Ni by two networks each, against references.

    python benchmarks/crystals.py RUNS [--train] [--write]

One network is that which Zuo et al., J. Phys. Chem. A 124, 731 (2020), fitted to their mlearn data
(folders of n2p2 in ../shared/data/mlearn_potentials). The other Ladera trained on the same frames;
RUNS holds its run for each element, and with --train missing ones are made, by
benchmarks/silicon.yaml with the cutoff of the published network. ``--write`` puts the table into
docs/crystals.md.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from ase import Atoms
from ase.build import bulk
from page import DATA, ROOT, table, write_section
from runs import trained

import ladera
from ladera.properties.elasticity import elasticity
from ladera.properties.equation_of_state import equation_of_state
from ladera.properties.phonons import force_constants, frequencies, supercell_of
from ladera.simulation.relaxation import relax

PAGE = ROOT / "docs" / "crystals.md"
MLEARN = DATA / "data" / "mlearn"
PUBLISHED = DATA / "data" / "mlearn_potentials"
CONFIG = Path(__file__).with_name("silicon.yaml")
# Lattice constant (A), C11, C12, C44 and bulk modulus (GPa) by density functional theory, as Zuo et
# al. have them, and by experiment at 300 K (Landolt-Boernstein III/29a).
DFT = {
    "Si": (5.469, 156, 65, 76, None),
    "Cu": (3.621, 173, 133, 88, None),
    "Ni": (3.508, 276, 159, 132, None),
}
EXPERIMENT = {
    "Si": (5.431, 165.7, 63.9, 79.6, 98),
    "Cu": (3.615, 168.4, 121.4, 75.4, 137),
    "Ni": (3.524, 250.8, 150.0, 123.5, 184),
}
# Wave vectors of the primitive cell, and measured frequencies in THz.
X, L, GAMMA = (0.5, 0.5, 0.0), (0.5, 0.5, 0.5), (0.0, 0.0, 0.0)
MEASURED = {
    "Si": {
        ("Γ", GAMMA): (15.53,),
        ("X", X): (4.49, 12.32, 13.90),
        ("L", L): (3.43, 11.35, 12.60, 14.68),
    },
    "Cu": {("X", X): (5.10, 7.25), ("L", L): (3.42, 7.30)},
    "Ni": {("X", X): (6.27, 8.55)},
}
START = {"Si": ("diamond", 5.47), "Cu": ("fcc", 3.63), "Ni": ("fcc", 3.52)}


NAMES = ("a (Å)", "C11 (GPa)", "C12 (GPa)", "C44 (GPa)", "B (GPa)")


def rows_of(symbol: str, runs: Path, train_missing: bool) -> list[tuple[str, ...]]:
    """Lines of the table for one element."""
    published = ladera.load(PUBLISHED / symbol / "nnp", units="bohr-hartree")
    changes = [
        f"data.files={MLEARN / f'{symbol}_train.extxyz.gz'}",
        "data.test_files=[]",
        f"model.cutoff={published.cutoff:.4f}",
    ]
    run = trained(runs / symbol, CONFIG, changes, train_missing)
    columns = [properties_of(symbol, published), properties_of(symbol, run[0]) if run else {}]
    references = [
        dict(zip(NAMES, table, strict=True)) for table in (DFT[symbol], EXPERIMENT[symbol])
    ]
    references[1] |= {phonon_name(name): values for (name, _), values in MEASURED[symbol].items()}
    columns += [{name: shown(value) for name, value in column.items()} for column in references]
    return [
        (symbol if i == 0 else "", name, *(column.get(name, "") for column in columns))
        for i, name in enumerate(columns[0])
    ]


def properties_of(symbol: str, model: ladera.Potential) -> dict[str, str]:
    """What a network makes of a crystal, as the table shows it."""
    lattice, a = START[symbol]
    conventional = bulk(symbol, lattice, a=a, cubic=True)
    relaxed = relax(conventional, model, fmax=1e-4, cell=True, symmetry=True).atoms
    relaxed.calc = model.calculator()
    a = relaxed.cell.lengths()[0]
    c = elasticity(relaxed).stiffness
    modulus = equation_of_state(relaxed).bulk_modulus[0]
    values = (a, c[0, 0], c[0, 1], c[3, 3], modulus)
    result = {
        name: f"{v:.{1 if i else 3}f}"
        for i, (name, v) in enumerate(zip(NAMES, values, strict=True))
    }
    primitive = bulk(symbol, lattice, a=a)
    primitive.calc = model.calculator()
    return result | phonons_of(symbol, primitive)


def phonons_of(symbol: str, primitive: Atoms) -> dict[str, str]:
    """Distinct frequencies at the points where there are measured ones."""
    constants = force_constants(*supercell_of(primitive, None), 0.01)
    result = {}
    for name, point in MEASURED[symbol]:
        values = np.sort(frequencies(constants, np.array([point]))[0])
        distinct = [
            v for i, v in enumerate(values) if v > 0.1 and (i == 0 or v - values[i - 1] > 0.02)
        ]
        result[phonon_name(name)] = ", ".join(f"{value:.2f}" for value in distinct)
    return result


def phonon_name(point: str) -> str:
    """Name of a row."""
    return f"phonons at {point} (THz)"


def shown(value: float | tuple[float, ...] | None) -> str:
    """A reference value, or several, as the table shows them."""
    if value is None:
        return ""
    return ", ".join(f"{v:g}" for v in (value if isinstance(value, tuple) else (value,)))


def main() -> None:
    """Print the table, and write it if asked."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", type=Path)
    parser.add_argument("--train", action="store_true", help="networks that are missing in RUNS")
    parser.add_argument("--write", action="store_true", help="into docs/crystals.md")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = [row for symbol in START for row in rows_of(symbol, arguments.runs, arguments.train)]
    header = ("", "", "published network", "Ladera's", "DFT of the data", "experiment, 300 K")
    text = table(header, rows)
    print(text)
    if arguments.write:
        write_section("mlearn", text, PAGE)


if __name__ == "__main__":
    main()
