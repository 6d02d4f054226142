"""Elastic constants from stresses of small strains, as few as the crystal's symmetry allows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final

import numpy as np
from matplotlib.figure import Figure

from ladera.arrays import Floats, Reals
from ladera.errors import PropertyError
from ladera.plotting import PALETTE, axes, style
from ladera.properties.recorded import recorded
from ladera.properties.result import Result, Table, quantity
from ladera.properties.structures import (
    relax_ions,
    require_crystal,
    require_relaxed,
    stress_of,
    with_spread,
)
from ladera.symmetry import symmetry_dataset
from ladera.units import GIGAPASCAL

if TYPE_CHECKING:
    from ase import Atoms

_FIRST_STRAIN: Final = 0.01
_HALVINGS: Final = 5
_LARGEST_STRAIN: Final = 0.002  # that the stress left in a relaxed cell may belong to
_VOIGT: Final = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))
# Kelvin's notation: with shear components times sqrt(2) a symmetric tensor is a vector whose length
# is the tensor's, so that rotations of the tensor are rotations of the vector.
_KELVIN: Final = np.array([1.0, 1.0, 1.0, np.sqrt(2), np.sqrt(2), np.sqrt(2)])


@dataclass(frozen=True, kw_only=True)
class Elasticity(Result):
    """Elastic constants and what follows from them.

    Moduli are Voigt's, Reuss's and their mean, Hill's, for a polycrystal of random grains (Hill,
    Proc. Phys. Soc. A 65, 349 (1952)).
    """

    kind: ClassVar[str] = "elasticity"
    title: ClassVar[str] = "Elastic constants"
    caption: ClassVar[str] = (
        "Young's modulus by direction in three planes; a circle where the crystal is isotropic."
    )

    space_group: str
    stiffness: Floats = quantity("GPa")  # (6, 6), C_ij in Voigt order xx yy zz yz xz xy
    strain: float = quantity()  # the smallest one used
    strain_error: float = quantity("GPa")  # largest change by the last halving of the strain, / 3
    bulk_modulus: Floats = quantity("GPa")  # (3,) Voigt, Reuss, Hill
    shear_modulus: Floats = quantity("GPa")  # (3,)
    young_modulus: float = quantity("GPa")  # of Hill's moduli
    poisson_ratio: float = quantity()  # of Hill's moduli
    universal_anisotropy: float = quantity()  # 5 G_V / G_R + K_V / K_R - 6, 0 when isotropic
    eigenvalues: Reals = quantity("GPa")  # (6,) of the stiffness in Kelvin's notation

    @property
    def stable(self) -> bool:
        """Born's condition: every strain costs energy, all eigenvalues are positive."""
        return bool((self.eigenvalues > 0).all())

    def table(self) -> Table:
        """Distinct constants first, then the moduli of the polycrystal."""
        rows = [
            (f"C{i + 1}{j + 1}", self.show("stiffness", ".2f", (i, j)), "GPa")
            for i in range(6)
            for j in range(i, 6)
            if abs(self.stiffness[i, j]) > 1e-3 * np.abs(self.stiffness).max()
        ]
        for name, label in (("bulk_modulus", "bulk modulus"), ("shear_modulus", "shear modulus")):
            for i, mean in enumerate(("Voigt", "Reuss", "Hill")):
                rows.append((f"{label}, {mean}", self.show(name, ".2f", i), "GPa"))
        rows += [
            ("Young's modulus", self.show("young_modulus", ".2f"), "GPa"),
            ("Poisson's ratio", self.show("poisson_ratio", ".3f"), ""),
            ("universal anisotropy", self.show("universal_anisotropy", ".3f"), ""),
            ("smallest eigenvalue", self.show("eigenvalues", ".2f", 0), "GPa"),
            ("mechanically stable (Born)", "yes" if self.stable else "NO", ""),
            ("space group", self.space_group, ""),
            ("error of the finite strain", f"{self.strain_error:.2g}", "GPa"),
        ]
        return Table(("quantity", "value", "unit"), tuple(rows))

    def plot(self) -> Figure:
        """Young's modulus by direction in three planes; a circle where the crystal is isotropic."""
        compliance: Reals = np.linalg.inv(self.stiffness * np.outer(_KELVIN, _KELVIN))
        angles = np.linspace(0, 2 * np.pi, 361)
        with style():
            figure, panel = axes(4.2, 4.2)
            for number, ((i, j), dashes) in enumerate(
                zip(((0, 1), (0, 2), (1, 2)), ("-", "--", ":"), strict=True)
            ):
                directions = np.zeros((len(angles), 3))
                directions[:, i], directions[:, j] = np.cos(angles), np.sin(angles)
                young = young_modulus(compliance, directions)
                label = f"{'xyz'[i]}{'xyz'[j]} plane"
                panel.plot(
                    young * np.cos(angles),
                    young * np.sin(angles),
                    linestyle=dashes,
                    color=PALETTE[number],
                    label=label,
                )
            panel.set_aspect("equal")
            panel.set_xlabel("Young's modulus along the first axis (GPa)")
            panel.set_ylabel("along the second axis (GPa)")
            panel.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3)
        return figure


