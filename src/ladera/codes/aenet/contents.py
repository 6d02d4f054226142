"""What a network file of aenet says: a network, the descriptor of its inputs, the energies.

The inputs are functions of Behler (``behler2011``; Artrith and Urban, Comput. Mater. Sci. 114, 135
(2016)) or Chebyshev coefficients (``chebyshev``; Artrith, Urban and Ceder, Phys. Rev. B 96, 014112
(2017)), both with the cosine cutoff function; lengths are in Angstrom, energies in eV.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np
from ase.data import atomic_numbers
from pydantic import ValidationError

from ladera.arrays import Floats, Integers
from ladera.codes.aenet.records import Records, records_of
from ladera.errors import ModelFileError, first_problem
from ladera.kernels.symmetry_functions.functions import (
    ChebyshevFunction,
    GaussianFunction,
    SymmetryFunction,
)
from ladera.models.hdnnp.generation import numbered_weights

_ACTIVATIONS: Final = ("linear", "tanh", "logistic", "tanh_scaled", "tanh_twist")
_LARGEST: Final = 10_000_000  # of any count in a file


@dataclass(frozen=True, eq=False)
class NetworkFile:
    """The network of one element; the functions are those of its inputs, in their order."""

    path: Path
    symbol: str
    neighbors: tuple[str, ...]  # elements that the functions know
    cutoff: float
    functions: tuple[SymmetryFunction, ...]
    minimum: Floats  # of the functions over the training set, as are the others
    maximum: Floats
    mean: Floats
    deviation: Floats
    layers: tuple[tuple[Floats, Floats], ...]  # weights (out, in) and biases (out,)
    activations: tuple[str, ...]
    atom_energies: Mapping[str, float]  # eV
    shift: float  # eV
    scale: float  # eV


def read(path: Path) -> NetworkFile:
    """The contents of a file; ModelFileError for what is damaged, or unknown to Ladera."""
    records = records_of(path)
    layers, activations = _network(records)
    setup = _Setup(records)
    records.words(1, 1024)  # the training set's file
    records.logical()
    (scale,), (shift,) = records.floats(1), records.floats(1)
    names = records.words(_count(records), 2)
    energies = records.floats(len(names))
    for values in (*layers, (energies, setup.mean), (np.array([scale, shift]), setup.square)):
        if not all(np.isfinite(value).all() for value in values):
            raise ModelFileError(f"{path} has numbers that are not finite; it is damaged.")
    if setup.symbol not in names or scale <= 0:
        raise ModelFileError(
            f"{path}: the energy of an atom of {setup.symbol} is not there, or its energies' "
            f"scale is {scale:g}, where a number above 0 is expected; the file is damaged."
        )
    n_inputs = layers[0][0].shape[1]
    if n_inputs != len(setup.functions):
        raise ModelFileError(
            f"{path} has a network of {n_inputs} inputs and a descriptor of "
            f"{len(setup.functions)} numbers; it is damaged."
        )
    return NetworkFile(
        path=path,
        symbol=setup.symbol,
        neighbors=setup.neighbors,
        cutoff=max(function.cutoff for function in setup.functions),
        functions=setup.functions,
        minimum=setup.minimum,
        maximum=setup.maximum,
        mean=setup.mean,
        deviation=np.sqrt(np.maximum(setup.square - setup.mean**2, 0.0)),
        layers=layers,
        activations=activations,
        atom_energies=dict(zip(names, map(float, energies), strict=True)),
        shift=float(shift),
        scale=1.0 / float(scale),
    )


def _network(records: Records) -> tuple[tuple[tuple[Floats, Floats], ...], tuple[str, ...]]:
    n_layers = _count(records)
    records.integers(1)
    n_weights = _count(records)
    records.integers(1)
    sizes = [int(n) for n in records.integers(n_layers)]
    kinds = records.integers(n_layers - 1)
    records.integers(n_layers)
    records.integers(n_layers)
    weights = records.floats(n_weights)
    expected = sum((n_in + 1) * n_out for n_in, n_out in pairwise(sizes))
    if min(sizes) < 1 or len(sizes) < 2 or sizes[-1] != 1 or expected != n_weights:
        raise ModelFileError(
            f"{records.path}: a network {'-'.join(map(str, sizes))} and {n_weights} weights do "
            f"not fit each other, or it has not one output; the file is damaged."
        )
    if not all(0 <= kind < len(_ACTIVATIONS) for kind in kinds):
        raise ModelFileError(
            f"{records.path} has the activation numbers {', '.join(map(str, kinds))}; aenet has 0 "
            f"to {len(_ACTIVATIONS) - 1}."
        )
    layers, start = [], 0
    for n_in, n_out in pairwise(sizes):
        block = weights[start : start + (n_in + 1) * n_out].reshape(n_in + 1, n_out).T
        layers.append((block[:, :n_in], block[:, n_in]))
        start += (n_in + 1) * n_out
    return tuple(layers), tuple(_ACTIVATIONS[kind] for kind in kinds)


class _Setup:
    """The descriptor and its statistics."""

    def __init__(self, records: Records) -> None:
        self.path = records.path
        records.words(1, 1024)  # a description
        (self.symbol,) = records.words(1, 2)
        self.neighbors = records.words(_count(records), 2)
        for symbol in (self.symbol, *self.neighbors):
            if symbol not in atomic_numbers:
                raise ModelFileError(f"{self.path}: '{symbol}' is not a chemical symbol.")
        records.floats(1)
        records.floats(1)
        (kind,) = records.words(1, 100)
        n_functions, n_parameters = _count(records), _count(records)
        kinds = records.integers(n_functions)
        parameters = records.floats(n_functions * n_parameters).reshape(n_functions, n_parameters)
        elements = records.pairs(n_functions, len(self.neighbors))
        records.integers(1)
        self.minimum, self.maximum, self.mean, self.square = (
            records.floats(n_functions) for _ in range(4)
        )
        if kind.lower() not in ("chebyshev", "behler2011"):
            raise ModelFileError(
                f"{self.path} has the descriptor '{kind}'; Ladera reads Chebyshev and Behler2011."
            )
        try:
            if kind.lower() == "chebyshev":
                self.functions = self._chebyshev(parameters[0])
            else:
                self.functions = self._behler(kinds, parameters, elements)
        except ValidationError as error:
            where, message = first_problem(error)
            raise ModelFileError(
                f"{self.path} has an impossible function ({where}: {message})."
            ) from error

    def _chebyshev(self, parameters: Floats) -> tuple[SymmetryFunction, ...]:
        """All orders of distances, then of angles; for several elements with weights again."""
        radial_cutoff, radial_order, angular_cutoff, angular_order = map(float, parameters[:4])
        if angular_cutoff > radial_cutoff and len(self.neighbors) > 1:
            raise ModelFileError(
                f"{self.path}: angles reach to {angular_cutoff:g} Angstrom, distances to "
                f"{radial_cutoff:g}; aenet then takes the weights of the wrong neighbours, which "
                "Ladera does not repeat."
            )
        weights = numbered_weights(self.neighbors)
        parts = (
            ("chebyshev_radial", radial_cutoff, round(radial_order)),
            ("chebyshev_angular", angular_cutoff, round(angular_order)),
        )
        sets: Sequence[Mapping[str, float]] = ({}, weights) if len(weights) > 1 else ({},)
        return tuple(
            ChebyshevFunction.model_validate(
                {
                    "kind": kind,
                    "center": self.symbol,
                    "cutoff": cutoff,
                    "order": order,
                    "weights": given,
                }
            )
            for given in sets
            for kind, cutoff, highest in parts
            for order in range(highest + 1)
        )

    def _behler(
        self, kinds: Integers, parameters: Floats, elements: Integers
    ) -> tuple[SymmetryFunction, ...]:
        """In the order of aenet's inputs: each neighbour's functions, then those of its pairs."""
        keyed = []
        for kind, row, pair in zip(kinds, parameters, elements, strict=True):
            angular = kind in (4, 5)
            numbers = sorted(int(n) for n in pair[: 2 if angular else 1])
            if kind not in (1, 2, 4, 5) or not all(1 <= n <= len(self.neighbors) for n in numbers):
                raise ModelFileError(
                    f"{self.path} has a function G{kind} of the elements {pair.tolist()}; Ladera "
                    f"has G1, G2, G4 and G5, and the file {len(self.neighbors)} elements."
                )
            key = (numbers[0], int(angular), numbers[-1], int(kind))
            keyed.append((key, self._gaussian(int(kind), row, numbers)))
        return tuple(function for _, function in sorted(keyed, key=lambda item: item[0]))

    def _gaussian(self, kind: int, row: Floats, numbers: Sequence[int]) -> SymmetryFunction:
        values: dict[str, object] = {
            "center": self.symbol,
            "neighbors": [self.neighbors[n - 1] for n in numbers],
            "cutoff": float(row[0]),
        }
        match kind:
            case 1:
                values |= {"kind": "radial", "eta": 0.0}
            case 2:
                values |= {"kind": "radial", "shift": float(row[1]), "eta": float(row[2])}
            case _:
                names = ("lambda", "zeta", "eta")
                values |= dict(zip(names, map(float, row[1:4]), strict=True))
                values |= {"kind": "narrow" if kind == 4 else "wide"}
        return GaussianFunction.model_validate(values)


def _count(records: Records) -> int:
    """A number of things; ModelFileError for none and for an absurd one."""
    (count,) = records.integers(1)
    if not 0 < count < _LARGEST:
        raise ModelFileError(f"{records.path} counts {count} of something; the file is damaged.")
    return int(count)
