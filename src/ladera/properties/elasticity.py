"""Elastic constants in standard axes, from as few strains as the crystal's symmetry allows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Final, Self

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ladera.arrays import Floats, Reals
from ladera.errors import ConfigError, PropertyError
from ladera.plotting import axes, style
from ladera.potential import LaderaCalculator
from ladera.properties.harmonic import LARGEST_STRAIN, Harmonic, largest, strain_of
from ladera.properties.recorded import recorded
from ladera.properties.result import Result, quantity
from ladera.properties.smoothness import LIMIT
from ladera.properties.standard_axes import (
    KELVIN,
    VOIGT,
    Setting,
    standard_setting,
    to_kelvin,
    turned,
    unit_strain,
)
from ladera.properties.strain_response import Response, by_derivatives, by_relaxation
from ladera.properties.structures import (
    require_crystal,
    require_fmax,
    require_relaxed,
    with_spread,
)
from ladera.properties.young import extremes, plot_map, plot_planes
from ladera.tables import Cell, Column, Number, Table

if TYPE_CHECKING:
    from ase import Atoms

_MONOCLINIC: Final = 13  # independent constants
_ASKED: Final = 0.0005  # that is asked for where it does
_NEW: Final = 0.01  # of a unit strain: more than a symmetry that is off by rounding makes up


@dataclass(frozen=True, kw_only=True)
class Elasticity(Result):
    """Elastic constants and what follows from them.

    Moduli are Voigt's, Reuss's and their mean, Hill's, for a polycrystal of random grains (Hill,
    Proc. Phys. Soc. A 65, 349 (1952)).
    """

    kind: ClassVar[str] = "elasticity"
    title: ClassVar[str] = "Elastic constants"
    caption: ClassVar[str] = (
        "Young's modulus by direction: in three planes, a circle where the crystal is isotropic; "
        "of monoclinic and triclinic crystals on the hemisphere about z, with the lattice vectors "
        "or their opposites."
    )

    space_group: str
    stiffness: Floats = quantity("GPa")  # (6, 6), C_ij in Voigt order xx yy zz yz xz xy, in `axes`
    strain: float = quantity()  # the smallest one used
    # Of finite strains: the largest difference from second derivatives, or by halving the strain.
    strain_error: float = quantity("GPa")
    bulk_modulus: Floats = quantity("GPa")  # (3,) Voigt, Reuss, Hill
    shear_modulus: Floats = quantity("GPa")  # (3,)
    young_modulus: float = quantity("GPa")  # of Hill's moduli
    poisson_ratio: float = quantity()  # of Hill's moduli
    universal_anisotropy: float = quantity()  # 5 G_V / G_R + K_V / K_R - 6, 0 when isotropic
    eigenvalues: Reals = quantity("GPa")  # (6,) of the stiffness in Kelvin's notation
    origin: str = ""  # second derivatives or relaxations
    about: str = ""  # which axes those of the stiffness are
    axes: Floats = quantity(default_factory=lambda: np.eye(3))  # rows x, y, z in those of the file
    # Rows a, b, c in these axes; none in results of earlier versions.
    lattice: Floats = quantity("Angstrom", default_factory=lambda: np.full((3, 3), np.nan))
    independent: tuple[str, ...] = ()  # constants that symmetry does not give for nothing
    unstable_modes: int = 0  # of the atoms in the cell
    kink: str = ""  # where slopes to two sides differ: constant and strain
    kink_slopes: Floats = quantity("GPa", default_factory=lambda: np.full(2, np.nan))  # +, -

    @property
    def stable(self) -> bool:
        """Born's condition, every strain costs energy, and that no mode of the atoms gains any."""
        return bool((self.eigenvalues > 0).all()) and not self.unstable_modes

    def in_this_order(self, member: Self) -> Self:
        """A member's constants in the axes of these."""
        turn = self.axes @ member.axes.T
        return replace(
            member,
            axes=self.axes,
            stiffness=turned(member.stiffness, turn),
            lattice=member.lattice @ turn.T,
        )

    def table(self) -> Table:
        """Independent constants first, then the moduli of the polycrystal."""
        rows: list[tuple[Column, Cell]] = [
            (Column(name, "GPa", pattern=".2f"), constant)
            for name, constant in self.constants().items()
        ]
        for name, label in (("bulk_modulus", "bulk modulus"), ("shear_modulus", "shear modulus")):
            for i, mean in enumerate(("Voigt", "Reuss", "Hill")):
                column = Column(f"{label}, {mean}", "GPa", pattern=".2f")
                rows.append((column, self.number(name, i)))
        rows += [
            (Column("Young's modulus", "GPa", pattern=".2f"), self.number("young_modulus")),
            (Column("Poisson's ratio", pattern=".3f"), self.number("poisson_ratio")),
            *self._extremes_rows(),
            (Column("universal anisotropy", pattern=".3f"), self.number("universal_anisotropy")),
            (Column("smallest eigenvalue", "GPa", pattern=".2f"), self.number("eigenvalues", 0)),
            (Column("mechanically stable (Born)"), "yes" if self.stable else "NO"),
            *self._warnings(),
            (Column("space group"), self.space_group),
            (Column("axes (IEEE 176)"), self.about),
            *self._axes_rows(),
            (Column("constants from"), self.origin),
            (Column("largest error of a constant", "GPa", pattern=".2g"), self._by_strain()),
        ]
        return Table.of_one(*rows)

    def constants(self) -> dict[str, Number]:
        """The constants that symmetry leaves independent, C11 and so on, in GPa."""
        names = self.independent or tuple(f"C{i}{j}" for i in range(1, 7) for j in range(i, 7))
        return {
            name: self.number("stiffness", (int(name[1]) - 1, int(name[2]) - 1)) for name in names
        }

    def numbers(self) -> dict[str, float]:
        """All C11 to C66 in GPa, and Hill's moduli as ``bulk_modulus`` and ``shear_modulus``."""
        found = {
            f"C{i + 1}{j + 1}": float(value) for (i, j), value in np.ndenumerate(self.stiffness)
        }
        moduli = {"bulk_modulus": self.bulk_modulus[2], "shear_modulus": self.shear_modulus[2]}
        return found | {name: float(value) for name, value in moduli.items()}

    def _by_strain(self) -> Number:
        return Number(self.strain_error, note=f"by strains of {self.strain:.2g}")

    def _warnings(self) -> list[tuple[Column, Cell]]:
        rows: list[tuple[Column, Cell]] = []
        if self.unstable_modes:
            column = Column("modes of the atoms without a restoring force")
            rows.append((column, float(self.unstable_modes)))
        if self.kink:
            for side, slope in zip(("plus", "minus"), self.kink_slopes, strict=True):
                column = Column(f"NOT SMOOTH: {self.kink}, to {side}", "GPa", pattern=".2f")
                rows.append((column, float(slope)))
        return rows

    def _axes_rows(self) -> list[tuple[Column, Cell]]:
        """Where the axes are in the Cartesian ones of the structure, unless they are the same."""
        if np.allclose(self.axes, np.eye(3), atol=1e-4):
            return []
        rows = zip("xyz", self.axes.round(4) + 0.0, strict=True)
        return [
            (Column(f"{name} in the file's axes"), "({:.4f}, {:.4f}, {:.4f})".format(*axis))
            for name, axis in rows
        ]

    def plot(self, ax: Axes | None = None) -> Figure:
        """Young's modulus by direction; see ``caption``."""
        compliance = self._compliance()
        with style():
            figure, panel = axes(4.2, 4.2, ax)
            if self._low:
                plot_map(panel, compliance, self.lattice)
            else:
                plot_planes(panel, compliance)
        return figure

    @property
    def _low(self) -> bool:
        """Whether the planes of the axes are no symmetry planes: monoclinic and triclinic."""
        low = len(self.independent) >= _MONOCLINIC
        return low and self.stable and bool(np.isfinite(self.lattice).all())

    def _compliance(self) -> Reals:
        """The inverse of the stiffness, in Kelvin's notation, 1/GPa."""
        compliance: Reals = np.linalg.inv(self.stiffness * np.outer(KELVIN, KELVIN))
        return compliance

    def _extremes_rows(self) -> list[tuple[Column, Cell]]:
        """Where Young's modulus is least and most."""
        if not (self.eigenvalues > 0).all():
            return []
        rows: list[tuple[Column, Cell]] = []
        for name, found in zip(("least", "largest"), extremes(self._compliance()), strict=True):
            note = "along ({:.2f}, {:.2f}, {:.2f})".format(*found.direction + 0.0)
            column = Column(f"{name} Young's modulus", "GPa", pattern=".2f")
            rows.append((column, Number(found.modulus, note=note)))
        return rows


