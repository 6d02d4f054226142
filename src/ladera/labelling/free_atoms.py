"""Free atoms to be labelled with the others: their energies are what a potential measures from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from ase.data import atomic_numbers

from ladera.data.frame import Frame
from ladera.labelling.engines.contract import is_free_atom
from ladera.sampling.generation import ISOLATED_ATOM

if TYPE_CHECKING:
    from ladera.data.dataset import Dataset
    from ladera.labelling.engines.contract import Engine, EngineConfig

# Unequal, so that no symmetry of the box keeps the electrons from theirs.
_BOX: Final = (14.0, 15.0, 16.0)  # Angstrom


def free_atoms(dataset: Dataset, engine: Engine) -> list[Frame]:
    """A free, neutral atom of each element of the frames that have none, in the group IsolatedAtom.

    In the open, or in a box for an engine that takes nothing else.
    """
    single = np.flatnonzero(dataset.atom_counts == 1)
    known = {
        frame.formula for frame in dataset[single] if is_free_atom(frame) and not frame.total_charge
    }
    return [_atom(symbol, engine) for symbol in dataset.symbols if symbol not in known]


def _atom(symbol: str, engine: Engine) -> Frame:
    cell = np.zeros((3, 3)) if engine.takes_open else np.diag(_BOX)
    return Frame(
        numbers=np.array([atomic_numbers[symbol]]),
        positions=cell.sum(axis=0, keepdims=True) / 2,
        cell=cell,
        periodic=np.full(3, not engine.takes_open),
        config_type=ISOLATED_ATOM,
        source=f"free {symbol} atom",
    )


def config_of_atoms(config: EngineConfig) -> EngineConfig:
    """The settings by which a free atom is computed: without a charge, in its ground state."""
    return config.model_copy(update={"charge": None, "multiplicity": None})
