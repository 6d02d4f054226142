"""Linear layers that mix channels and leave components as they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import torch
from torch import Tensor, nn

from ladera.models.equivariant.irreps import Irreps


class Linear(nn.Module):
    r"""y^l_mw = sum_u x^l_mu W^l_uw / sqrt(channels in), for each irrep l of a feature.

    ``weights[l]`` (channels in, channels out); they start normally distributed with a deviation of
    one. ``sizes`` are the channels in and out of each irrep.
    """

    def __init__(self, sizes: Sequence[tuple[int, int]]) -> None:
        super().__init__()
        self.weights = nn.ParameterList(normal(*size) for size in sizes)

    def forward(self, parts: Sequence[Tensor]) -> list[Tensor]:
        """(n, 2l + 1, channels in) of each irrep to (n, 2l + 1, channels out)."""
        return [
            part @ (weight / sqrt(len(weight)))
            for part, weight in zip(parts, self.weights, strict=True)
        ]


class SpeciesLinear(nn.Module):
    r"""y^l_mw = sum_u x^l_mu W^l_zuw / sqrt(n_species channels in), z the element of the atom.

    ``weights[l]`` (n_species, channels in, channels out), of each irrep l, start normally
    distributed with a deviation of one.
    """

    def __init__(self, sizes: Sequence[tuple[int, int]], n_species: int) -> None:
        super().__init__()
        self.weights = nn.ParameterList(normal(n_species, *size) for size in sizes)

    def forward(self, parts: Sequence[Tensor], elements: Elements) -> list[Tensor]:
        """(n_atoms, 2l + 1, channels in) of each irrep to (n_atoms, 2l + 1, channels out)."""
        results = []
        for part, weight in zip(parts, self.weights, strict=True):
            scaled = (weight / sqrt(weight.shape[0] * weight.shape[1])).unbind()
            rows = [
                group @ scaled[element]
                for element, group in zip(elements.present, elements.split(part), strict=True)
            ]
            results.append(elements.restore(rows))
        return results


@dataclass(frozen=True, eq=False)
class Elements:
    """The atoms of a graph sorted by element."""

    index: Tensor  # (n_atoms,) int64, element of each atom
    order: Tensor  # (n_atoms,) int64, atoms sorted by element
    place: Tensor  # (n_atoms,) int64, where each atom is in that order
    rank: Tensor  # (n_atoms,) int64, place of each atom's element among those present
    present: list[int]  # elements that occur, ascending
    counts: list[int]  # atoms of each of them

    @classmethod
    def of(cls, index: Tensor) -> Elements:
        """Of the element (n_atoms,) of each atom."""
        order = torch.argsort(index, stable=True)
        present, counts = torch.unique_consecutive(index[order], return_counts=True)
        rank = torch.searchsorted(present, index)
        place = torch.empty_like(order)
        place[order] = torch.arange(len(order), device=order.device)
        # Of no atoms one element with none: a layer has a result of its shape even then.
        return cls(index, order, place, rank, present.tolist() or [0], counts.tolist() or [0])

    def split(self, tensor: Tensor) -> tuple[Tensor, ...]:
        """The rows of each present element."""
        if len(self.present) == 1:
            return (tensor,)
        rows: tuple[Tensor, ...] = torch.split(tensor[self.order], self.counts)
        return rows

    def restore(self, groups: Sequence[Tensor]) -> Tensor:
        """The rows of each present element, in the order of the atoms."""
        return groups[0] if len(groups) == 1 else torch.cat(list(groups))[self.place]


def split(features: Tensor, irreps: Irreps) -> tuple[Tensor, ...]:
    """The components of each irrep of features (n, components, channels), which begin with them."""
    sizes = [irrep.dimension for irrep in irreps]
    parts: tuple[Tensor, ...] = torch.split(features[:, : sum(sizes)], sizes, dim=1)
    return parts


def joined(parts: Sequence[Tensor]) -> Tensor:
    """Features from the components of each irrep."""
    return parts[0] if len(parts) == 1 else torch.cat(list(parts), dim=1)


def normal(*shape: int) -> nn.Parameter:
    """A parameter with normally distributed entries of unit variance, float64."""
    return nn.Parameter(torch.randn(*shape, dtype=torch.float64))
