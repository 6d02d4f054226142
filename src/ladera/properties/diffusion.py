"""Diffusion and ionic conductivity from one trajectory, with errors that mean what they say."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np
from ase import units as ase_units
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ladera.arrays import Floats, Integers
from ladera.errors import PropertyError
from ladera.plotting import FAINT, INK, PALETTE, axes, style
from ladera.properties.given import of_trajectory
from ladera.properties.mean_squares import (
    growth,
    independent_particles,
    mean_squared_displacements,
    origin_correlation,
    origin_variance,
    slope_error,
    straight_line,
    variances,
)
from ladera.properties.recorded import recorded
from ladera.properties.result import Result, Table, quantity, two_digits
from ladera.properties.structures import deviations
from ladera.properties.trajectory import Trajectory
from ladera.properties.unfolding import reduced_cell
from ladera.units import BOLTZMANN

if TYPE_CHECKING:
    from collections.abc import Sequence

CM2_PER_S: Final = 0.1  # of one Angstrom^2/fs
# e^2/(eV Angstrom fs) in mS/cm: e/(1e-10 m 1e-15 s) is in S/m, ten mS/cm each.
MS_PER_CM: Final = float(ase_units._e) * 1e26
# Ions as they are nearly always; anything else is to be said.
CHARGES: Final = {
    **dict.fromkeys(("H", "Li", "Na", "K", "Rb", "Cs", "Ag", "Cu"), 1.0),
    **dict.fromkeys(("Mg", "Ca", "Zn"), 2.0),
    **dict.fromkeys(("F", "Cl", "Br", "I"), -1.0),
    **dict.fromkeys(("O", "S"), -2.0),
}
FIRST_LAG: Final = 1000.0  # fs; before it ions rattle in their cages
OBSERVATIONS: Final = 30  # at the longest lag, counted without overlap
FIT_LAGS: Final = 200
FLOWING: Final = 3.0  # Angstrom; atoms of a solid stay nearer to their sites
FEWEST_LAGS: Final = 5
BALLISTIC: Final = 1.5  # power of time above which atoms fly or drift
DIFFUSIVE: Final = 0.7  # power of time below which rattling outweighs what ions have gone


@dataclass(frozen=True, kw_only=True)
class Diffusion(Result):
    """Tracer and collective diffusion of one species at one temperature.

    Errors are standard errors (one sigma). Not-a-number stands for what could not be computed: a
    conductivity without temperature, lattice or charge, collective motion without a framework.
    """

    kind: ClassVar[str] = "diffusion"
    title: ClassVar[str] = "Diffusion"
    caption: ClassVar[str] = (
        "Mean squared displacement with its error, along each axis, and the line fitted in "
        "the window."
    )

    species: str
    n_mobile: int
    drift: str  # what the positions are relative to
    wrapped: bool  # were followed through the faces of the cell
    temperature: float = quantity("K")
    duration: float = quantity("ps")
    interval: float = quantity("fs")
    framework_motion: float = quantity("Angstrom")  # root mean square, over the last lag
    volume: float = quantity("Angstrom^3")
    charge: float = quantity("e")
    window: Floats = quantity("ps")  # (2,), first and last lag of the fit
    lags: Floats = quantity("ps")  # (n_lags,)
    msd: Floats = quantity("Angstrom^2")  # (n_lags,)
    msd_error: Floats = quantity("Angstrom^2")
    msd_components: Floats = quantity("Angstrom^2")  # (n_lags, 3), along x, y and z
    collective_msd: Floats = quantity("Angstrom^2")  # per ion
    intercept: float = quantity("Angstrom^2")
    exponent: float = quantity()  # of MSD ~ time^exponent in the window; 1 when diffusive
    coefficient: float = quantity("cm^2/s")
    coefficient_error: float = quantity("cm^2/s")
    components: Floats = quantity("cm^2/s")  # (3,)
    components_error: Floats = quantity("cm^2/s")
    collective: float = quantity("cm^2/s")
    collective_error: float = quantity("cm^2/s")
    haven_ratio: float = quantity()  # tracer over collective
    haven_ratio_error: float = quantity()
    conductivity: float = quantity("mS/cm")  # Nernst and Einstein's
    conductivity_error: float = quantity("mS/cm")
    conductivity_components: Floats = quantity("mS/cm")  # (3,)
    collective_conductivity: float = quantity("mS/cm")
    collective_conductivity_error: float = quantity("mS/cm")
    viscosity: float = quantity("mPa s", default=float("nan"))  # given, for what follows
    infinite: float = quantity("cm^2/s", default=float("nan"))  # coefficient in an infinite cell
    # (n_members,), what each member of a committee gives by itself; empty for a single model
    member_coefficients: Floats = quantity("cm^2/s", default_factory=lambda: np.empty(0))

    @property
    def resolved(self) -> bool:
        """Whether the coefficient is two errors or more above zero."""
        return self.coefficient > 2 * self.coefficient_error

    def table(self) -> Table:
        """Quantity, value, error, and the deviation of a committee's members."""
        verdict = "" if self.resolved else " (not told from zero)"
        verdict = " (NOT DIFFUSION)" if self.exponent > BALLISTIC else verdict
        rows = [
            self._row(f"D({self.species}) (cm²/s){verdict}", "coefficient"),
            *(
                self._row(f"D along {axis} (cm²/s)", "components", i)
                for i, axis in enumerate("xyz")
            ),
            self._row("collective (charge) D (cm²/s)", "collective"),
            self._row("Haven ratio", "haven_ratio"),
            self._row("conductivity, Nernst-Einstein (mS/cm)", "conductivity"),
            self._row("conductivity, collective (mS/cm)", "collective_conductivity"),
        ]
        if np.isfinite(self.infinite):
            name = f"D in an infinite cell, {self.viscosity:g} mPa s (cm²/s)"
            error, spread = self.coefficient_error, self.spread.get("infinite", np.nan)
            rows.append((name, f"{self.infinite:.4g}", _deviation(error), _deviation(spread)))
        facts = [
            ("fit window (ps)", f"{self.window[0]:.4g} to {self.window[1]:.4g}"),
            ("MSD grows as time to the power", self._growth()),
            ("temperature (K)", _number(round(self.temperature, 1), "not given")),
            ("charge of an ion (e)", _number(self.charge, "not given")),
            ("trajectory (ps)", f"{self.duration:.4g}"),
            (f"{self.species} atoms", str(self.n_mobile)),
            ("positions relative to", self.drift),
            ("root mean square motion of the others (Å)", self._motion()),
            ("atoms folded into the cell", "yes, followed" if self.wrapped else "no"),
        ]
        rows += [(*fact, "", "") for fact in facts]
        count = len(self.member_coefficients)
        columns = ("quantity", "value", "standard error", f"deviation of {count} members")
        shown = 4 if count else 3
        return Table(columns[:shown], tuple(row[:shown] for row in rows))

    def _row(self, name: str, field: str, index: Any = ()) -> tuple[str, str, str, str]:
        value = float(np.asarray(getattr(self, field))[index])
        if not np.isfinite(value):
            return name, "not computed", "", ""
        error = np.asarray(getattr(self, f"{field}_error"))[index]
        spread = np.asarray(self.spread[field])[index] if field in self.spread else np.nan
        return name, f"{value:.4g}", _deviation(error), _deviation(spread)

    def _growth(self) -> str:
        words = " (MOSTLY RATTLING: run longer)" if self.exponent < DIFFUSIVE else ""
        words = " (FLYING or drifting: no errors)" if self.exponent > BALLISTIC else words
        return f"{self.exponent:.2f}{words}" if np.isfinite(self.exponent) else "at rest"

    def _motion(self) -> str:
        flows = " (MOLTEN, or a flowing cell)" if self.framework_motion > FLOWING else ""
        return _number(round(self.framework_motion, 2), "no others") + flows

    def plot(self, ax: Axes | None = None) -> Figure:
        """MSD with its error band, components, and the fit in its window."""
        with style():
            figure, panel = axes(ax=ax)
            panel.axvspan(*self.window, color=FAINT, alpha=0.15, lw=0, label="fit window")
            low, high = self.msd - self.msd_error, self.msd + self.msd_error
            panel.fill_between(self.lags, low, high, color=PALETTE[0], alpha=0.25, lw=0)
            panel.plot(self.lags, self.msd, color=PALETTE[0], label=f"{self.species}, ± 1 error")
            dashes = ((0, (1, 1)), (0, (4, 2)), (0, (4, 1.5, 1, 1.5)))
            for i, axis in enumerate("xyz"):
                curve = self.msd_components[:, i]
                panel.plot(
                    self.lags,
                    curve,
                    color=PALETTE[i + 1],
                    ls=dashes[i],
                    lw=1,
                    label=f"along {axis}",
                )
            if "msd" in self.spread:
                spread = np.asarray(self.spread["msd"])
                panel.fill_between(
                    self.lags,
                    self.msd - spread,
                    self.msd + spread,
                    fc="none",
                    ec=FAINT,
                    hatch="////",
                    lw=0,
                    label="members, ± 1 deviation",
                )
                high = np.maximum(high, self.msd + spread)
            line = self.intercept + 6e3 * self.coefficient / CM2_PER_S * self.window
            panel.plot(self.window, line, "--", color=INK, lw=1.2, label="fit")
            panel.set(xlabel="time (ps)", ylabel="mean squared displacement (Å²)")
            panel.set_xlim(0, min(float(self.lags[-1]), 1.15 * float(self.window[1])))
            seen = self.lags <= 1.15 * self.window[1]
            panel.set_ylim(0, 1.1 * max(float(high[seen].max()), 1e-12))
            panel.legend()
        return figure


