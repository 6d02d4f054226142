"""Ghost atoms: what a process of an engine with domain decomposition has around its own atoms.

An engine such as LAMMPS gives each process a part of the atoms. The neighbours that these have in
other parts, and their periodic images, are *ghosts*, copies that their *owner* process keeps up to
date. A :class:`Halo` is how a model asks for that, and all that it knows of processes.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ladera.arrays import Floats, Reals


class Halo(ABC):
    """The ghosts of one process, and its connection to the processes that own them.

    Its first ``n_owned`` atoms are its own, all others are ghosts. Every process calls the same
    methods in the same order, with rows of the same width, whatever atoms it has and even with
    none. Arrays are C-contiguous, and changed in place.
    """

    n_owned: int

    @abstractmethod
    def forward(self, rows: Reals) -> None:
        """Copy the row of each atom to all its ghosts: (n_atoms, width), float32 or float64.

        What rows of ghosts held before does not matter.
        """

    @abstractmethod
    def reverse(self, rows: Reals) -> None:
        """Add the rows of ghosts to that of the atom they are copies of, (n_atoms, width).

        What rows of ghosts hold afterwards does not matter.
        """

    @abstractmethod
    def total(self, values: Floats) -> None:
        """Replace values (n,) by their sums over all processes."""


def spread(features: Tensor, halo: Halo) -> Tensor:
    """Rows of atoms (n_atoms, ...) with those of ghosts from their owners, differentiable."""
    found: Tensor = _Spread.apply(features, halo)  # type: ignore[no-untyped-call]
    return found


def collected(values: Tensor, halo: Halo) -> Tensor:
    """Rows of atoms (n_atoms, ...) with those of ghosts added, which become 0; differentiable."""
    found: Tensor = _Collected.apply(values, halo)  # type: ignore[no-untyped-call]
    return found


def total(values: Tensor, halo: Halo) -> Tensor:
    """Sums over all processes, in float64; the gradient is that of this process's part."""
    sums = values.detach().double().cpu().reshape(-1).clone()
    halo.total(sums.numpy())
    own = values.double()
    return own + (sums.view(values.shape).to(own.device) - own.detach())


class _Spread(torch.autograd.Function):
    """Each the gradient of the other."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, halo: Halo) -> Tensor:
        ctx.halo = halo
        return _changed(features, halo.forward)

    @staticmethod
    def backward(ctx: Any, *by: Tensor) -> tuple[Tensor, None]:
        return collected(by[0], ctx.halo), None


class _Collected(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, halo: Halo) -> Tensor:
        ctx.halo = halo
        found = _changed(values, halo.reverse)
        found[halo.n_owned :] = 0
        return found

    @staticmethod
    def backward(ctx: Any, *by: Tensor) -> tuple[Tensor, None]:
        return spread(by[0], ctx.halo), None


def _changed(values: Tensor, change: Callable[[Reals], None]) -> Tensor:
    """A copy of the rows after the halo has been at them."""
    width = math.prod(values.shape[1:])
    rows = (
        values.detach()
        .cpu()
        .reshape(len(values), width)
        .clone(memory_format=torch.contiguous_format)
    )
    change(rows.numpy())
    return rows.view(values.shape).to(values.device)
