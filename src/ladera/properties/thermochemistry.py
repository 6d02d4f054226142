"""What the modes of a molecule say of its heat: enthalpy, entropy and free energy.

ASE's ideal gas of rigid rotors and harmonic oscillators (RRHO), or the vibrations alone. A harmonic
oscillator's entropy grows beyond bounds as its wavenumber goes to zero, which soft modes of real
molecules do not do; quasi-RRHO entropies are those of other oscillators where modes are soft.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from ase import Atoms, units
from ase.thermochemistry import HarmonicThermo, IdealGasThermo

from ladera.arrays import Floats
from ladera.errors import PropertyError, did_you_mean

TEMPERATURES: Final = (200.0, 298.15, 400.0, 600.0, 800.0, 1000.0)
KJ_PER_MOL: Final = float(units.mol / units.kJ)  # of one eV
SOFT: Final = 100.0  # cm^-1, what both quasi-RRHO treatments were published with
_PRESSURE: Final = 1e5  # Pa, the standard one
_AVERAGE_INERTIA: Final = 1e-44  # kg m^2, Grimme's bound of a rotor's moment of inertia

QuasiRRHO = Literal["grimme", "truhlar"]


@dataclass(frozen=True)
class Thermochemistry:
    """At each temperature, (n_temperatures,); energies (eV) over the potential energy, entropies
    in eV/K.
    """

    enthalpy: Floats
    entropy: Floats
    free_energy: Floats  # Gibbs's; of vibrations alone Helmholtz's, and the enthalpy is U
    quasi_entropy: Floats
    quasi_free_energy: Floats

    @classmethod
    def of(
        cls,
        thermo: IdealGasThermo | HarmonicThermo,
        frequencies: Floats,
        temperatures: Sequence[float],
        treatment: QuasiRRHO,
    ) -> Thermochemistry:
        """ASE's numbers and, with the modes' ``frequencies`` (cm^-1), the quasi-RRHO ones."""
        quiet = {"verbose": False}
        if isinstance(thermo, IdealGasThermo):
            h = [thermo.get_enthalpy(t, **quiet) for t in temperatures]
            s = [thermo.get_entropy(t, _PRESSURE, **quiet) for t in temperatures]
        else:
            h = [thermo.get_internal_energy(t, **quiet) for t in temperatures]
            s = [thermo.get_entropy(t, **quiet) for t in temperatures]
        enthalpy, entropy, kelvin = np.array(h), np.array(s), np.asarray(temperatures, dtype=float)
        real = frequencies[frequencies > 0]
        changes = [
            (TREATMENTS[treatment](real, t) - harmonic_entropy(real, t)).sum() for t in kelvin
        ]
        quasi = entropy + np.array(changes)
        return cls(enthalpy, entropy, enthalpy - kelvin * entropy, quasi, enthalpy - kelvin * quasi)


def harmonic_entropy(wavenumbers: Floats, temperature: float) -> Floats:
    """Entropy of harmonic oscillators (cm^-1), each in eV/K.

    S = k_B [ x / (exp(x) - 1) - ln(1 - exp(-x)) ],    x = h c nu / (k_B T)
    """
    x = wavenumbers * units.invcm / (units.kB * temperature)
    entropy: Floats = units.kB * (x / np.expm1(x) - np.log(-np.expm1(-x)))
    return entropy


def free_rotor_entropy(wavenumbers: Floats, temperature: float) -> Floats:
    """Entropy of free rotors as soft as oscillators (cm^-1), each in eV/K.

    S = k_B [ 1/2 + ln( (8 pi^3 mu' k_B T)^(1/2) / h ) ],
    mu' = mu B / (mu + B),    mu = h / (8 pi^2 c nu),    B = 1e-44 kg m^2
    """
    planck, light, boltzmann = units._hplanck, units._c, units._k
    inertia = planck / (8 * np.pi**2 * light * 100 * wavenumbers)  # kg m^2
    inertia = inertia * _AVERAGE_INERTIA / (inertia + _AVERAGE_INERTIA)
    states = np.sqrt(8 * np.pi**3 * inertia * boltzmann * temperature) / planck
    entropy: Floats = units.kB * (0.5 + np.log(states))
    return entropy


def grimme(wavenumbers: Floats, temperature: float) -> Floats:
    """Rotor below 100 cm^-1, oscillator above (Grimme, Chem. Eur. J. 18, 9955 (2012)).

    S = w S_oscillator + (1 - w) S_rotor,    w = 1 / (1 + (100 cm^-1 / nu)^4)
    """
    weight = 1 / (1 + (SOFT / wavenumbers) ** 4)
    mixed: Floats = weight * harmonic_entropy(wavenumbers, temperature)
    return mixed + (1 - weight) * free_rotor_entropy(wavenumbers, temperature)


def truhlar(wavenumbers: Floats, temperature: float) -> Floats:
    """Oscillators of 100 cm^-1 or more (Ribeiro et al., J. Phys. Chem. B 115, 14556 (2011))."""
    return harmonic_entropy(np.maximum(wavenumbers, SOFT), temperature)


TREATMENTS: Final[dict[str, Callable[[Floats, float], Floats]]] = {
    "grimme": grimme,
    "truhlar": truhlar,
}


def require_thermochemistry(
    temperatures: Sequence[float], symmetry_number: int, spin: float, treatment: str
) -> None:
    """Refuse what no molecule and no gas has."""
    if symmetry_number != int(symmetry_number) or symmetry_number < 1:
        what = "it counts the rotations that leave the molecule as it is, so give 1 or more"
        raise PropertyError.of("symmetry_number", f"{symmetry_number:g}", what)
    if not (spin >= 0 and 2 * spin == int(2 * spin)):
        raise PropertyError.of("spin", f"{spin:g}", "give the total spin: 0, 0.5, 1 and so on")
    for temperature in temperatures:
        if not 0 < temperature < np.inf:
            what = "thermochemistry needs temperatures above zero"
            raise PropertyError.of("temperatures", f"{temperature:g} K", what)
    if treatment not in TREATMENTS:
        raise PropertyError(
            f"There is no quasi-RRHO treatment '{treatment}'; {did_you_mean(treatment, TREATMENTS)}"
        )


def vibrations_alone(frequencies: Floats) -> HarmonicThermo:
    """The real modes (cm^-1) by ASE: of what is held or periodic, which is no gas."""
    return HarmonicThermo(vib_energies=[complex(f) * units.invcm for f in frequencies if f > 0])


def ideal_gas(
    atoms: Atoms, frequencies: Floats, linear: bool, symmetry_number: int, spin: float
) -> IdealGasThermo:
    """The ideal gas by ASE, without the imaginary modes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of imaginary modes: the table names them
        return IdealGasThermo(
            vib_energies=[complex(f if f > 0 else f * 1j) * units.invcm for f in frequencies],
            ignore_imag_modes=True,
            geometry="linear" if linear else "nonlinear",
            atoms=atoms,
            symmetrynumber=symmetry_number,
            spin=spin,
        )