@of_trajectory
@recorded
def diffusion(
    trajectory: Trajectory,
    species: str,
    /,
    *,
    charge: float | None = None,
    window: tuple[float, float] | None = None,
    viscosity: float | None = None,
    members: Sequence[Trajectory] = (),
) -> Diffusion:
    """Diffusion coefficient of a species, its conductivity and how its ions move together.

    ::

        MSD(t) = 2 d D t + c,    d = 3;    sigma = n q^2 D / (k_B T);    H = D / D_collective

    D_collective comes from the displacement of all ions together, squared, per ion. The line is an
    ordinary fit to about 200 even lags in ``window`` (ps, first and last); by default from 1 ps to
    the lag that leaves 30 displacements of single ions that do not overlap, n_mobile n_frames / 30
    frames. Errors: the covariance of the averages at all pairs of lags (see
    :mod:`ladera.properties.mean_squares`) carried to the slope. Ions count as independent as far as
    their displacements are uncorrelated; together they are one particle for D_collective. Where the
    MSD grows faster than time^1.5 nothing diffuses, and there are no errors.

    ``charge`` (e) is that of one ion, by default the usual one of the element.

    With a ``viscosity`` (mPa s) of the liquid the coefficient is corrected for what periodic images
    do to the flow around an atom, in a cubic cell of length L (Yeh and Hummer, J. Phys. Chem. B
    108, 15873 (2004)): D_infinite = D + 2.837297 k_B T / (6 pi eta L).

    ``members`` are trajectories of the same length, temperature and structure, each with one member
    of the committee whose mean has made ``trajectory``. The result then carries the standard
    deviation of what they give, of which the errors of their own runs are a part.

    Raises PropertyError for a species that is not there, for a trajectory too short for the window,
    for a viscosity without temperature or cubic cell, and for a single member.
    """
    diffusion_of_mean = _of_one(trajectory, species, charge, window, viscosity)
    if not members:
        return diffusion_of_mean
    if len(members) == 1:
        raise PropertyError("One member has no spread; give the trajectories of all members.")
    alone = [_of_one(one, species, charge, window, viscosity) for one in members]
    return replace(
        diffusion_of_mean,
        spread=deviations(alone),
        member_coefficients=np.array([one.coefficient for one in alone]),
    )


