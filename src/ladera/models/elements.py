"""Elements that a trained model has not met: what their numbers begin as.

A new element begins as a copy of one that the model knows: embedding, residuals, weights of
products, coefficients. Such numbers mean something only together; the means of each over all
elements are of no atom at all. What an element has by nature (radii, nuclear charge) is its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Final, TypeVar

import torch
from ase.data import atomic_numbers

from ladera.potential import Potential

Model = TypeVar("Model", bound=Potential)

_BY_NATURE: Final = ("radii", "numbers")  # last parts of the names of buffers


def joined(species: Iterable[str], more: Iterable[str]) -> tuple[str, ...]:
    """Chemical symbols with others, by atomic number."""
    return tuple(sorted({*species, *more}, key=atomic_numbers.__getitem__))


def extended(
    base: Potential,
    larger: Model,
    relatives: Mapping[str, str],
    rescaled: Callable[[str], bool],
) -> Model:
    """``larger`` with the numbers of ``base``, of whose configuration it has more elements.

    ``relatives`` says for each new element as which of the base it begins, ``rescaled`` of the name
    of a parameter whether it is divided by the root of the number of elements where it is used:
    what the model says of the elements that it knew stays the same.
    """
    rows = [base.symbols.index(relatives.get(symbol, symbol)) for symbol in larger.symbols]
    fresh = [k for k, symbol in enumerate(larger.symbols) if symbol in relatives]
    factor = math.sqrt(len(larger.symbols) / len(base.symbols))
    known, larger = base.state_dict(), larger.to(dtype=base.dtype, device=base.device)
    with torch.no_grad():
        for name, tensor in larger.state_dict().items():
            values, own = known[name], tensor.clone()
            axes = [k for k, n in enumerate(values.shape) if n != tensor.shape[k]]
            for axis in axes:
                values = values.index_select(axis, torch.tensor(rows, device=values.device))
            tensor.copy_(values * factor if axes and rescaled(name) else values)
            if name.rpartition(".")[2] in _BY_NATURE:
                tensor[fresh] = own[fresh]
    return larger.eval()
