"""Numbers of the method that a checkpoint stores beside its parameters, and Ladera in buffers.

Taken from the file, not computed: they carry its rounding, and some were trained.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

import numpy as np
import torch
from ase.data import atomic_numbers, covalent_radii
from torch import Tensor

from ladera.codes.mace_torch.checkpoint import Checkpoint
from ladera.errors import ModelFileError

# Ladera's buffer, and the tensor of mace-torch.
_SAME: Final = {
    "basis.frequencies": "radial_embedding.bessel_fn.bessel_weights",
    "basis.prefactor": "radial_embedding.bessel_fn.prefactor",
    "basis.centers": "radial_embedding.bessel_fn.gaussian_weights",
    "transform.a": "radial_embedding.distance_transform.a",
    "transform.q": "radial_embedding.distance_transform.q",
    "transform.p": "radial_embedding.distance_transform.p",
    "transform.alpha": "radial_embedding.distance_transform.alpha",
    "repulsion.coefficients": "pair_repulsion_fn.c",
    "repulsion.exponent": "pair_repulsion_fn.a_exp",
}
_RADII: Final = {
    "transform.radii": "radial_embedding.distance_transform.covalent_radii",
    "repulsion.radii": "pair_repulsion_fn.covalent_radii",
}
_LENGTH: Final = ("repulsion.length", "pair_repulsion_fn.a_prefactor", 0.529)
_POWER: Final = "pair_repulsion_fn.p"


def read(checkpoint: Checkpoint) -> Iterator[tuple[str, Tensor]]:
    """Ladera's buffers, as far as the file has them.

    Raises ModelFileError for elements out of order, and for a repulsion with a cutoff of its own.
    """
    numbers, tensors = checkpoint.settings.atomic_numbers, checkpoint.tensors
    if list(numbers) != sorted(set(numbers)):
        raise ModelFileError(
            f"{checkpoint.path}: its atomic_numbers {list(numbers)} are not in ascending order."
        )
    cutoff_power, power = checkpoint.settings.num_polynomial_cutoff, tensors.get(_POWER)
    if power is not None and int(power) != cutoff_power:
        raise ModelFileError(
            f"{checkpoint.path}: {_POWER} is {int(power)} and radial_embedding.cutoff_fn.p is "
            f"{cutoff_power}; Ladera has one cutoff_power."
        )
    for ours, theirs in _SAME.items():
        if theirs in tensors:
            yield ours, tensors[theirs].reshape(-1) if tensors[theirs].ndim else tensors[theirs]
    for ours, theirs in _RADII.items():
        if theirs in tensors:
            yield ours, tensors[theirs][list(numbers)]
    ours, theirs, factor = _LENGTH
    if theirs in tensors:
        yield ours, tensors[theirs].double() * factor


def write(buffers: Mapping[str, Tensor], species: tuple[str, ...]) -> Iterator[tuple[str, Tensor]]:
    """The same numbers under the names of mace-torch."""
    for ours, theirs in _SAME.items():
        if ours in buffers:
            yield theirs, buffers[ours]
    numbers = [atomic_numbers[symbol] for symbol in species]
    for ours, theirs in _RADII.items():
        if ours in buffers:
            radii = torch.from_numpy(np.array(covalent_radii)).to(buffers[ours])
            radii[numbers] = buffers[ours]
            yield theirs, radii
    ours, theirs, factor = _LENGTH
    if ours in buffers:
        yield theirs, buffers[ours] / factor
