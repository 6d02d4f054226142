"""Diffusion and ionic conductivity from one trajectory, with errors that mean what they say."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Final

import numpy as np
from ase import units as ase_units
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ladera.arrays import Floats
from ladera.errors import PropertyError
from ladera.plotting import FAINT, INK, PALETTE, axes, style
from ladera.properties.given import of_trajectory
from ladera.properties.mobility import BALLISTIC, framework_motion, motion_of
from ladera.properties.recorded import recorded
from ladera.properties.result import Result, quantity
from ladera.properties.structures import deviations
from ladera.properties.trajectory import Trajectory
from ladera.properties.unfolding import reduced_cell
from ladera.tables import Cell, Column, Number, Table
from ladera.units import BOLTZMANN

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

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
FLOWING: Final = 3.0  # Angstrom; atoms of a solid stay nearer to their sites
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
        """Coefficients and conductivities, what is to be said of them, and what they are from."""
        return Table.of_one(*self._coefficients(), *self._facts())

    def _coefficients(self) -> Iterator[tuple[Column, Cell]]:
        zero = "" if self.resolved else "not told from zero"
        flying = "NOT DIFFUSION: no errors" if self.exponent > BALLISTIC else ""
        unknown, alone = self._unknown(), "all atoms move: nothing to move against"
        alone = alone if np.isnan(self.collective) else ""
        still = alone or "the sum of the ions is at rest"
        yield Column(f"D({self.species})", "cm^2/s"), self._found("coefficient", flying or zero)
        for i, axis in enumerate("xyz"):
            yield Column(f"D along {axis}", "cm^2/s"), self.number("components", i)
        for name, unit, field, reason in (
            ("collective (charge) D", "cm^2/s", "collective", alone),
            ("Haven ratio", "", "haven_ratio", still),
            ("conductivity, Nernst-Einstein", "mS/cm", "conductivity", unknown),
            ("conductivity, collective", "mS/cm", "collective_conductivity", unknown or alone),
        ):
            yield Column(name, unit), self._found(field, missing=reason)
        if np.isfinite(self.infinite):
            name = f"D in an infinite cell, {self.viscosity:g} mPa s"
            yield (
                Column(name, "cm^2/s"),
                replace(self.number("infinite"), error=self.coefficient_error),
            )

    def _found(self, field: str, note: str = "", missing: str = "") -> Number:
        """A number with a note, or with the reason where there is none."""
        number = self.number(field)
        return replace(number, note=note if np.isfinite(number.value) else missing)

    def _facts(self) -> Iterator[tuple[Column, Cell]]:
        rattling = "MOSTLY RATTLING: run longer" if self.exponent < DIFFUSIVE else ""
        rattling = "FLYING or drifting: no errors" if self.exponent > BALLISTIC else rattling
        flowing = "MOLTEN, or a flowing cell" if self.framework_motion > FLOWING else ""
        yield Column("first lag of the fit", "ps"), float(self.window[0])
        yield Column("last lag of the fit", "ps"), float(self.window[1])
        for name, unit, pattern, number in (
            (
                "MSD grows as time to the power",
                "",
                ".2f",
                Number(self.exponent, note=rattling, instead="at rest"),
            ),
            ("temperature", "K", ".1f", Number(self.temperature, instead="not given")),
            ("charge of an ion", "e", "g", Number(self.charge, instead="not given")),
            ("trajectory", "ps", ".4g", Number(self.duration)),
            (f"{self.species} atoms", "", "g", Number(self.n_mobile)),
            (
                "root mean square motion of the others",
                "Angstrom",
                ".2f",
                Number(self.framework_motion, note=flowing, instead="no others"),
            ),
        ):
            yield Column(name, unit, pattern=pattern), number
        yield Column("positions relative to"), self.drift
        yield Column("atoms folded into the cell"), "yes, followed" if self.wrapped else "no"

    def _unknown(self) -> str:
        """Why there is no conductivity, where there is none."""
        known = {
            "temperature": np.isfinite(self.temperature),
            "cell": self.volume > 0,
            "charge of an ion": np.isfinite(self.charge),
        }
        missing = [name for name, is_known in known.items() if not is_known]
        return f"no {' and no '.join(missing)} known" if missing else ""

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
    motion = motion_of(trajectory, species, window)
    temperature, volume = trajectory.temperature or float("nan"), trajectory.volume
    q = CHARGES.get(species, float("nan")) if charge is None else charge
    density = motion.n_mobile / volume if volume > 0 else float("nan")
    sigma = MS_PER_CM * density * q**2 / (BOLTZMANN * temperature)
    shown, msd_error = motion.shown()
    return Diffusion(
        species=species,
        n_mobile=motion.n_mobile,
        drift="the centre of all atoms" if motion.alone else "the centre of all other atoms",
        wrapped=trajectory.wrapped,
        temperature=temperature,
        duration=(trajectory.n_frames - 1) * trajectory.interval / 1000,
        interval=trajectory.interval,
        framework_motion=framework_motion(trajectory, species, int(motion.lags[-1])),
        volume=volume,
        charge=q,
        window=motion.lags[[0, -1]] * trajectory.interval / 1000,
        lags=shown * trajectory.interval / 1000,
        msd=motion.msd[shown].sum(axis=1),
        msd_error=msd_error,
        msd_components=motion.msd[shown],
        collective_msd=motion.together[shown].sum(axis=1),
        intercept=motion.intercept,
        exponent=motion.exponent,
        coefficient=motion.tracer * CM2_PER_S,
        coefficient_error=motion.tracer_error * CM2_PER_S,
        components=motion.components * CM2_PER_S,
        components_error=motion.components_error * CM2_PER_S,
        collective=motion.collective * CM2_PER_S,
        collective_error=motion.collective_error * CM2_PER_S,
        haven_ratio=motion.haven_ratio,
        haven_ratio_error=motion.haven_ratio_error,
        conductivity=sigma * motion.tracer,
        conductivity_error=sigma * motion.tracer_error,
        conductivity_components=sigma * motion.components,
        collective_conductivity=sigma * motion.collective,
        collective_conductivity_error=sigma * motion.collective_error,
        viscosity=float("nan") if viscosity is None else viscosity,
        infinite=_infinite(trajectory, viscosity, motion.tracer * CM2_PER_S),
    )


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
