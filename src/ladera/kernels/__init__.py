"""Numerical kernels: one torch reference and one fast implementation of each operation."""
