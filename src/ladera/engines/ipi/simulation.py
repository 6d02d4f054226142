"""Files with which i-PI runs path integrals by a model, to be changed as one likes."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
from ase import Atoms

from ladera import modelfile
from ladera.arguments import checked
from ladera.arrays import Floats
from ladera.engines.cells import standing
from ladera.engines.evaluator import Evaluator
from ladera.errors import DataError, SimulationError
from ladera.files import write_text_atomic
from ladera.loading import ModelLike, as_potential
from ladera.simulation.records import write_structure
from ladera.structure import Structure, directions

FILES: Final = ("input.xml", "init.xyz", "structure.extxyz", "model.ladera", "ladera_pes.py")
_PES: Final = '''\
"""Ladera's model for i-PI, which loads this file."""

from ladera.engines.ipi.pes import LaderaPES

__DRIVER_NAME__ = "ladera"
__DRIVER_CLASS__ = "LaderaPES"
'''
_INPUT: Final = """\
<simulation verbosity='low'>
  <output prefix='run'>
    <properties filename='out' stride='10'>
      [ step, time{{picosecond}}, temperature{{kelvin}}, conserved{{electronvolt}},
        potential{{electronvolt}}, {kinetic} ]
    </properties>
    <trajectory filename='centroid' format='xyz' stride='100' cell_units='angstrom'>
      x_centroid{{angstrom}}
    </trajectory>
    <checkpoint stride='1000' overwrite='true'/>
  </output>
  <total_steps> {steps} </total_steps>
  <prng> <seed> {seed} </seed> </prng>

  <!-- All beads in one evaluation: batch_size is their number. -->
  <ffdirect name='ladera' pbc='false'>
    <pes> custom </pes>
    <pes_path> ladera_pes.py </pes_path>
    <parameters> {{ model: model.ladera, template: structure.extxyz }} </parameters>
    <batch_size> {beads} </batch_size>
  </ffdirect>

  <system>
    <initialize nbeads='{beads}'>
      <file mode='xyz'> init.xyz </file>
      <cell mode='manual' units='angstrom'> [ {cell} ] </cell>
      <masses mode='manual' units='dalton'> [ {masses} ] </masses>
      <velocities mode='thermal' units='kelvin'> {temperature} </velocities>
    </initialize>
    <forces> <force forcefield='ladera'/> </forces>
    <ensemble> <temperature units='kelvin'> {temperature} </temperature> </ensemble>
    <motion mode='dynamics'>
      <dynamics mode='nvt'>
        <timestep units='femtosecond'> {time_step} </timestep>
        <thermostat mode='pile_g'>
          <tau units='femtosecond'> 100 </tau>
          <pile_lambda> 0.5 </pile_lambda>
        </thermostat>
      </dynamics>
    </motion>
  </system>
</simulation>
"""
# i-PI's names of hydrogen's isotopes, and the lightest mass (amu) of each.
_ISOTOPES: Final = (("T", 2.5), ("D", 1.5), ("H", 0.0))
_VACUUM: Final = 50.0  # Angstrom beside a structure in the open; i-PI wants a cell, the model none


@checked
def write_simulation(
    model: ModelLike,
    structure: Atoms,
    folder: Path,
    *,
    temperature: float,
    beads: int = 32,
    steps: int = 2000,
    time_step: float = 0.5,
    seed: int = 1,
) -> tuple[Path, ...]:
    """Write what i-PI needs to run path integrals at constant volume: ``i-pi input.xml`` there.

    ``temperature`` is in K, ``time_step`` in fs. Masses are those of the structure; hydrogen of two
    or three amu is D or T in i-PI's files, so that ``kinetic_cv(D)`` is its kinetic energy. A
    periodic structure is turned until its cell is as i-PI wants it (a along x, b in the xy plane).

    Raises SimulationError for impossible settings, DataError for an element that the model does not
    know and for a structure that is periodic along some directions only.
    """
    for name, value, least in (
        ("temperature", temperature, 0),
        ("time_step", time_step, 0),
        ("beads", beads, 0),
        ("steps", steps, 0),
    ):
        if not least < value < float("inf"):
            raise SimulationError.of(name, f"{value:g}", "it must be above zero")
    periodic = bool(structure.pbc.any())
    if periodic and not structure.pbc.all():
        raise DataError(
            f"The structure is periodic {directions(structure.pbc)}; i-PI's are periodic in all "
            "directions, and Ladera's for it may be open."
        )
    potential = as_potential(model)
    Evaluator(potential, Structure.from_atoms(structure).numbers)  # or what is wrong with them
    folder.mkdir(parents=True, exist_ok=True)
    atoms, cell = _standing(structure)
    labels = _labels(atoms)
    kinetic = [f"kinetic_cv({label}){{electronvolt}}" for label in sorted(set(labels))]
    modelfile.save(potential, folder / "model.ladera")
    write_structure(folder / "structure.extxyz", atoms)
    write_text_atomic(folder / "ladera_pes.py", _PES)
    write_text_atomic(folder / "init.xyz", _xyz(labels, atoms.positions))
    write_text_atomic(
        folder / "input.xml",
        _INPUT.format(
            kinetic=", ".join(kinetic),
            steps=steps,
            seed=seed,
            beads=beads,
            cell=", ".join(map(repr, cell.T.ravel().tolist())),
            masses=", ".join(map(repr, atoms.get_masses().tolist())),
            temperature=temperature,
            time_step=time_step,
        ),
    )
    return tuple(folder / name for name in FILES)


def _standing(structure: Atoms) -> tuple[Atoms, Floats]:
    """The structure turned as i-PI wants it, and its cell, or a large one in the open."""
    atoms = structure.copy()
    atoms.calc = None
    if not atoms.pbc.any():
        return atoms, np.diag(np.ptp(atoms.positions, axis=0) + _VACUUM)
    cell, turn = standing(atoms)
    atoms.set_cell(cell)
    atoms.positions = atoms.positions @ turn
    return atoms, cell


def _labels(atoms: Atoms) -> list[str]:
    """Symbols, with i-PI's of the isotopes of hydrogen."""
    labels = []
    for symbol, mass in zip(atoms.symbols, atoms.get_masses(), strict=True):
        isotope = next(name for name, least in _ISOTOPES if mass > least)
        labels.append(isotope if symbol == "H" else symbol)
    return labels


def _xyz(labels: list[str], positions: Floats) -> str:
    lines = [f"{len(labels)}", "# positions{angstrom} cell{angstrom}"]
    rows = zip(labels, positions.tolist(), strict=True)
    lines += [f"{label} {x!r} {y!r} {z!r}" for label, (x, y, z) in rows]
    return "\n".join(lines) + "\n"
