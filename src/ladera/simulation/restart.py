"""The restart point: all that a run needs to go on as if it had never stopped.

One ``restart.npz``, replaced in one step: arrays as numpy writes them, and everything else as one
JSON text. Numbers survive bit for bit; there is no pickle in it. Format 2 stores the fields of the
integrator's state by their names; format 1 had the attributes of ASE's integrators.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, ValidationError

from ladera.array_files import read_arrays
from ladera.arrays import Floats
from ladera.errors import SimulationError
from ladera.files import atomic_path, first_mistake
from ladera.simulation.integrators import kinetic_energy
from ladera.simulation.records import writing

FORMAT_VERSION: Final = 2


class _Guard(BaseModel):
    rows_outside: NonNegativeInt


class _Extrapolation(BaseModel):
    """What :class:`ladera.simulation.extrapolation.ExtrapolationLog` remembers."""

    model_config = ConfigDict(extra="allow")  # older runs remember other things besides

    position: NonNegativeInt = 0
    values: NonNegativeInt = 0
    structures: NonNegativeInt = 0
    grade: float = 0.0
    farthest: str = ""
    selected: NonNegativeInt = 0


class _Stored(BaseModel):
    """The JSON text of a restart file."""

    model_config = ConfigDict(strict=True, extra="forbid")

    version: int
    step: NonNegativeInt
    random_state: dict[str, Any]
    guard: _Guard
    table: NonNegativeInt
    frames: tuple[NonNegativeInt, str] = Field(strict=False)
    extrapolation: _Extrapolation | None = None
    integrator: dict[str, bool | float] = {}  # of format 1


@dataclass(frozen=True)
class RestartPoint:
    """The state of a run after ``step`` steps."""

    step: int
    cell: Floats  # (3, 3), Angstrom
    state: Mapping[str, Floats | float]  # fields of the integrator's, by name
    random_state: dict[str, Any]  # of numpy's bit generator
    guard: dict[str, int]
    table: int  # length of md.csv
    frames: tuple[int, str]  # length and header of trajectory.traj
    extrapolation: dict[str, Any] | None = None  # of ExtrapolationLog; older files have none


def save(path: Path, point: RestartPoint) -> None:
    """Replace the restart file in one step; a full disk leaves the old one."""
    text = {"version": FORMAT_VERSION, **vars(point)}
    arrays = {"cell": text.pop("cell")}
    arrays |= {f"state.{name}": np.asarray(value) for name, value in text.pop("state").items()}
    with writing(path), atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez(file, allow_pickle=False, text=np.array(json.dumps(text)), **arrays)


def load(path: Path) -> RestartPoint:
    """Read a restart file; SimulationError for one that is missing, damaged or newer."""
    if not path.is_file():
        raise SimulationError(f"There is no restart point {path}; start the run without --resume.")
    try:
        arrays = read_arrays(path)
        text = json.loads(str(arrays.pop("text")))
        version = int(text["version"])
        if version > FORMAT_VERSION:
            raise SimulationError(
                f"{path} has format version {version}, this Ladera reads up to {FORMAT_VERSION}; "
                "upgrade Ladera."
            )
        _Stored.model_validate(text)
        np.random.PCG64().state = text["random_state"]  # which checks it
        bytes.fromhex(text["frames"][1])
        del text["version"]
        if version == 1:
            arrays = _from_format_1(arrays, text.pop("integrator"))
        text["cell"] = arrays.pop("cell")
        text["state"] = {
            name.removeprefix("state."): array if array.ndim else array.item()
            for name, array in arrays.items()
        }
        text["frames"] = tuple(text["frames"])
        return RestartPoint(**text)
    except (OSError, LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        why = first_mistake(error) if isinstance(error, ValidationError) else str(error)
        raise SimulationError(
            f"{path} is no complete restart point ({why}); start anew in another folder."
        ) from error


def _from_format_1(arrays: dict[str, Any], numbers: dict[str, Any]) -> dict[str, Any]:
    """The arrays of format 2, but for what follows from positions and cell."""
    old = {name.removeprefix("integrator."): array for name, array in arrays.items()} | numbers
    new = {
        "cell": old["atoms.cell"],
        "state.positions": old["atoms.positions"],
        "state.momenta": old["atoms.momenta"],
    }
    if "work" in old:  # Langevin
        kinetic = kinetic_energy(old["atoms.momenta"], old["dynamics.masses"])
        new["state.exchanged"] = old["work"] + old["initial_kinetic_energy"] - kinetic
    if "dynamics.transferred_energy" in old:  # Bussi
        new["state.exchanged"] = -old["dynamics.transferred_energy"]
    if "dynamics._thermostat._eta" in old:  # Nose-Hoover chain
        chain = "dynamics._thermostat"
        new["state.thermostat"] = [old[f"{chain}._eta"], old[f"{chain}._p_eta"]]
    if "dynamics._barostat._xi" in old:
        chain = "dynamics._barostat"
        new["state.barostat"] = [old[f"{chain}._xi"], old[f"{chain}._p_xi"]]
        new["state.reference_cell"] = old["dynamics._cell0"]
        new["state.strain"] = old["dynamics._eps"]
        new["state.strain_momentum"] = old["dynamics._p_eps"]
    return {name: np.asarray(value) for name, value in new.items()}
