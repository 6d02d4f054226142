"""What a step costs: CPU seconds for energy, forces and stress against the number of atoms."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any

import numpy as np
from ase import Atoms
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ladera.data.frame import Frame
from ladera.errors import LabellingError
from ladera.labelling.engines import as_engine
from ladera.plotting import FAINT, PALETTE, axes, log_scale, style
from ladera.potential import Potential
from potential import xtb


def of_model(crystal: Atoms, model: Potential, repeats: tuple[tuple[int, ...], ...]) -> list[Any]:
    """Atoms and seconds of each size; each is computed after all atoms have moved a little."""
    found: list[Any] = []
    for repeat in repeats:
        atoms = crystal.repeat(repeat)
        atoms.calc = model.calculator()
        times = []
        for seed in range(3):
            atoms.rattle(0.002, seed=seed)
            start = time.process_time()
            atoms.get_forces(), atoms.get_stress()
            times.append(time.process_time() - start)
        found.append((len(atoms), min(times)))
    return found


def of_xtb(crystal: Atoms, repeats: tuple[tuple[int, ...], ...], patience: float) -> list[Any]:
    """The same by GFN1-xTB, whose cost grows with the cube of the size.

    As far as the next size does not take more than ``patience`` (s), by what the last one took.
    """
    found: list[Any] = []
    for repeat in repeats:
        atoms = crystal.repeat(repeat)
        if found and found[-1][1] * (len(atoms) / found[-1][0]) ** 3 > patience:
            break
        settings = xtb(atoms.get_chemical_symbols().count("Fe"))
        start = time.process_time()
        as_engine(settings).label(Frame.from_atoms(atoms))
        found.append((len(atoms), time.process_time() - start))
    return found


def of_pyscf(monomer: Atoms) -> list[Any]:
    """One half of the dimer by PBE/def2-SVP, unrestricted, given up after the first iteration.

    What a step takes at least: tens of them follow, and of an open shell of iron nobody knows how
    many.
    """
    settings = {"engine": "pyscf", "method": "pbe", "basis": "def2-svp", "multiplicity": 6,
                "density_fitting": True, "max_iterations": 1}  # fmt: skip
    start = time.process_time()
    with suppress(LabellingError):  # that it has not converged
        as_engine(settings).label(Frame.from_atoms(monomer))
    return [(len(monomer), time.process_time() - start)]


def figure(times: dict[str, list[Any]]) -> Figure:
    """Seconds by atoms, a line for each method, and what grows as the number of atoms."""
    with style():
        picture, panel = axes(5.2, 3.4)
        for number, (name, rows) in enumerate(times.items()):
            atoms, seconds = np.array(rows).T
            panel.plot(atoms, seconds, "o-", color=PALETTE[number], label=name)
        _linear(panel, times)
        log_scale(panel, "x")
        log_scale(panel, "y")
        panel.set_xlabel("atoms")
        panel.set_ylabel("CPU seconds of a step")
        panel.legend()
    return picture


def _linear(panel: Axes, times: dict[str, list[Any]]) -> None:
    """A dotted line through the first method's largest size, of a time in proportion to it."""
    rows = next(iter(times.values()))
    atoms = np.array([rows[0][0], rows[-1][0]])
    panel.plot(atoms, atoms * rows[-1][1] / rows[-1][0], ":", color=FAINT, label="in proportion")
