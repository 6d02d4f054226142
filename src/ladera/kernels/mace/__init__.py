"""MACE on a CPU: splines, one loop over edges, sparse products, and a reverse pass written by hand.

``tables`` says what a model is, as plain arrays; ``inference`` runs it. The order to read the rest
in is in the README beside this folder.
"""