@with_spread(at_rest="cell")
@recorded
def elasticity(atoms: Atoms, /, *, tolerance: float = 0.01, fmax: float = 1e-3) -> Elasticity:
    """Elastic constants C_ij = d sigma_i / d epsilon_j of a relaxed crystal with a calculator.

    Of the six strains only those are computed whose images under the point group do not follow
    from the others; the atoms come to rest in each strained cell (largest force ``fmax``,
    eV/Angstrom). Derivatives are central differences at a strain of 0.01 and half of it,
    extrapolated to none (their error is of second order in the strain); the strain is halved again
    until halving changes no constant by more than ``tolerance`` of the largest. ``atoms`` itself
    stays as it is.

    Raises PropertyError for a structure without a lattice, one that is not relaxed (by its forces
    and stress, and by the strain that the stress belongs to), a calculator without stress, and
    constants that do not converge with the strain.
    """
    require_crystal(atoms, "An elastic constant")
    require_relaxed(atoms, cell=True)
    left = stress_of(atoms)
    rotations, space_group = point_group(atoms)
    columns = _independent_strains(rotations)
    strain = _FIRST_STRAIN
    coarse = _stiffness(atoms, columns, rotations, strain, fmax)
    for _ in range(_HALVINGS):
        strain /= 2
        fine = _stiffness(atoms, columns, rotations, strain, fmax)
        change = float(np.abs(fine - coarse).max())
        if change <= tolerance * np.abs(fine).max():
            stiffness = fine + (fine - coarse) / 3
            _require_little_strain(left, stiffness)
            return _result(stiffness, space_group, strain, change / 3)
        coarse = fine
    raise PropertyError(
        f"The elastic constants do not converge: halving the strain to {strain:.2g} still changes "
        f"one by {change:.3g} GPa. Is the potential smooth here? Train it on strained cells, or "
        "raise the tolerance."
    )


def _require_little_strain(stress: Floats, stiffness: Floats) -> None:
    """PropertyError when the stress that is left belongs to a large strain, as in soft crystals."""
    voigt = np.array([stress[i, j] for i, j in _VOIGT]) / GIGAPASCAL
    if np.linalg.eigvalsh(stiffness)[0] <= 0:
        return  # an unstable crystal has no such strain
    strain = float(np.abs(np.linalg.solve(stiffness, voigt)).max())
    if strain > _LARGEST_STRAIN:
        raise PropertyError(
            f"The cell is not relaxed: this crystal is soft, and the stress of "
            f"{np.abs(voigt).max():.2g} GPa that is left belongs to a strain of {strain:.1%}; run "
            "`ladera relax MODEL STRUCTURE --cell --fmax 0.0001` first."
        )


def young_modulus(compliance: Reals, directions: Floats) -> Floats:
    """1 / (n n : S : n n), GPa, along unit vectors n (n_directions, 3); S in Kelvin's notation."""
    tensors = np.stack([_to_kelvin(np.outer(n, n)) for n in directions])
    young: Floats = 1 / np.einsum("ni,ij,nj->n", tensors, compliance, tensors)
    return young


def point_group(atoms: Atoms, tolerance: float = 1e-3) -> tuple[Floats, str]:
    """Cartesian rotations (n_operations, 3, 3) of a crystal, and its space group's symbol.

    Positions may be off by ``tolerance`` (Angstrom), as relaxations leave them.
    """
    dataset = symmetry_dataset(atoms, tolerance)
    if dataset is None:
        raise PropertyError("The structure's symmetry could not be found; do atoms overlap?")
    lattice = atoms.cell.array.T
    rotations = np.array([lattice @ w @ np.linalg.inv(lattice) for w in dataset.rotations])
    return rotations, f"{dataset.international} ({dataset.number})"


