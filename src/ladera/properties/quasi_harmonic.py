"""Thermal expansion in the quasi-harmonic approximation: phonons at several volumes."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final

import numpy as np
from ase import units
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from phonopy import run_qha

from ladera.arrays import Floats
from ladera.errors import PropertyError
from ladera.plotting import PALETTE, axes, style
from ladera.progress import track
from ladera.properties.phonons import LARGEST_NOISE, force_constants, frequencies
from ladera.properties.recorded import recorded
from ladera.properties.result import Result, quantity
from ladera.properties.structures import (
    largest_grade,
    require_crystal,
    require_strain,
    scaled_crystals,
    with_spread,
)
from ladera.properties.supercells import supercell_of
from ladera.tables import Column, Table
from ladera.units import GIGAPASCAL

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ase import Atoms

_HIGHEST, _STEP = 1000.0, 10.0  # K
_MESH_LENGTH: Final = 60.0  # Angstrom
_COARSE_MESH: Final = np.array(list(np.ndindex(4, 4, 4))) / 4
_PER_MOLE: Final = float(units._e * units._Nav)  # J/mol in eV
_SHOWN: Final = (10.0, 20.0, 30.0, 50.0, 70.0, 100.0, 200.0, 300.0, 500.0, 800.0)  # K
_ROWS: Final = 4  # of these in the table, the highest there are


@dataclass(frozen=True, kw_only=True)
class QuasiHarmonic(Result):
    """Equilibrium at zero pressure against temperature; Vinet's form at each temperature."""

    kind: ClassVar[str] = "quasi_harmonic"
    title: ClassVar[str] = "Quasi-harmonic expansion"
    caption: ClassVar[str] = "Volume expansion coefficient against temperature."

    temperatures: Floats = quantity("K")
    volume: Floats = quantity("Angstrom^3")  # of the cell
    expansion: Floats = quantity("1/K")  # (1/V) dV/dT
    bulk_modulus: Floats = quantity("GPa")
    gruneisen: Floats = quantity()  # thermodynamic Grueneisen parameter
    heat_capacity: Floats = quantity("J/K/mol")  # at constant pressure, per cell
    volumes: Floats = quantity("Angstrom^3")  # the ones computed

    def table(self) -> Table:
        """Some temperatures for people, all of them for programs."""
        columns = (
            Column("T", "K", pattern="g"),
            Column("V", "Angstrom^3/cell", pattern=".4f"),
            Column("expansion", "10^-6/K", pattern=".2f"),
            Column("B", "GPa", pattern=".2f"),
            Column("Cp", "J/K/mol", pattern=".3f"),
        )
        shown = [t for t in _SHOWN if t <= self.temperatures[-1]][-_ROWS:]
        picked = [int(np.argmin(np.abs(self.temperatures - t))) for t in shown]
        rows = tuple(
            (
                float(temperature),
                self.number("volume", i),
                self.number("expansion", i, factor=1e6),
                self.number("bulk_modulus", i),
                self.number("heat_capacity", i),
            )
            for i, temperature in enumerate(self.temperatures)
        )
        notes = []
        if self.temperatures[-1] < _HIGHEST:
            low, high = self.volumes.min(), self.volumes.max()
            notes.append(
                f"Above {self.temperatures[-1]:g} K the volume is outside {low:.2f} to {high:.2f} "
                "Å³: a larger strain reaches further."
            )
        return Table(columns, rows, notes=tuple(notes), shown=tuple(picked or [len(rows) - 1]))

    def plot(self, ax: Axes | None = None) -> Figure:
        """Volume expansion coefficient against temperature."""
        with style():
            figure, panel = axes(ax=ax)
            panel.plot(self.temperatures, 1e6 * self.expansion, color=PALETTE[0])
            if "expansion" in self.spread:
                low = 1e6 * (self.expansion - self.spread["expansion"])
                high = 1e6 * (self.expansion + self.spread["expansion"])
                panel.fill_between(self.temperatures, low, high, color=PALETTE[0], alpha=0.25)
            panel.set_xlabel("temperature (K)")
            panel.set_ylabel("volume expansion (10⁻⁶/K)")
        return figure


@with_spread(at_rest="nothing")
@recorded
def quasi_harmonic(
    atoms: Atoms,
    /,
    *,
    supercell: int | Sequence[int] | None = None,
    strain: float = 0.08,
    points: int = 8,
    displacement: float = 0.01,
    fmax: float = 1e-3,
) -> QuasiHarmonic:
    """Thermal expansion of a relaxed crystal from phonons at ``points`` volumes.

    F(V, T) = E(V) + F_vib(V, T) is minimised over the volume, which goes from 1 - ``strain`` / 2
    to 1 + ``strain`` times the present one without a change of shape (phonopy's quasi-harmonic
    module). Temperatures go up to 1000 K, or to where the minimum leaves the volumes.

    Raises PropertyError for a molecule, when a volume has imaginary modes, and when the crystal
    expands beyond all volumes.
    """
    require_crystal(atoms, "A thermal expansion")
    require_strain(strain)
    if points < 5:
        raise PropertyError.of("points", points, "a fit needs five volumes or more")
    atoms, size = supercell_of(atoms, supercell)  # the same of all volumes
    energies, crystals = [], []
    factors = np.linspace(1 - strain / 2, 1 + strain, points)
    strained = scaled_crystals(atoms, factors, fmax)
    for factor, scaled in zip(factors, track(strained, "volumes, phonons"), strict=True):
        energies.append(float(scaled.get_potential_energy()))
        crystals.append(force_constants(scaled, size, displacement))
        lowest = float(frequencies(crystals[-1], _COARSE_MESH).min())
        if lowest < -LARGEST_NOISE:
            raise PropertyError(
                f"At {factor:.3f} times the volume a mode is imaginary ({-lowest:.3g} THz), so its "
                "heat is not known; take a smaller strain, or a structure that is stable."
            )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of volumes outside, which are cut off below
        fit = run_qha(
            crystals,
            temperatures=np.arange(0.0, _HIGHEST + 2 * _STEP, _STEP),
            internal_energies=energies,
            mesh=_MESH_LENGTH,
            eos="vinet",
            exclude_gamma_acoustic=True,
        )
    within = (fit.equilibrium_volumes >= fit.volumes.min()) & (
        fit.equilibrium_volumes <= fit.volumes.max()
    )
    n = len(within) if within.all() else int(np.argmin(within))
    if n < 2:
        raise PropertyError(
            f"The free energy is lowest at {fit.equilibrium_volumes[0]:.4g} Angstrom^3 already at "
            f"0 K, and the volumes go from {fit.volumes.min():.4g} to {fit.volumes.max():.4g}; "
            "relax the cell first, or take a larger strain."
        )
    return QuasiHarmonic(
        temperatures=fit.temperatures[:n],
        volume=fit.equilibrium_volumes[:n],
        expansion=fit.thermal_expansion[:n],
        bulk_modulus=fit.bulk_moduli[:n] / GIGAPASCAL,
        gruneisen=fit.gruneisen_parameters[:n],
        heat_capacity=fit.heat_capacity_P.heat_capacities[:n] * _PER_MOLE,
        volumes=fit.volumes,
        largest_grade=largest_grade(*strained),
    )
