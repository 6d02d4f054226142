"""The exchange of ghosts by LAMMPS's own communication."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from ladera.halo import Halo

if TYPE_CHECKING:
    from ladera.arrays import Floats, Reals
    from ladera.engines.lammps.bridge import Atoms


@final
class PairHalo(Halo):
    """The ghosts of a pair style, during one of its calls."""

    def __init__(self, atoms: Atoms) -> None:
        self.n_owned = atoms.n_owned
        self._pair = atoms.pair
        self._forward, self._reverse, self._total = atoms.forward, atoms.reverse, atoms.total

    def forward(self, rows: Reals) -> None:
        """Copy the rows of owners to their ghosts."""
        self._forward(self._pair, rows.ctypes.data, rows.shape[1], rows.itemsize)

    def reverse(self, rows: Reals) -> None:
        """Add the rows of ghosts to those of their owners."""
        self._reverse(self._pair, rows.ctypes.data, rows.shape[1], rows.itemsize)

    def total(self, values: Floats) -> None:
        """Sum over all processes."""
        self._total(self._pair, values.ctypes.data, len(values))
