"""How much of its precision a model loses by what it is made of.

A sound computation gives what the same model says with parameters that are a rounding off, each
for itself (backward stability: N. J. Higham, Accuracy and Stability of Numerical Algorithms, 2nd
ed., SIAM 2002, section 1.5). So an energy may scatter as that makes it scatter, and a network whose
last layer adds up large numbers of both signs may lose more than others.
"""

from __future__ import annotations

import math
from copy import deepcopy
from typing import TYPE_CHECKING, Final

import torch

from ladera.codes.calculators import CalculatorPotential
from ladera.graph import Graph
from ladera.potential import evaluate

if TYPE_CHECKING:
    from ase import Atoms

    from ladera.potential import Potential

_CHANGE: Final = 2.0**-20  # of parameters, far above rounding and far below what bends an energy
_DRAWS: Final = 4


def conditioning(potential: Potential, atoms: Atoms) -> float | None:
    """What one rounding of every parameter changes energies of atoms by, over that rounding, eV.

    The root of the sum over atoms of the mean square of their changes, for each parameter is
    changed by a random share of itself. None of another code's model, whose parameters are not
    known.
    """
    if isinstance(potential, CalculatorPotential):
        return None
    model = deepcopy(potential).double()
    graph = Graph.from_atoms(atoms, model.cutoff)
    parameters = list(model.parameters())
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        values = [parameter.clone() for parameter in parameters]
        energies = evaluate(model, graph, gradients=False).atomic_energies
        squares = []
        for _ in range(_DRAWS):
            for parameter, value in zip(parameters, values, strict=True):
                share = torch.randn(value.shape, generator=generator, dtype=torch.float64)
                parameter.copy_(value * (1 + _CHANGE * share.to(value.device)))
            changed = evaluate(model, graph, gradients=False).atomic_energies
            squares.append(float((changed - energies).pow(2).sum()))
    return math.sqrt(sum(squares) / _DRAWS) / _CHANGE
