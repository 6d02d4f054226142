"""What ASE finds of Ladera by the entry point ``ase.plugins``: the calculator, by its name.

``ase info --plugins`` lists it. It holds a name, and imports the calculator when one is asked for.
"""

from __future__ import annotations

from ase._4.plugins.plugin import CalculatorPlugin

CALCULATOR = CalculatorPlugin(
    "ladera",
    citation="ladera cite names the works behind a model",
    implementation="ladera.potential.LaderaCalculator",
)
__ase_plugins__ = {CALCULATOR}
