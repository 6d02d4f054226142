"""Which key of a file holds which label; light, as a configuration has them."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from ladera.errors import DataError
from ladera.quantities import QUANTITIES

AtomColumns = Literal["charge energy", "energy charge"]  # of an input.data, after the symbol

# Keys of a virial that are used unasked in a file that has no stress.
_USUAL_VIRIALS: Final = ("virial", "virials")
# Keys and columns that every file may have.
_NO_LABELS: Final = frozenset(
    {"species", "pos", "numbers", "positions", "pbc", "Lattice", "config_type", "subset"}
)


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

    @field_validator("*", mode="before")
    @classmethod
    def _none_is_none(cls, key: Any) -> Any:
        return None if isinstance(key, str) and key.lower() == "none" else key

    def key(self, name: str, found: Iterable[str]) -> str | None:
        """The key of a label: of a virial that was neither named nor switched off, a usual one."""
        if name == "virial" and name not in self.model_fields_set:
            return next((key for key in _USUAL_VIRIALS if key in found), None)
        key: str | None = getattr(self, name)
        return key

    def names(self) -> set[str]:
        """All keys that are looked for, and the usual ones of what was switched off."""
        chosen = (getattr(self, name) for name in self.model_fields_set)
        return {*type(self).model_fields, *_USUAL_VIRIALS, *(key for key in chosen if key)}

    @property
    def any_label(self) -> bool:
        """Whether any label is looked for, not the structures alone."""
        return any(getattr(self, quantity.name) for quantity in QUANTITIES)

    def of_frames(self) -> set[str]:
        """The keys of labels that a frame has one of, not each of its atoms."""
        atomic = {quantity.name for quantity in QUANTITIES if quantity.per_atom}
        keys = {getattr(self, name) for name in type(self).model_fields if name not in atomic}
        usual = () if "virial" in self.model_fields_set else _USUAL_VIRIALS
        return {key for key in (*keys, *usual) if key}

    def left_out(self, path: object) -> list[str]:
        """The labels to read a file without whose labels have no keys, such as an ``input.data``.

        Raises DataError for a key that is not the usual one: it cannot be looked for there.
        """
        for name in sorted(self.model_fields_set):
            key = getattr(self, name)
            if key not in (None, name):
                raise DataError(
                    f"{path} has no keys, so that '{key}' for the {name} cannot be looked for; "
                    "leave the key out."
                )
        return [name for name in sorted(self.model_fields_set) if getattr(self, name) is None]

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
            others = sorted(found - _NO_LABELS)
            like = difflib.get_close_matches(key, others, n=1) or [
                other for other in others if name[:5] in other.lower()
            ]
            there = f"its labels are {', '.join(others)}." if others else "it has no labels at all."
            hint = f"did you mean '{like[0]}'?" if like else there
            raise MissingLabelError(
                name,
                f"{path} has no '{key}' for the {name}; {hint} Give labelled frames or name the "
                f"right key; {without(name)}.",
            )


class MissingLabelError(DataError):
    """A file has not the label of this ``name``, which data for training have."""

    def __init__(self, name: str, sentence: str) -> None:
        super().__init__(sentence)
        self.name = name


def without(name: str) -> str:
    """End of a sentence: how to read a file without a label."""
    option = f"--{name.replace('_', '-')}-key none"
    others = f"data.keys.{name}: null; keys= in Python"
    return f"{option} ({others}) reads the file without it"
