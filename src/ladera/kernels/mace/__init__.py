"""MACE on a CPU: splines, one loop over edges, sparse products, and a reverse pass written by hand.

``tables`` says what a model is, as plain arrays; ``inference`` runs it. ``geometry``, ``moments``,
``messages`` and ``products`` hold the compiled loops, ``splines`` and ``monomials`` their tables.
"""