@with_spread(at_rest="cell")
@recorded
def elasticity(
    atoms: Atoms,
    /,
    *,
    tolerance: float = 0.01,
    fmax: float = 1e-3,
    step: float | None = None,
) -> Elasticity:
    """Elastic constants C_ij = d sigma_i / d epsilon_j of a relaxed crystal with a calculator.

    Of a model that can be differentiated twice they are exact, and where the stress that is left
    belongs to more strain than 0.2 %, to 3 % at most, they are those of the cell at rest, which the
    result says (:mod:`ladera.properties.harmonic`). Of others they come from atoms relaxed in
    strained cells; see :mod:`ladera.properties.strain_response`, also for ``tolerance`` and
    ``fmax`` (eV/Angstrom), which are those of the relaxations. With ``step`` (Angstrom, such as
    0.005) the Hessian of a model is made of differences of forces, which is faster where forces are
    compiled and their derivatives are not (NequIP). They stand in the standard axes of
    :mod:`ladera.properties.standard_axes`. Of the six strains only those are computed whose images
    under the point group do not follow from the others. Where the slope of the stress changes at a
    strain, as where a shell of neighbours stands at a cutoff that is not smooth enough, the result
    says so. ``atoms`` itself stays as it is.

    Raises PropertyError for a structure without a lattice, or with held atoms, one that is not
    relaxed (by its forces and stress, and by the strain that the stress belongs to) or at no
    minimum, a calculator without stress, a ``step`` for one that cannot be differentiated twice,
    and constants that do not converge with the strain.
    """
    require_crystal(atoms, "An elastic constant")
    require_fmax(fmax)
    if not 0 < tolerance < 1:
        what = "it is a share of the largest constant, between 0 and 1, such as 0.01"
        raise PropertyError.of("tolerance", f"{tolerance:g}", what)
    if step is not None and not 0 < step < 1:
        what = "it must be above zero and below an Angstrom, such as 0.005"
        raise PropertyError.of("step", f"{step:g} Angstrom", what)
    require_relaxed(atoms, cell=True)
    harmonic = _harmonic(atoms, step)
    if harmonic is not None:
        atoms = harmonic.atoms
    setting = standard_setting(atoms)
    columns = _independent_strains(setting)
    strains = [setting.to_file(unit_strain(column)) for column in columns]
    response = (
        by_relaxation(atoms, strains, tolerance, fmax)
        if harmonic is None
        else by_derivatives(harmonic, strains)
    ).turned(setting.axes)
    stiffness = _stiffness(setting, columns, response.slopes)
    _require_little_strain(response.stress, stiffness)
    kink, slopes = _kink(response, columns, float(LIMIT * np.abs(stiffness).max()))
    setting, stiffness = setting.settled(stiffness)
    return replace(
        _moduli_of(stiffness),
        space_group=setting.space_group,
        strain=float(response.strains[-1]),
        strain_error=response.error,
        origin=response.origin,
        about=setting.about,
        axes=setting.axes,
        lattice=atoms.cell.array @ setting.axes.T,
        independent=tuple(f"C{i + 1}{j + 1}" for i, j in setting.constants),
        unstable_modes=response.unstable,
        kink=kink,
        kink_slopes=slopes,
    )


