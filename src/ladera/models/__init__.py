"""Models: each maps edge vectors to atomic energies (see :mod:`ladera.potential`)."""