def _independent_strains(rotations: Floats) -> list[int]:
    """Voigt strains whose images under the rotations span all strains."""
    chosen: list[int] = []
    images = np.empty((6, 0))
    for column in range(6):
        orbit = np.stack([_to_kelvin(r @ _unit_strain(column) @ r.T) for r in rotations], axis=1)
        together = np.hstack([images, orbit])
        if np.linalg.matrix_rank(together, tol=1e-6) > np.linalg.matrix_rank(images, tol=1e-6):
            chosen.append(column)
            images = together
    return chosen


def _stiffness(
    atoms: Atoms, columns: list[int], rotations: Floats, strain: float, fmax: float
) -> Floats:
    """C (6, 6) in GPa: the least-squares solution over all images of the strains."""
    strains, stresses = [], []
    for column in columns:
        unit = _unit_strain(column)
        plus, minus = (_stress(atoms, sign * strain * unit, fmax) for sign in (1, -1))
        slope = (plus - minus) / (2 * strain)
        strains += [_to_kelvin(r @ unit @ r.T) for r in rotations]
        stresses += [_to_kelvin(r @ slope @ r.T) for r in rotations]
    kelvin = np.linalg.lstsq(np.array(strains), np.array(stresses), rcond=None)[0]
    kelvin = (kelvin + kelvin.T) / 2
    stiffness: Floats = kelvin / np.outer(_KELVIN, _KELVIN) / GIGAPASCAL
    return stiffness


def _stress(atoms: Atoms, strain: Floats, fmax: float) -> Floats:
    """Stress (3, 3), eV/Angstrom^3, of the strained cell with its atoms at rest."""
    strained = atoms.copy()
    strained.set_cell(atoms.cell.array @ (np.eye(3) + strain), scale_atoms=True)
    strained.calc = atoms.calc
    relax_ions(strained, fmax)
    return stress_of(strained)


def _unit_strain(column: int) -> Floats:
    """The strain tensor whose Voigt component ``column`` is 1, such as 2 epsilon_yz = 1."""
    i, j = _VOIGT[column]
    strain = np.zeros((3, 3))
    strain[i, j] += 0.5
    strain[j, i] += 0.5
    return strain


def _to_kelvin(tensor: Floats) -> Floats:
    vector: Floats = np.array([tensor[i, j] for i, j in _VOIGT]) * _KELVIN
    return vector


def _result(stiffness: Floats, space_group: str, strain: float, error: float) -> Elasticity:
    compliance: Reals = np.linalg.inv(stiffness)
    eigenvalues: Reals = np.linalg.eigvalsh(stiffness * np.outer(_KELVIN, _KELVIN))
    voigt = _moduli(stiffness)
    # Reuss's moduli are those of the compliance, which in Voigt's notation counts shear twice.
    once = np.array([1.0, 1.0, 1.0, 0.5, 0.5, 0.5])
    inverse = _moduli(compliance * np.outer(once, once))
    reuss = (1 / (9 * inverse[0]), 1 / (4 * inverse[1]))
    bulk = np.array([voigt[0], reuss[0], (voigt[0] + reuss[0]) / 2])
    shear = np.array([voigt[1], reuss[1], (voigt[1] + reuss[1]) / 2])
    k, g = bulk[2], shear[2]
    return Elasticity(
        space_group=space_group,
        stiffness=stiffness,
        strain=strain,
        strain_error=error,
        bulk_modulus=bulk,
        shear_modulus=shear,
        young_modulus=float(9 * k * g / (3 * k + g)),
        poisson_ratio=float((3 * k - 2 * g) / (6 * k + 2 * g)),
        universal_anisotropy=float(5 * shear[0] / shear[1] + bulk[0] / bulk[1] - 6),
        eigenvalues=eigenvalues,
    )


def _moduli(tensor: Reals) -> tuple[float, float]:
    """Isotropic averages K and G of a fourth-rank tensor T_ijkl given as (6, 6).

    K = T_iijj / 9,    G = (3 T_ijij - T_iijj) / 30
    """
    volume = float(tensor[:3, :3].sum())
    full = float(np.trace(tensor[:3, :3]) + 2 * np.trace(tensor[3:, 3:]))
    return volume / 9, (3 * full - volume) / 30
