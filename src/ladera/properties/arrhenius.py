"""Diffusion against temperature: activation energy, prefactor and room temperature."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from matplotlib.figure import Figure

from ladera.arrays import Floats
from ladera.errors import PropertyError
from ladera.plotting import FAINT, INK, PALETTE, axes, log_scale, style
from ladera.properties.diffusion import CM2_PER_S, MS_PER_CM, Diffusion
from ladera.properties.recorded import recorded
from ladera.properties.result import Result, Table, quantity, two_digits
from ladera.units import BOLTZMANN

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, kw_only=True)
class Arrhenius(Result):
    """Coefficients at several temperatures and the line through their logarithms.

    Errors are standard errors carried from those of the coefficients, and larger by the root of
    chi-squared where the points scatter about the line by more than these. A logarithm's is taken
    for that of the prefactor and of the extrapolation, whose errors are therefore factors. With
    fewer than two coefficients that can be told from zero there is no line (not-a-number).
    """

    kind: ClassVar[str] = "arrhenius"
    title: ClassVar[str] = "Diffusion against temperature"
    caption: ClassVar[str] = (
        "Coefficients against inverse temperature, the line through them, its bands of one "
        "and two errors, and the extrapolation."
    )

    species: str
    temperatures: Floats = quantity("K")  # (n,), rising
    coefficients: Floats = quantity("cm^2/s")  # (n,)
    coefficient_errors: Floats = quantity("cm^2/s")
    conductivities: Floats = quantity("mS/cm")  # (n,)
    activation_energy: float = quantity("eV")
    activation_energy_error: float = quantity("eV")
    prefactor: float = quantity("cm^2/s")
    prefactor_factor: float = quantity()  # one error up or down multiplies or divides by it
    covariance: Floats = quantity()  # (2, 2), of ln(prefactor in cm^2/s) and E_a in eV
    chi_squared: float = quantity()  # per degree of freedom; not-a-number with two temperatures
    target: float = quantity("K")
    target_coefficient: float = quantity("cm^2/s")
    target_factor: float = quantity()
    target_conductivity: float = quantity("mS/cm")
    # (n_members, n), what each member of a committee gives by itself; empty for a single model
    member_coefficients: Floats = quantity("cm^2/s", default_factory=lambda: np.empty((0, 0)))
    # (n_left_out, 3), temperature (K), coefficient, its error (cm^2/s): not told from zero
    left_out: Floats = quantity(default_factory=lambda: np.empty((0, 3)))

    def table(self) -> Table:
        """The temperatures, then what the line says."""
        rows = [
            (
                f"D at {t:.4g} K (cm²/s)",
                f"{d:.4g}",
                f"± {two_digits(e)}",
                self._spread("coefficients", k),
            )
            for k, (t, d, e) in enumerate(
                zip(self.temperatures, self.coefficients, self.coefficient_errors, strict=True)
            )
        ]
        for t, d, e in self.left_out:
            error = f"± {two_digits(e)}, " if np.isfinite(e) else ""
            words = f"{error}NOT TOLD FROM ZERO, left out"
            rows.append((f"D at {t:.4g} K (cm²/s)", f"{d:.4g}", words, ""))
        line = [
            (
                "activation energy (eV)",
                f"{self.activation_energy:.4f}",
                f"± {two_digits(self.activation_energy_error)}",
                self._spread("activation_energy"),
            ),
            (
                "prefactor (cm²/s)",
                f"{self.prefactor:.3g}",
                f"factor {self.prefactor_factor:.3g}",
                self._spread("prefactor"),
            ),
            (
                f"D at {self.target:g} K, extrapolated (cm²/s)",
                f"{self.target_coefficient:.3g}",
                f"factor {self.target_factor:.3g}",
                self._spread("target_coefficient"),
            ),
            (
                f"conductivity at {self.target:g} K, extrapolated (mS/cm)",
                *(
                    (f"{self.target_conductivity:.3g}", f"factor {self.target_factor:.3g}")
                    if np.isfinite(self.target_conductivity)
                    else ("not computed", "")
                ),
                self._spread("target_conductivity"),
            ),
        ]
        if not np.isfinite(self.activation_energy):
            line = [(row[0], "not computed", "", "") for row in line]
        rows += line
        if np.isfinite(self.chi_squared):
            rows.append(("χ² per degree of freedom", f"{self.chi_squared:.2f}", "", ""))
        count = len(self.member_coefficients)
        columns = ("quantity", "value", "standard error", f"deviation of {count} members")
        shown = 4 if count else 3
        return Table(columns[:shown], tuple(row[:shown] for row in rows))

    def _spread(self, name: str, index: Any = ()) -> str:
        if name not in self.spread:
            return ""
        value = float(np.asarray(self.spread[name])[index])
        return f"± {two_digits(value)}" if np.isfinite(value) else "not computed"

    def plot(self, ax: Axes | None = None) -> Figure:
        """Coefficients on a logarithmic axis against inverse temperature, line and band."""
        with style():
            figure, panel = axes(ax=ax)
            if np.isfinite(self.activation_energy):
                self._plot_line(panel)
            panel.errorbar(
                1000 / self.temperatures,
                self.coefficients,
                self.coefficient_errors,
                fmt="o",
                ms=4,
                color=INK,
                capsize=2,
                label=f"D({self.species})",
            )
            if len(self.member_coefficients):
                panel.plot(
                    np.tile(1000 / self.temperatures, len(self.member_coefficients)),
                    self.member_coefficients.ravel(),
                    "x",
                    ms=5,
                    color=FAINT,
                    zorder=3,
                    label="members",
                )
            panel.margins(x=0.03)
            panel.set(xlabel="1000 K / temperature", ylabel="diffusion coefficient (cm²/s)")
            log_scale(panel, "y")
            panel.legend()
        return figure

    def _plot_line(self, panel: Axes) -> None:
        coldest = min(self.target, float(self.temperatures[0]))
        hottest = max(self.target, float(self.temperatures[-1]))
        inverse = np.linspace(1 / hottest, 1 / coldest, 100)
        middle = _line(np.log(self.prefactor), self.activation_energy, inverse)
        spread = np.array([_deviation(self.covariance, float(one)) for one in inverse])
        x = 1000 * inverse
        for times, shade in ((2, 0.15), (1, 0.3)):
            low, high = np.exp(middle - times * spread), np.exp(middle + times * spread)
            label = f"± {times} error{'s' if times > 1 else ''}"
            panel.fill_between(x, low, high, color=PALETTE[0], alpha=shade, lw=0, label=label)
        panel.plot(x, np.exp(middle), "--", color=PALETTE[0], label="fit")
        panel.plot(
            [1000 / self.target],
            [self.target_coefficient],
            "D",
            mfc="white",
            color=PALETTE[1],
            label=f"{self.target:g} K",
        )


@recorded
def arrhenius(results: Sequence[Diffusion], /, *, target: float = 300.0) -> Arrhenius:
    """The Arrhenius line through diffusion coefficients of one species.

    ::

        ln D = ln D_0 - E_a / (k_B T)

    Least squares, weighted by the errors of ln D. What it says has the errors that follow from
    these, times the root of chi-squared per degree of freedom where that is above one: points that
    are on no line cannot tell a slope to the digit. Temperatures whose coefficient is not two
    errors above zero, or is none of diffusion, are listed and left out. The conductivity at
    ``target`` (K) is Nernst and Einstein's, with the mean density of ions. With a committee's
    coefficients at all temperatures, each member has its own line, of the same weights, and the
    result carries the standard deviation of what these say.

    Raises PropertyError for one temperature only, several species, a result without temperature,
    and when no coefficient can be told from zero.
    """
    if not (np.isfinite(target) and target > 0):
        raise PropertyError(f"The target is {target} K; a line goes to temperatures above zero.")
    results = sorted(results, key=lambda one: one.temperature)
    species = {one.species for one in results}
    if len(species) != 1:
        raise PropertyError(
            f"An Arrhenius line belongs to one species; these are of {sorted(species)}."
        )
    for one in results:
        if not np.isfinite(one.temperature):
            raise PropertyError(
                "A trajectory does not say its temperature; give one for each trajectory with "
                "--temperature, in K and in their order."
            )
    left_out = [one for one in results if not one.resolved]
    results = [one for one in results if one.resolved]
    if not results:
        one = left_out[-1]
        raise PropertyError(
            f"At {one.temperature:g} K D({one.species}) = {one.coefficient:.2g} cm²/s "
            f"with an error of {one.coefficient_error:.2g} cannot be told from zero and has "
            "no logarithm to fit, and at no other temperature is it better; run longer."
        )
    temperatures = np.array([one.temperature for one in results])
    if len(results) > 1 and np.ptp(temperatures) < 1:
        raise PropertyError(
            f"All trajectories are at {temperatures[0]:g} K; an Arrhenius line needs two "
            "temperatures or more."
        )
    d = np.array([one.coefficient for one in results])
    errors = np.array([one.coefficient_error for one in results])
    sigma = errors / d
    design = np.stack([np.ones_like(d), -1 / (BOLTZMANN * temperatures)], axis=1)
    weighted = (design / sigma[:, None] ** 2).T
    # Through one point there is no line.
    covariance = np.linalg.inv(weighted @ design) if len(d) > 1 else np.full((2, 2), np.nan)
    solve = covariance @ weighted
    logarithm, energy = solve @ np.log(d)
    residual = (np.log(d) - design @ [logarithm, energy]) / sigma
    freedom = len(d) - 2
    chi_squared = float(residual @ residual / freedom) if freedom > 0 else float("nan")
    covariance = covariance * np.fmax(1, chi_squared)
    cold = float(np.exp(_line(logarithm, energy, 1 / target)))
    density = float(np.mean([one.n_mobile / one.volume for one in results if one.volume]))
    per_coefficient = MS_PER_CM * density * results[0].charge ** 2 / CM2_PER_S / BOLTZMANN
    members = _members(results)
    # A member whose ions do not move has no line, and then there is no deviation to tell.
    logarithms, energies = solve @ np.log(np.where(members > 0, members, np.nan)).T
    cold_members = np.exp(_line(logarithms, energies, 1 / target))
    of_members = {
        "coefficients": members,
        "activation_energy": energies,
        "prefactor": np.exp(logarithms),
        "target_coefficient": cold_members,
        "target_conductivity": per_coefficient * cold_members / target,
    }
    return Arrhenius(
        species=species.pop(),
        temperatures=temperatures,
        coefficients=d,
        coefficient_errors=errors,
        conductivities=np.array([one.conductivity for one in results]),
        activation_energy=float(energy),
        activation_energy_error=float(np.sqrt(covariance[1, 1])),
        prefactor=float(np.exp(logarithm)),
        prefactor_factor=float(np.exp(np.sqrt(covariance[0, 0]))),
        covariance=covariance,
        chi_squared=chi_squared,
        target=target,
        target_coefficient=cold,
        target_factor=float(np.exp(_deviation(covariance, 1 / target))),
        target_conductivity=per_coefficient * cold / target,
        member_coefficients=members,
        left_out=np.array(
            [(one.temperature, one.coefficient, one.coefficient_error) for one in left_out]
        ).reshape(-1, 3),
        spread={
            name: np.std(values, axis=0, ddof=1)
            for name, values in (of_members if len(members) else {}).items()
        },
    )


def _members(results: Sequence[Diffusion]) -> Floats:
    """Coefficients (n_members, n) of a committee's members, none unless all results have them."""
    counts = {len(one.member_coefficients) for one in results}
    if len(counts) > 1:
        return np.empty((0, len(results)))
    return np.array([one.member_coefficients for one in results]).T


def _line(logarithm: Any, energy: Any, inverse: Floats | float) -> Floats:
    """ln D at inverse temperatures, 1/K."""
    line: Floats = logarithm - energy / BOLTZMANN * inverse
    return line


def _deviation(covariance: Floats, inverse: float) -> float:
    """Standard error of ln D at an inverse temperature, 1/K."""
    gradient = np.array([1, -inverse / BOLTZMANN])
    return float(np.sqrt(gradient @ covariance @ gradient))
