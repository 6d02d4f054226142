"""Thermal conductivity from the heat flux at equilibrium (Green and Kubo), with its errors."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final

import numpy as np
from ase import units
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import chi2

from ladera.arrays import Floats, Reals
from ladera.errors import PropertyError
from ladera.plotting import FAINT, PALETTE, band, log_scale, panel_grid, style
from ladera.properties.cepstrum import Cepstrum, cepstrum, correlations
from ladera.properties.heat_flux_series import HeatFluxSeries, read_heat_flux
from ladera.properties.mean_squares import standard_error
from ladera.properties.recorded import recorded
from ladera.properties.result import Result, quantity
from ladera.tables import Cell, Column, Number, Table
from ladera.units import BOLTZMANN

# eV/(Angstrom fs K) in W/m/K.
_SI: Final = float(units._e / (1e-10 * 1e-15))
_BLOCKS: Final = 6  # at least; of fewer runs each is cut into several
_WINDOWS_IN_A_BLOCK: Final = 10.0  # so that blocks are independent
_UNLIKELY: Final = 0.01  # probability that axes alike differ so much
_COARSE: Final = 0.1  # of the spectrum at zero: what may be left at the highest frequency
_FREQUENCIES: Final = 16  # of the spectrum at least, until it falls to half
_POINTS: Final = 400  # of the curves that are kept


@dataclass(frozen=True, kw_only=True)
class GreenKubo(Result):
    """Thermal conductivity from the fluctuations of the heat flux at equilibrium.

    Errors are standard errors; those of the integral are of blocks or runs, not-a-number when the
    runs are too short for two.
    """

    kind: ClassVar[str] = "green_kubo"
    title: ClassVar[str] = "Thermal conductivity from the heat flux"
    caption: ClassVar[str] = (
        "Autocorrelation of the heat flux and its running integral, a band of two standard errors "
        "about each; the line is the conductivity from the spectrum, which is below."
    )

    conductivity: float = quantity("W/m/K")  # a third of the trace, by the cepstrum
    conductivity_error: float = quantity("W/m/K")
    along: Floats = quantity("W/m/K")  # (3,), x, y and z, each by itself
    along_error: Floats = quantity("W/m/K")  # (3,)
    isotropic: bool  # whether x, y and z were taken for one process
    integral: float = quantity("W/m/K")  # of the autocorrelation up to the window
    integral_error: float = quantity("W/m/K")
    window: float = quantity("ps")  # where the autocorrelation is lost in its noise
    n_coefficients: int  # of the cepstrum
    n_runs: int
    n_blocks: int
    duration: float = quantity("ps")  # of each run
    interval: float = quantity("fs")  # between values of the flux
    temperature: float = quantity("K")
    temperature_spread: float = quantity("K")  # standard deviation of the runs' means
    volume: float = quantity("Angstrom^3")
    n_atoms: int
    times: Reals = quantity("ps")  # (n_times,)
    autocorrelation: Floats = quantity()  # (n_times,), 1 at 0
    autocorrelation_error: Floats = quantity()
    running: Floats = quantity("W/m/K")  # (n_times,), the integral up to each time
    running_error: Floats = quantity("W/m/K")
    frequencies: Floats = quantity("THz")  # (n_frequencies,)
    spectrum: Floats = quantity("W/m/K")  # (n_frequencies,), the conductivity at frequency zero
    smooth: Floats = quantity("W/m/K")  # (n_frequencies,), of the cepstrum

    @property
    def agrees(self) -> bool:
        """Whether integral and cepstrum differ by no more than twice their errors allow."""
        allowed = 2 * np.hypot(self.conductivity_error, self.integral_error)
        return bool(abs(self.integral - self.conductivity) <= allowed)

    def table(self) -> Table:
        """Conductivity with its error, along each axis, and by the integral."""
        unit = "W/m/K"
        note = "" if self.agrees else "differs by more than the errors allow: run longer"
        if np.isnan(self.integral_error):
            note = "no error of it: too short for two blocks"
        mean = "" if self.isotropic else "mean of x, y and z, which differ"
        integral = self.number("integral", note=note)
        entries: list[tuple[Column, Cell]] = [
            (Column("conductivity", unit), self.number("conductivity", note=mean)),
            *((Column(f"along {a}", unit), self.number("along", i)) for i, a in enumerate("xyz")),
            (Column("integral up to the window", unit), integral),
        ]
        return Table.of_one(*entries)

    def tables(self) -> tuple[Table, ...]:
        """The conductivity, and what it was made of."""
        facts: list[tuple[Column, Cell]] = [
            (Column("window", "ps", pattern=".3g"), self.window),
            (Column("temperature", "K", pattern=".1f"), self.temperature),
            (
                Column("deviation of the runs' temperatures", "K", pattern=".2g"),
                Number(self.temperature_spread, instead="one run"),
            ),
            (Column("runs"), float(self.n_runs)),
            (Column("length of each", "ps"), self.duration),
            (Column("blocks of the integral's error"), float(self.n_blocks)),
            (Column("flux every", "fs", pattern="g"), self.interval),
            (Column("atoms", pattern=".0f"), float(self.n_atoms)),
            (Column("volume", "Angstrom^3", pattern=".0f"), self.volume),
            (Column("coefficients of the cepstrum"), float(self.n_coefficients)),
        ]
        return self.table(), Table.of_one(*facts, name="summary")

    def plot(self, ax: Axes | None = None) -> Figure:
        """Autocorrelation, running integral with the conductivity, and the spectrum."""
        with style():
            figure, (top, middle, bottom) = panel_grid(5.6, 6.4, ax, rows=(1, 1, 1))
            band(top, self.times, self.autocorrelation, self.autocorrelation_error, "flux")
            top.set(ylabel="⟨J(0)·J(t)⟩ / ⟨J²⟩", xlabel="time (ps)")
            band(middle, self.times, self.running, self.running_error, "integral")
            level, error = self.conductivity, 2 * self.conductivity_error
            middle.axhspan(level - error, level + error, color=PALETTE[1], alpha=0.2, lw=0)
            middle.axhline(level, color=PALETTE[1], lw=1, ls="--", label="from the spectrum")
            middle.set(xlabel="time (ps)", ylabel="conductivity (W/m/K)")
            for panel in (top, middle):
                panel.axvline(self.window, color=FAINT, lw=0.8, ls=":", label="window")
                panel.set_xlim(0, float(self.times[-1]))
            middle.legend()
            bottom.plot(self.frequencies, self.spectrum, color=FAINT, lw=0.8, label="periodogram")
            bottom.plot(self.frequencies, self.smooth, color=PALETTE[1], label="cepstrum")
            log_scale(bottom, "y")
            bottom.set_xlim(0, float(self.frequencies[-1]))
            bottom.set(xlabel="frequency (THz)", ylabel="spectrum (W/m/K)")
            bottom.legend()
        return figure


@recorded
def green_kubo(
    folders: Sequence[str | os.PathLike[str]], /, *, skip: float = 0.0, window: float | None = None
) -> GreenKubo:
    r"""Thermal conductivity from runs of ``ladera md --heat-flux`` at constant energy.

    ::

        kappa = 1 / (V k_B T^2) integral from 0 to infinity of < J_x(0) J_x(t) > dt

    J is that of :mod:`ladera.potential.heat_flux`. The first ``skip`` ps of each run are left out.
    The runs are independent samples of one system, each with its own mean temperature. Two
    estimates are made of them:

    - the cepstrum of the spectrum (:func:`ladera.properties.cepstrum.cepstrum`), whose error
      follows from theory: the conductivity;
    - the integral of the autocorrelation up to the ``window`` (ps), left out: the first time t from
      which on its mean up to 2 t is no larger than its standard error over runs, or over blocks of
      them where there are fewer than six.

    x, y and z count as samples of one process unless they differ by more than their errors explain.

    Raises PropertyError for runs that are no samples of one system, that a thermostat acted on or
    that are too short, for a mixture that flows, whose conductivity needs more than the heat flux,
    and for a flux written too seldom.
    """
    if window is not None and not window > 0:
        raise PropertyError.of("window", f"{window:g} ps", "it must be above zero")
    series = read_heat_flux([Path(folder) for folder in folders], skip)
    flux = series.flux * np.sqrt(_SI / (series.volume * BOLTZMANN))
    flux /= series.temperatures[:, None, None]  # (n_runs, 3, n): their correlation's integral is it
    single = [cepstrum(flux[:, axis], series.interval) for axis in range(3)]
    together = cepstrum(flux.reshape(-1, flux.shape[2]), series.interval)
    _require_fine(together, series.interval)
    _require_long(together, series.interval * flux.shape[2] / 1000)
    along, errors = np.array([[each.integral, each.error] for each in single]).T
    isotropic = _alike(along, errors)
    value, error = together.integral, together.error
    if not isotropic:
        value, error = float(along.mean()), float(np.sqrt((errors**2).sum()) / 3)
    curves = _curves(flux, series.interval, window)
    shown = _thinned(together)
    return GreenKubo(
        conductivity=value,
        conductivity_error=error,
        along=along,
        along_error=errors,
        isotropic=isotropic,
        integral=curves.integral,
        integral_error=curves.error,
        window=curves.window,
        n_coefficients=together.n_coefficients,
        n_runs=len(flux),
        n_blocks=curves.n_blocks,
        duration=series.interval * flux.shape[2] / 1000,
        interval=series.interval,
        temperature=float(series.temperatures.mean()),
        temperature_spread=_spread(series),
        volume=series.volume,
        n_atoms=series.n_atoms,
        times=curves.times,
        autocorrelation=curves.correlation / curves.correlation[0],
        autocorrelation_error=curves.correlation_error / curves.correlation[0],
        running=curves.running,
        running_error=curves.running_error,
        frequencies=shown[0],
        spectrum=shown[1],
        smooth=shown[2],
        largest_grade=series.largest_grade,
    )


def _spread(series: HeatFluxSeries) -> float:
    several = len(series.temperatures) > 1
    return float(series.temperatures.std(ddof=1)) if several else float("nan")


def _alike(values: Floats, errors: Floats) -> bool:
    """Whether three values with their errors may be of one quantity."""
    weights = errors**-2
    mean = (weights @ values) / weights.sum()
    return bool(chi2.sf((((values - mean) / errors) ** 2).sum(), 2) > _UNLIKELY)


def _require_fine(found: Cepstrum, interval: float) -> None:
    """PropertyError when motion faster than the flux was written counts as slow motion."""
    last = float(found.spectrum[-max(1, len(found.spectrum) // 20) :].mean())
    if last > _COARSE * found.smooth[0]:
        raise PropertyError(
            f"The heat flux is written every {interval:g} fs, and its spectrum still has "
            f"{last / found.smooth[0]:.0%} of its value at zero where that ends; write it more "
            "often, with a smaller --log-interval."
        )


def _require_long(found: Cepstrum, duration: float) -> None:
    """PropertyError when the slowest decay is about as long as the runs."""
    if len(found.smooth) <= _FREQUENCIES:
        raise PropertyError(
            f"The runs of {duration:.3g} ps are too short: the spectrum of the heat flux falls to "
            f"half within {len(found.smooth)} frequencies, and more than {_FREQUENCIES} are "
            "needed for an error that holds; make each run several times as long."
        )


def _thinned(found: Cepstrum) -> tuple[Floats, Floats, Floats]:
    """Frequencies (THz), spectrum and smooth spectrum about the range that was used, in bins."""
    end = min(len(found.spectrum), 4 * len(found.smooth))
    size = -(-end // _POINTS)
    count = end // size
    smooth = np.full(end, np.nan)
    smooth[: len(found.smooth)] = found.smooth
    curves = (1000 * found.frequencies[:end], found.spectrum[:end] / 2, smooth / 2)
    thin = [curve[: count * size].reshape(count, size).mean(axis=1) for curve in curves]
    return thin[0], thin[1], thin[2]


@dataclass(frozen=True)
class _Curves:
    """The autocorrelation and its integral up to twice the window, of blocks."""

    times: Reals  # ps
    correlation: Floats
    correlation_error: Floats
    running: Floats
    running_error: Floats
    window: float  # ps
    integral: float
    error: float
    n_blocks: int


def _curves(flux: Floats, interval: float, window: float | None) -> _Curves:
    """Autocorrelation and running integral of fluxes (n_runs, 3, n), interval in fs."""
    blocks = _blocks(flux, -(-_BLOCKS // len(flux)))
    n_lags = blocks.shape[2] // 2
    each = correlations(blocks, n_lags).mean(axis=1)  # (n_blocks, n_lags)
    lag = _noise_from(each) if window is None else round(1000 * window / interval)
    if not 0 < lag < n_lags:
        length = blocks.shape[2] * interval / 1000
        asked = "its noise" if window is None else f"the window of {window:g} ps"
        raise PropertyError(
            f"The runs are too short: {asked} begins beyond the middle of the {len(blocks)} blocks "
            f"of {length:.3g} ps that there are; run longer, or take more runs."
        )
    # Blocks that are few windows long are no independent samples.
    kept = each
    if lag * _WINDOWS_IN_A_BLOCK > blocks.shape[2]:
        kept = correlations(flux, n_lags).mean(axis=1)
    running = interval * np.cumsum(0.5 * (kept[:, 1:] + kept[:, :-1]), axis=1)
    running = np.insert(running, 0, 0.0, axis=1)
    mean, error = running.mean(axis=0), standard_error(running)
    seen = np.arange(0, min(n_lags, 2 * lag + 1), max(1, 2 * lag // _POINTS))
    return _Curves(
        times=seen * interval / 1000,
        correlation=kept.mean(axis=0)[seen],
        correlation_error=standard_error(kept)[seen],
        running=mean[seen],
        running_error=error[seen],
        window=lag * interval / 1000,
        integral=float(mean[lag]),
        error=float(error[lag]),
        n_blocks=len(kept),
    )


def _blocks(flux: Floats, parts: int) -> Floats:
    """(n_runs * parts, 3, n // parts) of (n_runs, 3, n)."""
    size = flux.shape[2] // parts
    cut = flux[:, :, : parts * size].reshape(len(flux), 3, parts, size)
    blocks: Floats = cut.transpose(0, 2, 1, 3).reshape(-1, 3, size)
    return blocks


def _noise_from(each: Floats) -> int:
    """The first lag l from which on the mean up to 2 l is within its error; 0 if there is none."""
    lag = 2.0
    while 2 * lag < each.shape[1]:
        means = each[:, int(lag) : int(2 * lag)].mean(axis=1)
        if abs(means.mean()) < standard_error(means):
            return int(lag)
        lag *= 1.1
    return 0
