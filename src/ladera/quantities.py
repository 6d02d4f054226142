"""What a potential may give and a frame be labelled with: one row for each quantity.

Batches, loss, errors, predictions, reports, cards, the calculator and the tables of the command
line loop over :data:`QUANTITIES`. A new quantity is a row here, a weight in ``LossConfig``, and a
model that gives it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from torch import Tensor

    from ladera.graph import Graph
    from ladera.units import UnitSystem

_SUPERSCRIPTS: Final = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
MILLI: Final = 1e3  # errors are in thousandths of the unit


def everywhere(graph: Graph) -> Tensor:
    """All structures, (n_structures,) bool."""
    return graph.periodic.new_ones(graph.n_structures)


def with_volume(graph: Graph) -> Tensor:
    """Structures with a periodic direction and a volume, (n_structures,) bool."""
    return graph.volumes > 0


def open_structures(graph: Graph) -> Tensor:
    """Structures that are periodic in no direction, (n_structures,) bool."""
    return ~graph.periodic.any(dim=1)


def _never_absent(graph: Graph, structure: int) -> str:
    return ""


def _no_stress(graph: Graph, structure: int) -> str:
    if bool(graph.periodic[structure].any()):
        reason = "its cell has no volume; give the non-periodic directions a cell vector"
    else:
        reason = "it is not periodic; ask for the virial instead"
    return f"has no stress: {reason}"


def _no_dipole(graph: Graph, structure: int) -> str:
    return "is periodic: its dipole moment depends on the choice of the cell; use the charges"


@dataclass(frozen=True, eq=False)
class Quantity:
    """A physical quantity: one of the rows below, and the same object wherever it is copied to.

    The name is that of the label, of its key in a configuration and of its property in ASE.
    """

    name: str
    singular: str  # one of it, in words and in the columns of log.csv
    shape: tuple[int, ...]  # of each atom, or of each structure
    per_atom: bool
    unit: str
    powers: tuple[int, int]  # of a file's units of energy and length, which make up its unit there
    extensive: bool = False  # errors are of the value per atom
    derivative: bool = False  # of the energy: needs the gradient
    basic: bool = False  # errors are shown whatever the loss
    exists: Callable[[Graph], Tensor] = everywhere  # (n_structures,) bool
    # Why a structure (its number) does not have it, and a frame should not be labelled with it.
    absence: Callable[[Graph, int], str] = _never_absent
    misfit: str = ""
    words: str = ""  # what a model without it has none of
    remedy: str = ""  # how to train one that has it
    caption: str = ""  # of the figure with its numbers in a part

    def __reduce__(self) -> str:
        return self.name.upper()

    @property
    def title(self) -> str:
        """Its name at the beginning of a line."""
        return self.singular.capitalize()

    @property
    def component(self) -> str:
        """One of its numbers, in words."""
        return f"{self.singular} component" if self.shape else self.singular

    @property
    def unit_of_values(self) -> str:
        """Of what errors are of: the unit, per atom for an extensive quantity."""
        return f"{self.unit}/atom" if self.extensive else self.unit

    @property
    def unit_of_errors(self) -> str:
        """Such as meV/Angstrom."""
        return f"m{self.unit_of_values}"

    @property
    def unit_in_column(self) -> str:
        """The unit of errors in the name of a column, such as mev_per_angstrom."""
        unit = self.unit_of_errors.lower().replace("/", "_per_")
        return unit.replace("^", "").replace("*", "_")

    def column(self, part: str, kind: str) -> str:
        """Name of an error in log.csv, such as train_force_mae_mev_per_angstrom."""
        name = self.singular.replace(" ", "_")
        return f"{part}_{name}_{kind}_{self.unit_in_column}"

    def factor(self, units: UnitSystem) -> float:
        """What a number in the units of a file is multiplied with."""
        energy, length = self.powers
        if (energy, length) == (1, -1):
            return units.force
        scale = units.energy**energy
        return scale * units.length**length if length > 0 else scale / units.length**-length


def pretty(unit: str) -> str:
    """A unit for people's eyes: meV/Å³ of meV/Angstrom^3."""
    unit = unit.replace("Angstrom", "Å").replace("*", "").replace("degree", "°")
    return re.sub(r"\^(-?[0-9]+)", lambda power: power[1].translate(_SUPERSCRIPTS), unit)


ENERGY: Final = Quantity("energy", "energy", (), False, "eV", (1, 0), extensive=True, basic=True)
FORCES: Final = Quantity(
    "forces",
    "force",
    (3,),
    True,
    "eV/Angstrom",
    (1, -1),
    derivative=True,
    basic=True,
    caption="Force components of the {part} frames, coloured by element.",
)
STRESS: Final = Quantity(
    "stress",
    "stress",
    (3, 3),
    False,
    "eV/Angstrom^3",
    (1, -3),
    derivative=True,
    exists=with_volume,
    absence=_no_stress,
    misfit="has a stress but no volume; give its cell or leave its stress out",
    caption="Stress components of the {part} frames, positive in tension.",
)
DIPOLE: Final = Quantity(
    "dipole",
    "dipole",
    (3,),
    False,
    "e*Angstrom",
    (0, 1),
    exists=open_structures,  # of a model with charges; see Prediction.exists
    absence=_no_dipole,
    misfit="is periodic and has a dipole, which charges do not define in a cell; leave its dipole "
    "out, or take a model without charges",
    words="dipole moment",
    remedy="model.architecture: hdnnp_dipole, or model.outputs: [energy, dipole] of a mace",
    caption="Components of the dipole moment of the {part} frames.",
)
CHARGES: Final = Quantity(
    "charges",
    "charge",
    (),
    True,
    "e",
    (0, 0),
    words="charges",
    remedy="model.architecture: hdnnp_4g or hdnnp_dipole, or model.outputs: [energy, dipole] of a "
    "mace",
    caption="Atomic charges of the {part} frames, coloured by element.",
)

# All that is learned from labels, in the order of tables and files.
QUANTITIES: Final = (ENERGY, FORCES, STRESS, DIPOLE, CHARGES)

# What models make others of; no frame has a label of it.
ATOMIC_DIPOLES: Final = Quantity(
    "atomic_dipoles", "atomic dipole", (3,), True, "e*Angstrom", (0, 1)
)
