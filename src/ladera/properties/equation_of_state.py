"""Equation of state: energy against volume, and what two analytic forms make of it."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.optimize import OptimizeWarning, curve_fit

from ladera.arrays import Floats
from ladera.errors import PropertyError
from ladera.plotting import INK, PALETTE, axes, style
from ladera.properties.recorded import recorded
from ladera.properties.result import Result, quantity
from ladera.properties.structures import (
    largest_grade,
    require_crystal,
    require_fmax,
    require_strain,
    scaled_crystals,
    with_spread,
)
from ladera.tables import Cell, Column, Table
from ladera.units import GIGAPASCAL

if TYPE_CHECKING:
    from ase import Atoms


def birch_murnaghan(
    volume: Floats, energy: float, equilibrium: float, modulus: float, derivative: float
) -> Floats:
    """Energy at ``volume`` (Birch, Phys. Rev. 71, 809 (1947), third order).

    E(V) = E_0 + 9 V_0 B_0 / 16 [ (y - 1)^3 B_0' + (y - 1)^2 (6 - 4 y) ],    y = (V_0 / V)^(2/3)
    """
    y = (equilibrium / volume) ** (2 / 3)
    strain = y - 1
    scale = 9 * equilibrium * modulus / 16
    result: Floats = energy + scale * (strain**3 * derivative + strain**2 * (6 - 4 * y))
    return result


def vinet(
    volume: Floats, energy: float, equilibrium: float, modulus: float, derivative: float
) -> Floats:
    """Energy at ``volume`` (Vinet et al., J. Geophys. Res. 92, 9319 (1987)).

    E(V) = E_0 + 9 V_0 B_0 / eta^2 [ 1 - (1 - u) exp(u) ],
    u = eta (1 - (V / V_0)^(1/3)),    eta = 3/2 (B_0' - 1)
    """
    eta = 1.5 * (derivative - 1)
    u = eta * (1 - np.cbrt(volume / equilibrium))
    scale = 9 * equilibrium * modulus / eta**2
    result: Floats = energy + scale * (1 - (1 - u) * np.exp(u))
    return result


_MOST_POINTS: Final = 1000
FORMS: Final[dict[str, Callable[..., Floats]]] = {
    "Birch-Murnaghan": birch_murnaghan,
    "Vinet": vinet,
}


@dataclass(frozen=True, kw_only=True)
class EquationOfState(Result):
    """Energies at several volumes, and the parameters of each form in ``forms``.

    Errors are the larger of two: the standard error of the fit, and by how much the parameters
    change without the outer volumes, extrapolated to none of them (a form's error grows with the
    square of the range). They say how well the form describes the points, not how well the
    potential describes nature.
    """

    kind: ClassVar[str] = "equation_of_state"
    title: ClassVar[str] = "Equation of state"
    caption: ClassVar[str] = "Energy against volume, and the forms fitted to it."

    volumes: Floats = quantity("Angstrom^3/atom")  # (n_points,)
    energies: Floats = quantity("eV/atom")  # (n_points,)
    forms: tuple[str, ...]
    volume: Floats = quantity("Angstrom^3/atom")  # (n_forms,), V_0
    volume_error: Floats = quantity("Angstrom^3/atom")
    energy: Floats = quantity("eV/atom")  # E_0
    energy_error: Floats = quantity("eV/atom")
    bulk_modulus: Floats = quantity("GPa")  # B_0
    bulk_modulus_error: Floats = quantity("GPa")
    derivative: Floats = quantity()  # B_0' = dB/dP
    derivative_error: Floats = quantity()
    residual: Floats = quantity("meV/atom")  # root mean square of the fit

    def table(self) -> Table:
        """One row for each form."""
        columns = (
            Column("form"),
            Column("V0", "Angstrom^3/atom", pattern=".4f"),
            Column("B0", "GPa", pattern=".2f"),
            Column("B0'", pattern=".2f"),
            Column("potential energy E0", "eV/atom", pattern=".5f"),
            Column("residual", "meV/atom", pattern=".2g"),
        )
        names = ("volume", "bulk_modulus", "derivative", "energy")
        rows: tuple[tuple[Cell, ...], ...] = tuple(
            (form, *(self.number(name, i) for name in names), float(self.residual[i]))
            for i, form in enumerate(self.forms)
        )
        return Table(columns, rows, error="error of the fit")

    def plot(self, ax: Axes | None = None) -> Figure:
        """Energies and both curves against volume."""
        with style():
            figure, panel = axes(ax=ax)
            grid = np.linspace(self.volumes.min(), self.volumes.max(), 200)
            for i, (form, dashes) in enumerate(zip(self.forms, ("-", "--"), strict=True)):
                parameters = self.energy[i], self.volume[i], self.bulk_modulus[i] * GIGAPASCAL
                curve = FORMS[form](grid, *parameters, self.derivative[i])
                panel.plot(
                    grid, 1e3 * (curve - self.energy[0]), dashes, color=PALETTE[i], label=form
                )
            above = 1e3 * (self.energies - self.energy[0])
            panel.plot(self.volumes, above, "o", color=INK, ms=4, label="computed")
            panel.set_xlabel("volume (Å³/atom)")
            panel.set_ylabel("energy above the minimum (meV/atom)")
            panel.legend()
        return figure


@with_spread(at_rest="nothing")
@recorded
def equation_of_state(
    atoms: Atoms, /, *, strain: float = 0.05, points: int = 11, fmax: float = 1e-3
) -> EquationOfState:
    """Energy against volume of a crystal with a calculator.

    The cell is scaled without changing its shape, its volume from 1 - ``strain`` to 1 + ``strain``
    times the present one in ``points`` even steps; at each the atoms come to rest (largest force
    ``fmax``, eV/Angstrom). ``atoms`` itself stays as it is.

    Raises PropertyError for a structure without a lattice, for fewer than six points, when the
    minimum is not among the volumes, and when a form does not fit.
    """
    require_crystal(atoms, "An equation of state")
    require_strain(strain)
    require_fmax(fmax)
    if not 6 <= points <= _MOST_POINTS:
        what = f"four parameters and their errors need six volumes or more, up to {_MOST_POINTS}"
        raise PropertyError.of("points", points, what)
    n_atoms, factors = len(atoms), np.linspace(1 - strain, 1 + strain, points)
    crystals = scaled_crystals(atoms, factors, fmax)
    energies = np.array([crystal.get_potential_energy() for crystal in crystals]) / n_atoms
    volumes = factors * atoms.cell.volume / n_atoms
    lowest = int(np.argmin(energies))
    if lowest in (0, points - 1):
        raise PropertyError(
            f"The energy is lowest at the {'smallest' if lowest == 0 else 'largest'} volume, "
            f"{volumes[lowest]:.4g} Angstrom^3/atom, so the minimum lies outside; relax the cell "
            "first (`ladera relax MODEL STRUCTURE --cell`), or widen the strain."
        )
    fits = [_fit_with_errors(form, volumes, energies) for form in FORMS]
    values, errors = np.array([fit[0] for fit in fits]).T, np.array([fit[1] for fit in fits]).T
    return EquationOfState(
        volumes=volumes,
        energies=energies,
        forms=tuple(FORMS),
        volume=values[1],
        volume_error=errors[1],
        energy=values[0],
        energy_error=errors[0],
        bulk_modulus=values[2] / GIGAPASCAL,
        bulk_modulus_error=errors[2] / GIGAPASCAL,
        derivative=values[3],
        derivative_error=errors[3],
        residual=np.array([1e3 * fit[2] for fit in fits]),
        largest_grade=largest_grade(*crystals),
    )


def _fit_with_errors(form: str, volumes: Floats, energies: Floats) -> tuple[Floats, Floats, float]:
    """Parameters (E_0, V_0, B_0, B_0'), their errors, and the residual (eV/atom)."""
    values, covariance = _fit(form, volumes, energies)
    left_out = max(1, len(volumes) // 5)
    inner = slice(left_out, -left_out)
    share = np.ptp(volumes[inner]) / np.ptp(volumes)
    change = np.abs(values - _fit(form, volumes[inner], energies[inner])[0]) / (1 - share**2)
    residual = np.sqrt(np.mean((FORMS[form](volumes, *values) - energies) ** 2))
    return values, np.maximum(np.sqrt(np.diag(covariance)), change), float(residual)


def _fit(form: str, volumes: Floats, energies: Floats) -> tuple[Floats, Floats]:
    """Parameters (E_0, V_0, B_0, B_0') and their covariance by the scatter of the points."""
    curvature, slope, _ = np.polyfit(volumes, energies, 2)
    start = (-slope / (2 * curvature), abs(slope), 4.0)
    # Energies of thousands of eV would lose digits in the fit, so they are counted from the lowest.
    lowest = energies.min()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", OptimizeWarning)  # four points leave no scatter
            values, covariance = curve_fit(
                FORMS[form], volumes, energies - lowest, p0=(0.0, *start), maxfev=10_000
            )
    except RuntimeError as error:
        raise PropertyError(
            f"The {form} form does not fit the energies; is the potential smooth here? Look at "
            "more points, or a smaller strain."
        ) from error
    values[0] += lowest
    return values, covariance
