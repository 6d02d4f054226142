"""Diffusion against temperature: activation energy, prefactor and room temperature."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np
from matplotlib.figure import Figure

from ladera.arrays import Floats
from ladera.errors import PropertyError
from ladera.plotting import FAINT, INK, PALETTE, axes, log_scale, style
from ladera.properties.diffusion import CM2_PER_S, MS_PER_CM, Diffusion
from ladera.properties.recorded import recorded
from ladera.properties.result import Result, quantity
from ladera.tables import Column, Number, Table, with_error
from ladera.units import BOLTZMANN

if TYPE_CHECKING:
    from matplotlib.axes import Axes


_NO_DENSITY: Final = "no cell or no charge of an ion known"
_NO_FREEDOM: Final = "any two temperatures are on a line"


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
        """What the line says."""
        line = "" if np.isfinite(self.activation_energy) else "one temperature makes no line"
        at = f"at {self.target:g} K, extrapolated"
        entries = []
        for name, unit, pattern, field, reason in (
            ("activation energy", "eV", ".4f", "activation_energy", line),
            ("prefactor", "cm^2/s", ".3g", "prefactor", line),
            ("error of the prefactor, a factor", "", ".3g", "prefactor_factor", line),
            (f"D {at}", "cm^2/s", ".3g", "target_coefficient", line),
            (f"conductivity {at}", "mS/cm", ".3g", "target_conductivity", line or _NO_DENSITY),
            (f"error at {self.target:g} K, a factor", "", ".3g", "target_factor", line),
            ("χ² per degree of freedom", "", ".2f", "chi_squared", line or _NO_FREEDOM),
        ):
            entries.append((Column(name, unit, pattern=pattern), self._told(field, reason)))
        return Table.of_one(*entries)

    def tables(self) -> tuple[Table, ...]:
        """What the line says, and the temperatures it goes through, or leaves out."""
        columns = (Column("temperature", "K"), Column(f"D({self.species})", "cm^2/s"))
        rows = [
            (float(t), replace(self.number("coefficients", k), error=float(e)))
            for k, (t, e) in enumerate(zip(self.temperatures, self.coefficient_errors, strict=True))
        ]
        words = "NOT TOLD FROM ZERO, left out"
        rows += [(float(t), Number(float(d), float(e), note=words)) for t, d, e in self.left_out]
        return self.table(), Table(columns, tuple(rows), name="temperatures")

    def _told(self, name: str, reason: str) -> Number:
        """A number of the line, or the reason why there is none."""
        number = self.number(name)
        if not np.isfinite(number.value):
            return replace(number, note=reason)
        lost = name in self.spread and not np.isfinite(number.deviation)
        return replace(
            number, note="no deviation: the ions of a member do not move" if lost else ""
        )

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
    _require_of_one_kind(results)
    left_out = [one for one in results if not one.resolved]
    results = [one for one in results if one.resolved]
    _require_temperatures(results, left_out)
    fit = _fit(results)
    members = _members(results)
    density = float(np.mean([one.n_mobile / one.volume for one in results if one.volume]))
    per_coefficient = MS_PER_CM * density * results[0].charge ** 2 / CM2_PER_S / BOLTZMANN
    cold = float(np.exp(_line(fit.logarithm, fit.energy, 1 / target)))
    return Arrhenius(
        species=results[0].species,
        temperatures=fit.temperatures,
        coefficients=fit.coefficients,
        coefficient_errors=np.array([one.coefficient_error for one in results]),
        conductivities=np.array([one.conductivity for one in results]),
        activation_energy=fit.energy,
        activation_energy_error=float(np.sqrt(fit.covariance[1, 1])),
        prefactor=float(np.exp(fit.logarithm)),
        prefactor_factor=float(np.exp(np.sqrt(fit.covariance[0, 0]))),
        covariance=fit.covariance,
        chi_squared=fit.chi_squared,
        target=target,
        target_coefficient=cold,
        target_factor=float(np.exp(_deviation(fit.covariance, 1 / target))),
        target_conductivity=per_coefficient * cold / target,
        member_coefficients=members,
        left_out=np.array(
            [(one.temperature, one.coefficient, one.coefficient_error) for one in left_out]
        ).reshape(-1, 3),
        spread=_spread(fit, members, target, per_coefficient) if len(members) else {},
    )


def _require_of_one_kind(results: Sequence[Diffusion]) -> None:
    """Refuse several species, and results without a temperature."""
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


def _require_temperatures(results: Sequence[Diffusion], left_out: Sequence[Diffusion]) -> None:
    """Refuse what no line goes through."""
    if not results:
        one = left_out[-1]
        shown = with_error(one.coefficient, one.coefficient_error)
        raise PropertyError(
            f"At {one.temperature:g} K D({one.species}) = {shown} cm²/s cannot be told from zero "
            "and has no logarithm to fit, and at no other temperature is it better; run longer."
        )
    temperatures = [one.temperature for one in results]
    if len(results) > 1 and np.ptp(temperatures) < 1:
        raise PropertyError(
            f"All trajectories are at {temperatures[0]:g} K; an Arrhenius line needs two "
            "temperatures or more."
        )


@dataclass(frozen=True)
class _Fit:
    """ln D_0 and E_a (eV) through coefficients (cm^2/s), what they were solved with, and errors."""

    temperatures: Floats  # (n,), K
    coefficients: Floats  # (n,)
    solve: Floats  # (2, n), of ln D
    logarithm: float
    energy: float
    covariance: Floats  # (2, 2)
    chi_squared: float


def _fit(results: Sequence[Diffusion]) -> _Fit:
    """Weighted least squares; not-a-number of one coefficient."""
    temperatures = np.array([one.temperature for one in results])
    d = np.array([one.coefficient for one in results])
    sigma = np.array([one.coefficient_error for one in results]) / d
    design = np.stack([np.ones_like(d), -1 / (BOLTZMANN * temperatures)], axis=1)
    weighted = (design / sigma[:, None] ** 2).T
    # Through one point there is no line.
    covariance = np.linalg.inv(weighted @ design) if len(d) > 1 else np.full((2, 2), np.nan)
    solve = covariance @ weighted
    logarithm, energy = (float(value) for value in solve @ np.log(d))
    residual = (np.log(d) - design @ [logarithm, energy]) / sigma
    freedom = len(d) - 2
    chi_squared = float(residual @ residual / freedom) if freedom > 0 else float("nan")
    covariance = covariance * np.fmax(1, chi_squared)
    return _Fit(temperatures, d, solve, logarithm, energy, covariance, chi_squared)


def _spread(fit: _Fit, members: Floats, target: float, per_coefficient: float) -> dict[str, Any]:
    """Deviations of what the lines of members (n_members, n) say, each with the fit's weights."""
    # A member whose ions do not move has no line, and then there is no deviation to tell.
    logarithms, energies = fit.solve @ np.log(np.where(members > 0, members, np.nan)).T
    cold = np.exp(_line(logarithms, energies, 1 / target))
    found = {
        "coefficients": members,
        "activation_energy": energies,
        "prefactor": np.exp(logarithms),
        "target_coefficient": cold,
        "target_conductivity": per_coefficient * cold / target,
    }
    return {name: np.std(values, axis=0, ddof=1) for name, values in found.items()}


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
