"""The gates of nonlinear_residual layers, on the message of a range of atoms.

With s the first C channels of the scalars of a message m, and g^l the C channels after them for
each degree l > 0,

    silu(s) = s / (1 + exp(-s)),    m^l / (1 + exp(-g^l))

By degree, messages have the shape (atoms * (2 l + 1), C), of scalars (atoms, C * (1 + max_l)).
"""

from __future__ import annotations

import numpy as np
from scipy.special import expit

from ladera.arrays import Reals


def forward(message: list[Reals], gated: list[Reals]) -> None:
    """``gated`` (atoms * (2 l + 1), C) of the message."""
    scalars, *gates = _channels(message[0], gated[0].shape[1])
    np.multiply(scalars, expit(scalars), out=gated[0])
    for l, gate in enumerate(gates, start=1):
        shape = (len(gate), 2 * l + 1, gate.shape[1])
        product = message[l].reshape(shape) * expit(gate)[:, None]
        gated[l][:] = product.reshape(gated[l].shape)


def reverse(message: list[Reals], gated_bar: list[Reals], message_bar: list[Reals]) -> None:
    """The gradient in the message from that in what passed the gates."""
    channels = gated_bar[0].shape[1]
    scalars, *gates = _channels(message[0], channels)
    scalars_bar, *gates_bar = _channels(message_bar[0], channels)
    sigmoid = expit(scalars)
    scalars_bar[:] = gated_bar[0] * sigmoid * (1 + scalars * (1 - sigmoid))
    for l, gate in enumerate(gates, start=1):
        shape, open_ = (len(gate), 2 * l + 1, channels), expit(gate)
        bar = gated_bar[l].reshape(shape)
        product = np.einsum("amc,amc->ac", bar, message[l].reshape(shape))
        gates_bar[l - 1][:] = product * open_ * (1 - open_)
        message_bar[l][:] = (bar * open_[:, None]).reshape(message_bar[l].shape)


def _channels(scalars: Reals, channels: int) -> list[Reals]:
    """Views of the scalars, ``channels`` at a time."""
    return [scalars[:, k : k + channels] for k in range(0, scalars.shape[1], channels)]
