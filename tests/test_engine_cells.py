"""Cells as engines want them."""

from __future__ import annotations

import numpy as np
import pytest
from ase.build import bulk

import ladera
from ladera.engines.cells import standing


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2)], ids=["right-handed", "left-handed"])
def test_a_structure_stands_in_the_same_lattice(order: tuple[int, int, int]) -> None:
    atoms = bulk("Ar", "fcc", a=5.3)
    atoms.set_cell(atoms.cell.array[list(order)] @ np.diag([1.0, 1.1, 0.9]))
    atoms *= (2, 1, 1)
    atoms.rattle(0.2, seed=1)
    cell, rotation = standing(atoms)
    assert np.abs(np.triu(cell, 1)).max() < 1e-12
    assert cell.diagonal().min() > 0
    assert np.linalg.det(rotation) == pytest.approx(1)
    turned = atoms.copy()
    turned.set_cell(cell)
    turned.positions = atoms.positions @ rotation
    model = ladera.build(
        {"architecture": "lennard_jones", "species": ["Ar"], "cutoff": 6.0}
        | {"epsilon": {"Ar": 0.01}, "sigma": {"Ar": 3.4}}
    )
    one, other = (ladera.evaluate(model, each) for each in (atoms, turned))
    assert float(other.energy) == pytest.approx(float(one.energy), rel=1e-12)
    assert np.abs(one.forces.numpy() @ rotation - other.forces.numpy()).max() < 1e-12
