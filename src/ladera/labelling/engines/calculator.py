"""ASE calculators as engines, and engines as ASE calculators."""

from __future__ import annotations

import json
import os
import tempfile
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal

import ase
import numpy as np
from ase.calculators.calculator import Calculator, all_changes
from ase.stress import full_3x3_to_voigt_6_stress, voigt_6_to_full_3x3_stress
from pydantic import Field, field_validator

from ladera.codes import calculators
from ladera.data.frame import Frame
from ladera.errors import DataError, LabellingError, told
from ladera.files import temporary_prefix
from ladera.labelling.engines.contract import Engine, EngineConfig, Labels
from ladera.potential import PropertyUnavailableError
from ladera.quantities import CHARGES, DIPOLE, ENERGY, FORCES, QUANTITIES, STRESS

if TYPE_CHECKING:
    from ase import Atoms

_LINES: Final = 200  # of the end of each output, in the log of a frame that failed
_LARGEST: Final = 10**8  # bytes of an output that is looked into


class CalculatorEngine(Engine):
    """Labels frames by an ASE calculator, which :meth:`make` makes for each of them.

    A calculator that runs a program does so in a folder of its own, which is taken away when the
    frame is labelled; of one that failed the ends of its outputs are printed.
    """

    made_inside: ClassVar[bool] = True  # whether making one writes files
    unconverged: ClassVar[str] = ""  # what an output has where the electrons did not converge

    @abstractmethod
    def make(self, frame: Frame) -> Any:
        """The calculator for a frame; it is to write into what is the working directory then."""

    def label(self, frame: Frame) -> Labels:
        """See :class:`Engine`."""
        atoms = frame.with_(total_charge=None).to_atoms()
        made = None if self.made_inside else self.make(frame)
        with self._folder() as folder:
            try:
                atoms.calc = self.make(frame) if made is None else made
                labels = self._ask(atoms)
                self._require_converged(atoms.calc, folder)
            except Exception:
                _print_outputs(folder)
                self._require_converged(atoms.calc, folder)  # the better reason
                raise
        return labels

    def _ask(self, atoms: Atoms) -> Labels:
        calculator: Any = atoms.calc
        energy = float(calculator.get_property("energy", atoms))
        forces = np.array(calculator.get_property("forces", atoms), dtype=float)
        known = set(getattr(calculator, "implemented_properties", ()))
        stress, dipole, charges = None, None, None
        # The free energy is the one whose derivatives the forces are.
        free = getattr(calculator, "results", {}).get("free_energy")
        if "stress" in known and atoms.pbc.any() and atoms.cell.rank == 3:
            stress = np.array(calculator.get_property("stress", atoms), dtype=float)
            stress = voigt_6_to_full_3x3_stress(stress) if stress.shape == (6,) else stress
        if DIPOLE in self.gives and not atoms.pbc.any():
            dipole = np.array(calculator.get_property("dipole", atoms), dtype=float)
        if CHARGES in self.gives:
            charges = np.array(calculator.get_property("charges", atoms), dtype=float)
        return Labels(energy if free is None else float(free), forces, stress, dipole, charges)

    @contextmanager
    def _folder(self) -> Iterator[Path]:
        """A folder to work in, which is the working directory."""
        before = Path.cwd()
        with tempfile.TemporaryDirectory(
            prefix=temporary_prefix("scratch"), dir=self.scratch
        ) as name:
            os.chdir(name)
            try:
                yield Path(name)
            finally:
                os.chdir(before)

    def _require_converged(self, calculator: Any, folder: Path) -> None:
        said = getattr(calculator, "converged", None)
        said = said() if callable(said) else said
        if isinstance(said, bool | np.bool_) and not said:
            raise LabellingError("the calculator says that it has not converged.")
        if self.unconverged and any(self.unconverged in text for _, text in _outputs(folder)):
            raise LabellingError(f"the electrons did not converge: '{self.unconverged}'.")


