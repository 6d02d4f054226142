"""ASE finds Ladera's calculator among its plugins, by an entry point of this package."""

from __future__ import annotations

import tomllib
from importlib import import_module
from importlib.metadata import EntryPoint
from pathlib import Path

from argon import argon, crystal
from ladera.potential import LaderaCalculator


def entry_points(group: str) -> list[EntryPoint]:
    """Those that the package declares."""
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    return [EntryPoint(*each, group) for each in project["entry-points"][group].items()]


def test_ase_finds_the_calculator(monkeypatch):
    collection = import_module("ase._4.plugins.plugin_collection")
    monkeypatch.setattr(collection, "entry_points", lambda group: entry_points(group))
    (plugin,) = collection.PluginCollection.from_entry_points().calculators
    assert plugin.name == "ladera"
    assert plugin.package == "ladera"
    assert plugin.implementation is LaderaCalculator
    atoms = crystal(1)
    atoms.calc = plugin()(argon())
    assert atoms.get_potential_energy() < 0
