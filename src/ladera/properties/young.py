r"""Young's modulus by direction, where it is least and most, and its picture.

1 / E(n) = n n : S : n n        n a unit vector, S the compliance
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
from scipy.optimize import minimize

from ladera.arrays import Floats, Reals
from ladera.plotting import INK, PALETTE
from ladera.properties.standard_axes import KELVIN, VOIGT

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_RINGS: Final = 46  # of directions that are looked at, 2 degrees apart
_LEVELS: Final = 12


class Extreme(NamedTuple):
    """Young's modulus where it is least or most."""

    modulus: float  # GPa
    direction: Floats  # (3,), a unit vector with z not negative


def young_modulus(compliance: Reals, directions: Floats) -> Floats:
    """E (n_directions,), GPa, along unit vectors (n_directions, 3); S is in Kelvin's notation."""
    tensors = KELVIN * np.stack([directions[:, i] * directions[:, j] for i, j in VOIGT], axis=1)
    young: Floats = 1 / np.einsum("ni,ij,nj->n", tensors, compliance, tensors)
    return young


def extremes(compliance: Reals) -> tuple[Extreme, Extreme]:
    """The least and the largest, of a crystal that is stable."""
    directions = _hemisphere()
    values = young_modulus(compliance, directions.reshape(-1, 3))
    found = []
    for sign, start in ((1, values.argmin()), (-1, values.argmax())):

        def signed(vector: Floats, sign: int = sign) -> float:
            unit = vector / np.linalg.norm(vector)
            return sign * float(young_modulus(compliance, unit[None])[0])

        best = minimize(signed, directions.reshape(-1, 3)[start], tol=1e-12).x
        best /= np.linalg.norm(best) * (-1 if best[2] < -1e-6 else 1)
        found.append(Extreme(sign * signed(best), best))
    return found[0], found[1]


def plot_planes(panel: Axes, compliance: Reals) -> None:
    """E by direction in the planes of x, y and z, which are symmetry planes of most crystals."""
    angles = np.linspace(0, 2 * np.pi, 361)
    dashes = ("-", "--", ":")
    for number, (i, j) in enumerate(((0, 1), (0, 2), (1, 2))):
        directions = np.zeros((len(angles), 3))
        directions[:, i], directions[:, j] = np.cos(angles), np.sin(angles)
        young = young_modulus(compliance, directions)
        panel.plot(
            young * np.cos(angles),
            young * np.sin(angles),
            linestyle=dashes[number],
            color=PALETTE[number],
            label=f"{'xyz'[i]}{'xyz'[j]} plane",
        )
    panel.set_aspect("equal")
    panel.set_xlabel("Young's modulus along the first axis (GPa)")
    panel.set_ylabel("along the second axis (GPa)")
    panel.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3)


def plot_map(panel: Axes, compliance: Reals, lattice: Floats) -> None:
    """E on the hemisphere seen along z, areas being right (Lambert's azimuthal projection).

    With the directions of the ``lattice`` vectors, rows, and of the least and the largest.
    """
    directions = _hemisphere()
    young = young_modulus(compliance, directions.reshape(-1, 3)).reshape(directions.shape[:2])
    x, y = _projected(directions)
    filled = panel.contourf(x, y, young, _LEVELS, cmap="viridis")
    panel.figure.colorbar(filled, ax=panel, shrink=0.8, label="Young's modulus (GPa)")
    for name, vector in zip("abc", lattice, strict=True):
        _mark(panel, vector / np.linalg.norm(vector), "o", name)
    for extreme, name in zip(extremes(compliance), ("least", "most"), strict=True):
        _mark(panel, extreme.direction, "^" if name == "most" else "v", name)
    rim = np.linspace(0, 2 * np.pi, 181)
    panel.plot(np.sqrt(2) * np.cos(rim), np.sqrt(2) * np.sin(rim), color=INK, linewidth=0.8)
    for (at_x, at_y), name in (((1.5, 0), "x"), ((0, 1.5), "y")):
        panel.text(at_x, at_y, name, ha="center", va="center")
    panel.set_aspect("equal")
    panel.set_axis_off()


def _hemisphere() -> Floats:
    """Directions (n_rings, n_angles, 3) from the pole to the equator, and once around."""
    polar = np.linspace(0, np.pi / 2, _RINGS)[:, None]
    around = np.linspace(0, 2 * np.pi, 4 * _RINGS + 1)
    flat = np.sin(polar)
    height = np.broadcast_to(np.cos(polar), (len(polar), len(around)))
    return np.stack([flat * np.cos(around), flat * np.sin(around), height], axis=-1)


def _projected(directions: Floats) -> tuple[Floats, Floats]:
    """Where the projection has unit vectors (..., 3) of the upper hemisphere."""
    scale = np.sqrt(2 / (1 + directions[..., 2]))
    return scale * directions[..., 0], scale * directions[..., 1]


def _mark(panel: Axes, direction: Floats, marker: str, name: str) -> None:
    """A direction, or its opposite, with its name."""
    x, y = _projected(direction if direction[2] >= 0 else -direction)
    panel.plot(x, y, marker, color="white", markeredgecolor=INK, clip_on=False)
    panel.annotate(
        name, (x, y), xytext=(4, 4), textcoords="offset points", color="white",
        bbox={"boxstyle": "round,pad=0.15", "facecolor": INK, "alpha": 0.6, "linewidth": 0},
    )  # fmt: skip
