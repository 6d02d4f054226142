"""Trainings of n2p2 and RuNNer: their folders as they are, and the files they would write.

>>> from ladera.jobs import n2p2
>>> potential = n2p2.read_training("FOLDER", "bohr-hartree").train("run")
"""

from ladera.jobs.n2p2.training import read_training

__all__ = ["read_training"]
