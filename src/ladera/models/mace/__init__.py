"""MACE: higher-order equivariant message passing (Batatia et al., NeurIPS 2022).

Parameters of :class:`~ladera.models.mace.model.MACE`, all without the normalising factors, which
the modules apply (S elements, C channels, E edge channels, H heads, t a layer, l a degree)::

    embedding                               (S, C)
    layers.t.interaction.up.weights.l       (C, E), of each l of the layer's input
    layers.t.interaction.radial.weights.k   (n_k, n_k+1); last columns: path slow, channel fast
    layers.t.interaction.down.weights.l     (paths to l * E, C), path slow, of each l <= max_l
    layers.t.interaction.density.weights.0  (num_radial, 1), of the density kinds
    layers.t.interaction.mix.weights.l      (S, C, C), of agnostic and density: message to message
    layers.t.skip.weights.l                 (S, C, C), of residual and density_residual
    layers.t.product.weights.L.v            (S, K, C), of output L and v + 1 factors, K couplings
    layers.t.linear.weights.L               (C, C)
    layers.t.readout.weights.k              (C, H), or (C, nodes * H), ..., (nodes * H, H) at last
    layers.t.readout.biases.k               (nodes * H), (H), with readout_bias

A nonlinear_residual layer has instead ::

    layers.t.interaction.{source,target}    (S, C)
    layers.t.interaction.{radial,density}.{linears.k.{weight,bias},norms.k.{weight,bias}}
    layers.t.interaction.{alpha,beta}       ()
    layers.t.interaction.down.weights.l     as above; l = 0: (paths * E, C (1 + max_l)), gates last
    layers.t.interaction.rest.weights.l     (E, C), l = 0: (E, C (1 + max_l)); of the features
    layers.t.interaction.last.weights.l     (C, C)
    layers.t.skip.weights.l                 (C, C)

Paths l1 x l2 -> l are in the order of (l1, l2). Buffers: average_neighbors (layers,), scale and
shift (H,), reference_energies (H, S).
"""
