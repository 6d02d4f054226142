"""Energies of a NequIP by torch: the equations of :class:`tables.Layer`, one by one."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ladera.kernels.harmonics import spherical_harmonics
from ladera.kernels.nequip.tables import Layer, Model

_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "silu": torch.nn.functional.silu,
    "tanh": torch.tanh,
}


def energies(
    model: Model, radial: list[Tensor], vectors: Tensor, species: Tensor, edges: Tensor
) -> Tensor:
    """Energies (n_atoms,) in eV of atoms with elements ``species`` and edges (2, n_edges).

    ``edges`` has centres and neighbours, ``vectors`` (n_edges, 3) point from the one to the other;
    ``radial`` are the radial functions of each layer, (n_edges, n_functions).
    """
    harmonics = spherical_harmonics(vectors, model.degree)
    h = [torch.from_numpy(model.embedding)[species][:, None]]
    for layer, functions in zip(model.layers, radial, strict=True):
        x = _sent(layer, h, species)
        messages = _messages(layer, x, harmonics, functions, edges, len(species))
        y = [m @ torch.from_numpy(w) for m, w in zip(messages, layer.down, strict=True)]
        if layer.down_bias is not None:
            y[0] = y[0] + torch.from_numpy(layer.down_bias)
        for source, target, weights in layer.skip:
            y[target] = y[target] + h[source] @ _of(weights, species)
        h = _gated(layer, _normed(layer, y))
    values = h[0][:, 0]
    for k, weight in enumerate(model.readout.weights):
        if k:
            values = model.readout.factor * _ACTIVATIONS["silu"](values)
        values = values @ torch.from_numpy(weight)
    scale, references = (
        torch.from_numpy(each)[species] for each in (model.scale, model.reference_energies)
    )
    return references + scale * values[:, 0]


def _of(weights: Tensor | object, species: Tensor) -> Tensor:
    """Of (S or 1, ...) that of each atom."""
    tensor = torch.as_tensor(weights)
    return tensor[species] if len(tensor) > 1 else tensor


def _sent(layer: Layer, h: list[Tensor], species: Tensor) -> list[Tensor]:
    x = [part @ _of(weights, species) for part, weights in zip(h, layer.up, strict=True)]
    if layer.up_bias is not None:
        x[0] = x[0] + _of(layer.up_bias, species)[:, None]
    return x


def _messages(
    layer: Layer,
    x: list[Tensor],
    harmonics: Tensor,
    functions: Tensor,
    edges: Tensor,
    n_atoms: int,
) -> list[Tensor]:
    centers, neighbors = edges
    found: list[list[Tensor]] = [[] for _ in layer.outputs]
    widths = [layer.sources[path.source].channels for path in layer.paths]
    for path, w in zip(layer.paths, torch.split(functions, widths, dim=1), strict=True):
        Y = harmonics[:, path.l2**2 : (path.l2 + 1) ** 2]
        coupling = torch.from_numpy(path.coupling)
        edge = torch.einsum("eac,eb,abm,ec->emc", x[path.source][neighbors], Y, coupling, w)
        sums = edge.new_zeros(n_atoms, *edge.shape[1:])
        found[path.target].append(sums.index_add(0, centers, edge))
    return [torch.cat(parts, dim=2) for parts in found]


def _normed(layer: Layer, y: list[Tensor]) -> list[Tensor]:
    if layer.gamma is None:
        return y
    squares = [part.square().sum((1, 2), keepdim=True) for part in y]
    q = sum((share * square for share, square in zip(layer.share, squares, strict=True)))
    inverse = (torch.as_tensor(q) + layer.least).rsqrt()
    return [torch.from_numpy(g) * part * inverse for g, part in zip(layer.gamma, y, strict=True)]


def _gated(layer: Layer, y: list[Tensor]) -> list[Tensor]:
    sizes = [output.channels for output in layer.outputs if output.l > 0]
    scalars, *gates = torch.split(y[0], [layer.outputs[0].channels, *sizes], dim=2)
    parts, waiting, found = [scalars, *y[1:]], iter(gates), []
    for output, part in zip(layer.outputs, parts, strict=True):
        activation = _ACTIVATIONS[output.activation]
        if output.l == 0:
            found.append(output.factor * activation(part))
        else:
            found.append(output.factor * activation(next(waiting)) * part)
    return found
