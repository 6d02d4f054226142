"""Infrared spectrum of formaldehyde: a network with dipoles, its level of theory, experiment.

    ladera train benchmarks/formaldehyde.yaml --output formaldehyde
    pip install pyscf
    python benchmarks/formaldehyde.py formaldehyde --write

Frequencies and intensities come from the same function of Ladera, once with the network's
calculator and once with PySCF's B3LYP/cc-pVDZ, the level of the training data; each at its own
minimum. ``--write`` puts the table into docs/infrared.md.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.optimize import BFGS
from page import ROOT, table, write_section

import ladera
from ladera.properties.vibrations import Vibrations, vibrations
from ladera.units import BOHR, HARTREE

PAGE = ROOT / "docs" / "infrared.md"
# Observed fundamentals of the gas, cm^-1, in the order of the frequencies: v4, v6, v3, v2, v1, v5.
MODES = (
    ("out of plane", 1167),
    ("CH₂ rock", 1249),
    ("CH₂ scissors", 1500),
    ("C=O stretch", 1746),
    ("CH₂ symmetric stretch", 2783),
    ("CH₂ antisymmetric stretch", 2843),
)


class B3LYP(Calculator):
    """B3LYP/cc-pVDZ by PySCF, with the dipole moment."""

    implemented_properties: ClassVar[list[str]] = ["energy", "forces", "dipole"]
    _density: Any = None

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = all_changes,
    ) -> None:
        """Fill the results."""
        from pyscf import dft, gto
        from pyscf.grad import rks

        super().calculate(atoms, properties, system_changes)
        places = list(zip(self.atoms.symbols, self.atoms.positions, strict=True))
        field = dft.RKS(gto.M(atom=places, basis="cc-pvdz", verbose=0), xc="b3lyp")
        field.grids.level, field.conv_tol = 4, 1e-11
        energy = field.kernel(dm0=self._density)
        self._density = field.make_rdm1()
        gradient = rks.Gradients(field)
        gradient.grid_response = True
        self.results = {
            "energy": energy * HARTREE,
            "forces": -gradient.kernel() * HARTREE / BOHR,
            "dipole": field.dip_moment(unit="AU", verbose=0) * BOHR,
        }


def at_minimum(calculator: Calculator) -> Vibrations:
    """Vibrations of formaldehyde where the calculator has its minimum."""
    places = [[0, 0, 0], [0, 0, 1.2], [0.94, 0, -0.58], [-0.94, 0, -0.58]]
    atoms = Atoms("COHH", places, calculator=calculator)
    BFGS(atoms, logfile=None).run(fmax=5e-4)
    return vibrations(atoms, infrared=True)


def main() -> None:
    """Print the table, and write it if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", help="model file, or folder of the training run")
    parser.add_argument("--write", action="store_true", help="into docs/infrared.md")
    arguments = parser.parse_args()
    network, theory = at_minimum(ladera.load(arguments.model).calculator()), at_minimum(B3LYP())
    rows = [
        (
            name,
            f"{network.frequencies[i]:.1f}",
            f"{theory.frequencies[i]:.1f}",
            f"{network.frequencies[i] - theory.frequencies[i]:+.1f}",
            str(observed),
            f"{network.intensities[i]:.1f}",
            f"{theory.intensities[i]:.1f}",
        )
        for i, (name, observed) in enumerate(MODES)
    ]
    header = (
        "mode", "network (cm⁻¹)", "B3LYP (cm⁻¹)", "difference", "observed (cm⁻¹)",
        "network (km/mol)", "B3LYP (km/mol)",
    )  # fmt: skip
    text = table(header, rows)
    print(text)
    strong = theory.intensities > 10
    apart = np.abs(network.intensities / theory.intensities - 1)[strong].max()
    print(f"largest relative difference of the intensities above 10 km/mol: {100 * apart:.1f} %")
    if arguments.write:
        write_section("formaldehyde", text, PAGE)


if __name__ == "__main__":
    main()
