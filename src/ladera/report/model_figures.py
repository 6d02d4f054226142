"""What a model is made of, drawn: networks and, of one with symmetry functions, what these see.

Curves are what the model computes itself of two and of three atoms alone, so that every kind of
function is drawn as it is used.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import torch
from ase.data import atomic_numbers
from matplotlib.figure import Figure

from ladera.arrays import Floats, Integers
from ladera.errors import ConfigError
from ladera.graph import Graph
from ladera.kernels.activations import ACTIVATIONS
from ladera.kernels.cutoffs import reference_cutoff_function
from ladera.kernels.symmetry_functions.functions import CUTOFF_FUNCTIONS, SymmetryFunction
from ladera.models.hdnnp.base import SymmetryFunctionPotential
from ladera.plotting import DASHES, PALETTE, style
from ladera.potential import Potential
from ladera.structure import Structure

Place = Sequence[Sequence[float]]  # positions of a few atoms
POINTS: Final = 200
NEAREST: Final = 0.6  # Angstrom
BINS: Final = 50
_WIDTH: Final = 3.2  # inches of a panel


def require_functions(potential: Potential) -> SymmetryFunctionPotential:
    """The model, if it has symmetry functions; ConfigError for others."""
    if isinstance(potential, SymmetryFunctionPotential):
        return potential
    raise ConfigError(
        f"The {potential.config.architecture} model has no symmetry functions to draw; of it there "
        "are the networks alone."
    )


def cutoff_figure(potential: SymmetryFunctionPotential) -> Figure:
    """The model's cutoff function among all that there are, with its slope."""
    own, alpha = potential.config.cutoff_function, potential.config.cutoff_alpha
    r = torch.linspace(0, potential.cutoff, POINTS + 1, dtype=torch.float64, requires_grad=True)
    with style():
        figure = Figure(figsize=(2 * _WIDTH + 1.6, 3.0), layout="constrained")
        left, right = figure.subplots(1, 2)
        for kind, name in enumerate(CUTOFF_FUNCTIONS):
            values = reference_cutoff_function(kind, alpha, potential.cutoff, r)
            (slopes,) = torch.autograd.grad((values + 0 * r).sum(), r)  # one is 1 everywhere
            look = _look(kind) if name != own else {"color": "black", "linewidth": 3.0}
            label = name if name != own else f"{name} (of this model)"
            for panel, curve in ((left, values), (right, slopes)):
                panel.plot(r.detach().numpy(), curve.detach().numpy(), label=label, **look)
        left.set(xlabel="r (Å)", ylabel="cutoff function", ylim=(-0.03, 1.05))
        right.set(xlabel="r (Å)", ylabel="its slope (1/Å)")
        figure.legend(*left.get_legend_handles_labels(), loc="outside right center")
    return figure


def distance_figure(potential: SymmetryFunctionPotential) -> Figure:
    """Radial functions of each element against the distance of one neighbour of each other."""
    r = np.linspace(NEAREST, potential.cutoff, POINTS)

    def curves(center: str, neighbor: str) -> Floats:
        places: list[Place] = [[[0, 0, 0], [0, 0, float(x)]] for x in r]
        return _values(potential, [center, neighbor], places)

    return _grid(
        potential,
        [(symbol,) for symbol in potential.symbols],
        lambda f, partners: not f.angular and f.neighbors in (partners, ()),
        curves,
        r,
        "distance (Å)",
        None,
    )


def angle_figure(potential: SymmetryFunctionPotential, distance: float) -> Figure:
    """Angular functions of each element against the angle between two neighbours, so far away."""
    theta = np.linspace(0.5, 180, POINTS)
    legs = [(distance * math.sin(t), distance * math.cos(t)) for t in np.radians(theta)]

    def curves(center: str, one: str, two: str) -> Floats:
        places: list[Place] = [[[0, 0, 0], [0, 0, distance], [x, 0, z]] for x, z in legs]
        return _values(potential, [center, one, two], places)

    symbols = potential.symbols
    pairs = [(a, b) for k, a in enumerate(symbols) for b in symbols[k:]]
    return _grid(
        potential,
        pairs,
        lambda f, partners: f.angular and f.neighbors in (partners, ()),
        curves,
        theta,
        f"angle (°), both {distance:g} Å away",
        (0, 60, 120, 180),
    )


