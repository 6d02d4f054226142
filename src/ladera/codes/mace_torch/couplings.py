r"""Weights of the products, which go with coupling matrices that a checkpoint brings along.

mace-torch stores U, from which its B = sum_k W_k sum_q U_k,q A_q1 ... A_q_nu are made. Ladera makes
its own; they are the same unless a checkpoint was trained with the reduced couplings of
cuequivariance, or an e3nn of other signs. What counts of U is the sum over equal monomials of A,
S U. Where S U = (S U_own) T, the weights W_own = T W give the same B.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from ladera.arrays import Floats
from ladera.codes.mace_torch import names
from ladera.codes.mace_torch.checkpoint import Checkpoint
from ladera.errors import ModelFileError
from ladera.models.equivariant.irreps import Irrep, natural
from ladera.models.mace.config import MACEConfig
from ladera.models.mace.couplings import Couplings, make_couplings, symmetrized, tensors

# Rounding of coefficients of the order of one that were stored in float32.
_ROUNDING = 1e-5


def weights(config: MACEConfig, checkpoint: Checkpoint) -> Iterator[tuple[str, Tensor]]:
    """The weights of every product under Ladera's names, (n_elements or 1, n_couplings, channels).

    And the couplings themselves, with the rounding of the file, where they are Ladera's. Raises
    ModelFileError for couplings that are none of Ladera's.
    """
    for name, theirs, matrix in names.product_names(config):
        degree, order = _degree_and_order(name)
        found, U = (_tensor(checkpoint, key) for key in (theirs, matrix))
        own = make_couplings(config.max_l, degree, order + 1)
        stored = symmetrized((U[None] if degree == 0 else U).double().numpy())
        change = _change(own, stored)
        if change is None:
            raise ModelFileError(
                f"{checkpoint.path}: its {matrix} couples features in a way that Ladera does not."
            )
        if change.size:
            mixed = torch.einsum("kq,zqc->zkc", torch.from_numpy(change), found.double())
            found = mixed.to(found)
        elif stored.matrix.shape == own.matrix.shape:
            kept = name.replace(".weights.", ".couplings.") + ".matrix"
            yield kept, torch.from_numpy(stored.matrix)
        if found.shape[1] != own.matrix.shape[1]:
            raise ModelFileError(
                f"{checkpoint.path}: its {theirs} is of {found.shape[1]} couplings, its {matrix} "
                f"of {own.matrix.shape[1]}; it is damaged."
            )
        yield name, found


def export(config: MACEConfig) -> Iterator[tuple[str, Tensor]]:
    """The coupling matrices of every product under the names of mace-torch."""
    for name, _, matrix in names.product_names(config):
        degree, order = _degree_and_order(name)
        target = Irrep(degree, (-1) ** degree)
        U = np.stack(tensors(natural(config.max_l), target, order + 1), axis=-1)
        yield matrix, torch.from_numpy(np.ascontiguousarray(U[0] if degree == 0 else U))


def _degree_and_order(name: str) -> tuple[int, int]:
    """L and nu - 1 of ``layers.t.product.weights.L.(nu - 1)``."""
    degree, order = name.split(".")[-2:]
    return int(degree), int(order)


def _change(own: Couplings, other: Couplings) -> Floats | None:
    """T of own matrix times T = other matrix; empty for the identity, None when there is none."""
    terms = np.concatenate([_terms(own), _terms(other)])
    _, place = np.unique(terms, axis=0, return_inverse=True)
    place = place.reshape(-1)
    rows = int(place.max()) + 1
    ours = np.zeros((rows, own.matrix.shape[1]))
    theirs = np.zeros((rows, other.matrix.shape[1]))
    ours[place[: len(own.matrix)]] = own.matrix
    theirs[place[len(own.matrix) :]] = other.matrix
    if ours.shape == theirs.shape and np.abs(ours - theirs).max() < _ROUNDING:
        return np.empty(0)
    change = np.asarray(np.linalg.lstsq(ours, theirs, rcond=1e-9)[0], dtype=np.float64)
    return change if np.abs(ours @ change - theirs).max() < _ROUNDING else None


def _terms(couplings: Couplings) -> Floats:
    found: Floats = np.column_stack([couplings.component, couplings.factors])
    return found


def _tensor(checkpoint: Checkpoint, name: str) -> Tensor:
    if name not in checkpoint.tensors:
        raise ModelFileError(f"{checkpoint.path} lacks {name}; it is no whole model.")
    return checkpoint.tensors[name]
