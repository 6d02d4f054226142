"""Infrared intensities of molecules among others: what keeping them whole and neutral leaves out.

    python benchmarks/molecular_crystals.py FOLDER [--model nequix-oam-1] [--write]

Solid carbon dioxide (Pa-3, at the measured cell): modes of a universal potential with D3, dipoles
of GFN2-xTB for each molecule, beside what was measured (Yamada and Person, J. Chem. Phys. 41, 2478
(1964), through Gerakines et al., Astron. Astrophys. 296, 810 (1995); gas: Bishop and Cheung, J.
Phys. Chem. Ref. Data 11, 119 (1982)).

Urea (neutron structure at 12 K: Swaminathan, Craven and McMullan, Acta Cryst. B 40, 300 (1984)):
the same, with the bands of the solid as marks (Keuleers et al., J. Phys. Chem. A 103, 4621 (1999)).

Dimers: intensities of GFN2-xTB for the whole, for each molecule by itself, and of a MACE that
learned dipoles of dimers of water from GFN2-xTB (into FOLDER), of the whole and of molecules kept
neutral, all along the same modes. --write renews the sections of docs/infrared.md.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path

import ase.io
import numpy as np
from ase import Atoms
from ase.build import molecule
from ase.calculators.singlepoint import SinglePointCalculator
from ase.optimize import BFGS
from ase.spacegroup import crystal
from page import ROOT, table, write_section

import ladera
from ladera.molecules import Molecules
from ladera.plotting import style
from ladera.properties.dipoles import (
    DipoleSlopes,
    SeparateDipoles,
    WholeDipoles,
    dipoles_of,
    left_out,
)
from ladera.properties.infrared import Infrared, infrared
from ladera.properties.marks import Marks
from ladera.properties.normal_modes import modes_of
from ladera.properties.vibrations import INTENSITY, vibrations
from ladera.structure import Structure, StructureWarning
from ladera.training import config_file
from ladera.training.trainer import train

KM_PER_MOL = 6.02214076e23 / 1e5  # of a band strength in cm per molecule
MEASURED = {  # wavenumbers of the solid, band strengths of the solid and the gas (km/mol)
    "bend ν₂": ("655, 660", 1.1e-17 * KM_PER_MOL, 48),
    "antisymmetric stretch ν₃": ("2344", 7.6e-17 * KM_PER_MOL, 548),
}
BANDS = {
    1153.0: "NH₂ rock",
    1464.0: "C-N",
    1598.0: "C=O",
    1627.0: "NH₂ bend",
    1683.0: "NH₂ bend",
    3345.0: "N-H",
    3444.0: "N-H",
}
FRAMES = 400
CONFIG = {
    "model": {
        "architecture": "mace",
        "outputs": ["dipole"],
        "cutoff": 5.0,
        "channels": 16,
        "max_l": 2,
        "correlation": 2,
        "radial_layers": [32],
    },
    "loss": {"energy": 0, "forces": 0, "dipole": 1},
    "optimizer": {"learning_rate": 0.01},
    "epochs": 40,
    "batch_size": 10,
}


def xtb() -> ladera.Potential:
    options = {"method": "GFN2-xTB", "accuracy": 0.01, "verbosity": 0}
    return ladera.load("tblite.ase:TBLite", options=options)


def at_rest(atoms: Atoms, model: ladera.Potential) -> Atoms:
    atoms.calc = model.calculator()
    BFGS(atoms, logfile=None).run(fmax=1e-3, steps=500)
    return atoms


def carbon_dioxide(model: ladera.Potential) -> list[list[str]]:
    """Bands of the solid, intensities per molecule."""
    places = [(0, 0, 0), (0.1185, 0.1185, 0.1185)]
    solid = crystal("CO", places, spacegroup=205, cellpar=[5.624] * 3 + [90] * 3)
    found = vibrations(at_rest(solid, model), infrared=True, dipoles="xtb")
    gas = vibrations(at_rest(molecule("CO2"), model), infrared=True, dipoles="xtb")
    rows = []
    for (name, (where, strength, of_gas)), low in zip(MEASURED.items(), (300, 2000), strict=True):
        solid_light, gas_light = (
            each.intensities[(each.frequencies > low) & (each.frequencies < low + 700)].sum()
            for each in (found, gas)
        )
        active = found.frequencies[(found.frequencies > low) & (found.intensities > 1)]
        places = sorted({f"{each:.0f}" for each in active if each < low + 700})
        row = [", ".join(places), where, f"{solid_light / 4:.0f}", f"{strength:.0f}"]
        rows.append([name, *row, f"{gas_light:.0f}", f"{of_gas}"])
    return rows


def urea(model: ladera.Potential) -> Infrared:
    """The spectrum of the solid with the bands that were measured."""
    places = [
        (0, 0.5, 0.3260),
        (0, 0.5, 0.5953),
        (0.1459, 0.6459, 0.1766),
        (0.2575, 0.7575, 0.2827),
        (0.1441, 0.6441, -0.0380),
    ]
    solid = crystal("CONHH", places, spacegroup=113, cellpar=[5.565, 5.565, 4.684, 90, 90, 90])
    marks = Marks(np.array(list(BANDS)), tuple(BANDS.values()))
    return infrared(at_rest(solid, model), dipoles="xtb", marks=marks, width=20)


def dimer(first: str, second: str, apart: tuple[float, float, float]) -> Atoms:
    one, two = molecule(first), molecule(second)
    two.rotate(100, (0.3, 1, 0.2))
    two.positions += apart
    return one + two


DIMERS = {
    "water": dimer("H2O", "H2O", (0.3, 2.2, -2.0)),
    "formaldehyde": dimer("H2CO", "H2CO", (3.2, 0.4, 0.3)),
    "carbon dioxide": dimer("CO2", "CO2", (3.3, 0.5, 1.2)),
    "formic acid": dimer("HCOOH", "HCOOH", (3.3, 1.0, 0.2)),
}


def frames(path: Path) -> Path:
    """Two molecules of water in all manners, with the dipoles of GFN2-xTB."""
    if path.exists():
        return path
    rng, calculator, found = np.random.default_rng(0), xtb().calculator(), []
    while len(found) < FRAMES:
        parts = [molecule("H2O"), molecule("H2O")]
        for part in parts:
            part.rotate(rng.uniform(0, 180), rng.normal(size=3))
            part.positions += rng.normal(scale=0.06, size=(3, 3)) - part.get_center_of_mass()
        direction = rng.normal(size=3)
        parts[1].positions += rng.uniform(2.6, 4.5) * direction / np.linalg.norm(direction)
        atoms = parts[0] + parts[1]
        if np.linalg.norm(parts[0].positions[:, None] - parts[1].positions, axis=2).min() < 1.6:
            continue
        names = ("energy", "forces", "dipole")
        labels = {name: calculator.get_property(name, atoms) for name in names}
        atoms.calc = SinglePointCalculator(atoms, **labels)
        found.append(atoms)
    ase.io.write(path, found)
    return path


def learned(folder: Path, charges: bool) -> ladera.Potential:
    """A MACE of the dipoles of dimers of water."""
    run = folder / ("charges" if charges else "no_charges")
    if not (run / "model.ladera").exists():
        data = {
            "files": str(frames(folder / "dimers.extxyz")),
            "split": {"validation": 40, "test": 0},
        }
        config = CONFIG | {"model": CONFIG["model"] | {"charges": charges}, "data": data}
        train(config_file.parse(config, "The benchmark"), run)
    return ladera.load(run)


def light(slopes: DipoleSlopes, moves: np.ndarray) -> np.ndarray:
    return INTENSITY * ((slopes.dipole.T @ moves) ** 2).sum(axis=0)


def learned_ways(folder: Path, atoms: Atoms, moves: np.ndarray) -> dict[str, DipoleSlopes]:
    """The two models, of the dimer in the open and in a cell."""
    model, local = learned(folder, charges=True), learned(folder, charges=False)
    cell = Atoms(atoms.symbols, atoms.positions, cell=[25, 25, 25], pbc=True)
    found = []
    for each in (model, local):
        dipoles = dipoles_of(cell, each, vacuum=False)
        found.append((dipoles, dipoles.slopes(Structure.from_atoms(cell), None)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", StructureWarning)
        part = left_out(cell, found[0][0].molecules, found[0][1], moves)
    whole = WholeDipoles(model, None).slopes(Structure.from_atoms(atoms), None)
    return {
        "MACE with charges, whole": whole,
        f"the same in a cell, molecules neutral ({100 * part:.0f} % left out)": found[0][1],
        "MACE without charges, in a cell": found[1][1],
    }


def whole_and_parts(folder: Path) -> list[list[str]]:
    """Intensities of dimers: the strongest mode, and all that are above 300 cm^-1."""
    rows, engine = [], xtb()
    for name, atoms in DIMERS.items():
        structure = Structure.from_atoms(at_rest(atoms, engine))
        modes = modes_of(atoms, None)
        molecules = Molecules.of(structure)
        assert molecules.count == 2
        inner = modes.frequencies > 300
        moves = modes.moves[:, inner]
        known = light(WholeDipoles(engine, None).slopes(structure, None), moves)
        ways = {"each by itself": SeparateDipoles(engine, molecules).slopes(structure, None)}
        if name == "water":
            ways |= learned_ways(folder, atoms, moves)
        top = int(known.argmax())
        where = f"{modes.frequencies[inner][top]:.0f}"
        rows.append([name, "whole", where, f"{known[top]:.0f}", f"{known.sum():.0f}"])
        for way, slopes in ways.items():
            found = light(slopes, moves)
            rows.append([name, way, where, f"{found[top]:.0f}", f"{found.sum():.0f}"])
    return rows


SOLID = (
    "band of solid CO₂",
    "computed (cm⁻¹)",
    "measured (cm⁻¹)",
    "xTB, solid (km/mol)",
    "measured, solid",
    "xTB, gas (km/mol)",
    "measured, gas",
)
PARTS = (
    "dimer",
    "dipoles",
    "strongest mode (cm⁻¹)",
    "its intensity (km/mol)",
    "sum above 300 cm⁻¹",
)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", default="nequix-oam-1")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    model = ladera.load(options.model, dispersion="pbe")
    solid, spectrum = table(SOLID, carbon_dioxide(model)), urea(model)
    marks = spectrum.tables()[1]
    bands = table(marks.columns, marks.rows)
    parts = table(PARTS, whole_and_parts(options.folder))
    print(solid, bands, parts, sep="\n\n")
    with style():
        picture = ROOT / "docs" / "images" / "urea.png" if options.write else "urea.png"
        spectrum.plot().savefig(options.folder / picture, dpi=150)
    if options.write:
        write_section("urea", bands, ROOT / "docs" / "infrared.md")
        write_section("solid_co2", solid, ROOT / "docs" / "infrared.md")
        write_section("dimers", parts, ROOT / "docs" / "infrared.md")


if __name__ == "__main__":
    main()
