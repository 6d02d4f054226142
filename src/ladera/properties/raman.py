"""The harmonic Raman spectrum of a molecule, by Placzek's polarisability theory."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Final

import numpy as np
from ase import Atoms, units
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ladera.arrays import Floats
from ladera.errors import PropertyError
from ladera.plotting import FAINT, PALETTE, axes, style
from ladera.properties.infrared import Shape, broadened
from ladera.properties.polarizability import Polarizability
from ladera.properties.recorded import recorded
from ladera.properties.result import Result, quantity
from ladera.properties.structures import require_molecule, with_spread
from ladera.properties.vibrations import mode_motion, mode_order, vibrations
from ladera.tables import Cell, Column, Number, Table

_STEP: Final = 0.01  # Angstrom, of the polarisability's differences
# h / (8 pi^2 c amu) (2 pi)^4 Angstrom^4 / 45 for wavenumbers in 1/cm, in 1e-30 cm^2/sr.
_CROSS_SECTION: Final = float(
    (2 * np.pi) ** 4
    * units._hplanck
    / (8 * np.pi**2 * units._c * units._amu)
    * 100.0**3  # (1/cm)^4 over 1/cm
    * 1e-40  # Angstrom^4
    / 45
    * 1e4  # cm^2
    / 1e-30
)
_SECOND_RADIATION: Final = float(100 * units._hplanck * units._c / units._k)  # cm K


@dataclass(frozen=True, kw_only=True)
class Raman(Result):
    """Raman bands and the broadened Stokes spectrum."""

    kind: ClassVar[str] = "raman"
    title: ClassVar[str] = "Raman spectrum"
    caption: ClassVar[str] = (
        "The Stokes spectrum at the wavelength of the laser, with a mark below it for each mode; "
        "dashed, the part that keeps its polarisation."
    )

    symbols: tuple[str, ...]
    positions: Floats = quantity("Angstrom")  # (n_atoms, 3)
    modes: Floats = quantity()  # (n_modes, n_atoms, 3), displacements of unit length
    frequencies: Floats = quantity("cm^-1")  # (n_modes,), negative where imaginary
    activities: Floats = quantity("Angstrom^4/amu")  # (n_modes,)
    depolarization: Floats = quantity()  # (n_modes,), of linearly polarised light
    cross_sections: Floats = quantity("1e-30 cm^2/sr")  # (n_modes,); not-a-number: imaginary
    polarizability: Floats = quantity("Angstrom^3")  # (3, 3)
    laser: float = quantity("nm")
    temperature: float = quantity("K")
    scale: float = quantity()  # factor on the frequencies
    shape: str  # of a line
    width: float = quantity("cm^-1")  # full width at half maximum
    wavenumbers: Floats = quantity("cm^-1")  # (n,), Raman shifts
    scattering: Floats = quantity("1e-30 cm^2/sr cm")  # (n,), integrates to the cross-sections
    polarized: Floats = quantity("1e-30 cm^2/sr cm")  # (n,), the part with the laser's polarisation
    derivatives: str = "central differences"  # how the Hessian was made
    source: str = ""  # of the polarisability

    def table(self) -> Table:
        """One row for each mode."""
        columns = (
            Column("mode", pattern="g"),
            Column("frequency", "cm^-1", pattern=".1f"),
            Column("activity", "Angstrom^4/amu", pattern=".3g"),
            Column("depolarisation ratio", pattern=".3f"),
            Column("cross-section", "1e-30 cm^2/sr", pattern=".3g"),
        )
        rows: list[tuple[Cell, ...]] = []
        least = 1e-6 * float(self.activities.max(initial=1e-12))
        for i, frequency in enumerate(self.frequencies):
            ratio = float(self.depolarization[i]) if self.activities[i] > least else np.nan
            rows.append(
                (
                    float(i + 1),
                    self.number("frequencies", i, note="imaginary" if frequency < 0 else ""),
                    self.number("activities", i),
                    Number(ratio, instead="silent"),
                    self.number("cross_sections", i, instead="imaginary"),
                )
            )
        return Table(columns, tuple(rows))

    def tables(self) -> tuple[Table, ...]:
        """The modes, and what they were made of."""
        mean = float(np.trace(self.polarizability)) / 3
        facts: list[tuple[Column, Cell]] = [
            (Column("mean polarisability", "Angstrom^3"), mean),
            (Column("polarisability"), self.source),
            (Column("Hessian"), self.derivatives),
            (Column("laser", "nm", pattern="g"), self.laser),
            (Column("temperature", "K", pattern="g"), self.temperature),
        ]
        return self.table(), Table.of_one(*facts, name="summary")

    def plot(self, ax: Axes | None = None) -> Figure:
        """Spectrum with a mark for each mode."""
        with style():
            figure, panel = axes(5.6, 3.2, ax)
            color = PALETTE[2]
            panel.fill_between(self.wavenumbers, self.scattering, color=color, alpha=0.15, lw=0)
            panel.plot(self.wavenumbers, self.scattering, color=color, label="all")
            panel.plot(
                self.wavenumbers, self.polarized, color=PALETTE[1], ls="--", lw=1, label="polarised"
            )
            top = float(self.scattering.max(initial=1e-12))
            bands = self.scale * self.frequencies[self.frequencies > 0]
            panel.plot(bands, np.full(len(bands), -0.03 * top), "|", color=FAINT, ms=6)
            panel.set(xlabel="Raman shift (cm⁻¹)", ylabel="scattering (10⁻³⁰ cm²/sr cm)")
            panel.set_xlim(0, float(self.wavenumbers[-1]))
            panel.set_ylim(-0.06 * top, 1.08 * top)
            panel.legend()
        return figure

    def in_this_order(self, member: Raman) -> Raman:
        """A member's modes, each as the one here that it is most like."""
        order = mode_order(self.symbols, self.modes, member.modes)
        names = ("frequencies", "activities", "depolarization", "cross_sections", "modes")
        return replace(member, **{name: getattr(member, name)[order] for name in names})

    def motion(self) -> tuple[list[Atoms], list[str]]:
        """Frames that show each mode in turn, and what each frame is."""
        return mode_motion(self.symbols, self.positions, self.modes, self.frequencies)