def _kink(response: Response, columns: list[int], limit: float) -> tuple[str, Floats]:
    """The constant whose slopes to two sides of a strain differ most, where, and the slopes.

    An empty name where the stress is smooth.
    """
    found = response.kink(limit)
    if found is None:
        return "", np.full(2, np.nan)
    rung, strain = found
    jumps = np.abs(response.sides[rung, :, strain] - response.slopes[strain]).max(axis=0)
    row = int(np.argmax([jumps[ij] for ij in VOIGT]))
    slopes: Floats = response.sides[(rung, slice(None), strain, *VOIGT[row])]
    name = "C{}{}".format(*sorted((row + 1, columns[strain] + 1)))
    return f"{name} at strains of ±{response.strains[rung]:g}", slopes


def _require_little_strain(stress: Floats, stiffness: Floats) -> None:
    """PropertyError when the stress (GPa) left belongs to a large strain, as in soft crystals."""
    if np.linalg.eigvalsh(stiffness)[0] <= 0:
        return  # an unstable crystal has no such strain
    strain, left = largest(strain_of(stress, stiffness)), float(np.abs(stress).max())
    if strain > LARGEST_STRAIN:
        raise PropertyError(
            f"The cell is not relaxed: this crystal is soft, and the stress of {left:.2g} GPa "
            f"that is left belongs to a strain of {strain:.1%}; run `ladera relax MODEL STRUCTURE "
            f"--cell --fmax 0.001 --smax {left * _ASKED / strain:.1g}` first."
        )


