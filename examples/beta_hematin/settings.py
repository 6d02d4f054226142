"""How much of everything: the whole study, and its quick form, whose numbers mean nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

Repeats = tuple[tuple[int, int, int], ...]


@dataclass(frozen=True)
class Settings:
    """Sizes of what the pieces do."""

    search: dict[str, int]  # see packing.search
    packings: int  # of each isomer, that are relaxed
    steps: int  # of a relaxation, at most
    monomers: int  # labelled frames of half a dimer
    pairs: int  # of two propionic acids
    dimers: int  # of the dimers of the crystals
    model: dict[str, Any]  # the crystal's own potential
    epochs: int  # of its first training, and of those in the loop
    active: dict[str, Any]  # keys of the active loop that are not those of all loops
    unseen: int  # frames of the crystal at 300 K that no potential learns from
    tuning: int  # epochs of fine-tuning
    repeats: Repeats  # of the cell, of which the time of a step is measured
    patience: float  # s, that the next size of xTB may take
    timestep: float  # fs
    density_steps: int  # at no pressure
    spectrum_steps: int  # in the cell that this ends with
    spectrum_every: int  # steps between frames of the spectrum
    resolution: float  # cm^-1, of the spectrum


_MACE: Final = {
    "architecture": "mace",
    "cutoff": 5.0,
    "channels": 32,
    "max_l": 2,
    "hidden_l": 0,
    "correlation": 3,
    "outputs": ["energy", "dipole"],
    "charges": False,  # the dipole of a cell is then the sum of its atoms'
    "zbl": True,  # atoms that meet on a walk come apart again
}

FULL: Final = Settings(
    search={"cores": 512, "places": 32, "chains": 16},
    packings=2,
    steps=4000,
    monomers=32,
    pairs=32,
    dimers=40,
    model=_MACE,
    epochs=100,
    active={
        "begin": {"frames": 32, "number": 4, "time": 0.1},
        # The cell moves as well, and to where the model has it at rest: to densities that no walk
        # at its volume sees, and to minima that are the model's alone until they have a label.
        "explore": {
            "temperatures": [300, 500, 700],
            "pressures": [0.0],
            "time": 0.4,
            "walkers": 1,
            "relax": 400,
        },
        "select": {"frames": 24, "checks": 8},
        "stop": {"forces": 0.05, "rounds": 2},
    },
    unseen=12,
    tuning=8,
    repeats=(
        (1, 1, 1),
        (1, 1, 2),
        (2, 2, 1),
        (2, 2, 2),
        (3, 3, 2),
        (3, 3, 3),
        (4, 4, 4),
        (5, 4, 4),
    ),
    patience=150.0,
    timestep=1.0,
    density_steps=70_000,
    spectrum_steps=30_000,
    spectrum_every=3,
    resolution=10.0,
)

QUICK: Final = Settings(
    search={"cores": 32, "places": 4, "chains": 1},
    packings=1,
    steps=400,
    monomers=2,
    pairs=4,
    dimers=2,
    model=_MACE
    | {"channels": 4, "max_l": 1, "correlation": 2, "cutoff": 3.0, "radial_layers": [8]},
    epochs=2,
    active={
        "begin": {"frames": 4, "number": 2, "time": 0.02},
        "explore": {"temperatures": [100], "time": 0.02, "walkers": 1, "relax": 4},
        "select": {"frames": 2, "checks": 2},
        "stop": {"rounds": 1},
    },
    unseen=2,
    tuning=1,
    repeats=((1, 1, 1), (1, 1, 2)),
    patience=0.0,
    timestep=1.0,
    density_steps=20,
    spectrum_steps=420,
    spectrum_every=3,
    resolution=200.0,
)
