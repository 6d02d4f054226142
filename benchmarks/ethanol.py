"""Infrared spectrum of ethanol: a model that Ladera ships and the level of theory of its data.

    pip install pyscf
    python benchmarks/ethanol.py --write

At the model's minimum of trans ethanol and along each of its normal modes, the curvature of the
energy and the slope of the dipole by PySCF, set up as scripts/make_ethanol.py does. They are those
of the theory's own modes but for what differs between the modes. ``--write`` puts the table into
docs/infrared.md.
"""

from __future__ import annotations

import argparse
from typing import Any, Final

import numpy as np
from ase import Atoms, units
from ase.build import molecule
from ase.optimize import BFGS
from page import ROOT, table, write_section

import ladera
from ladera.properties.vibrations import vibrations
from ladera.units import BOHR, HARTREE

PAGE: Final = ROOT / "docs" / "infrared.md"
# As in scripts/make_ethanol.py, which needs more packages than this one.
GRID: Final = {"H": (40, 194), "C": (60, 434), "O": (60, 434)}
STEP: Final = 0.02  # along a mode, sqrt(amu) Angstrom
KM_PER_MOL: Final = 42.2561 / 0.2081943**2  # of (e / sqrt(amu))^2; 42.2561 is of (D/A)^2 / amu


class DataLevel:
    """B3LYP/def2-SVP with density fitting, as the embedded data have it."""

    density: Any = None

    def solve(self, atoms: Atoms) -> tuple[float, np.ndarray]:
        """Energy in eV and dipole in e*Angstrom."""
        from pyscf import dft, gto

        places = list(zip(atoms.symbols, atoms.positions, strict=True))
        field = dft.RKS(gto.M(atom=places, basis="def2-svp", verbose=0), xc="b3lyp").density_fit()
        field.grids.atom_grid, field.conv_tol, field.conv_tol_grad = GRID, 1e-10, 1e-6
        energy = field.kernel(dm0=self.density)
        self.density = field.make_rdm1()
        return energy * HARTREE, field.dip_moment(unit="AU", verbose=0) * BOHR


def along(atoms: Atoms, mode: np.ndarray, middle: float, level: DataLevel) -> tuple[float, float]:
    """Frequency in cm^-1 and intensity in km/mol of a mode (n_atoms, 3), 1 / sqrt(amu).

    ``middle`` is the energy where it begins, eV.
    """
    there, back = atoms.copy(), atoms.copy()
    there.positions += STEP * mode
    back.positions -= STEP * mode
    (up, dipole), (down, other) = level.solve(there), level.solve(back)
    curvature = (up + down - 2 * middle) / STEP**2  # eV / (Angstrom^2 amu)
    quantum = units._hbar * 1e10 / np.sqrt(units._e * units._amu) * np.sqrt(curvature)  # eV
    slope = (dipole - other) / (2 * STEP)
    return float(quantum / units.invcm), KM_PER_MOL * float(slope @ slope)


def main() -> None:
    """Print the table, and write it if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="into docs/infrared.md")
    arguments = parser.parse_args()
    atoms, level = molecule("CH3CH2OH"), DataLevel()
    atoms.calc = ladera.load("ethanol-mace").calculator()
    BFGS(atoms, logfile=None).run(fmax=1e-4)
    result = vibrations(atoms, infrared=True)
    middle, _ = level.solve(atoms)
    rows = []
    for frequency, intensity, motion in zip(
        result.frequencies, result.intensities, result.modes, strict=True
    ):
        mode = motion / np.sqrt((motion**2 * atoms.get_masses()[:, None]).sum())
        theory, strength = along(atoms, mode, middle, level)
        rows.append((frequency, theory, frequency - theory, intensity, strength))
        print(*(f"{value:8.1f}" for value in rows[-1]), flush=True)
    header = (
        "ethanol-mace (cm⁻¹)", "B3LYP (cm⁻¹)", "difference", "ethanol-mace (km/mol)",
        "B3LYP (km/mol)",
    )  # fmt: skip
    shown = [
        (f"{a:.0f}", f"{b:.0f}", f"{c:+.0f}", f"{d:.1f}", f"{e:.1f}") for a, b, c, d, e in rows
    ]
    values = np.array(rows)
    text = table(header, shown)
    print(text)
    print(
        f"frequencies: {np.abs(values[:, 2]).mean():.1f} cm-1 on average, "
        f"{np.abs(values[:, 2]).max():.1f} at most; intensities: "
        f"{np.abs(values[:, 3] - values[:, 4]).mean():.1f} km/mol on average"
    )
    if arguments.write:
        write_section("ethanol", text, PAGE)


if __name__ == "__main__":
    main()
