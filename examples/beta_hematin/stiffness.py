"""Elastic constants of a crystal by one model: a prediction, for none was measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from ase import Atoms

import crystal
import ladera
from ladera.errors import LaderaError
from ladera.potential import Potential
from ladera.properties.memory import RememberingCalculator

STEP: Final = 0.005  # Angstrom, of the differences of forces that Hessians are made of


def constants(
    relaxed: Atoms, model: Potential, folder: Path, memory: Path, step: float | None = STEP
) -> dict[str, Any]:
    """All 21, and what follows from them, of a cell at rest; why there are none where it is not.

    ``step`` is None of a model without second derivatives, whose strained cells are relaxed. The
    result of Ladera, with its tables and figure, goes into ``folder``; what was computed is kept in
    ``memory``, and found again after a kill.
    """
    if not crystal.measures(relaxed)["bound"]:
        return {"skipped": "iron has lost its oxygen where the cell is free"}
    atoms = relaxed.copy()
    atoms.calc = RememberingCalculator(model, memory)
    try:
        found = ladera.elasticity(atoms, step=step)
    except LaderaError as error:
        return {"skipped": str(error)}
    found.save(folder)
    return {
        "stiffness": found.stiffness.tolist(),
        "eigenvalues": found.eigenvalues.tolist(),
        "bulk_modulus": found.bulk_modulus.tolist(),
        "shear_modulus": found.shear_modulus.tolist(),
        "error": found.strain_error,
        "stable": found.stable,
        "from": found.origin,
        "space_group": found.space_group,
        "cell": atoms.cell.cellpar().tolist(),
    }
