"""NequIP: equivariant message passing with gates (Batzner et al., Nat. Commun. 13, 2453 (2022)).

Parameters of :class:`NequIP`, all without the normalising factors, which the modules apply (S
elements, A embedding channels, t a layer, k an irrep, C_k channels of it, G the sum of the gates
of a layer: the channels of all its irreps but the scalars)::

    embedding                               (S, A)
    basis.frequencies                       (num_radial,), 1/Angstrom; a buffer unless train_basis
    layers.t.up.weights.k                   (C_k, C_k), of each irrep of the layer's input
    layers.t.up.bias                        (C_0,), with biases
    layers.t.radial.weights.q               (n_q, n_q+1); last columns: path slow, channel fast
    layers.t.down.weights.k                 (paths to k, channel fast; C_k), of each irrep of the
                                            output; the scalars k = 0 have C_0 + G columns: first
                                            the scalars, then the gates of each irrep in turn
    layers.t.down.bias                      (C_0 + G,), with biases
    layers.t.connection.weights.k           (C_k, columns as of down), or (S, ., .) of each element;
                                            of each irrep that input and output have in common
    layers.t.norm.weights.k                 (columns as of down,), with layer_norm
    readout.weights.q                       (C_0, n_1), ..., (n_q, 1)

Irreps are in the order 0e, 0o, 1e, 1o, 2e, ... (0e, 1o, 2e, ... with natural parity; with parity:
none they are all even), those that the layers before can make and the layers behind have a use for;
of the input of the first layer and the output of the last 0e alone. A path couples l1 of the sender
and l2 of the harmonics to l; paths are in the order of (l, l1, l2), parities included as above, in
the rows of down (of its l) and in the last columns of radial. The channels of a path are those of
l1.

Buffers: average_neighbors (S,) of the sender's element, scale (S,) and shift () in eV,
reference_energies (S,) in eV; basis.prefactor, and layers.t.message.convolutions.r.matrix (see
make_plan), r a run of irreps with equal channels.

Conventions, which readers of other codes' files convert to: harmonics of the vector from an atom to
its neighbour; signs of Clebsch-Gordan coefficients as in models/equivariant (a sign turned is the
sign of that path's columns of radial); radial networks x <- c silu(x W / sqrt(n)), the last linear;
Bessel functions sqrt(2 / r_c) sin(k r) / r; gates c silu(g), c as in models/equivariant/networks;
messages divided by sqrt(average_neighbors).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ladera.lazy import names_of

if TYPE_CHECKING:
    from ladera.models.nequip.config import NequIPConfig
    from ladera.models.nequip.model import NequIP

__all__ = ["NequIP", "NequIPConfig"]

_HOMES: Final = {
    "NequIP": "ladera.models.nequip.model",
    "NequIPConfig": "ladera.models.nequip.config",
}

__getattr__ = names_of(__name__, _HOMES)
