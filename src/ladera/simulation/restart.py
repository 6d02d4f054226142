"""The restart point: all that a run needs to go on as if it had never stopped.

One ``restart.npz``, replaced in one step: arrays as numpy writes them, and everything else as one
JSON text. Numbers survive bit for bit; there is no pickle in it.
"""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ladera.errors import SimulationError
from ladera.files import atomic_path
from ladera.simulation.integrators import State
from ladera.simulation.records import writing

if TYPE_CHECKING:
    from ase import Atoms
    from numpy.typing import NDArray

FORMAT_VERSION: Final = 1
_ATOMS: Final = ("positions", "momenta", "cell")


@dataclass(frozen=True)
class RestartPoint:
    """The state of a run after ``step`` steps."""

    step: int
    atoms: dict[str, NDArray[Any]]  # positions, momenta (n_atoms, 3) and cell (3, 3), ASE's units
    integrator: State
    random_state: dict[str, Any]  # of numpy's bit generator
    guard: dict[str, int]
    table: int  # length of md.csv
    frames: tuple[int, str]  # length and header of trajectory.traj
    extrapolation: dict[str, int] | None = None  # of ExtrapolationLog; older files have none

    def put_into(self, atoms: Atoms) -> None:
        """Set positions, momenta and cell, past all constraints."""
        atoms.set_cell(self.atoms["cell"], apply_constraint=False)
        atoms.set_positions(self.atoms["positions"], apply_constraint=False)
        atoms.set_momenta(self.atoms["momenta"], apply_constraint=False)


def atoms_state(atoms: Atoms) -> dict[str, NDArray[Any]]:
    """What of a structure changes in a run."""
    return {
        "positions": atoms.get_positions(),
        "momenta": atoms.get_momenta(),
        "cell": atoms.cell.array.copy(),
    }


def save(path: Path, point: RestartPoint) -> None:
    """Replace the restart file in one step; a full disk leaves the old one."""
    arrays = {f"atoms.{name}": array for name, array in point.atoms.items()}
    scalars = {}
    for name, value in point.integrator.items():
        if isinstance(value, (np.ndarray, np.generic)):
            arrays[f"integrator.{name}"] = np.asarray(value)
        else:
            scalars[name] = value
    text = {
        "version": FORMAT_VERSION,
        "step": point.step,
        "integrator": scalars,
        "random_state": point.random_state,
        "guard": point.guard,
        "table": point.table,
        "frames": point.frames,
        "extrapolation": point.extrapolation,
    }
    with writing(path), atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez(file, allow_pickle=False, text=np.array(json.dumps(text)), **arrays)


def load(path: Path) -> RestartPoint:
    """Read a restart file; SimulationError for one that is missing, damaged or newer."""
    if not path.is_file():
        raise SimulationError(f"There is no restart point {path}; start the run without --resume.")
    try:
        # Opened here: numpy leaves the file open when it turns out to be cut short.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            text = json.loads(str(archive["text"]))
            arrays = {name: archive[name] for name in archive.files if name != "text"}
        version = int(text.pop("version"))
        text["atoms"] = {name: arrays[f"atoms.{name}"] for name in _ATOMS}
        text["frames"] = tuple(text["frames"])
    except (OSError, KeyError, TypeError, ValueError, zipfile.BadZipFile) as error:
        raise SimulationError(
            f"{path} is no complete restart point ({error}); start anew in another folder."
        ) from error
    if version > FORMAT_VERSION:
        raise SimulationError(
            f"{path} has format version {version}, this Ladera reads up to {FORMAT_VERSION}; "
            "upgrade Ladera."
        )
    for name, array in arrays.items():
        if name.startswith("integrator."):
            # A number stays numpy's, as it was: its arithmetic may differ in the last bit.
            text["integrator"][name.removeprefix("integrator.")] = array[()]
    return RestartPoint(**text)
