"""NequIP on a CPU: splines, one loop over edges for all channels, a reverse pass written by hand.

``tables`` says what a model is, as plain arrays; ``reference`` computes it by torch, ``inference``
by compiled loops. The order to read the rest in is in the README beside this folder.
"""
