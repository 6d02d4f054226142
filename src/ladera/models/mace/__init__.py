"""MACE: higher-order equivariant message passing (Batatia et al., NeurIPS 2022).

Parameters of :class:`MACE`, all without the normalising factors, which the modules apply (S
elements, C channels, E edge channels, H heads, K couplings, t a layer, l and L degrees)::

    embedding                               (S, C)
    layers.t.interaction.up.weights.l       (C, E), of each l of the layer's input
    layers.t.interaction.radial.weights.k   (n_k, n_k+1); last columns: path slow, channel fast
    layers.t.interaction.down.weights.l     (paths to l * E, C), path slow, of each l <= max_l
    layers.t.interaction.density.weights.0  (num_radial, 1), of density and density_residual
    layers.t.interaction.mix.weights.l      (S, C, C), of agnostic and density: message to message
    layers.t.skip.weights.l                 (S, C, C), of residual and density_residual
    layers.t.product.weights.L.v            (S or 1, K, C), of output L and v + 1 factors
    layers.t.linear.weights.L               (C, C)
    layers.t.readout.weights.k              (C, nodes H), ..., (nodes H, H) at last; else (C, H)
    layers.t.readout.biases.k               (nodes H,), ..., (H,), with readout_bias; not of k = 0

A layer of a model with dipoles has besides ::

    layers.t.dipole.weights.k               (C, 1); at last (C, nodes), (nodes, 1); of the vectors
    layers.t.dipole.gates.0                 (C, nodes), at last
    layers.t.dipole.charges.weights.k       as a readout, unless charges: false

A nonlinear_residual layer has instead ::

    layers.t.interaction.{source,target}    (S, C)
    layers.t.interaction.{radial,density}.{linears.k,norms.k}.{weight,bias}
    layers.t.interaction.{alpha,beta}       ()
    layers.t.interaction.down.weights.l     as above; l = 0: (paths * E, C (1 + max_l)), gates last
    layers.t.interaction.rest.weights.l     (E, C), l = 0: (E, C (1 + max_l)); of the senders
    layers.t.interaction.last.weights.l     (C, C)
    layers.t.skip.weights.l                 (C, C)

Paths l1 x l2 -> l are in the order of (l1, l2). Buffers: average_neighbors (layers,), scale and
shift (H,), reference_energies (H, S); constants that a published model may have rounded to float32:
basis.{frequencies,prefactor} or basis.centers, transform.{a,q,p,radii} or transform.{alpha,radii},
repulsion.*, layers.t.interaction.convolution.matrix (see make_plan) and
layers.t.product.couplings.L.v.matrix (U, see couplings.symmetrized).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ladera.lazy import names_of

if TYPE_CHECKING:
    from ladera.models.mace.config import MACEConfig
    from ladera.models.mace.model import MACE

__all__ = ["MACE", "MACEConfig"]

_HOMES: Final = {
    "MACE": "ladera.models.mace.model",
    "MACEConfig": "ladera.models.mace.config",
}

__getattr__ = names_of(__name__, _HOMES)