def _of_one(
    trajectory: Trajectory,
    species: str,
    charge: float | None,
    window: tuple[float, float] | None,
    viscosity: float | None,
) -> Diffusion:
    """What :func:`diffusion` finds in one trajectory."""
    positions = trajectory.without_drift(species)
    n_frames, n_mobile = positions.shape[:2]
    all_mobile = n_mobile == len(trajectory.numbers)
    lags = _fit_lags(trajectory, n_mobile, window)
    shape = origin_correlation(n_frames, lags)
    weights = straight_line(lags * trajectory.interval)
    msd = mean_squared_displacements(positions)
    exponent = growth(lags, msd[lags].sum(axis=1))
    n_apart = independent_particles(positions, _middle(lags, n_frames))
    whole, parts = variances(positions, lags, msd[lags])
    fit = weights @ msd[lags].sum(axis=1)
    tracer, intercept = fit[0] / 6, fit[1]
    together = mean_squared_displacements(positions.sum(axis=1, keepdims=True)) / n_mobile
    # Nothing, where the sum of the ions is at rest to the last digits.
    together = np.where(together > 1e-12 * msd, together, 0)
    collective = float("nan") if all_mobile else float(weights[0] @ together[lags].sum(axis=1) / 6)
    components = weights[0] @ msd[lags] / 2
    if exponent > BALLISTIC:  # what the errors are of, a walk, is not there
        whole, parts = whole * np.nan, parts * np.nan
    error = slope_error(weights[0], whole / n_apart, shape) / 6
    by_axis = [slope_error(weights[0], parts[:, c] / n_apart, shape) / 2 for c in range(3)]
    components_error = np.array(by_axis)
    # One particle has too few displacements to show their spread; a sum of many ions is normal.
    normal = 2 * (together[lags] ** 2).sum(axis=1) * (np.nan if exponent > BALLISTIC else 1)
    collective_error = slope_error(weights[0], normal, shape) / 6
    haven = haven_error = float("nan")
    if collective > 0:
        haven = tracer / collective
        haven_error = abs(haven) * np.hypot(error / tracer, collective_error / collective)
    temperature, volume = trajectory.temperature or float("nan"), trajectory.volume
    q = CHARGES.get(species, float("nan")) if charge is None else charge
    density = n_mobile / volume if volume > 0 else float("nan")
    sigma = MS_PER_CM * density * q**2 / (BOLTZMANN * temperature)
    shown = np.arange(1, n_frames, max(1, n_frames // 200))
    shown = shown[shown <= 1.25 * lags[-1]]
    shown_shape = origin_variance(n_frames, shown)
    return Diffusion(
        species=species,
        n_mobile=n_mobile,
        drift="the centre of all atoms" if all_mobile else "the centre of all other atoms",
        wrapped=trajectory.wrapped,
        temperature=temperature,
        duration=(n_frames - 1) * trajectory.interval / 1000,
        interval=trajectory.interval,
        framework_motion=_framework_motion(trajectory, species, int(lags[-1])),
        volume=volume,
        charge=q,
        window=lags[[0, -1]] * trajectory.interval / 1000,
        lags=shown * trajectory.interval / 1000,
        msd=msd[shown].sum(axis=1),
        msd_error=np.sqrt(variances(positions, shown, msd[shown])[0] / n_apart * shown_shape),
        msd_components=msd[shown],
        collective_msd=together[shown].sum(axis=1),
        intercept=float(intercept),
        exponent=exponent,
        coefficient=float(tracer * CM2_PER_S),
        coefficient_error=float(error * CM2_PER_S),
        components=components * CM2_PER_S,
        components_error=components_error * CM2_PER_S,
        collective=collective * CM2_PER_S,
        collective_error=float("nan") if all_mobile else collective_error * CM2_PER_S,
        haven_ratio=float(haven),
        haven_ratio_error=float(haven_error),
        conductivity=float(sigma * tracer),
        conductivity_error=float(sigma * error),
        conductivity_components=sigma * components,
        collective_conductivity=float(sigma * collective),
        collective_conductivity_error=float("nan") if all_mobile else sigma * collective_error,
        viscosity=float("nan") if viscosity is None else viscosity,
        infinite=_infinite(trajectory, viscosity, float(tracer * CM2_PER_S)),
    )


def _fit_lags(
    trajectory: Trajectory, n_mobile: int, window: tuple[float, float] | None
) -> Integers:
    """Lags of the fit, in frames."""
    interval, n_frames = trajectory.interval, trajectory.n_frames
    length = (n_frames - 1) * interval / 1000
    if window is None:
        first = int(np.ceil(FIRST_LAG / interval))
        stop = min(n_mobile * n_frames // OBSERVATIONS, n_frames)
        why = "the default window (1 ps to n_mobile n_frames / 30 frames)"
    else:
        if not 0 <= window[0] < window[1] < np.inf:
            raise PropertyError(
                f"The window from {window[0]:g} to {window[1]:g} ps is none; give its first and "
                "last time with --window FIRST LAST, in ps."
            )
        first = max(1, round(1000 * window[0] / interval))
        stop = round(1000 * window[1] / interval) + 1
        why = f"the window from {window[0]:g} to {window[1]:g} ps"
    if stop - first < FEWEST_LAGS or stop > n_frames:
        raise PropertyError(
            f"The trajectory is too short for {why}: it is {length:.4g} ps long, {n_frames} frames "
            f"{interval:g} fs apart of {n_mobile} mobile atom(s), and {FEWEST_LAGS} lags or more "
            "must fit; run longer, or give a window within it with --window FIRST LAST, in ps."
        )
    return np.arange(first, stop, max(1, (stop - first) // FIT_LAGS))


def _infinite(trajectory: Trajectory, viscosity: float | None, coefficient: float) -> float:
    """Coefficient (cm^2/s) without the effect of periodic images."""
    if viscosity is None:
        return float("nan")
    cell = trajectory.cells.mean(axis=0) if trajectory.volume > 0 else np.eye(3)
    lengths = np.linalg.norm(reduced_cell(cell), axis=1)
    cubic = np.allclose(lengths, lengths[0], rtol=1e-3) and np.isclose(
        trajectory.volume, lengths.prod(), rtol=1e-3
    )
    if not (viscosity > 0 and trajectory.temperature and trajectory.volume > 0 and cubic):
        raise PropertyError(
            "The correction for a finite cell needs a positive viscosity (mPa s), the temperature "
            "and a cubic cell; leave --viscosity out."
        )
    kelvin = ase_units._k * trajectory.temperature
    in_si = 2.837297 * kelvin / (6 * np.pi * 1e-3 * viscosity * 1e-10 * lengths[0])
    return coefficient + float(1e4 * in_si)


def _framework_motion(trajectory: Trajectory, species: str, lag: int) -> float:
    """Root mean square displacement of the other atoms over a lag, Angstrom, without drift."""
    others = trajectory.positions[:, ~trajectory.mobile(species)]
    if not others.shape[1]:
        return float("nan")
    centred = others - others.mean(axis=1, keepdims=True)
    return float(np.sqrt(((centred[lag:] - centred[:-lag]) ** 2).sum(axis=2).mean()))


def _middle(lags: Integers, n_frames: int) -> int:
    """A lag amid the window at which there are still some displacements."""
    return int(max(lags[0], min(np.sqrt(lags[0] * lags[-1]), n_frames // 10)))


def _deviation(value: float) -> str:
    return two_digits(value) if np.isfinite(value) else ""


def _number(value: float, otherwise: str) -> str:
    return f"{value:g}" if np.isfinite(value) else otherwise
