"""Any model in LAMMPS, by ``pair_style ladera``.

``plugin`` is a pair style in C++ that LAMMPS loads at run time; it holds the list of neighbours and
the communication of LAMMPS, and asks Python, which runs in the same process, for energies and edge
gradients: once in a step, or once for 250,000 pairs. :mod:`.building` compiles it for a
LAMMPS, :mod:`.bridge` is what it calls, :mod:`.asking` how a model is asked, and :mod:`.running`
starts LAMMPS with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ladera import lazy

if TYPE_CHECKING:
    from ladera.engines.lammps.running import run_script, start
    from ladera.engines.lammps.writing import export

__all__ = ["export", "run_script", "start"]

__getattr__ = lazy.names_of(
    __name__,
    {
        "export": f"{__name__}.writing",
        "run_script": f"{__name__}.running",
        "start": f"{__name__}.running",
    },
)