@with_spread(at_rest="atoms")
@recorded
def raman(
    atoms: Atoms,
    /,
    *,
    laser: float = 532.0,
    temperature: float = 298.15,
    step: float | None = None,
    scale: float = 1.0,
    shape: Shape = "lorentzian",
    width: float = 10.0,
) -> Raman:
    r"""Harmonic frequencies and Raman intensities of a relaxed molecule, as a Stokes spectrum.

    With alpha' = d alpha / d Q_s, the derivative along the mass-weighted mode of
    :func:`ladera.properties.vibrations.vibrations`,

    ::

        a'      = tr alpha' / 3
        gamma'^2 = [(xx - yy)^2 + (yy - zz)^2 + (zz - xx)^2] / 2 + 3 (xy^2 + yz^2 + zx^2)
        S       = 45 a'^2 + 7 gamma'^2                                 the activity
        rho     = 3 gamma'^2 / (45 a'^2 + 4 gamma'^2)                  the depolarisation ratio
        d sigma / d Omega = (2 pi)^4 (v_0 - v_s)^4 h / (8 pi^2 c v_s) S / 45
                            / (1 - exp(-h c v_s / k T))

    for a linearly polarised ``laser`` (nm) far from any absorption, at a right angle, both
    polarisations seen (Placzek; Neugebauer, Reiher, Kind and Hess, J. Comput. Chem. 23, 895
    (2002)), with v_s times ``scale``. A band of the spectrum has the area of its cross-section and
    the ``shape`` and ``width`` (cm^-1) of :func:`ladera.properties.infrared.infrared`.

    The polarisability is that of :class:`ladera.properties.polarizability.Polarizability`, static;
    its derivatives are central differences with ``step`` (Angstrom; left out, 0.01).

    Raises PropertyError as vibrations does, for a crystal, a calculator without a polarisability or
    a field, and for a laser with less energy than a mode.
    """
    above_zero = (("scale", scale, ""), ("width", width, " cm^-1"), ("laser", laser, " nm"))
    for name, value, unit in above_zero:
        if not 0 < value < np.inf:
            raise PropertyError.of(name, f"{value:g}{unit}", "it must be finite and above zero")
    if not 0 <= temperature < np.inf:
        raise PropertyError.of("temperature", f"{temperature:g} K", "it must be zero or more")
    require_molecule(atoms, "A Raman intensity")
    polarizability = Polarizability(atoms)
    harmonic = vibrations.__wrapped__(atoms, step=step)  # type: ignore[attr-defined]
    bands = scale * harmonic.frequencies
    if bands.max() >= 1e7 / laser:
        raise PropertyError(
            f"A laser of {laser:g} nm has {1e7 / laser:.0f} cm^-1, and a mode has "
            f"{bands.max():.0f}; take a shorter wavelength, such as 532."
        )
    slopes = polarizability.derivatives(atoms, step or _STEP)  # (3 n_atoms, 3, 3)
    # A mode moves atoms by e / sqrt(m): the unit displacements times the root of the reduced mass.
    moves = harmonic.modes.reshape(len(bands), -1) / np.sqrt(harmonic.reduced_masses)[:, None]
    along = np.einsum("sx,xij->sij", moves, slopes)
    isotropic, anisotropic = _invariants(along)
    activities = 45 * isotropic + 7 * anisotropic
    factor = _factor(bands, laser, temperature)
    end = min(1.1 * max(float(bands.max()), 1000.0), 6000.0)
    grid = np.arange(0.0, end, min(1.0, width / 10))
    real = bands > 0

    def spectrum(each: Floats) -> Floats:
        return broadened(grid, bands[real], (factor * each)[real], shape, width)

    return Raman(
        symbols=harmonic.symbols,
        positions=harmonic.positions,
        modes=harmonic.modes,
        frequencies=harmonic.frequencies,
        activities=activities,
        depolarization=_ratio(3 * anisotropic, 45 * isotropic + 4 * anisotropic),
        cross_sections=factor * activities,
        polarizability=polarizability(atoms),
        laser=laser,
        temperature=temperature,
        scale=scale,
        shape=shape,
        width=width,
        wavenumbers=grid,
        scattering=spectrum(activities),
        polarized=spectrum(45 * isotropic + 4 * anisotropic),
        derivatives=harmonic.derivatives,
        source=polarizability.origin,
    )


def _invariants(tensors: Floats) -> tuple[Floats, Floats]:
    """a^2 and gamma^2 of symmetric tensors (n, 3, 3), each (n,)."""
    trace = tensors.trace(axis1=1, axis2=2)
    square = (tensors**2).sum(axis=(1, 2))
    return (trace / 3) ** 2, 1.5 * square - 0.5 * trace**2


def _ratio(above: Floats, below: Floats) -> Floats:
    ratios: Floats = np.divide(above, below, out=np.zeros_like(above), where=below > 0)
    return ratios


def _factor(bands: Floats, laser: float, temperature: float) -> Floats:
    """Cross-section over activity of each band (cm^-1); not-a-number of an imaginary one."""
    real = np.where(bands > 0, bands, np.nan)
    occupied = np.exp(-_SECOND_RADIATION * real / temperature) if temperature > 0 else 0.0
    factors: Floats = _CROSS_SECTION * (1e7 / laser - real) ** 4 / real / (1 - occupied)
    return factors