def activation_figure(names: Sequence[str]) -> Figure:
    """Activation functions and, dashed, their slopes."""
    x = torch.linspace(-4, 4, POINTS + 1, dtype=torch.float64, requires_grad=True)
    with style():
        figure = Figure(figsize=(4.6, 3.2), layout="constrained")
        panel = figure.subplots()
        for k, name in enumerate(dict.fromkeys(names)):
            y = ACTIVATIONS[name](x)
            (slopes,) = torch.autograd.grad(y.sum(), x)
            color = PALETTE[k % len(PALETTE)]
            panel.plot(x.detach().numpy(), y.detach().numpy(), color=color, label=name)
            panel.plot(x.detach().numpy(), slopes.numpy(), "--", color=color, alpha=0.6)
        panel.set(xlabel="sum of the inputs of a node", ylabel="what it gives; its slope (dashed)")
        panel.legend()
    return figure


def histogram_figure(symbols: Sequence[str], samples: Sequence[Floats]) -> Figure:
    """How often each function has which value: G (n_atoms, n_functions) of each element."""
    with style():
        figure = Figure(figsize=(_WIDTH * len(samples) + 1.0, 4.6), layout="constrained")
        panels = figure.subplots(1, len(samples), squeeze=False)[0]
        for panel, symbol, G in zip(panels, symbols, samples, strict=True):
            counts, _, _ = histograms(G)
            share = np.where(counts > 0, 100 * counts / len(G), np.nan)
            image = panel.imshow(
                share,
                aspect="auto",
                extent=(0, 1, len(counts) + 0.5, 0.5),
                cmap="viridis",
                norm="log",
                vmin=100 / len(G),
                vmax=100,
                interpolation="nearest",
            )
            panel.grid(visible=False)
            panel.set(
                title=f"{symbol}, {len(G):,} atoms",
                xlabel="value, from the least to the largest",
                ylabel="symmetry function",
            )
        bar = figure.colorbar(image, ax=panels.tolist(), label="share of the atoms (%)")
        bar.ax.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    return figure


def histograms(G: Floats) -> tuple[Integers, Floats, Floats]:
    """Counts (n_functions, BINS) between the smallest and the largest value of each, and these."""
    low, high = G.min(axis=0), G.max(axis=0)
    place = (G - low) / np.where(high > low, high - low, 1.0) * BINS
    place = np.clip(place.astype(int), 0, BINS - 1)
    counts: Integers = np.stack([np.bincount(column, minlength=BINS) for column in place.T])
    return counts, low, high


def _values(
    potential: SymmetryFunctionPotential, symbols: Sequence[str], places: Sequence[Place]
) -> Floats:
    """G of the first atom in each of some places, (n_places, n_functions)."""
    numbers = [atomic_numbers[symbol] for symbol in symbols]
    structures = [Structure.of(numbers, each, np.zeros((3, 3)), False) for each in places]
    graph = Graph.of_all(structures, potential.cutoff).to(potential.dtype)
    with torch.no_grad():
        G = potential.symmetry_functions(graph)
    return G[:: len(symbols)].double().numpy()


def _grid(
    potential: SymmetryFunctionPotential,
    partners: Sequence[tuple[str, ...]],
    is_drawn: Callable[[SymmetryFunction, tuple[str, ...]], bool],
    curves: Callable[..., Floats],
    x: Floats,
    label: str,
    ticks: Sequence[float] | None,
) -> Figure:
    """A row of panels for each element, one for each kind of neighbours."""
    symbols = potential.symbols
    with style():
        size = (2.3 * len(partners) + 0.4, 2.0 * len(symbols) + 0.4)
        figure = Figure(figsize=size, layout="constrained")
        panels = figure.subplots(len(symbols), len(partners), squeeze=False, sharex=True)
        for row, center, functions in zip(panels, symbols, potential.plan.functions, strict=True):
            for panel, others in zip(row, partners, strict=True):
                values = curves(center, *others)
                drawn = [k for k, f in enumerate(functions) if is_drawn(f, others)]
                for n, k in enumerate(drawn):
                    panel.plot(x, values[:, k], linewidth=1.1, **_look(n))
                title = center if len(others) == 1 else ""
                name = f"{center}-{others[0]}" if title else f"{others[0]}-{center}-{others[1]}"
                panel.set_title(f"{name}: {len(drawn)} functions", fontsize=8.5)
                if ticks is not None:
                    panel.set_xticks(ticks)
        figure.supxlabel(label, fontsize=9.5)
        figure.supylabel("symmetry function G", fontsize=9.5)
    return figure


def _look(number: int) -> dict[str, Any]:
    colors = PALETTE[:-1]
    return {
        "color": colors[number % len(colors)],
        "ls": DASHES[number // len(colors) % len(DASHES)],
    }