def _independent_strains(setting: Setting) -> list[int]:
    """Voigt strains whose images under the rotations span all strains."""
    chosen: list[int] = []
    images = np.empty((6, 0))
    for column in range(6):
        strain = unit_strain(column)
        orbit = np.stack([to_kelvin(r @ strain @ r.T) for r in setting.rotations], axis=1)
        together = np.hstack([images, orbit])
        if np.linalg.matrix_rank(together, tol=_NEW) > np.linalg.matrix_rank(images, tol=_NEW):
            chosen.append(column)
            images = together
    return chosen


def _harmonic(atoms: Atoms, step: float | None) -> Harmonic | None:
    """The crystal with its second derivatives; None where the calculator is no model with them."""
    if isinstance(atoms.calc, LaderaCalculator):
        try:
            return Harmonic.of(atoms, atoms.calc, step)
        except ConfigError:
            pass  # it cannot be differentiated twice; the result says how it was made
    if step is not None:
        what = (
            "a calculator that cannot be differentiated twice has no Hessian to make with it, its "
            "cells are strained and relaxed; leave it out"
        )
        raise PropertyError.of("step", f"{step:g} Angstrom", what)
    return None


def _stiffness(setting: Setting, columns: list[int], slopes: Floats) -> Floats:
    """C (6, 6): the least-squares solution over all images of the strains."""
    strains, stresses = [], []
    for column, slope in zip(columns, slopes, strict=True):
        strains += [to_kelvin(r @ unit_strain(column) @ r.T) for r in setting.rotations]
        stresses += [to_kelvin(r @ slope @ r.T) for r in setting.rotations]
    kelvin = np.linalg.lstsq(np.array(strains), np.array(stresses), rcond=None)[0]
    kelvin = (kelvin + kelvin.T) / 2
    stiffness: Floats = kelvin / np.outer(KELVIN, KELVIN)
    return stiffness


def _moduli_of(stiffness: Floats) -> Elasticity:
    """What follows from the constants (6, 6), GPa, alone."""
    compliance: Reals = np.linalg.inv(stiffness)
    voigt = _moduli(stiffness)
    # Reuss's moduli are those of the compliance, which in Voigt's notation counts shear twice.
    once = np.array([1.0, 1.0, 1.0, 0.5, 0.5, 0.5])
    inverse = _moduli(compliance * np.outer(once, once))
    reuss = (1 / (9 * inverse[0]), 1 / (4 * inverse[1]))
    bulk = np.array([voigt[0], reuss[0], (voigt[0] + reuss[0]) / 2])
    shear = np.array([voigt[1], reuss[1], (voigt[1] + reuss[1]) / 2])
    k, g = bulk[2], shear[2]
    return Elasticity(
        space_group="",
        stiffness=stiffness,
        strain=np.nan,
        strain_error=np.nan,
        bulk_modulus=bulk,
        shear_modulus=shear,
        young_modulus=float(9 * k * g / (3 * k + g)),
        poisson_ratio=float((3 * k - 2 * g) / (6 * k + 2 * g)),
        universal_anisotropy=float(5 * shear[0] / shear[1] + bulk[0] / bulk[1] - 6),
        eigenvalues=np.linalg.eigvalsh(stiffness * np.outer(KELVIN, KELVIN)),
    )


def _moduli(tensor: Reals) -> tuple[float, float]:
    """Isotropic averages K and G of a fourth-rank tensor T_ijkl given as (6, 6).

    K = T_iijj / 9,    G = (3 T_ijij - T_iijj) / 30
    """
    volume = float(tensor[:3, :3].sum())
    full = float(np.trace(tensor[:3, :3]) + 2 * np.trace(tensor[3:, 3:]))
    return volume / 9, (3 * full - volume) / 30
