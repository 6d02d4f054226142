"""The names of the units that a user can say for a file; light, for the help of commands."""

from __future__ import annotations

from typing import Literal

FileUnits = Literal[
    "angstrom-ev",
    "bohr-hartree",
    "angstrom-hartree",
    "cp2k",
    "bohr-rydberg",
    "angstrom-rydberg",
    "angstrom-kcal/mol",
    "angstrom-kj/mol",
]