def _outputs(folder: Path) -> Iterator[tuple[Path, str]]:
    """The text files in a folder."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.stat().st_size < _LARGEST:
            content = path.read_bytes()
            if b"\0" not in content[:4096]:
                yield path, content.decode("utf-8", "replace")


def _print_outputs(folder: Path) -> None:
    for path, text in _outputs(folder):
        lines = text.splitlines()[-_LINES:]
        os.write(1, f"--- the end of {path.name}\n".encode() + "\n".join([*lines, ""]).encode())


# --- any calculator ------------------------------------------------------------------------------


class AnyCalculatorConfig(EngineConfig):
    """``engine: calculator``."""

    engine: Literal["calculator"] = "calculator"
    calculator: str = Field(description="MODULE:NAME of its class, as ase.calculators.emt:EMT.")
    options: dict[str, Any] = Field(default_factory=dict, description="Keywords of that class.")
    charge_option: str | None = Field(
        None, description="The keyword that takes the total charge, if one does."
    )
    multiplicity_option: str | None = Field(
        None, description="The keyword that takes the multiplicity, if one does."
    )

    @field_validator("calculator")
    @classmethod
    def _is_a_name(cls, value: str) -> str:
        if not calculators.reads(Path(value)):
            raise ValueError("is no MODULE:NAME; write such as ase.calculators.emt:EMT")
        return value

    @field_validator("options")
    @classmethod
    def _can_be_sent(cls, value: dict[str, Any]) -> dict[str, Any]:
        for name, option in value.items():
            try:
                json.dumps(option)
            except (TypeError, ValueError):
                raise ValueError(
                    f"{name} is {told(option)}; what a YAML file can say is expected: numbers, "
                    "texts, lists and sections"
                ) from None
        return value


class AnyCalculator(CalculatorEngine):
    """An ASE calculator of any package: energy, forces, and what else it says that it gives."""

    config: AnyCalculatorConfig
    made_inside: ClassVar[bool] = False  # its options may name files from where we are
    takes_films = True

    def __init__(self, config: AnyCalculatorConfig) -> None:
        super().__init__(config)
        found = calculators.load(config.calculator, self._options(0, 1))
        self.gives = found.gives
        self._source = found.config.source  # type: ignore[attr-defined]
        self.takes_charge = config.charge_option is not None
        self.has_spin = config.multiplicity_option is not None

    @property
    def version(self) -> str:
        """Of its package."""
        package = self.config.calculator.partition(".")[0].partition(":")[0]
        try:
            return f"{package} {metadata.version(package)}"
        except metadata.PackageNotFoundError:
            return f"{package}, {self._source[:12]}"

    @property
    def method(self) -> str:
        """Its name."""
        return self.config.calculator

    def identity(self) -> Mapping[str, Any]:
        """The file with its class."""
        return {"source": self._source}

    def check_more(self, frame: Frame) -> None:
        """A charge that is fixed in the options counts for all frames."""
        if self.config.charge is not None and self.config.charge_option is None:
            raise DataError(
                "is to be computed with a charge, and the settings do not say which keyword of "
                f"{self.method} takes it; name it as charge_option."
            )

    def _options(self, charge: int, multiplicity: int) -> dict[str, Any]:
        more = {
            self.config.charge_option: charge,
            self.config.multiplicity_option: multiplicity,
        }
        return self.config.options | {name: v for name, v in more.items() if name is not None}

    def make(self, frame: Frame) -> Any:
        """A new one, so that what it did before is forgotten."""
        multiplicity = self.multiplicity_of(frame) if self.has_spin else 1
        options = self._options(self.charge_of(frame), multiplicity)
        return calculators.load(self.config.calculator, options).ase_calculator


# --- an engine as a calculator -------------------------------------------------------------------


class EngineCalculator(Calculator):
    """An engine as an ASE calculator: energies in eV, forces in eV/Angstrom, as labelled.

    The total charge is that of :func:`ladera.structure.total_charge`. Raises DataError for a
    structure that the engine cannot label, LabellingError where it fails.
    """

    name = "ladera-engine"

    def __init__(self, engine: Engine) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.engine = engine
        self.knows_charge = engine.takes_charge
        given = [quantity.name for quantity in QUANTITIES if quantity in engine.gives]
        self.implemented_properties = [*given, "free_energy"]

    def todict(self, skip_default: bool = True) -> dict[str, Any]:
        """What tells it from others."""
        return self.engine.describe()

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = all_changes,
    ) -> None:
        """Fill ``results``."""
        super().calculate(atoms, properties, system_changes)  # type: ignore[no-untyped-call]
        atoms = atoms if atoms is not None else self.atoms
        if atoms is None:
            raise DataError("The calculator of an engine has not been given a structure yet.")
        frame = Frame.from_atoms(atoms)
        if "numbers" in system_changes:
            self._check(frame)
        labels = self.engine.label(frame)
        labels.require_finite()
        self.results = {"energy": labels.energy, "free_energy": labels.energy}
        self.results["forces"] = labels.forces
        for name in ("dipole", "charges"):
            if (value := getattr(labels, name)) is not None:
                self.results[name] = value
        if labels.stress is not None:
            self.results["stress"] = full_3x3_to_voigt_6_stress(labels.stress)
        for name in properties:
            if name not in self.results:
                raise PropertyUnavailableError(f"{self.engine.method} gives no {name} of this.")

    def _check(self, frame: Frame) -> None:
        self.engine.check_elements(sorted({str(s) for s in frame.to_atoms().symbols}))
        try:
            self.engine.check(frame)
        except DataError as error:
            raise DataError(f"The structure {error}") from None


def version_of_ase() -> str:
    """Of the interface to programs."""
    return f"ase {ase.__version__}"


PROGRAM_GIVES: Final = (ENERGY, FORCES, STRESS)
