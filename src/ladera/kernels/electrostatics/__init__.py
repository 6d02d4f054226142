"""Coulomb energies of Gaussian charges, open or periodic (Ewald sums), and their gradients."""
