"""A potential for i-PI's own process: ``<ffdirect>`` with ``<pes>custom</pes>``.

The file that i-PI is told to load needs three lines::

    from ladera.engines.ipi.pes import LaderaPES

    __DRIVER_NAME__, __DRIVER_CLASS__ = "ladera", "LaderaPES"
"""

from __future__ import annotations

from typing import Any

import numpy as np
from ipi.utils.units import unit_to_user

from ladera.arrays import Floats
from ladera.engines.ipi.beads import Answer, Beads, Units
from ladera.simulation.structures import read_structure


class LaderaPES:
    """What i-PI makes of its ``<parameters>``, and calls with one structure or with a list of them.

    Parameters
    ----------
    model
        Path or name.
    template
        File with a structure of the same atoms in the same order; its last one is taken.
    head, device, dtype
        As for :class:`ladera.engines.evaluator.Evaluator`.
    verbosity, verbose
        i-PI's; they change nothing.
    """

    def __init__(
        self,
        model: str,
        template: str,
        head: str | None = None,
        device: str | None = None,
        dtype: str | None = None,
        *,
        verbosity: Any = None,
        verbose: Any = None,
    ) -> None:
        units = Units(
            float(unit_to_user("length", "angstrom", 1.0)),
            float(unit_to_user("energy", "electronvolt", 1.0)),
        )
        self._beads = Beads(
            model, read_structure(template), units, head=head, device=device, dtype=dtype
        )

    def __call__(
        self, cell: Floats | list[Floats], positions: Floats | list[Floats]
    ) -> Answer | list[Answer]:
        """One answer, or a list of them for lists; all by one evaluation of the model."""
        if isinstance(cell, list):
            return self._beads(cell, list(positions))
        return self._beads([cell], [np.asarray(positions)])[0]
