"""The engines that people simulate with: LAMMPS, OpenMM, i-PI and others ask a model here.

Each has a room or a file of its own, and is imported only where it is used.
"""
