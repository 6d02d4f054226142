"""One layer of message passing, and its parts."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ladera.models.equivariant.convolution import Convolution
from ladera.models.equivariant.layers import Edges
from ladera.models.equivariant.linear import Linear, SpeciesLinear, joined
from ladera.models.equivariant.networks import RadialNetwork, silu, tanh
from ladera.models.nequip.config import NequIPConfig
from ladera.models.nequip.shapes import LayerShape

TINY = 1e-12  # added to a mean square before its root


class Layer(nn.Module):
    r"""One layer: what neighbours send, summed, mixed, and gated.

        h' = up h,    m_i = sum_j w(r_ij) h'_j Y(r_ij) / sqrt(N_zj)
        y = down m + connection h,    h_out = gate(norm(y))

    with the linear layers up, down and, where there is one, connection; see :class:`Message`,
    :class:`Norm` and :func:`gated`. N is the average number of neighbours. The parts of features
    are tensors (n_atoms, 2l + 1, channels), one for each irrep.
    """

    def __init__(self, config: NequIPConfig, shape: LayerShape, constant: bool) -> None:
        super().__init__()
        self.shape = shape
        self.up = MixedLinear([(n, n) for n in shape.channels], config.biases)
        self.message = Message(shape, constant)
        sizes = (config.num_radial, *config.radial_layers, sum(shape.widths))
        self.radial = RadialNetwork(sizes)
        down = list(zip(shape.widths, shape.columns, strict=True))
        self.down = MixedLinear(down, config.biases)
        common = [(shape.channels[one], shape.columns[two]) for one, two in shape.common]
        self.connection: Linear | SpeciesLinear | None = None
        if shape.connection == "linear":
            self.connection = Linear(common)
        elif shape.connection == "species":
            self.connection = SpeciesLinear(common, len(config.species))
        self.norm = Norm(shape.columns) if config.layer_norm else None

    def forward(self, features: Sequence[Tensor], edges: Edges, roots: Tensor) -> list[Tensor]:
        """Parts of the features of the next layer from those of the last.

        ``roots`` (n_atoms, 1, 1) of the average number of neighbours for the element of each atom.
        """
        sent = [part / roots for part in self.up(features)]
        found = self.down(self.message(sent, self.radial, edges))
        for (_, place), part in zip(self.shape.common, self._kept(features, edges), strict=False):
            found[place] = found[place] + part
        return gated(found if self.norm is None else self.norm(found), self.shape)

    def _kept(self, features: Sequence[Tensor], edges: Edges) -> list[Tensor]:
        """What is added of the input, of the irreps in common."""
        if self.connection is None:
            return []
        parts = [features[place] for place, _ in self.shape.common]
        if isinstance(self.connection, SpeciesLinear):
            return self.connection.forward(parts, edges.elements)
        return self.connection.forward(parts)


class MixedLinear(Linear):
    """A linear layer that may have a ``bias`` (channels out,) on the scalars, its first irrep."""

    def __init__(self, sizes: Sequence[tuple[int, int]], has_bias: bool) -> None:
        super().__init__(sizes)
        zeros = torch.zeros(sizes[0][1], dtype=torch.float64)
        self.bias = nn.Parameter(zeros) if has_bias else None

    def forward(self, parts: Sequence[Tensor]) -> list[Tensor]:
        """(n, 2l + 1, channels in) of each irrep to (n, 2l + 1, channels out)."""
        first, *rest = super().forward(parts)
        return [first if self.bias is None else first + self.bias, *rest]


class Message(nn.Module):
    """Sums over neighbours, of features with channels of their own for each irrep.

    One :class:`Convolution` for each run of irreps with equal channels.
    """

    def __init__(self, shape: LayerShape, constant: bool) -> None:
        super().__init__()
        self.shape = shape
        self.convolutions = nn.ModuleList(
            Convolution(
                shape.features[run.sources],
                shape.harmonics,
                tuple(shape.out[k] for k in run.out),
                constant,
            )
            for run in shape.runs
        )
        for r, run in enumerate(shape.runs):
            self.register_buffer(f"columns_{r}", torch.from_numpy(run.columns), persistent=False)

    def forward(self, sent: Sequence[Tensor], radial: RadialNetwork, edges: Edges) -> list[Tensor]:
        """(n_atoms, 2l + 1, channels) of each irrep to (n_atoms, 2l + 1, paths * channels).

        ``radial`` gives the radial functions of all paths.
        """
        nodes, runs = radial.nodes(edges.radial), self.shape.runs
        received: list[list[Tensor]] = [[] for _ in self.shape.out]
        for r, (run, convolution) in enumerate(zip(runs, self.convolutions, strict=True)):
            columns = getattr(self, f"columns_{r}") if len(runs) > 1 else None
            weights = edges.placed(radial.outputs(nodes, columns))
            features = joined(sent[run.sources])
            parts = convolution(features, edges.harmonics, weights, edges.graph)
            for k, part in zip(run.out, parts, strict=True):
                received[k].append(part)
        return [torch.cat(parts, dim=2) if len(parts) > 1 else parts[0] for parts in received]


class Norm(nn.Module):
    r"""x^k -> gamma^k x^k / sqrt(q + 1e-12), of each atom, over all its irreps k = 1 ... B.

        q = sum_k sum_(channel u, component m) (x^k_mu)^2 / (B (2 l_k + 1)^2)

    as Nequix has it: sums over channels, not means. ``weights[k]`` (channels,), gamma, start at 1.
    """

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        self.weights = nn.ParameterList(torch.ones(n, dtype=torch.float64) for n in channels)

    def forward(self, parts: Sequence[Tensor]) -> list[Tensor]:
        """(n, 2l + 1, channels) of each irrep to the same."""
        squares = [part.square().sum((1, 2), keepdim=True) / part.shape[1] ** 2 for part in parts]
        q = torch.stack(squares).mean(dim=0)
        inverse = (q + TINY).rsqrt()
        return [part * inverse * gamma for part, gamma in zip(parts, self.weights, strict=True)]


def gated(parts: Sequence[Tensor], shape: LayerShape) -> list[Tensor]:
    """c silu(s) of the scalars s, c tanh(s) of those of odd parity, c silu(g) x of the others.

    ``parts`` (n, 2l + 1, channels) of each irrep of the output; after the scalars 0e, in the same
    tensor, come the gates g of all irreps that are no scalars.
    """
    scalars, *gates = torch.split(parts[0], [shape.out_channels[0], *shape.gates], dim=2)
    found, open_gates = [silu(scalars)], iter(gates)
    for irrep, part in zip(shape.out[1:], parts[1:], strict=True):
        found.append(tanh(part) if irrep.l == 0 else part * silu(next(open_gates)))
    return found
