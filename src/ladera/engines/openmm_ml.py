"""OpenMM-ML: ``MLPotential("ladera", model="model.ladera")``.

OpenMM-ML finds the factory by the entry point ``openmmml.potentials`` of this package.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from openmmml.mlpotential import MLPotentialImpl, MLPotentialImplFactory

from ladera.arguments import checked

if TYPE_CHECKING:
    import openmm

    from ladera.loading import ModelLike


class LaderaPotentialFactory(MLPotentialImplFactory):  # type: ignore[misc]
    """Makes what OpenMM-ML asks for by the name "ladera"."""

    def createImpl(self, name: str, **asked: Any) -> LaderaPotential:
        """That of ``MLPotential(name, model=..., head=..., ...)``."""
        return LaderaPotential(**asked)


class LaderaPotential(MLPotentialImpl):  # type: ignore[misc]
    """A model; the arguments are those of :func:`ladera.openmm.force`."""

    @checked
    def __init__(
        self,
        model: ModelLike,
        *,
        head: str | None = None,
        skin: float = 1.0,
        device: str | None = None,
        dtype: str | None = None,
    ) -> None:
        from ladera.loading import as_potential  # OpenMM-ML imports all that register with it

        self._potential = as_potential(model, device=device, dtype=dtype)
        self._head, self._skin = head, skin

    def addForces(
        self,
        topology: openmm.app.Topology,
        system: openmm.System,
        atoms: Iterable[int] | None,
        forceGroup: int,
        charge: float = 0.0,
    ) -> None:
        """Add the force to a system, of all atoms or of some; ``charge`` is their total charge."""
        from ladera.engines.openmm.force import force, region_force

        boxed = topology.getPeriodicBoxVectors() is not None
        periodic = boxed or system.usesPeriodicBoundaryConditions()
        asked: dict[str, Any] = {"total_charge": charge, "head": self._head, "skin": self._skin}
        if atoms is None:
            added = force(self._potential, topology, periodic=periodic, **asked)
        else:
            added = region_force(self._potential, topology, atoms, periodic=periodic, **asked)
        added.setForceGroup(forceGroup)
        system.addForce(added)

    def getMLLongRange(self) -> bool:
        """Whether the model reaches atoms at any distance."""
        return self._potential.hops is None
