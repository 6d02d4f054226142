"""Which key of a file holds which label, and how its numbers become a frame."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from ladera.data.frame import Frame
from ladera.errors import DataError, did_you_mean
from ladera.quantities import QUANTITIES
from ladera.units import UnitSystem

# Keys of a virial that are used unasked in a file that has no stress.
_USUAL_VIRIALS = ("virial", "virials")


class LabelKeys(BaseModel):
    """The name under which a file stores each label.

    ``energy`` and ``forces`` must be in the file unless set to None. Of the others, a key that was
    given must be there; a default is used where the file has it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    energy: str | None = Field("energy", description="Key of the total energy; null for none.")
    forces: str | None = Field("forces", description="Column of the forces; null for none.")
    stress: str | None = Field(
        "stress",
        description="Key of the stress, positive in tension: 9 numbers, or 6 in the order "
        "xx yy zz yz xz xy.",
    )
    virial: str | None = Field(
        None,
        description="Key of a virial W = -V * stress (9 or 6 numbers), used instead of the "
        "stress. 'virial' and 'virials' are found unasked in a file without a stress.",
    )
    dipole: str | None = Field("dipole", description="Key of the dipole moment.")
    charges: str | None = Field("charges", description="Column of the atomic charges.")
    total_charge: str | None = Field("total_charge", description="Key of the total charge.")
    config_type: str | None = Field("config_type", description="Key of a frame's group.")
    head: str | None = Field(
        "head",
        description="Key of the level of theory of a frame's labels, for a model with several "
        "heads; null to make no difference.",
    )
    weight: str | None = Field("weight", description="Key of a frame's weight in the loss.")

    def for_file(self, found: set[str]) -> LabelKeys:
        """These keys, with the virial's where only the file can tell."""
        if self.virial is None and self.stress not in found:
            usual = [key for key in _USUAL_VIRIALS if key in found]
            if usual:
                return self.model_copy(update={"virial": usual[0]})
        return self

    def check(self, path: object, found: set[str], free_atoms_only: bool) -> None:
        """Raise DataError when a key that has to be in the file is not.

        ``found`` are the keys and columns of all frames. A file that holds only single atoms needs
        no forces: they are zero.
        """
        required = self.model_fields_set | {"energy", "forces"}
        if free_atoms_only and "forces" not in self.model_fields_set:
            required -= {"forces"}
        for name in type(self).model_fields:
            key = getattr(self, name)
            if name not in required or key is None or key in found:
                continue
            others = found - {"species", "pos", "numbers", "positions"}
            hint = did_you_mean(key, others) if others else "it has no keys at all."
            raise DataError(
                f"{path} has no '{key}' for the {name}; {hint} "
                f"Name the right key; {name}: null (--{name}-key none) reads the file without it."
            )


def make_frame(
    values: Mapping[str, Any],
    keys: LabelKeys,
    units: UnitSystem,
    *,
    numbers: NDArray[np.int64],
    positions: NDArray[np.float64],
    cell: NDArray[np.float64],
    periodic: NDArray[np.bool_],
    source: str,
    subset: str = "",
) -> Frame:
    """A frame in Ladera's units from a file's numbers.

    ``values`` holds whatever the file says, by its own keys, as text, numbers or arrays; positions
    and cell are in the file's unit of length. Raises DataError for a value of the wrong kind.
    """
    keys = keys.for_file(set(values))
    n_atoms = len(numbers)

    def numeric(name: str, *sizes: int, unit: float = 1.0) -> NDArray[np.float64] | None:
        key = getattr(keys, name)
        if key is None or key not in values:
            return None
        array = _numbers(values[key], f"{source}: '{key}'")
        if array.size not in sizes:
            expected = " or ".join(str(size) for size in sizes)
            raise DataError(
                f"{source}: '{key}' has {array.size} numbers, expected {expected} for {name}."
            )
        return array.ravel() * unit

    labels: dict[str, Any] = {}
    for quantity in QUANTITIES:
        shape = (n_atoms, *quantity.shape) if quantity.per_atom else quantity.shape
        sizes = (9, 6) if quantity.shape == (3, 3) else (math.prod(shape),)
        value = numeric(quantity.name, *sizes, unit=quantity.factor(units))
        if value is not None:
            value = _matrix(value) if quantity.shape == (3, 3) else value.reshape(shape)
            labels[quantity.name] = value if shape else float(value)
    total_charge, weight = numeric("total_charge", 1), numeric("weight", 1)
    virial = numeric("virial", 9, 6, unit=units.energy)
    if virial is not None:
        volume = abs(np.linalg.det(cell * units.length)) if periodic.any() else 0.0
        if volume == 0.0:
            raise DataError(
                f"{source}: '{keys.virial}' is given but the structure has no volume; give the "
                "cell, or leave the virial out."
            )
        labels["stress"] = _matrix(-virial / volume)
    config_type = values.get(keys.config_type, "") if keys.config_type else ""
    head = values.get(keys.head, "") if keys.head else ""
    return Frame(
        numbers=numbers,
        positions=positions * units.length,
        cell=cell * units.length,
        periodic=periodic,
        **labels,
        total_charge=None if total_charge is None else float(total_charge[0]),
        config_type=str(config_type),
        head=str(head),
        subset=subset,
        weight=1.0 if weight is None else float(weight[0]),
        source=source,
    )


def _matrix(components: NDArray[np.float64]) -> NDArray[np.float64]:
    """A (3, 3) tensor from nine components, or from six in Voigt's order xx yy zz yz xz xy."""
    if components.size == 6:
        components = components[[0, 5, 4, 5, 1, 3, 4, 3, 2]]
    return components.reshape(3, 3)


_BRACKETS = str.maketrans("[]{},;", "      ")


def _numbers(value: Any, where: str) -> NDArray[np.float64]:
    """The numbers of a value, which may be text such as ``1 2 3`` or ``[[1, 2], [3, 4]]``."""
    words = value
    if isinstance(value, str):  # ASE marks some lists with _JSON
        words = value.removeprefix("_JSON").translate(_BRACKETS).split()
    try:
        return np.asarray(words, dtype=np.float64)
    except (ValueError, TypeError):
        raise DataError(f"{where} is '{value}', expected numbers.") from None
