"""``ladera md control.in``."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ladera
from ladera.data import formats
from ladera.errors import DataError
from ladera.jobs.control_in import control_file, model, outputs
from ladera.jobs.control_in.control_file import ControlFile
from ladera.jobs.control_in.model import ControlWarning
from ladera.simulation.molecular_dynamics import run_md
from ladera.simulation.settings import MDSettings
from ladera.units import UnitSystem

if TYPE_CHECKING:
    from ase import Atoms

    from ladera.potential import Potential
    from ladera.simulation.rows import LogRow

PathLike = str | os.PathLike[str]


@dataclass(frozen=True)
class SimulationJob:
    """A molecular dynamics run."""

    atoms: Atoms
    model: Path
    settings: MDSettings
    units: UnitSystem
    path: Path  # of the control.in
    described: dict[str, Any]  # what it says of the model, by the names of HDNNPConfig

    def run(
        self,
        output: PathLike,
        *,
        resume: bool = False,
        on_row: Callable[[LogRow], None] | None = None,
    ) -> Atoms:
        """Run it and return the last structure.

        ``output`` receives the files of :func:`ladera.simulation.molecular_dynamics.run_md` and
        ``traj.data``. Raises what that function raises.
        """
        folder = Path(output)
        last = run_md(
            self.atoms, self._model(), self.settings, folder, resume=resume, on_row=on_row
        )
        outputs.write_trajectory(folder, self.units)
        return last

    def _model(self) -> Potential:
        """The model; warns (ControlWarning) where the control.in describes another one."""
        potential = ladera.load(self.model)
        for name, value in self.described.items():
            trained = getattr(potential.config, name, value)
            if name == "symmetry_functions":
                trained, value = set(trained), set(value)
            if trained != value:
                warnings.warn(
                    f"{self.path} and {self.model} do not agree on the model's {name}; those of "
                    f"{self.model.name} are used.",
                    ControlWarning,
                    stacklevel=3,
                )
        return potential


def molecular_dynamics(
    control: PathLike = "control.in",
    output: PathLike = "md",
    *,
    resume: bool = False,
    on_row: Callable[[LogRow], None] | None = None,
) -> Atoms:
    """Run the molecular dynamics of a control.in, and return the last structure.

    ``output`` receives what :meth:`SimulationJob.run` writes. Raises what :func:`read_simulation`
    and :func:`ladera.simulation.molecular_dynamics.run_md` raise.
    """
    return read_simulation(control).run(output, resume=resume, on_row=on_row)


def read_simulation(path: PathLike) -> SimulationJob:
    """The molecular dynamics a control.in asks for: velocity Verlet, from rest.

    The structure is the first one of ``atomic_data_path``, with the masses of the atom_type lines.
    Raises ConfigError, with file, line and key, for what cannot be used; DataError for a structure
    that cannot be read or has an element without an atom_type line.
    """
    control = control_file.read(Path(path))
    model.require_mode(control, model.SIMULATION)
    units = control.units()
    masses = {kind.symbol: kind.mass for kind in control.atom_types()}
    settings = MDSettings(
        ensemble="nve",
        temperature=0.0,
        timestep=control.timestep(),
        steps=control.whole_number("iterations", 1),
        trajectory_interval=1,
        log_interval=1,
    )
    trained = _model_file(control)
    file = control.file("atomic_data_path")
    frame = next(formats.stream(file, units=units, atom_columns="energy charge"))
    atoms = frame.to_atoms()
    atoms.calc = None
    missing = sorted(set(atoms.symbols) - set(masses))
    if missing:
        raise DataError(
            f"{frame.source} contains {', '.join(missing)}, but {control.path} has no atom_type "
            f"line for it; it has them for {', '.join(masses)}."
        )
    for message in control.strange_masses():
        warnings.warn(f"{control.path}: {message}", ControlWarning, stacklevel=3)
    atoms.set_masses([masses[symbol] for symbol in atoms.symbols])
    return SimulationJob(
        atoms, trained, settings, units, control.path, model.described(control, units)
    )


def _model_file(control: ControlFile) -> Path:
    """The trained model; ConfigError for what the thesis's program leaves instead of one."""
    entry = control.entry("model_path")
    if control.word("model_path").lower() == "none":
        raise control.error(
            "model_path is none; train first, then name the model, such as "
            "'model_path run/model.ladera'.",
            entry,
        )
    path = control.file("model_path")
    if path.suffix in (".h5", ".hdf5", ".keras"):
        raise control.error(
            f"model_path is {path.name}, a model of Keras, which holds neither the scaling of its "
            "inputs nor that of its energies; train again with 'ladera train' and name the "
            "model.ladera.",
            entry,
        )
    return path
