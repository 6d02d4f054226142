"""Parts of equivariant networks: features that turn with the structure, and what acts on them.

Features of atoms are tensors (n_atoms, components, channels). Their components are those of a list
of irreducible representations (:mod:`irreps`), one after the other, all with the same channels.
Everything here commutes with rotations, reflections and permutations of atoms; conventions (order
of components, signs, normalisation) are those of e3nn 0.4.4, in which published models are written.
"""
