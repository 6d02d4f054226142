"""Models in OpenMM: ``ladera.openmm.force(model, topology)`` and what goes with it.

See docs/openmm.md. Of OpenMM itself nothing is here: that is the package ``openmm``.
"""

from ladera.engines.openmm.force import force
from ladera.engines.openmm.mixing import mixed_system
from ladera.engines.openmm.topologies import system_of, topology_of

__all__ = ["force", "mixed_system", "system_of", "topology_of"]
