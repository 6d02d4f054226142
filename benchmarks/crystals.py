"""Lattice, elasticity and phonons of Si, Cu and Ni by published networks, against references.

    python benchmarks/crystals.py [--write]

The networks are those that Zuo et al., J. Phys. Chem. A 124, 731 (2020), fitted to their mlearn
data (folders of n2p2 in ../shared/data/mlearn_potentials). ``--write`` puts the table into
docs/crystals.md.
"""

from __future__ import annotations

import argparse

import numpy as np
from ase import Atoms
from ase.build import bulk
from page import DATA, ROOT, table, write_section

import ladera
from ladera.properties.elasticity import elasticity
from ladera.properties.equation_of_state import equation_of_state
from ladera.properties.phonons import force_constants, frequencies, supercell_size
from ladera.simulation.relaxation import relax

PAGE = ROOT / "docs" / "crystals.md"
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


def rows_of(symbol: str) -> list[tuple[str, ...]]:
    """Lines of the table for one element."""
    folder = DATA / "data" / "mlearn_potentials" / symbol / "nnp"
    model = ladera.load(folder, units="bohr-hartree")
    lattice, a = START[symbol]
    conventional = bulk(symbol, lattice, a=a, cubic=True)
    relaxed = relax(conventional, model, fmax=1e-4, cell=True, symmetry=True).atoms
    relaxed.calc = model.calculator()
    a = relaxed.cell.lengths()[0]
    c = elasticity(relaxed).stiffness
    modulus = equation_of_state(relaxed).bulk_modulus[0]
    values = (a, c[0, 0], c[0, 1], c[3, 3], modulus)
    names = ("a (Å)", "C11 (GPa)", "C12 (GPa)", "C44 (GPa)", "B (GPa)")
    rows = []
    for i, (name, value) in enumerate(zip(names, values, strict=True)):
        others = (DFT[symbol][i], EXPERIMENT[symbol][i])
        shown = ("" if other is None else f"{other:g}" for other in others)
        rows.append((symbol if i == 0 else "", name, f"{value:.{1 if i else 3}f}", *shown))
    primitive = bulk(symbol, lattice, a=a)
    primitive.calc = model.calculator()
    return rows + phonon_rows(symbol, primitive)


def phonon_rows(symbol: str, primitive: Atoms) -> list[tuple[str, ...]]:
    """Distinct frequencies at each point beside the measured ones."""
    found = force_constants(primitive, supercell_size(primitive, None), 0.01)
    rows = []
    for (name, point), measured in MEASURED[symbol].items():
        values = np.sort(frequencies(found, np.array([point]))[0])
        distinct = [
            v for i, v in enumerate(values) if v > 0.1 and (i == 0 or v - values[i - 1] > 0.02)
        ]
        shown = ", ".join(f"{value:.2f}" for value in distinct)
        rows.append(
            ("", f"phonons at {name} (THz)", shown, "", ", ".join(f"{m:g}" for m in measured))
        )
    return rows


def main() -> None:
    """Print the table, and write it if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="into docs/crystals.md")
    arguments = parser.parse_args()
    rows = [row for symbol in START for row in rows_of(symbol)]
    header = ("", "", "network", "DFT of its data", "experiment, 300 K")
    text = table(header, rows)
    print(text)
    if arguments.write:
        write_section("mlearn", text, PAGE)


if __name__ == "__main__":
    main()
