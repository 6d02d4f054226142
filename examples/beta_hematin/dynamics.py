"""100 ps of two cells (296 atoms) at 300 K: density at no pressure, then the spectrum."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
from ase import Atoms

import crystal
import ladera
import spectra
from ladera.potential import Potential
from ladera.properties.mean_squares import error_of_mean
from settings import Settings

KELVIN: Final = 300.0
_SETTLING: Final = 0.2  # of the run at no pressure, that is left out
_EVERY: Final = 100  # steps between frames and rows of it


def density(start: Atoms, model: Potential, settings: Settings, folder: Path) -> dict[str, Any]:
    """Mean density (g/cm^3) with its error, by the volumes of a run at no pressure."""
    every = min(_EVERY, settings.density_steps // 10)
    last = ladera.run_md(
        start,
        model,
        folder=folder,
        resume=(folder / "restart.npz").exists(),
        ensemble="npt",
        temperature=KELVIN,
        timestep=settings.timestep,
        steps=settings.density_steps,
        log_interval=every,
        trajectory_interval=every,
        stop_grade=0.0,  # how far it goes from its training is told, and no reason to end
    )
    rows = np.genfromtxt(folder / "md.csv", delimiter=",", names=True)
    late = rows[int(_SETTLING * len(rows)) :]
    values = start.get_masses().sum() / late["volume_angstrom3"] * crystal.GRAMS_PER_CM3
    grades = rows["largest_grade"]
    return {
        "picoseconds": settings.density_steps * settings.timestep / 1000,
        "atoms": len(start),
        "density": float(values.mean()),
        "density_error": _number(error_of_mean(values)),
        "kelvin": float(late["temperature_k"].mean()),
        "largest_grade": float(grades[np.isfinite(grades)].max(initial=0.0)),
        "drift_mev_per_atom": 1e3 * float(np.ptp(late["conserved_energy_ev"])) / len(start),
        "iron_oxygen": crystal.iron_oxygen(last),
    }


def spectrum(
    last: Atoms, model: Potential, dipoles: Potential, settings: Settings, folder: Path
) -> dict[str, Any]:
    """Infrared spectrum of a run at constant energy that goes on from the end of another."""
    ladera.run_md(
        last,
        model,
        folder=folder / "run",
        resume=(folder / "run" / "restart.npz").exists(),
        ensemble="nve",
        initial_velocities="structure",
        timestep=settings.timestep,
        steps=settings.spectrum_steps,
        log_interval=settings.spectrum_every * 10,
        trajectory_interval=settings.spectrum_every,
        stop_grade=0.0,
    )
    found = ladera.spectrum(
        folder / "run",
        resolution=settings.resolution,
        marks=spectra.marks(),
        dipoles=dipoles,
    )
    found.save(folder)
    return {
        "picoseconds": settings.spectrum_steps * settings.timestep / 1000,
        "kelvin": float(found.temperature),
        "marks": [
            {"name": name, "measured": float(place), "computed": _number(peak)}
            for name, place, peak in zip(
                found.mark_labels, found.marks, found.mark_peaks, strict=True
            )
        ],
    }


def _number(value: float) -> float | None:
    """What JSON can hold: no number where a run was too short, or nothing is near a mark."""
    return float(value) if np.isfinite(value) else None
