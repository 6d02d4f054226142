"""i-PI: a model for its path integrals, all beads in one evaluation.

``beads`` (i-PI's structures and units for a model), ``pes`` (inside i-PI's own process),
``client`` (over a socket), ``simulation`` (files with which i-PI runs).
"""
