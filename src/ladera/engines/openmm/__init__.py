"""OpenMM: a model as a force of a system, of all its atoms or of a part of them.

``force`` (the model as an ``openmm.PythonForce``), ``mixing`` (a region of a system of a force
field by the model), ``topologies`` (ASE's structures for OpenMM).
"""

from __future__ import annotations

from ladera.errors import MissingPackageError

try:
    from openmm import PythonForce as _PythonForce  # noqa: F401
except ImportError as error:
    raise MissingPackageError(
        "OpenMM is not installed, or older than 8.6; 'pip install ladera[openmm]' brings it."
    ) from error
