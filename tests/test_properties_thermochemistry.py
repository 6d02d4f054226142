"""Heat of molecules: published values, and partition functions summed state by state."""

import json

import numpy as np
import pytest
from ase import Atoms, units

from ladera.errors import PropertyError
from ladera.properties.thermochemistry import (
    KJ_PER_MOL,
    TREATMENTS,
    Thermochemistry,
    free_rotor_entropy,
    harmonic_entropy,
    ideal_gas,
    require_thermochemistry,
    vibrations_alone,
)
from ladera.properties.vibrations import Vibrations

WATER = np.array([1594.7, 3657.1, 3755.9])  # cm^-1, fundamentals (Shimanouchi, NSRDS-NBS 39)


def water():
    half = np.radians(104.51 / 2)
    x, z = 0.9575 * np.sin(half), 0.9575 * np.cos(half)
    return Atoms("OH2", [[0, 0, 0], [x, 0, z], [-x, 0, z]])


def entropy_of_levels(energies, temperature):
    """k (ln q + <E> / kT) of all levels, eV/K."""
    weights = np.exp(-energies / (units.kB * temperature))
    q = weights.sum()
    return units.kB * np.log(q) + (weights * energies).sum() / q / temperature


def test_water_has_the_heat_of_the_janaf_tables():
    """NIST-JANAF, H2O gas at 298.15 K and 1 bar: S = 188.834 J/mol/K, H - H(0 K) = 9.904 kJ/mol."""
    gas = ideal_gas(water(), WATER, linear=False, symmetry_number=2, spin=0)
    heat = Thermochemistry.of(gas, WATER, [298.15], "grimme")
    assert 1e3 * KJ_PER_MOL * heat.entropy[0] == pytest.approx(188.834, abs=0.2)
    zero_point = WATER.sum() * units.invcm / 2
    assert KJ_PER_MOL * (heat.enthalpy[0] - zero_point) == pytest.approx(9.904, abs=0.03)
    assert heat.free_energy == pytest.approx(heat.enthalpy - 298.15 * heat.entropy)
    # None of its modes is soft.
    assert heat.quasi_entropy == pytest.approx(heat.entropy, rel=1e-5)


def test_entropies_are_those_of_the_levels():
    for wavenumber, temperature in ((30.0, 300.0), (800.0, 500.0)):
        levels = np.arange(3000) * wavenumber * units.invcm
        exact = entropy_of_levels(levels, temperature)
        assert harmonic_entropy(np.array([wavenumber]), temperature) == pytest.approx(exact)
    inertia = 1 / (
        1e44 + 8 * np.pi**2 * units._c * 100 * 30.0 / units._hplanck
    )  # kg m^2, of 30 cm^-1 and 1e-44 in parallel
    turns = np.arange(-2000, 2001)
    levels = units._hbar**2 * turns**2 / (2 * inertia) / units._e
    exact = entropy_of_levels(levels, 300.0)
    assert free_rotor_entropy(np.array([30.0]), 300.0) == pytest.approx(exact, rel=1e-6)


@pytest.mark.parametrize("name", TREATMENTS)
def test_only_soft_modes_are_treated_otherwise(name):
    treat = TREATMENTS[name]
    for hard in (1000.0, 3000.0):
        assert treat(np.array([hard]), 300.0) == pytest.approx(
            harmonic_entropy(np.array([hard]), 300.0), abs=1e-3 * units.kB
        )
    nearly_none = treat(np.array([1e-3]), 300.0)
    assert nearly_none < 0.5 * harmonic_entropy(np.array([1e-3]), 300.0)


def test_quasi_rrho_changes_entropy_and_free_energy_alone():
    soft = np.array([20.0, 1500.0])
    heat = Thermochemistry.of(vibrations_alone(soft), soft, [300.0], "truhlar")
    raised = np.array([100.0, 1500.0])
    assert heat.quasi_entropy[0] == pytest.approx(harmonic_entropy(raised, 300.0).sum())
    assert heat.entropy[0] == pytest.approx(harmonic_entropy(soft, 300.0).sum())
    assert heat.quasi_free_energy == pytest.approx(heat.enthalpy - 300.0 * heat.quasi_entropy)


def test_results_of_older_versions_say_what_they_lack():
    """Ladera 0.1 kept no corrections: its enthalpies have the potential energy in them."""
    numbers = {"value": [300.0], "unit": "eV"}
    fields = dict.fromkeys(
        ("frequencies", "reduced_masses", "temperatures", "enthalpy", "entropy", "free_energy"),
        numbers,
    )
    fields |= {key: {"value": 0.1, "unit": "eV"} for key in ("zero_point_energy", "asymmetry")}
    fields |= {"symbols": {"value": ["H", "H"]}, "positions": {"value": [[0, 0, 0], [0, 0, 1]]}}
    fields |= {"modes": {"value": [[[0, 0, 1], [0, 0, -1]]]}, "intensities": {"value": []}}
    stored = {"kind": "vibrations", "format_version": 1, "fields": fields, "spread": {}}
    found = Vibrations.from_json(json.dumps(stored))
    table = found.thermochemistry()
    (row,) = table.rows
    assert row[:3] == ("300", "not computed", f"{300e3 * KJ_PER_MOL:.2f}")
    assert any("compute it again" in line for line in table.foot)


def test_a_treatment_that_is_none_is_named():
    with pytest.raises(
        PropertyError, match="no quasi-RRHO treatment 'grime'; did you mean 'grimme'"
    ):
        require_thermochemistry([300.0], 1, 0.0, "grime")
