"""Moments of the neighbours of an atom, and the invariant functions that are made of them."""
