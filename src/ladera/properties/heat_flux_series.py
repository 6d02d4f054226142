"""Heat fluxes of several runs of one system, read from their folders and checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from ase.data import chemical_symbols

from ladera.arrays import Floats
from ladera.errors import PropertyError
from ladera.simulation.rows import HEAT_FLUX
from ladera.simulation.run_folder import SimulationRun, largest_grade
from ladera.table_files import column

_FEWEST: Final = 200  # values of a flux that a spectrum is made of
_ALIKE: Final = 0.1  # of the temperature: how much runs of one system may differ
_FLOWS: Final = 1.0  # of a distance of neighbours: how far atoms of a crystal stay from their place


@dataclass(frozen=True, eq=False)
class HeatFluxSeries:
    """Heat fluxes of runs of one system, equally long."""

    flux: Floats  # (n_runs, 3, n), eV*Angstrom/fs
    interval: float  # fs
    temperatures: Floats  # (n_runs,), K, means
    volume: float  # Angstrom^3
    n_atoms: int
    largest_grade: float  # of an atom in any of the runs; NaN where it is not known


def read_heat_flux(folders: Sequence[Path], skip: float) -> HeatFluxSeries:
    """Of runs with ``ladera md --heat-flux``, without their first ``skip`` ps.

    Raises DataError for a folder without a run, PropertyError for runs that say no conductivity.
    """
    if not folders:
        raise PropertyError("No run is given; give folders of `ladera md --heat-flux` runs.")
    runs = [SimulationRun.read(folder) for folder in folders]
    fluxes, temperatures = [], []
    for run in runs:
        _require_alike(run, runs[0])
        _require_equilibrium(run)
        late = run.table["time_fs"] >= 1000 * skip
        fluxes.append(np.array([run.table[name][late] for name in HEAT_FLUX]))
        temperatures.append(run.table["temperature_k"][late].mean())
    length = min(flux.shape[1] for flux in fluxes)
    if length < _FEWEST:
        raise PropertyError(
            f"The shortest run has {length} values of the heat flux after --skip {skip:g} ps, and "
            f"{_FEWEST} or more are needed; run longer."
        )
    means = np.array(temperatures)
    natural = np.sqrt(2 / (3 * max(runs[0].n_atoms or 1, 1)))  # of the energies of one ensemble
    if np.ptp(means) > max(_ALIKE, 6 * natural) * means.mean():
        raise PropertyError(
            f"The runs have mean temperatures from {means.min():.1f} to {means.max():.1f} K; give "
            "those of one temperature."
        )
    first = runs[0]
    return HeatFluxSeries(
        flux=np.array([flux[:, :length] for flux in fluxes]),
        interval=float(np.diff(first.table["time_fs"][:2])[0]),
        temperatures=means,
        volume=float(first.table["volume_angstrom3"][0]),
        n_atoms=first.n_atoms or 0,
        largest_grade=float(np.fmax.reduce([largest_grade(run.after(skip)) for run in runs])),
    )


def _require_equilibrium(run: SimulationRun) -> None:
    """PropertyError for a run whose fluctuations do not say a conductivity."""
    if run.kind != "md" or any(not len(column(run.table, name)) for name in HEAT_FLUX):
        raise PropertyError(
            f"{run.folder} has no heat flux; run `ladera md --heat-flux --ensemble nve "
            "--log-interval 5`, or let `ladera thermal-conductivity green-kubo --model` do it."
        )
    ensemble = run.settings.get("ensemble")
    if ensemble != "nve":
        raise PropertyError(
            f"{run.folder} is a run of the ensemble {ensemble}, whose thermostat takes heat away "
            "and brings it; give runs at constant energy: --ensemble nve."
        )
    if not len(column(run.table, "volume_angstrom3")):
        raise PropertyError(
            f"{run.folder} is a run of an open structure, without a volume; a thermal conductivity "
            "needs a periodic cell."
        )
    held = run.description.get("structure", {}).get("held_by")
    if held:
        raise PropertyError(
            f"In {run.folder} atoms are held ({', '.join(held)}), through which heat is lost; run "
            "without."
        )
    _require_no_mixture(run)


def _require_alike(run: SimulationRun, first: SimulationRun) -> None:
    """PropertyError for runs with another model, other atoms, cell or interval."""
    mine, its = (each.description.get("model", {}).get("sha256") for each in (run, first))
    if mine != its:
        raise PropertyError(
            f"{run.folder} was run with another model than {first.folder}; give runs of one."
        )
    for name, unit in (("timestep", "fs"), ("log_interval", "steps")):
        mine, its = (each.settings.get(name) for each in (run, first))
        if mine != its:
            raise PropertyError(
                f"{run.folder} has {name} = {mine} {unit}, and {first.folder} {its}; give runs "
                "that are alike."
            )
    mine, its = (_system(each) for each in (run, first))
    if mine != its:
        raise PropertyError(
            f"{run.folder} has {mine}, and {first.folder} {its}; give runs of one system."
        )


def _system(run: SimulationRun) -> str:
    formula = run.description.get("structure", {}).get("formula")
    return f"{run.n_atoms} atoms ({formula}) in {_volume(run)} Angstrom^3"


def _volume(run: SimulationRun) -> float:
    volumes = column(run.table, "volume_angstrom3")
    return round(float(volumes[0]), 4) if len(volumes) else 0.0


def _require_no_mixture(run: SimulationRun) -> None:
    """PropertyError for several elements that flow.

    Where elements drift against each other, heat flows with them, and the conductivity is not that
    of the heat flux alone (Salanne et al., J. Chem. Phys. 139, 194501 (2013)).
    """
    if run.n_frames < 2:
        return
    first, last = run.frames(np.array([0, run.n_frames - 1]))
    if len(set(first.numbers.tolist())) < 2:
        return
    moved = last.positions - first.positions
    moved -= np.average(moved, axis=0, weights=first.get_masses())
    apart = first.get_all_distances(mic=True)
    nearest = np.where(apart > 0, apart, np.inf).min()
    for number in sorted(set(first.numbers.tolist())):
        distance = float(np.sqrt((moved[first.numbers == number] ** 2).sum(axis=1).mean()))
        if distance > _FLOWS * nearest:
            raise PropertyError(
                f"In {run.folder} {chemical_symbols[number]} has gone {distance:.2g} Angstrom from "
                "where it began: a mixture that flows, in which heat goes with the elements as "
                "well and the heat flux alone says no conductivity; this is for crystals, glasses "
                "and liquids of one element."
            )
