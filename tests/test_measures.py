"""Numbers with their units, against ASE's factors, and where commands take them."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from ase import units

from ladera import measures
from ladera.cli import app
from ladera.errors import SimulationError
from ladera.simulation.settings import MDSettings


@pytest.mark.parametrize(
    ("text", "unit", "expected"),
    [
        ("300", "K", 300.0),
        ("300K", "K", 300.0),
        ("300 K", "K", 300.0),
        ("25C", "K", 298.15),
        ("-10 °C", "K", 263.15),
        ("0.5fs", "fs", 0.5),
        ("10ps", "ps", 10.0),
        ("1ns", "ps", 1000.0),
        ("2000 fs", "ps", 2.0),
        ("0.1ps", "fs", 100.0),
        ("5GPa", "GPa", 5.0),
        ("1bar", "GPa", 1e-4),
        ("50kbar", "GPa", 5.0),
        ("1atm", "GPa", 101325 * units.Pascal / units.GPa),
        ("0.01 eV/A^3", "GPa", 0.01 / units.GPa),
        ("0.01eV/A", "eV/Angstrom", 0.01),
        ("10 meV/Å", "eV/Angstrom", 0.01),
        ("1e-3 Ha/Bohr", "eV/Angstrom", 1e-3 * units.Hartree / units.Bohr),
        ("1Ry/bohr", "eV/Angstrom", units.Rydberg / units.Bohr),
        ("0.6nm", "Angstrom", 6.0),
        ("1 bohr", "Angstrom", units.Bohr),
        ("15 cm^-1", "cm^-1", 15.0),
        ("15/cm", "cm^-1", 15.0),
        ("15 1/cm", "cm^-1", 15.0),
        ("0.9 cP", "mPa s", 0.9),
        ("0.0009 Pa*s", "mPa s", 0.9),
        ("5%", "", 0.05),
        ("1e-3", "", 1e-3),
        ("2e", "e", 2.0),
        ("1 kJ/mol", "eV", units.kJ / units.mol),
        ("1 kcal/mol", "eV", units.kcal / units.mol),
    ],
)
def test_a_number_with_its_unit(text: str, unit: str, expected: float) -> None:
    assert measures.number(text, unit) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("text", "unit", "words"),
    [
        ("300fs", "K", "a time; expected a temperature in K"),
        ("5GPa", "eV/Angstrom", "a pressure; expected a force in eV/Angstrom"),
        ("1 parsec", "Angstrom", "'parsec' is no unit"),
        ("hot", "K", "no number; expected one in K"),
        ("0,5", "fs", "write 0.5, with a point"),
        ("1,5ps", "ps", "write 1.5ps, with a point"),
        ("3 eV A eV", "eV", "a number of eV A eV; expected an energy in eV"),
        ("", "K", "no number"),
        ("5 /", "K", "no unit"),
        ("3 K^x", "K", "no unit"),
    ],
)
def test_what_is_no_such_number(text: str, unit: str, words: str) -> None:
    with pytest.raises(ValueError, match=words.replace("^", r"\^")):
        measures.number(text, unit)


def test_settings_take_units_in_python() -> None:
    settings = MDSettings(
        temperature="27 C", time="1 ns", timestep="0.001ps", pressure="1 bar", ensemble="npt"
    )
    assert settings.temperature == 300.15
    assert settings.n_steps == 1_000_000
    assert settings.pressure == pytest.approx(1e-4)
    with pytest.raises(SimulationError, match=r"timestep is '1 K', a temperature; expected a time"):
        MDSettings(timestep="1 K", steps=1)


def commands() -> list[str]:
    """Every command, also those of groups."""
    names = [name for name in app if not name.startswith("-")]
    inner = {name: [each for each in app[name] if not each.startswith("-")] for name in names}
    return [
        line for name in names for line in ([f"{name} {each}" for each in inner[name]] or [name])
    ]


def _app_of(line: str) -> Any:
    found: Any = app
    for word in line.split():
        found = found[word]
    return found


@pytest.mark.parametrize("line", commands())
def test_every_number_of_a_command_knows_its_unit(line: str) -> None:
    """A flag of numbers has a converter, of :mod:`ladera.cli.numbers`: KELVIN, PLAIN, whole ..."""
    for argument in _app_of(line).assemble_argument_collection():
        kinds = {argument.hint, *get_args(argument.hint)}
        if argument.children or not kinds & {int, float}:
            continue
        assert argument.parameter.converter, f"{argument.name}: which unit?"
