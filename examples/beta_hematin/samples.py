"""What a unit of work costs here, timed on a sample, and so what each piece of the study will."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

import numpy as np
from ase import Atoms
from ase.cell import Cell

import crystal
import ladera
import molecule
import packing
from ladera.data.frame import Frame
from ladera.labelling.engines import as_engine
from ladera.potential import Potential
from settings import QUICK

# Units of work, by which pieces say what they take
SEARCH: Final = "quick search"
UNIVERSAL: Final = "step of the universal model, 148 atoms"
OWN: Final = "step of the crystal's own potential, 296 atoms"
LABEL: Final = "label of 148 atoms"
HALF: Final = "label of 74 atoms"
SECOND: Final = "second"  # of what was measured as a whole
UNITS: Final = (SEARCH, UNIVERSAL, OWN, LABEL, HALF, SECOND)

# How often the quick search is in the whole one, a step in what is made of steps: measured once.
WHOLE_SEARCH: Final = 50
HESSIAN: Final = 5000  # steps of 148 atoms in two Hessians of differences, in double precision
TIMES: Final = 750  # s, of the sizes of the figure, half of it PySCF's
TUNING: Final = 6  # steps of the universal model that a step of its training by one frame takes
TRAINING: Final = 6  # steps of 296 atoms that a step of training by two frames takes


def measured(universal: Potential, own: dict[str, Any], engine: Callable[[int], Any]) -> Any:
    """CPU seconds of each unit on this machine."""
    dimer = molecule.dimer()
    cell = Atoms(dimer.numbers, dimer.positions, cell=Cell.fromcellpar(crystal.PUBLISHED), pbc=True)
    half = crystal.monomer(dimer)
    network = ladera.build(own | {"species": sorted(set(dimer.symbols))}).float()
    whole = {
        SEARCH: lambda: packing.search(dimer, np.array(cell.cell), **QUICK.search),
        UNIVERSAL: _steps(cell, universal),
        OWN: _steps(cell.repeat((1, 1, 2)), network.requires_grad_(False)),
        LABEL: lambda: as_engine(engine(2)).label(Frame.from_atoms(cell)),
        HALF: lambda: as_engine(engine(1)).label(Frame.from_atoms(half)),
    }
    return {name: _seconds(work) for name, work in whole.items()} | {SECOND: 1.0}


def _steps(atoms: Atoms, model: Potential) -> Callable[[], None]:
    """One more step of atoms whose loops are compiled by now, those of the stress as well."""
    atoms.calc = model.calculator()
    atoms.get_stress()
    atoms.positions += 1e-3

    def step() -> None:
        atoms.get_stress()

    return step


def _seconds(work: Callable[[], object]) -> float:
    begin = time.process_time()
    work()
    return time.process_time() - begin
