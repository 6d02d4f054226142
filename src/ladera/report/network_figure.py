"""Networks as they are taught: columns of nodes, and lines whose colour and width are weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from torch import nn

from ladera.arrays import Floats, Integers
from ladera.errors import ConfigError
from ladera.models.equivariant.networks import NormalizedNetwork, RadialNetwork
from ladera.models.hdnnp.network import AtomicNetwork
from ladera.plotting import FAINT, INK, PALETTE, style
from ladera.potential import Potential

MOST_NODES: Final = 24  # of a layer that are drawn
MOST_NETWORKS: Final = 6
THICKEST: Final = 2.2  # points


@dataclass(frozen=True, eq=False)
class Layers:
    """A network: its name, and the weights (n_out, n_in) of each layer."""

    name: str
    weights: tuple[Floats, ...]

    @property
    def sizes(self) -> tuple[int, ...]:
        """Nodes of each layer, the inputs first."""
        return (self.weights[0].shape[1], *(len(weight) for weight in self.weights))


def networks(potential: Potential) -> list[Layers]:
    """All multilayer perceptrons of a model, in the order of its parts."""
    found = []
    for name, module in potential.named_modules():
        weights = _weights(module)
        if weights:
            found.append(Layers(_called(name, potential), tuple(weights)))
    return found


def network_figure(potential: Potential) -> Figure:
    """The first networks of a model; ConfigError for a model without any.

    Red lines are positive weights, blue ones negative; the widest is the largest of its layer. Of a
    layer with many nodes those with the largest weights are drawn.
    """
    drawn = networks(potential)
    if not drawn:
        raise ConfigError(
            f"The {potential.config.architecture} model has no networks of layers to draw."
        )
    drawn = drawn[:MOST_NETWORKS]
    with style():
        columns = min(3, len(drawn))
        rows = -(-len(drawn) // columns)
        figure = Figure(figsize=(3.6 * columns, 3.4 * rows), layout="constrained")
        panels = figure.subplots(rows, columns, squeeze=False).ravel()
        for panel in panels[len(drawn) :]:
            panel.axis("off")
        for panel, network in zip(panels, drawn, strict=False):
            _draw(panel, network)
    return figure


def _weights(module: nn.Module) -> list[Floats]:
    match module:
        case AtomicNetwork():
            return [weight for weight, _ in module.arrays()]
        case RadialNetwork():
            return [np.asarray(w.detach().cpu(), dtype=float).T for w in module.weights]
        case NormalizedNetwork():
            layers = [each for each in module.linears if isinstance(each, nn.Linear)]
            return [np.asarray(each.weight.detach().cpu(), dtype=float) for each in layers]
    return []


def _called(name: str, potential: Potential) -> str:
    """The element of an atomic network, the name of any other."""
    place, _, number = name.rpartition(".")
    if place.endswith("networks") and number.isdigit() and int(number) < len(potential.symbols):
        kind = place.removesuffix("networks").strip("._").replace("_", " ")
        return " ".join(filter(None, (potential.symbols[int(number)], kind)))
    return name


def _draw(panel: Axes, network: Layers) -> None:
    chosen = _chosen(network)
    heights = [_heights(len(nodes)) for nodes in chosen]
    for layer, weights in enumerate(network.weights):
        shown = weights[np.ix_(chosen[layer + 1], chosen[layer])]
        largest = max(float(np.abs(shown).max()), 1e-300)
        order = np.argsort(np.abs(shown), axis=None)  # the largest on top
        outs, ins = np.unravel_index(order, shown.shape)
        size = np.abs(shown[outs, ins]) / largest
        lines = LineCollection(
            [
                ((layer, heights[layer][i]), (layer + 1, heights[layer + 1][o]))
                for i, o in zip(ins, outs, strict=True)
            ],
            colors=[PALETTE[1] if w > 0 else PALETTE[0] for w in shown[outs, ins]],
            linewidths=(THICKEST * size).tolist(),
            alpha=(0.15 + 0.75 * size).tolist(),
        )
        panel.add_collection(lines)
    for layer, (count, nodes) in enumerate(zip(network.sizes, chosen, strict=True)):
        panel.scatter(
            [layer] * len(nodes),
            heights[layer],
            s=22,
            color="white",
            edgecolors=INK,
            linewidths=0.8,
            zorder=3,
        )
        some = f"{len(nodes)} of {count}" if len(nodes) < count else f"{count}"
        panel.text(layer, -1.17, some, ha="center", va="top", fontsize=8, color=FAINT)
    panel.set(title=network.name, xlim=(-0.3, len(chosen) - 0.7), ylim=(-1.35, 1.1))
    panel.axis("off")


def _chosen(network: Layers) -> list[Integers]:
    """The nodes of each layer that are drawn, ascending."""
    chosen = []
    for layer, size in enumerate(network.sizes):
        if size <= MOST_NODES:
            chosen.append(np.arange(size))
            continue
        strength = np.zeros(size)
        if layer < len(network.weights):
            strength += np.square(network.weights[layer]).sum(axis=0)
        if layer > 0:
            strength += np.square(network.weights[layer - 1]).sum(axis=1)
        chosen.append(np.sort(np.argsort(-strength)[:MOST_NODES]))
    return chosen


def _heights(count: int) -> Sequence[float]:
    return [0.0] if count == 1 else np.linspace(1, -1, count).tolist()
