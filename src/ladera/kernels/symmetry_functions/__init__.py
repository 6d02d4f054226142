"""Symmetry functions and their derivatives: never storing dG/dr, without triplets where possible.

``plan`` turns a list of functions into the arrays the loops read; ``cpu`` holds the loops,
``reference`` the same mathematics in a few lines of torch, ``ops`` the differentiable operations.
"""
