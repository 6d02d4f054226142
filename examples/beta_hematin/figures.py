"""The study's figures: the crystal, what strains it, its spectra, errors of potentials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any, Final

import numpy as np
from ase import Atoms
from ase.data import covalent_radii
from ase.data.colors import jmol_colors
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from numpy.typing import NDArray

import crystal
import molecule
from ladera.plotting import FAINT, INK, PALETTE, panel_grid, style
from ladera.properties.elasticity import Elasticity
from ladera.properties.infrared import Infrared
from ladera.properties.spectrum import Spectrum

Floats = NDArray[np.float64]

_FROM: Final = 900.0  # cm^-1, where the spectra begin
_TO: Final = 1900.0
_CUBE: Final = np.array(list(product((0, 1), repeat=3)))  # corners of a cell


def structure(atoms: Atoms) -> Figure:
    """The crystal along c and along b: two dimers, which acids join, and the cell of one."""
    whole, centre = _with_neighbour(atoms), atoms.positions.mean(axis=0)
    with style():
        figure, panels = panel_grid(7.2, 4.2, columns=(1, 1))
        for panel, (axis, name) in zip(panels, ((2, "c"), (1, "b")), strict=True):
            _draw(panel, whole, atoms.cell.array, centre, axis)
            panel.set_title(f"along {name}")
    return figure


def _with_neighbour(atoms: Atoms) -> Atoms:
    """The dimer and its image across the acids that it meets."""
    other = atoms.copy()
    other.positions += np.array(crystal.acid_translation(atoms)) @ atoms.cell.array
    return atoms + other


def _draw(panel: Axes, atoms: Atoms, cell: Floats, centre: Floats, axis: int) -> None:
    """Balls and sticks seen along a lattice vector, and a cell about a centre."""
    view = _view(cell, axis)
    places = atoms.positions @ view.T
    corners = ((_CUBE - 0.5) @ cell + centre) @ view.T
    for name, vector in zip("abc", cell, strict=True):
        if name != "abc"[axis]:
            start = corners[0]
            panel.annotate(name, (start + 0.5 * vector @ view.T)[:2], xytext=(-9, -9),
                           textcoords="offset points", color=INK, zorder=5,
                           bbox={"boxstyle": "round,pad=0.1", "fc": "white", "lw": 0})  # fmt: skip
    edges = [(corners[i], corners[j]) for i, j in product(range(8), repeat=2)
             if i < j and np.abs(_CUBE[i] - _CUBE[j]).sum() == 1]  # fmt: skip
    panel.add_collection(LineCollection([(a[:2], b[:2]) for a, b in edges], color=FAINT, lw=0.8))
    bound = np.argwhere(np.triu(molecule.bonds(atoms)))
    sticks = [(places[i, :2], places[j, :2]) for i, j in bound]
    panel.add_collection(LineCollection(sticks, color=INK, lw=0.8, zorder=2))
    numbers, order = atoms.numbers, np.argsort(places[:, 2])
    sizes = 45 * covalent_radii[numbers] ** 2
    panel.scatter(*places[order, :2].T, s=sizes[order], c=jmol_colors[numbers[order]],
                  edgecolors=INK, linewidths=0.4, zorder=3)  # fmt: skip
    acids = [(places[i, :2], places[j, :2]) for i, j in crystal.acid_contacts(atoms)]
    panel.add_collection(LineCollection(acids, color=PALETTE[1], lw=1.2, ls=":", zorder=4))
    panel.set_aspect("equal")
    panel.autoscale_view()
    panel.set_axis_off()


def _view(cell: Floats, axis: int) -> Floats:
    """Rows: to the right, up, towards the eye; the eye looks along a lattice vector."""
    towards = cell[axis] / np.linalg.norm(cell[axis])
    right = cell[(axis + 1) % 3]
    right = right - (right @ towards) * towards
    right /= np.linalg.norm(right)
    return np.array([right, np.cross(towards, right), towards])


def elastic(found: Mapping[str, Elasticity]) -> Figure:
    """Young's modulus by direction, for each crystal and model."""
    columns = min(2, len(found)) or 1
    with style():
        rows = -(-max(len(found), 1) // columns)
        figure, panels = panel_grid(
            4.2 * columns, 4.0 * rows, rows=(1,) * rows, columns=(1,) * columns
        )
        for panel in panels[len(found) :]:
            panel.set_axis_off()
        for panel, (name, each) in zip(panels, found.items(), strict=False):
            each.plot(panel)
            panel.set_title(name)
    return figure


def infrared(
    found: Mapping[str, Infrared | Spectrum], marks: Mapping[str, Sequence[float]]
) -> Figure:
    """Spectra one above the other, between 900 and 1900 cm^-1, with the measured marks."""
    with style():
        figure, panels = panel_grid(6.4, 1.7 * len(found) + 0.6, rows=(1,) * len(found), share="x")
        for number, (panel, (name, each)) in enumerate(zip(panels, found.items(), strict=True)):
            curve = each.absorption if isinstance(each, Infrared) else each.infrared
            shown = (each.wavenumbers > _FROM) & (each.wavenumbers < _TO)
            panel.fill_between(each.wavenumbers[shown], curve[shown], color=PALETTE[0], alpha=0.2)
            panel.plot(each.wavenumbers[shown], curve[shown], color=PALETTE[0])
            for low, high in marks.values():
                panel.axvline((low + high) / 2, color=INK, lw=0.9, ls=":")
            panel.set(xlim=(_TO, _FROM), ylabel="km/mol cm", title=name)
            room = 1.25 if number == 0 else 1.05  # for the names of the marks
            panel.set_ylim(0, room * float(curve[shown].max()))
            if number == 0:
                _name_marks(panel, marks)
        panels[-1].set_xlabel("wavenumber (cm⁻¹); dotted: measured on the crystal")
    return figure


def _name_marks(panel: Axes, marks: Mapping[str, Sequence[float]]) -> None:
    """Each beside its line, at the top; the two close ones on two sides."""
    places = sorted((float(np.mean(where)), name) for name, where in marks.items())
    for number, (place, name) in enumerate(places):
        left = number == len(places) - 1  # the scale runs to the left
        panel.text(place, 0.97, f" {name} ", transform=panel.get_xaxis_transform(), va="top",
                   ha="right" if left else "left", fontsize=7, color=INK)  # fmt: skip


def errors(found: Mapping[str, Any]) -> Figure:
    """Force components of frames that none has seen, by each model against the labels."""
    with style():
        figure, panels = panel_grid(3.0 * len(found), 3.2, columns=(1,) * len(found))
        end = max(float(np.abs(each["shown"]).max()) for each in found.values())
        for panel, (name, each) in zip(panels, found.items(), strict=True):
            labels, said = np.array(each["shown"]).T
            panel.plot([-end, end], [-end, end], color=FAINT, lw=0.8)
            panel.plot(labels, said, "o", ms=2, mew=0, alpha=0.6, color=PALETTE[0])
            panel.set(xlim=(-end, end), ylim=(-end, end), xlabel="GFN1-xTB (eV/Å)")
            panel.set_title(
                f"{name}: {each['force_mae']:.0f} ± {each['force_mae_error']:.0f} meV/Å"
            )
            panel.set_aspect("equal")
        panels[0].set_ylabel("model (eV/Å)")
    return figure
