"""Equivariance as a picture: Wigner's matrix, and arrays before and after a rotation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from scipy.linalg import block_diag

from ladera.arrays import Floats
from ladera.models.equivariant.irreps import Irreps, slices, wigner_d
from ladera.plotting import FAINT, style

if TYPE_CHECKING:
    from ase import Atoms

    from ladera.models.mace import MACE

CHANNELS: Final = 12  # that are drawn
_LETTERS: Final = "spdfgh"


def wigner_matrix(irreps: Irreps, rotation: Floats) -> Floats:
    """D(R) of all components, (n, n): a block for each irrep."""
    matrix: Floats = block_diag(*(wigner_d(irrep, rotation) for irrep in irreps))
    return matrix


def equivariance_figure(
    potential: MACE, atoms: Atoms, rotation: Floats, atom: int = 0, layer: int = 0
) -> Figure:
    """D(R); A of an atom; D(R) A; A of the turned structure, which is the same.

    ``rotation`` (3, 3) is orthogonal: a rotation, or one with a reflection. A is the one-particle
    basis of a layer (:mod:`ladera.models.mace.explanation`), the first channels of it.
    """
    turned = atoms.copy()
    turned.positions = atoms.positions @ rotation.T
    if atoms.pbc.any():
        turned.set_cell(atoms.cell.array @ rotation.T)
    before, after = (potential.explain(each).layers[layer] for each in (atoms, turned))
    irreps = before.one_particle_irreps
    D = wigner_matrix(irreps, rotation)
    A, turned_A = (
        each.one_particle[atom, :, :CHANNELS].double().cpu().numpy() for each in (before, after)
    )
    largest = float(np.abs(A).max())
    with style():
        figure = Figure(figsize=(9.6, 3.7), layout="constrained")
        panels = figure.subplots(1, 4, width_ratios=(2.1, 1, 1, 1))
        shown = _draw(panels[0], D, irreps, 1.0)
        panels[0].set_title("D(R)")
        for axis in panels[0].get_xticklabels():
            axis.set_fontsize(8)
        for panel, values, title in (
            (panels[1], A, "A(x)"),
            (panels[2], D @ A, "D(R) A(x)"),
            (panels[3], turned_A, "A(R x)"),
        ):
            _draw(panel, values, irreps, largest)
            panel.set_title(title)
            panel.set_xlabel("channel")
        figure.colorbar(shown, ax=panels[0], shrink=0.75)
    return figure


def _draw(panel: Axes, values: Floats, irreps: Irreps, largest: float) -> AxesImage:
    """A heat map with a line between the irreps and their letters beside."""
    image = panel.imshow(
        values, cmap="RdBu_r", vmin=-largest, vmax=largest, aspect="auto", interpolation="nearest"
    )
    parts = slices(irreps)
    square = values.shape[0] == values.shape[1]
    for part in parts[1:]:
        panel.axhline(part.start - 0.5, color=FAINT, linewidth=0.8)
        if square:
            panel.axvline(part.start - 0.5, color=FAINT, linewidth=0.8)
    middles = [(part.start + part.stop - 1) / 2 for part in parts]
    letters = [_LETTERS[irrep.l] if irrep.l < len(_LETTERS) else str(irrep.l) for irrep in irreps]
    panel.set_yticks(middles, letters)
    panel.set_xticks(middles if square else [], letters if square else [])
    panel.grid(visible=False)
    return image
