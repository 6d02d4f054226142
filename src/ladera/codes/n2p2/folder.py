"""From a folder of n2p2 or RuNNer to a potential with the same energies."""

from __future__ import annotations

import os
from pathlib import Path

from ladera import __version__
from ladera.codes.n2p2 import fourth_generation, reading
from ladera.codes.n2p2.keywords import MODEL_KEYWORDS
from ladera.codes.n2p2.units import of_folder
from ladera.potential import Potential
from ladera.units import UnitSystem


def reads(path: Path) -> bool:
    """Whether a path is n2p2's: any folder, so that one without an input.nn is told so."""
    return path.is_dir()


def load(path: str | os.PathLike[str], units: UnitSystem | str | None = None) -> Potential:
    """The potential in a folder with ``input.nn``, ``scaling.data``, ``weights.ZZZ.data``.

    ``units`` are those of the folder; they may be left out where comments of the ``input.nn`` state
    them (see :func:`ladera.codes.n2p2.units.of_folder`).

    Raises ConfigError for settings that are missing, given twice or not understood, and
    ModelFileError for the other files. Warns, with :class:`SettingsWarning`, of what has no effect.
    """
    folder = Path(path)
    settings = reading.read_settings(folder)
    settings.check_unknown(MODEL_KEYWORDS)
    system = of_folder(settings, units)
    generations = {2: reading.read_second_generation, 4: fourth_generation.read}
    potential = generations[reading.generation(settings)](settings, system)
    potential.provenance = {
        "imported_from": "n2p2",
        "folder": str(folder),
        "units": system.name,
        "versions": {"ladera": __version__},
    }
    return potential.eval()
