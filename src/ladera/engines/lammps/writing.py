"""Files for LAMMPS: a structure as data, a script, and the model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
from ase.calculators.lammps import Prism
from ase.io.lammpsdata import write_lammps_data

from ladera import __version__
from ladera.errors import ConfigError
from ladera.files import atomic_path, write_text_atomic
from ladera.graph import Graph
from ladera.quantities import ENERGY

if TYPE_CHECKING:
    from ase import Atoms

    from ladera.arrays import Floats
    from ladera.potential import Potential

FILES: Final = ("in.lammps", "structure.data", "model.ladera")
_SCRIPT: Final = """\
# Molecular dynamics of {formula}, written by Ladera {version}. Run it by
#
#     ladera lammps run in.lammps -n {processes}

units           metal       # Angstrom, eV, ps, K, bar
atom_style      atomic
boundary        {boundary}
{box}read_data       structure.data

pair_style      ladera model.ladera
pair_coeff      * * {symbols}
{grade}
thermo          10
thermo_style    custom step temp pe etotal press
run             0           # energy and pressure of the structure

velocity        all create 300.0 1 loop geom
fix             motion all nve
timestep        0.0005
run             100
"""
_GRADE: Final = """
# Stop where the structure is far from what the model has learned from:
#
# fix             grade all pair 10 ladera grade 1
# compute         grade all reduce max f_grade
# variable        grade equal c_grade
# fix             stop all halt 10 v_grade > 2.0 error continue
"""
MARGIN: Final = 10.0  # Angstrom of room on both sides of a structure, where it is open


class Box(NamedTuple):
    """A structure as LAMMPS has it: what its data file does not say."""

    symbols: tuple[str, ...]  # of the types of atoms
    boundary: str  # the arguments of the command
    skewed: bool
    rotation: Floats  # (3, 3); a row vector times it is the one of LAMMPS


def export(potential: Potential, atoms: Atoms, folder: Path) -> tuple[Path, ...]:
    """Write a script, a structure and a model that LAMMPS runs at once; returns their paths.

    Raises ConfigError for a model without energies or that no file can hold, and DataError for an
    element that it does not know.
    """
    if ENERGY not in potential.gives or not potential.storable:
        lacks = "no energies" if potential.storable else "no file of its own"
        raise ConfigError(
            f"The {potential.config.architecture} model has {lacks}, which LAMMPS needs; take "
            "another model."
        )
    potential.element_index(Graph.from_atoms(atoms, potential.cutoff))
    script, data, model = (folder / name for name in FILES)
    box = write_data(atoms, data)
    potential.save(model)
    text = _SCRIPT.format(
        formula=atoms.get_chemical_formula(),
        version=__version__,
        processes=2 if potential.hops is not None else 1,
        boundary=box.boundary,
        box="box             tilt large\n" if box.skewed else "",
        symbols=" ".join(box.symbols),
        grade=_GRADE if potential.knows_domain else "",
    )
    write_text_atomic(script, text)
    return script, data, model


def write_data(atoms: Atoms, path: Path, symbols: Sequence[str] = ()) -> Box:
    """Write a data file; types are numbered as ``symbols``, or else as their names.

    LAMMPS wants the first cell vector along x and the second in the plane of x and y. In an open
    direction it gets a box with room around the structure.
    """
    order = tuple(symbols) or tuple(sorted(set(atoms.get_chemical_symbols())))
    boxed = _boxed(atoms)
    prism = Prism(boxed.cell.array, pbc=boxed.pbc)
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        write_lammps_data(
            file, boxed, specorder=list(order), masses=True, prismobj=prism, atom_style="atomic"
        )
    boundary = " ".join("p" if periodic else "s" for periodic in boxed.pbc)
    return Box(order, boundary, bool(prism.is_skewed()), np.asarray(prism.rot_mat))


def _boxed(atoms: Atoms) -> Atoms:
    """The same with vectors at right angles to all others in the open directions."""
    boxed: Atoms = atoms.copy()
    open_ = ~atoms.pbc
    if not open_.any():
        return boxed
    cell = boxed.cell.array.copy()
    cell[open_] = 0.0
    boxed.cell = cell
    boxed.cell = boxed.cell.complete()  # vectors of one Angstrom
    places = boxed.cell.scaled_positions(boxed.positions)
    low, high = places.min(axis=0), places.max(axis=0)
    boxed.positions += np.where(open_, MARGIN - low, 0.0) @ boxed.cell.array
    boxed.set_cell(boxed.cell.array * np.where(open_, high - low + 2 * MARGIN, 1.0)[:, None])
    return boxed
