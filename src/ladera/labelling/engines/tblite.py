"""Extended tight binding by tblite: molecules and cells, in milliseconds to seconds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import numpy as np
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from ladera.errors import LabellingError
from ladera.labelling.engines.contract import Engine, EngineConfig, Labels, require_package
from ladera.quantities import CHARGES, DIPOLE, ENERGY, FORCES, STRESS
from ladera.units import BOHR, BOLTZMANN, HARTREE

if TYPE_CHECKING:
    from ladera.data.frame import Frame

_RADON: Final = 86
_GUESSES: Final = {"sad": 0, "eeq": 1, "eeqbc": 2}  # by tblite's numbers
_SMALL: Final = 8.0  # Angstrom, a height of a cell for which the Gamma point is too little


class TBLiteConfig(EngineConfig):
    """``engine: tblite``."""

    engine: Literal["tblite"] = "tblite"
    method: Literal["GFN1-xTB", "GFN2-xTB", "IPEA1-xTB"] = Field(
        "GFN2-xTB", description="The parametrisation."
    )
    accuracy: PositiveFloat = Field(
        1.0, description="Scale of the thresholds of convergence: smaller is more accurate."
    )
    electronic_temperature: NonNegativeFloat = Field(
        300.0, description="Of the occupations, K; the energy is the free energy at it."
    )
    max_iterations: PositiveInt = Field(250, description="Most iterations to self-consistency.")
    mixer_damping: Annotated[float, Field(gt=0, le=1)] = Field(
        0.4,
        description="Share of a new density that an iteration takes: a smaller one, such as 0.2, "
        "converges where open shells make it swing to and fro.",
    )
    guess: Literal["sad", "eeq", "eeqbc"] = Field(
        "sad",
        description="What the first density has: neutral atoms, or charges by electronegativity.",
    )
    spin_polarization: bool = Field(
        False,
        description="With the energy of spin polarisation, which the methods by themselves do not "
        "have: it tells the spin states of one molecule apart.",
    )

    @property
    def of_labels(self) -> dict[str, Any]:
        """See EngineConfig. Labels from before two keys were there had their defaults."""
        later = {"mixer_damping": 0.4, "guess": "sad"}
        values = super().of_labels.items()
        return {name: value for name, value in values if later.get(name) != value}


class TBLite(Engine):
    """Energy, forces, stress, dipole and Mulliken charges of GFN1-xTB and GFN2-xTB.

    A cell is computed at the Gamma point alone, so it should be large. The energy is that whose
    derivatives forces and stress are: with the entropy of the occupations. Every frame begins from
    the same guess, so that its labels do not depend on what was labelled before.
    """

    config: TBLiteConfig
    gives = (ENERGY, FORCES, STRESS, DIPOLE, CHARGES)
    heaviest = _RADON
    takes_films = False  # tblite repeats them in all directions

    def __init__(self, config: TBLiteConfig) -> None:
        super().__init__(config)
        self._library = require_package("tblite", "pip install ladera[xtb]", _import)

    @property
    def version(self) -> str:
        """Of the library."""
        from tblite.library import get_version

        return f"tblite {'.'.join(map(str, get_version()))}"

    @property
    def method(self) -> str:
        """Its parametrisation."""
        return f"{'sp' if self.config.spin_polarization else ''}{self.config.method}"

    def remarks(self, frame: Frame) -> tuple[str, ...]:
        """Of a small cell."""
        if not frame.periodic.all():
            return ()
        low = float((1 / np.linalg.norm(np.linalg.inv(frame.cell), axis=0)).min())
        if low >= _SMALL:
            return ()
        return (
            f"the cell is {low:.3g} Angstrom high, and xTB has the Gamma point alone; repeat it "
            "until energies per atom stay the same",
        )

    def label(self, frame: Frame) -> Labels:
        """See :class:`Engine`."""
        config, periodic = self.config, bool(frame.periodic.any())
        multiplicity = self.multiplicity_of(frame)
        more: dict[str, Any] = {}
        if periodic:
            more = {"lattice": frame.cell / BOHR, "periodic": frame.periodic}
        calculator = self._library.Calculator(
            config.method,
            frame.numbers,
            frame.positions / BOHR,
            float(self.charge_of(frame)),
            multiplicity - 1,
            **more,
        )
        calculator.set("verbosity", int(self.says_more))
        calculator.set("accuracy", config.accuracy)
        calculator.set("max-iter", config.max_iterations)
        calculator.set("mixer-damping", config.mixer_damping)
        calculator.set("guess", _GUESSES[config.guess])
        kelvin = BOLTZMANN / HARTREE
        calculator.set("temperature", config.electronic_temperature * kelvin)
        if config.spin_polarization:
            calculator.add("spin-polarization", 1.0)
        try:
            found = calculator.singlepoint()
        except RuntimeError as error:  # also of an iteration that did not converge
            raise LabellingError(f"{str(error).rstrip('.')}.") from error
        virial = np.array(found.get("virial")) * HARTREE
        dipole = None if periodic else np.array(found.get("dipole")) * BOHR
        return Labels(
            energy=float(found.get("energy")) * HARTREE,
            forces=-np.array(found.get("gradient")) * (HARTREE / BOHR),
            stress=(virial + virial.T) / (2 * frame.volume) if periodic else None,
            dipole=dipole,
            charges=np.array(found.get("charges")),
            facts={"multiplicity": multiplicity},
            warnings=self.remarks(frame),
        )


def _import() -> Any:
    from tblite import interface

    return interface
