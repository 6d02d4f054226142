"""What each symmetry function of a trained network is good for: sensitivity and correlation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ladera.arrays import Floats
from ladera.errors import ConfigError
from ladera.graph import Graph
from ladera.kernels.symmetry_functions.functions import SymmetryFunction
from ladera.models.hdnnp.model import HDNNP
from ladera.models.hdnnp.selection import constant, correlation, sample
from ladera.potential import Potential
from ladera.progress import track


@dataclass(frozen=True, eq=False)
class ElementReport:
    """The symmetry functions of one element, in the order of the network's inputs.

    With x the scaled symmetry functions (of the scaling ``principal`` those of ``sigma``),

        s_f = sqrt(mean_i (dE_i / dx_if)^2),   m_f = max_i |dE_i / dx_if|

    over atoms i of the element, each as a part of the sum over all functions, in per cent (what
    n2p2 writes to ``sensitivity.ZZZ.out``). A constant function has none.
    """

    symbol: str
    functions: tuple[SymmetryFunction, ...]
    n_atoms: int  # from which the numbers come
    rms: Floats  # (n_functions,) s_f, per cent
    maximum: Floats  # (n_functions,) m_f, per cent
    correlations: Floats  # (n_functions, n_functions); 0 where a function is constant
    constant: tuple[int, ...]  # functions that say nothing about these structures
    redundant: tuple[tuple[int, int], ...]  # pairs that say the same, the strongest first

    def to_json(self) -> dict[str, Any]:
        """Plain dicts and lists."""
        rows = zip(self.functions, self.rms, self.maximum, strict=True)
        return {
            "atoms": self.n_atoms,
            "functions": [
                {
                    **function.model_dump(by_alias=True, exclude_none=True),
                    "rms_percent": float(rms),
                    "maximum_percent": float(maximum),
                    "constant": index in self.constant,
                }
                for index, (function, rms, maximum) in enumerate(rows)
            ],
            "redundant": [
                {"pair": [i, j], "correlation": float(self.correlations[i, j])}
                for i, j in self.redundant
            ],
            "correlations": self.correlations.tolist(),
        }


def examine(
    potential: Potential, graphs: Sequence[Graph], threshold: float = 0.99
) -> list[ElementReport]:
    """Sensitivity and correlation of the symmetry functions of each element.

    Looks at some thousand atoms at most, always the same. Pairs whose correlation exceeds
    ``threshold`` in size are redundant. Raises ConfigError for a model that is no HDNNP, DataError
    when an element has no atom among the structures, or they have an element it does not know.
    """
    if not isinstance(potential, HDNNP):
        raise ConfigError(
            f"The {potential.config.architecture} model has no energy that is a function of "
            "symmetry functions alone; give a model of the architecture hdnnp."
        )
    if not 0 < threshold < 1:
        raise ConfigError.of("threshold", f"{threshold:g}", "it must be between 0 and 1")
    values = sample(potential.plan, graphs)
    slopes = [
        _slopes(potential, element, G)
        for element, G in enumerate(track(values, "elements, sensitivities"))
    ]
    groups = zip(potential.symbols, potential.plan.functions, values, slopes, strict=True)
    return [_element_report(*group, threshold) for group in groups]


def _element_report(
    symbol: str,
    functions: tuple[SymmetryFunction, ...],
    G: Floats,
    slopes: Floats,
    threshold: float,
) -> ElementReport:
    is_constant = constant(G)
    varying = np.flatnonzero(~is_constant)
    correlations = np.zeros((len(functions), len(functions)))
    correlations[np.ix_(varying, varying)] = correlation(G[:, varying])
    pairs = np.argwhere(np.triu(np.abs(correlations) > threshold, k=1))
    strongest = np.argsort(-np.abs(correlations[tuple(pairs.T)]), kind="stable")
    return ElementReport(
        symbol=symbol,
        functions=functions,
        n_atoms=len(G),
        rms=_percent(np.sqrt((slopes**2).mean(0)) * ~is_constant),
        maximum=_percent(np.abs(slopes).max(0) * ~is_constant),
        correlations=correlations,
        constant=tuple(np.flatnonzero(is_constant).tolist()),
        redundant=tuple((int(i), int(j)) for i, j in pairs[strongest]),
    )


def _slopes(potential: HDNNP, element: int, G: Floats) -> Floats:
    """dE_i/dx of atoms of one element, (n_atoms, n_functions)."""
    n_atoms, count = G.shape
    padded = torch.zeros(n_atoms, potential.plan.n_functions, dtype=potential.dtype)
    padded[:, :count] = torch.from_numpy(G)
    index = torch.full((n_atoms,), element)
    scaling = potential.input_scaling()
    inputs = scaling.inputs(padded, index).detach().requires_grad_()
    with torch.enable_grad():
        entering = inputs[:, : potential.input_counts[element]]
        energies = potential.networks[element](entering).double() * potential.energy_scale
        (slope,) = torch.autograd.grad(energies.sum(), inputs)
    by_G = scaling.gradients(slope, index)
    factor = potential.deviation if scaling.mixing is not None else 1 / scaling.factor
    slopes: Floats = (by_G * factor[index])[:, :count].double().numpy()
    return slopes


def _percent(parts: Floats) -> Floats:
    """Parts of their sum; all zero for a network that answers the same to everything."""
    total = parts.sum()
    return 100 * parts / total if total > 0 else parts
