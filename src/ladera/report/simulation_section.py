"""The part of the page about a simulation: what it conserved, how hot it was, how it moved."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from ase import Atoms
from ase.calculators.calculator import PropertyNotImplementedError

from ladera.arrays import Floats
from ladera.errors import DataError, reason_of
from ladera.extrapolation import FAR, LARGEST_GRADE
from ladera.properties.mean_squares import error_of_mean
from ladera.quantities import MILLI
from ladera.report import figures, viewer
from ladera.report.training_section import Plate
from ladera.simulation.comparison import before_and_after
from ladera.simulation.rows import LogRow
from ladera.simulation.run_folder import SimulationRun, largest_grade, trajectory_file
from ladera.table_files import Columns, column
from ladera.tables import columns_of, with_error

_UNITS: Final = {each.name: each.unit for each in columns_of(LogRow)}
_TITLES: Final = {"md": "Molecular dynamics", "relax": "Relaxation"}


@dataclass(frozen=True)
class Motion:
    """Frames of a trajectory for the 3D view, and one of them for a still picture."""

    scene: Mapping[str, Any] | None  # None when one frame is too large to embed
    last: Atoms
    shown: int
    total: int


def title(simulation: SimulationRun) -> str:
    """Heading such as "Molecular dynamics: md_300K"."""
    return f"{_TITLES[simulation.kind]}: {simulation.folder.resolve().name}"


def facts(simulation: SimulationRun, skip: float = 0.0) -> list[tuple[str, str]]:
    """What was simulated and what came out, in words; averages without the first ``skip`` ps."""
    structure = simulation.description.get("structure", {})
    md = simulation.kind == "md"
    rows = list(_md_facts(simulation, skip) if md else _relax_facts(simulation))
    if "formula" in structure and "n_atoms" in structure:
        rows = [("Structure", f"{structure['formula']}, {structure['n_atoms']} atoms"), *rows]
    return rows


def plates(simulation: SimulationRun) -> Iterator[Plate]:
    """Figures over time, or over the steps of a relaxation."""
    if simulation.kind == "md":
        yield from _md_plates(simulation)
    else:
        yield from _relax_plates(simulation)


def motion(simulation: SimulationRun, atom_frames: int) -> Motion | None:
    """The trajectory thinned to ``atom_frames`` positions; None when there is none."""
    total = simulation.n_frames
    if total == 0:
        return None
    (last,) = simulation.frames(np.array([total - 1]))
    picked = viewer.pick_frames(total, len(last), atom_frames)
    if len(picked) == 0:
        return Motion(None, last, 0, total)
    labels = [_frame_label(simulation, int(index), total) for index in picked]
    return Motion(viewer.scene(simulation.frames(picked), labels), last, len(picked), total)


def comparison(simulation: SimulationRun) -> list[tuple[str, str, str, str]]:
    """What a relaxation changed, quantity by quantity; nothing for another simulation.

    DataError for a trajectory whose frames have no energies and forces, or are of other atoms.
    """
    if simulation.kind != "relax" or simulation.n_frames == 0:
        return []
    first, last = simulation.frames(np.array([0, simulation.n_frames - 1]))
    try:
        return before_and_after(first, last)
    except (PropertyNotImplementedError, RuntimeError, ValueError) as error:
        raise DataError(
            f"{trajectory_file(simulation.folder)} is not what a relaxation wrote"
            f"{reason_of(error)}; relax again, or take the file away to report without it."
        ) from error


def drift(simulation: SimulationRun) -> float | None:
    """Slope of the conserved energy over the whole run, meV/atom/ps; None when too short."""
    table, n_atoms = simulation.table, simulation.n_atoms
    energy = column(table, "conserved_energy_ev")
    time = column(table, "time_fs") / 1000
    if n_atoms is None or len(energy) < 3 or len(time) < 3:
        return None
    finite = np.isfinite(energy) & np.isfinite(time)
    slope = np.polynomial.Polynomial.fit(time[finite], energy[finite], 1).convert().coef
    return float(MILLI * slope[1] / n_atoms) if len(slope) > 1 else 0.0


def _md_facts(simulation: SimulationRun, skip: float) -> Iterator[tuple[str, str]]:
    settings, table = simulation.settings, simulation.after(skip)
    if "ensemble" in settings:
        yield "Ensemble", str(settings["ensemble"])
    if settings.get("temperature") is not None:
        end = settings.get("temperature_end")
        ramp = f" to {end:g} K" if end is not None else ""
        yield "Set temperature", f"{settings['temperature']:g} K{ramp}"
    time = column(simulation.table, "time_fs")
    if len(time):
        step = f", steps of {simulation.timestep:g} fs" if simulation.timestep else ""
        yield "Length", f"{_time(time[-1])}{step}"
    if skip:
        yield "Averages without", f"the first {skip:g} ps"
    yield from _average("Temperature", column(table, "temperature_k"), "K", ".1f")
    slope = drift(simulation)
    if slope is not None:
        yield "Drift of the conserved energy", f"{slope:.3g} meV/atom/ps"
    yield from _average("Pressure", column(table, "pressure_gpa"), "GPa", ".3f")
    outside = column(table, "extrapolating_atoms")
    if len(outside):
        share = np.count_nonzero(outside > 0) / np.count_nonzero(np.isfinite(outside))
        yield "Atoms outside the training domain", f"in {share:.1%} of the rows of the log"
    yield from _domain(table)


def _domain(table: Columns) -> Iterator[tuple[str, str]]:
    """How far it went from the training data, where that is known."""
    if np.isfinite(largest_grade(table)):
        last = column(table, LARGEST_GRADE)[-1]
        yield "Largest grade of an atom", f"{largest_grade(table):.3g}, at the end {last:.3g}"


def _average(name: str, values: Floats, unit: str, pattern: str) -> Iterator[tuple[str, str]]:
    """The mean with its error, and how much it fluctuates; nothing of no values."""
    values = values[np.isfinite(values)]
    if len(values):
        error = error_of_mean(values)
        words = "" if np.isfinite(error) else " (too short to tell its error)"
        mean = with_error(float(values.mean()), error, pattern=pattern)
        yield f"{name}, mean", f"{mean} {unit}{words}"
        yield f"{name}, fluctuation", f"{values.std():{pattern}} {unit}"


def _relax_facts(simulation: SimulationRun) -> Iterator[tuple[str, str]]:
    settings, table = simulation.settings, simulation.table
    if "optimizer" in settings:
        yield "Optimizer", str(settings["optimizer"])
    force = column(table, "max_force_ev_per_angstrom")
    steps = column(table, "step")
    if len(steps):
        yield "Steps", f"{steps[-1]:g}"
    if len(force):
        yield "Largest force at the end", f"{force[-1]:.3g} eV/Å{_asked(settings, 'fmax')}"
    stress = column(table, "max_stress_gpa")
    if len(stress):
        yield "Largest stress at the end", f"{stress[-1]:.3g} GPa{_asked(settings, 'smax')}"
    energy = column(table, "potential_energy_ev")
    if len(energy):
        yield "Potential energy gained", f"{energy[0] - energy[-1]:.4g} eV"
    yield from _domain(table)


def _asked(settings: Mapping[str, Any], name: str) -> str:
    """The limit that a relaxation was to come below, where there was one."""
    return f" (asked: below {settings[name]:g})" if settings.get(name) is not None else ""


def _md_plates(simulation: SimulationRun) -> Iterator[Plate]:
    table, n_atoms = simulation.table, simulation.n_atoms
    time, time_label = _time_axis(column(table, "time_fs"))
    if len(time) == 0:
        return

    def plate(name: str, label: str, caption: str, **options: Any) -> Iterator[Plate]:
        values = column(table, name)
        if len(values):
            axis = f"{label} ({_UNITS[name] or 'number'})"
            figure = figures.time_series(
                time, {label: values}, axis, time_label=time_label, **options
            )
            yield Plate(figure, caption)

    yield from plate(
        "temperature_k",
        "Temperature",
        "Temperature, its running mean (bold) and what was set.",
        target=_target(simulation),
    )
    per_atom, unit = (MILLI / n_atoms, "meV/atom") if n_atoms else (1.0, "eV")
    potential = column(table, "potential_energy_ev")
    if len(potential) and {"kinetic_energy_ev", "total_energy_ev"} <= table.keys():
        curves = {
            "Potential": per_atom * (potential - potential[0]),
            "Kinetic": per_atom * table["kinetic_energy_ev"],
            "Total": per_atom * (table["total_energy_ev"] - potential[0]),
        }
        figure = figures.time_series(time, curves, f"Energy ({unit})", time_label=time_label)
        yield Plate(
            figure,
            "Energies and running means; potential and total relative to the first potential.",
        )
    conserved = column(table, "conserved_energy_ev")
    if len(conserved):
        label = f"Conserved energy ({unit})"
        curve = {label: per_atom * (conserved - conserved[np.isfinite(conserved)][0])}
        figure = figures.time_series(time, curve, label, time_label=time_label)
        yield Plate(
            figure, "What an exact integration would keep constant, relative to its first value."
        )
    yield from plate("pressure_gpa", "Pressure", "Pressure, with its kinetic part.")
    volume = column(table, "volume_angstrom3")
    if len(volume) and np.nanstd(volume) > 0:
        yield from plate("volume_angstrom3", "Volume", "Volume of the cell.")
    if np.nansum(column(table, "extrapolating_atoms")) > 0:
        yield from plate(
            "extrapolating_atoms",
            "Atoms outside",
            "Atoms whose surroundings are unlike those the model was trained on.",
        )
    yield from plate(
        LARGEST_GRADE,
        "Largest grade",
        "Grade of the atom that is farthest from the training data; up to 1 it is like them.",
        logarithmic=largest_grade(table) > FAR,
    )
    yield from plate(
        "max_force_std_ev_per_angstrom",
        "Force uncertainty",
        "The committee's standard deviation of the force component it is least sure of.",
    )


def _relax_plates(simulation: SimulationRun) -> Iterator[Plate]:
    table, n_atoms = simulation.table, simulation.n_atoms
    steps, energies = column(table, "step"), column(table, "potential_energy_ev")
    largest = column(table, "max_force_ev_per_angstrom")
    if not len(steps) == len(energies) == len(largest) > 0:
        return
    factor, unit = (MILLI / n_atoms, "meV/atom") if n_atoms else (1.0, "eV")
    energy = factor * (energies - energies[-1])
    label = f"Energy above the last ({unit})"
    yield Plate(
        figures.time_series(steps, {label: energy}, label, time_label="Step (number)"),
        "Potential energy relative to that of the last step.",
    )
    label = "Largest force (eV/Å)"
    forces = {label: largest}
    yield Plate(
        figures.time_series(steps, forces, label, time_label="Step (number)", logarithmic=True),
        "Largest force on an atom.",
    )


def _frame_label(simulation: SimulationRun, index: int, total: int) -> str:
    if simulation.kind == "relax" or simulation.timestep is None:
        return f"step {index} of {total - 1}"
    return f"{_time(index * simulation.frame_interval * simulation.timestep)}"


def _target(simulation: SimulationRun) -> tuple[float, float] | None:
    settings = simulation.settings
    if settings.get("ensemble") == "nve" or settings.get("temperature") is None:
        return None
    begin, end = settings["temperature"], settings.get("temperature_end")
    return float(begin), float(begin if end is None else end)


def _time_axis(time: Floats) -> tuple[Floats, str]:
    if len(time) and time[-1] >= 2000:
        return time / 1000, "Time (ps)"
    return time, "Time (fs)"


def _time(femtoseconds: float) -> str:
    return f"{femtoseconds / 1000:.4g} ps" if femtoseconds >= 1000 else f"{femtoseconds:g} fs"
