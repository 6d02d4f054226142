"""What an engine is: settings that are checked when it is made, and labels for one frame."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Literal, final

import numpy as np
from ase.data import chemical_symbols, ground_state_magnetic_moments
from pydantic import Field, PositiveFloat, PositiveInt

from ladera.data.reference_energies import ALONE, nearest_image
from ladera.errors import ConfigError, DataError, LabellingError
from ladera.identity import sha256
from ladera.quantities import ENERGY, FORCES, QUANTITIES, Quantity
from ladera.schemas import Configured
from ladera.structure import directions

if TYPE_CHECKING:
    from pathlib import Path

    from ladera.arrays import Floats
    from ladera.data.dataset import Dataset
    from ladera.data.frame import Frame
    from ladera.labelling.engines.calculator import EngineCalculator

_CONTACT: Final = 0.1  # Angstrom, within which atoms are looked at for being in one place
_WHOLE: Final = 1e-6  # e, by which a charge may differ from a whole number
# What is no property of the labels, but of how they are come by.
_NOT_OF_LABELS: Final = ("retry", "time_limit")
# Where ASE's numbers of unpaired electrons cannot be: an even number of an odd one. By NIST's
# Atomic Spectra Database the ground levels are 1G4 (Ce), 4I15/2 (Es) and 2P1/2 (Lr).
_UNPAIRED: Final = {"Ce": 0, "Es": 3, "Lr": 1}
_MAIN_GROUPS: Final = 20  # up to calcium an ion is like the atom with as many electrons


class EngineConfig(Configured):
    """What every engine can be told. Energies in eV and lengths in Angstrom, unless it is said."""

    engine: str
    charge: int | None = Field(
        None, description="Total charge, e; by default that of each frame, 0 where it says none."
    )
    multiplicity: PositiveInt | Literal["lowest"] | None = Field(
        None,
        description="2 S + 1, with S the total spin: 1 without unpaired electrons. lowest: 1 or 2, "
        "as the number of electrons is even or odd. By default 1, which is refused where that "
        "number is odd; a single atom has that of its ground state.",
    )
    retry: dict[str, Any] | None = Field(
        None, description="Keys that are different in a second attempt, where the first failed."
    )
    time_limit: PositiveFloat | None = Field(
        None, description="Seconds after which a frame counts as failed and is given up."
    )

    @property
    def of_labels(self) -> dict[str, Any]:
        """The settings that labels depend on."""
        values = self.model_dump(mode="json")
        return {name: value for name, value in values.items() if name not in _NOT_OF_LABELS}


@dataclass(frozen=True, eq=False)
class Labels:
    """What an engine says of a frame, in Ladera's units.

    ``facts`` are numbers and words on how it came by them, such as how many iterations it took;
    ``warnings`` are sentences for who uses the labels.
    """

    energy: float  # eV
    forces: Floats  # (n_atoms, 3), eV/Angstrom
    stress: Floats | None = None  # (3, 3), eV/Angstrom^3, positive in tension
    dipole: Floats | None = None  # (3,), e*Angstrom, about the origin
    charges: Floats | None = None  # (n_atoms,), e
    facts: Mapping[str, float | str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    def require_finite(self) -> None:
        """Raise LabellingError for a number that is none."""
        for quantity in QUANTITIES:
            value = getattr(self, quantity.name)
            if value is None or np.isfinite(value).all():
                continue
            where = ""
            if quantity.per_atom:
                rows = np.isfinite(value).reshape(len(value), -1).all(axis=1)
                where = f" of atom {int(np.flatnonzero(~rows)[0])}"
            raise LabellingError(f"the {quantity.singular}{where} is not a finite number.")

    def on(self, frame: Frame, charge: float | None) -> Frame:
        """The frame with these labels and no others."""
        values = {quantity.name: getattr(self, quantity.name) for quantity in QUANTITIES}
        return frame.with_(**values, total_charge=charge)


class Engine(ABC):
    """Labels frames. A new one is a configuration and :meth:`label`; what else it can, it declares.

    Making one checks its settings: ConfigError, before the first calculation, for a package that
    is not installed and for settings that cannot work.
    """

    gives: tuple[Quantity, ...] = (ENERGY, FORCES)
    # Whether it takes frames that are open, and frames that are periodic in all directions.
    takes_open: bool = True
    takes_cells: bool = True
    takes_films: bool = False  # periodic in one or two directions
    takes_charge: bool = True
    has_spin: bool = True
    heaviest: int = 118  # the last element that it may know

    def __init__(self, config: EngineConfig) -> None:
        self.config = config
        self.scratch: Path | None = None  # folder for what programs write, by default $TMPDIR
        self.says_more = False  # on standard output, of how it computes: for the log of a frame

    @property
    @abstractmethod
    def version(self) -> str:
        """Of what computes, such as "tblite 0.8.0"."""

    @property
    @abstractmethod
    def method(self) -> str:
        """What it computes, in a few words, such as "GFN2-xTB"."""

    @abstractmethod
    def label(self, frame: Frame) -> Labels:
        """The labels of one frame that :meth:`check` has let pass.

        The same whatever it has labelled before. Raises LabellingError where the calculation
        fails or has not converged; what else is raised is a failure of the frame, too.
        """

    def check_more(self, frame: Frame) -> None:  # noqa: B027
        """Raise DataError for a frame that this engine in particular cannot label."""

    def check_elements(self, symbols: Iterable[str]) -> None:  # noqa: B027
        """Raise ConfigError where the settings lack something for one of the elements."""

    def remarks(self, frame: Frame) -> tuple[str, ...]:
        """What is doubtful about labels of a frame, known beforehand."""
        return ()

    @cached_property
    @final
    def settings_hash(self) -> str:
        """What tells labels of these settings from others, in 12 hexadecimal digits."""
        values = {**self.config.of_labels, **self.identity()}
        return sha256(json.dumps(values, sort_keys=True))[:12]

    def identity(self) -> Mapping[str, Any]:
        """What labels depend on besides the settings, such as the parameters of a model."""
        return {}

    @final
    def describe(self) -> dict[str, Any]:
        """What the record of a result says of it."""
        return {
            "method": self.method,
            "version": self.version,
            "settings": self.config.model_dump(mode="json", exclude_none=True),
            "settings_hash": self.settings_hash,
            **self.identity(),
        }

    @final
    def calculator(self) -> EngineCalculator:
        """This engine as an ASE calculator, for whatever takes one: dynamics, vibrations."""
        from ladera.labelling.engines.calculator import EngineCalculator

        return EngineCalculator(self)

    # --- frames ----------------------------------------------------------------------------------

    @final
    def check_all(self, frames: Dataset) -> None:
        """Raise ConfigError or DataError, with the frame, for what cannot be labelled."""
        self.check_elements(frames.symbols)
        wrong: list[tuple[int, DataError]] = []
        for k, frame in enumerate(frames):
            try:
                self.check(frame)
            except DataError as error:
                wrong.append((k, error))
        if wrong:
            first, reason = wrong[0]
            more = f" So in {len(wrong):,} of {len(frames):,} frames." if len(wrong) > 1 else ""
            raise DataError(f"Frame {first} ({frames[first].source}) {reason}{more}")

    @final
    def check(self, frame: Frame) -> None:
        """Raise DataError, which goes on from "Frame 3", for what this engine cannot label."""
        try:
            frame.graph(_CONTACT)
        except DataError as error:
            raise DataError(f"is no structure: {error}") from None
        heavy = np.flatnonzero(frame.numbers > self.heaviest)
        if len(heavy):
            atom = int(heavy[0])
            raise DataError(
                f"has {chemical_symbols[frame.numbers[atom]]} as atom {atom}, which {self.method} "
                f"does not know; it ends with {chemical_symbols[self.heaviest]}."
            )
        self._check_periodicity(frame)
        charge = self.charge_of(frame)
        if charge and not self.takes_charge:
            raise DataError(
                f"has the total charge {charge:+d} e, which {self.method} would not be told; take "
                "it out, or an engine that takes charges."
            )
        if self.has_spin:
            self.multiplicity_of(frame)
        self.check_more(frame)

    def _check_periodicity(self, frame: Frame) -> None:
        along = int(frame.periodic.sum())
        if along == 0 and not self.takes_open:
            raise DataError(
                f"is open, and {self.method} needs a cell; put the molecule into one, with pbc and "
                "much empty space around it."
            )
        if along == 3 and not self.takes_cells:
            raise DataError(
                f"is periodic, and {self.method} is for molecules: it would leave the cell out; "
                "take another engine, or switch pbc off if it is a molecule in a box."
            )
        if along in (1, 2) and not self.takes_films:
            raise DataError(
                f"is periodic {directions(frame.periodic)}, which {self.method} does not know: it "
                "would be repeated in all directions; give it a cell with empty space and pbc in "
                "all of them, or switch pbc off."
            )

    @final
    def charge_of(self, frame: Frame) -> int:
        """The total charge with which a frame is computed, e. DataError where that is not clear."""
        said = frame.total_charge
        if said is not None and abs(said - round(said)) > _WHOLE:
            raise DataError(f"has the total charge {said:g} e; expected a whole number.")
        if self.config.charge is None:
            return round(said or 0.0)
        if said is not None and round(said) != self.config.charge:
            raise DataError(
                f"has the total charge {said:+g} e, and the settings say {self.config.charge:+d}; "
                "leave charge out of the settings to use that of each frame."
            )
        return self.config.charge

    @final
    def multiplicity_of(self, frame: Frame) -> int:
        """2 S + 1 with which a frame is computed. DataError for one that cannot be."""
        charge, given = self.charge_of(frame), self.config.multiplicity
        electrons = int(frame.numbers.sum()) - charge
        if electrons < 0:
            raise DataError(f"has the charge {charge:+d} e and fewer protons than that.")
        odd = electrons % 2
        if given in (None, "lowest") and is_free_atom(frame):
            return _of_atom(int(frame.numbers[0]), charge)
        if given == "lowest":
            return 1 + odd
        value = given or 1
        if (value - 1) % 2 != odd:
            spin = "odd" if odd else "even"
            raise DataError(
                f"({frame.formula}, charge {charge:+d}) has {electrons} electrons, an {spin} "
                f"number, which cannot have the multiplicity {value}; say the charge, or "
                f"multiplicity: {2 if odd else 1} (or lowest, for 1 or 2)."
            )
        if value - 1 > electrons:
            raise DataError(
                f"has {electrons} electrons, too few for the multiplicity {value}; give a smaller "
                "one."
            )
        return value


def is_free_atom(frame: Frame) -> bool:
    """Whether a frame is one atom that is far from its own images."""
    if frame.n_atoms > 1:
        return False
    return not frame.periodic.any() or nearest_image(frame.cell[frame.periodic]) > ALONE


def _of_atom(number: int, charge: int) -> int:
    """2 S + 1 of the ground state of a free atom; of an ion up to calcium by its electrons."""
    electrons = number - charge
    if charge and electrons > _MAIN_GROUPS:
        raise DataError(
            f"is a free ion, {chemical_symbols[number]} with the charge {charge:+d} e, whose spin "
            "is not known here; say its multiplicity."
        )
    return 1 + unpaired_electrons(electrons if charge else number)


def unpaired_electrons(number: int) -> int:
    """How many a free neutral atom has in its ground state."""
    if not number:  # a proton
        return 0
    symbol = chemical_symbols[number]
    known = number < len(ground_state_magnetic_moments)
    found = ground_state_magnetic_moments[number] if known else float("nan")
    unpaired = _UNPAIRED.get(symbol, found)
    if not np.isfinite(unpaired):
        raise DataError(f"is a free {symbol} atom, whose spin is not known here; say it.")
    return int(unpaired)


def require_package(name: str, extra: str, importer: Callable[[], Any]) -> Any:
    """A package that an engine needs; ConfigError without it."""
    try:
        return importer()
    except ImportError as error:
        raise ConfigError(
            f"The engine {name} needs a package that is not installed ({error.name or error}); "
            f"{extra}."
        ) from error
