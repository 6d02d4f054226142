"""Numbers of the method that a checkpoint stores and Ladera computes: they must be the same."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from ase.data import covalent_radii

from ladera.errors import ModelFileError
from ladera.interop.mace_torch.checkpoint import Checkpoint

# Rounding of float32, with some room.
_RELATIVE = 3e-6


def check(checkpoint: Checkpoint) -> None:
    """Raise ModelFileError for a constant that is another one than Ladera's, naming it."""
    numbers = checkpoint.settings.atomic_numbers
    if list(numbers) != sorted(set(numbers)):
        raise ModelFileError(
            f"{checkpoint.path}: its atomic_numbers {list(numbers)} are not in ascending order."
        )
    for name, expected in _expected(checkpoint):
        tensor = checkpoint.tensors.get(name)
        if tensor is None:
            continue
        found = tensor.double().reshape(-1)
        wanted = torch.as_tensor(np.asarray(expected), dtype=torch.float64).reshape(-1)
        # Radii of elements that a newer table has besides are of no account.
        n = min(len(found), len(wanted)) if name.endswith("covalent_radii") else len(found)
        if len(wanted) < n or not torch.allclose(found[:n], wanted[:n], rtol=_RELATIVE, atol=1e-9):
            raise ModelFileError(
                f"{checkpoint.path}: its {name} is {_shown(found)}, where Ladera has "
                f"{_shown(wanted)}; a model with trained or changed ones is not supported."
            )


def _expected(checkpoint: Checkpoint) -> Iterator[tuple[str, object]]:
    given = checkpoint.settings
    radial, basis, n = "radial_embedding.", given.num_bessel, np.arange(1, given.num_bessel + 1)
    yield radial + "bessel_fn.bessel_weights", n * np.pi / given.r_max
    yield radial + "bessel_fn.prefactor", np.sqrt(2 / given.r_max)
    yield radial + "bessel_fn.gaussian_weights", np.linspace(0, given.r_max, basis)
    yield radial + "bessel_fn.n", n
    transform, repulsion = radial + "distance_transform.", "pair_repulsion_fn."
    constants = {"a": 1.0805, "q": 0.9183, "p": 4.5791, "alpha": 4.0}
    yield from ((transform + name, value) for name, value in constants.items())
    yield repulsion + "c", [0.1818, 0.5099, 0.2802, 0.02817]
    yield repulsion + "p", given.num_polynomial_cutoff
    yield repulsion + "a_exp", 0.300
    yield repulsion + "a_prefactor", 0.4543
    for module in (transform, repulsion):
        yield module + "covalent_radii", covalent_radii


def _shown(values: torch.Tensor) -> str:
    first = ", ".join(f"{value:.6g}" for value in values[:3].tolist())
    return f"{first}, ..." if len(values) > 3 else first
