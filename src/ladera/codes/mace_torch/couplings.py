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
        weight, U = (_tensor(checkpoint, key) for key in (theirs, matrix))
        ours = make_couplings(config.max_l, degree, order + 1)
        stored = symmetrized((U[None] if degree == 0 else U).double().numpy())
        change = _change(ours, stored)
        if change is None:
            raise ModelFileError(
                f"{checkpoint.path}: its {matrix} couples features in a way that Ladera does not."
            )
        if change.size:
            mixed = torch.einsum("kq,zqc->zkc", torch.from_numpy(change), weight.double())
            weight = mixed.to(weight)
        elif stored.matrix.shape == ours.matrix.shape:
            kept = name.replace(".weights.", ".couplings.") + ".matrix"
            yield kept, torch.from_numpy(stored.matrix)
        if weight.shape[1] != ours.matrix.shape[1]:
            raise ModelFileError(
                f"{checkpoint.path}: its {theirs} is of {weight.shape[1]} couplings, its {matrix} "
                f"of {ours.matrix.shape[1]}; it is damaged."
            )
        yield name, weight


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


def _change(ours: Couplings, theirs: Couplings) -> Floats | None:
    """T of our matrix times T = their matrix; empty for the identity, None when there is none."""
    terms = np.concatenate([_terms(ours), _terms(theirs)])
    _, place = np.unique(terms, axis=0, return_inverse=True)
    place = place.reshape(-1)
    rows = int(place.max()) + 1
    our_rows = np.zeros((rows, ours.matrix.shape[1]))
    their_rows = np.zeros((rows, theirs.matrix.shape[1]))
    our_rows[place[: len(ours.matrix)]] = ours.matrix
    their_rows[place[len(ours.matrix) :]] = theirs.matrix
    if our_rows.shape == their_rows.shape and np.abs(our_rows - their_rows).max() < _ROUNDING:
        return np.empty(0)
    change = np.asarray(np.linalg.lstsq(our_rows, their_rows, rcond=1e-9)[0], dtype=np.float64)
    return change if np.abs(our_rows @ change - their_rows).max() < _ROUNDING else None


def _terms(couplings: Couplings) -> Floats:
    terms: Floats = np.column_stack([couplings.component, couplings.factors])
    return terms


def _tensor(checkpoint: Checkpoint, name: str) -> Tensor:
    if name not in checkpoint.tensors:
        raise ModelFileError(f"{checkpoint.path} lacks {name}; it is no whole model.")
    return checkpoint.tensors[name]
