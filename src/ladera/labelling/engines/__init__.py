"""Engines: what labels a frame, behind one small face.

================================================  ================================================
:mod:`~ladera.labelling.engines.contract`         what an engine is, and what it is asked
:mod:`~ladera.labelling.engines.registry`         :func:`as_engine`: by name, file or dictionary
:mod:`~ladera.labelling.engines.tblite`           GFN1-xTB and GFN2-xTB
:mod:`~ladera.labelling.engines.pyscf`            Hartree-Fock, functionals and MP2 of molecules
:mod:`~ladera.labelling.engines.programs`         Quantum ESPRESSO, CP2K, GPAW
:mod:`~ladera.labelling.engines.calculator`       any ASE calculator; any engine as one
:mod:`~ladera.labelling.engines.teacher`          any model that Ladera loads
================================================  ================================================

A new one is a configuration and a class with a method ``label`` in one file, and a row of the
registry.
"""

from ladera.labelling.engines.contract import Engine, EngineConfig, Labels
from ladera.labelling.engines.registry import EngineLike, as_engine

__all__ = ["Engine", "EngineConfig", "EngineLike", "Labels", "as_engine"]
