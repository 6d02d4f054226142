"""What a row of the table of a simulation holds: md.csv and relax.csv."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ladera.tables import described

_LARGEST_GRADE: Final = "grade of the atom that is farthest from the training data, 1 at its edge"


@dataclass(frozen=True)
class LogRow:
    """One row of md.csv; None is an empty field."""

    step: int = described("time steps done")
    time_fs: float = described("time", "fs")
    temperature_k: float = described("temperature of the atoms that move", "K")
    potential_energy_ev: float = described("potential energy", "eV")
    kinetic_energy_ev: float = described("kinetic energy", "eV")
    total_energy_ev: float = described("their sum", "eV")
    conserved_energy_ev: float = described("what an exact integration would keep constant", "eV")
    pressure_gpa: float | None = described("pressure; None for an open structure", "GPa")
    volume_angstrom3: float | None = described("volume of the cell; None without one", "Å³")
    extrapolating_atoms: int | None = described(
        "atoms outside the model's training domain; None for a model without a record of it"
    )
    largest_grade: float | None = described(_LARGEST_GRADE, default=None)
    energy_std_ev: float | None = described(
        "a committee's standard deviation of the energy; None for a single model",
        "eV",
        default=None,
    )
    max_force_std_ev_per_angstrom: float | None = described(
        "that of the force component it is least sure of", "eV/Å", default=None
    )
    heat_flux_x_ev_angstrom_per_fs: float | None = described(
        "heat flux along x times the volume; None where it was not asked for",
        "eV Å/fs",
        default=None,
    )
    heat_flux_y_ev_angstrom_per_fs: float | None = described(
        "that along y", "eV Å/fs", default=None
    )
    heat_flux_z_ev_angstrom_per_fs: float | None = described(
        "that along z", "eV Å/fs", default=None
    )


@dataclass(frozen=True)
class RelaxRow:
    """One row of relax.csv; None is an empty field."""

    step: int = described("steps of the optimizer done")
    potential_energy_ev: float = described("potential energy", "eV")
    max_force_ev_per_angstrom: float = described("largest force on an atom", "eV/Å")
    max_stress_gpa: float | None = described("largest component; None without a volume", "GPa")
    volume_angstrom3: float | None = described("volume of the cell; None without one", "Å³")
    extrapolating_atoms: int | None = described(
        "atoms outside the model's training domain; None for a model without a record of it"
    )
    largest_grade: float | None = described(_LARGEST_GRADE, default=None)


HEAT_FLUX: Final = tuple(f"heat_flux_{axis}_ev_angstrom_per_fs" for axis in "xyz")
