"""Convolution and product basis by NVIDIA's cuEquivariance, on GPUs where it is installed.

Both are polynomials of rows of channels, the same for every channel. cuEquivariance makes one
kernel of such a polynomial and one of each of its derivatives, however high, so that training goes
this way too. Coefficients and weights are those that the other ways take: a model does not change,
and neither does its file.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ladera.graph import Graph
from ladera.kernels.equivariant.ops import Terms

if TYPE_CHECKING:
    from ladera.kernels.equivariant.convolution import Integers
    from ladera.models.equivariant.convolution import ConvolutionPlan
    from ladera.models.equivariant.irreps import Floats

NEGLIGIBLE = 1e-12  # a coefficient that is zero but for rounding

log = logging.getLogger(__name__)


def serves(device: torch.device) -> bool:
    """Whether the tensors on a device go this way: on GPUs, if the kernels are installed."""
    return device.type == "cuda" and _installed()


def convolve(
    plan: ConvolutionPlan,
    matrix: Tensor,
    harmonics: Tensor,
    weights: Tensor,
    features: Tensor,
    graph: Graph,
) -> Tensor:
    """What :func:`ladera.models.equivariant.convolution.convolve` does; there are edges.

    Instead of its factors this takes what they are made of: ``harmonics`` (n_edges, components) and
    the ``matrix`` of a :class:`ladera.models.equivariant.convolution.Convolution`.
    """
    channels = features.shape[2]
    polynomial = _convolution(plan, matrix, matrix._version, channels, features.device.type)
    sums = _result(
        polynomial,
        [weights.flatten(1), features.flatten(1), harmonics],
        {1: graph.neighbors},
        {0: features.new_empty(graph.n_atoms, 1)},  # as many rows as this one has
        {0: graph.centers},
    )
    return sums.view(graph.n_atoms, plan.n_targets, channels)


def product(features: Tensor, coefficients: Tensor, elements: Tensor, terms: Terms) -> Tensor:
    """What :func:`ladera.kernels.equivariant.ops.product` does."""
    n_atoms, n_features, channels = features.shape
    polynomial = _product(terms, n_features, channels, features.device.type)
    found = _result(polynomial, [coefficients.flatten(1), features.flatten(1)], {0: elements})
    return found.view(n_atoms, terms.n_components, channels)


def _result(polynomial: Any, inputs: list[Tensor], *indices: dict[int, Tensor]) -> Tensor:
    with torch.cuda.device_of(inputs[0]):  # type: ignore[no-untyped-call]  # kernels run on this
        (found,) = polynomial(inputs, *indices)
    result: Tensor = found
    return result


@lru_cache(maxsize=1)
def _installed() -> bool:
    try:
        import cuequivariance_torch
        from cuequivariance_ops_torch import uniform_1d  # noqa: F401
    except ModuleNotFoundError as error:
        log.info("GPUs compute MACE by torch alone: %s.", error)
        return False
    except (ImportError, OSError) as error:  # such as a library of CUDA that is not there
        log.warning("GPUs compute MACE by torch alone: cuEquivariance fails, %s.", error)
        return False
    log.info("GPUs compute MACE by cuEquivariance %s.", cuequivariance_torch.__version__)
    return True


@dataclass(frozen=True, eq=False)
class _Products:
    """Products of segments of some operands, each added to a segment of the last."""

    operands: tuple[int, ...]
    segments: Integers  # (n_products, n_operands), of each operand
    coefficients: Floats  # (n_products,)


@lru_cache(maxsize=64)
def _convolution(
    plan: ConvolutionPlan, matrix: Tensor, version: int, channels: int, device: str
) -> Any:
    """Of weights, features of the neighbours, and harmonics. A changed matrix has a new version."""
    numbers, rows = matrix.detach().cpu().numpy(), []
    for path, coupling in enumerate(plan.couplings):
        source = coupling.sources.start
        n_sources = coupling.sources.stop - source
        for harmonic, entry in np.argwhere(np.abs(numbers[:, coupling.entries]) > NEGLIGIBLE):
            target, place = divmod(entry, n_sources)
            coefficient = numbers[harmonic, coupling.entries.start + entry]
            rows.append((path, source + place, harmonic, coupling.targets[target], coefficient))
    *segments, coefficients = zip(*rows, strict=True)
    products = _Products((0, 1, 2, 3), np.column_stack(segments), np.array(coefficients))
    sizes = [len(plan.couplings), plan.n_sources, len(numbers), plan.n_targets]
    return _polynomial(sizes, [channels, channels, None, channels], [products], device)


@lru_cache(maxsize=64)
def _product(terms: Terms, n_features: int, channels: int, device: str) -> Any:
    """Of coefficients and features."""
    degrees, products = (terms.factors >= 0).sum(1), []
    for degree in np.unique(degrees):
        rows = np.flatnonzero(degrees == degree)
        segments = np.column_stack([rows, terms.factors[rows, :degree], terms.component[rows]])
        products.append(_Products((0, *[1] * degree, 2), segments, np.ones(len(rows))))
    sizes = [len(terms.factors), n_features, terms.n_components]
    return _polynomial(sizes, [channels] * 3, products, device)


def _polynomial(
    sizes: Sequence[int], widths: Sequence[int | None], products: Sequence[_Products], device: str
) -> Any:
    """A module that makes the last operand of the others.

    Operands have ``sizes`` segments of ``widths`` channels; None: of one number for all channels.
    """
    import cuequivariance as cue
    from cuequivariance.segmented_polynomials import Path
    from cuequivariance_torch import SegmentedPolynomial

    operands = [
        cue.SegmentedOperand([() if width is None else (width,)] * size)
        for size, width in zip(sizes, widths, strict=True)
    ]
    operations = [
        (
            cue.Operation(each.operands),
            cue.SegmentedTensorProduct(
                [(operands[k], "u" * operands[k].ndim) for k in each.operands],
                paths=list(map(Path, each.segments, each.coefficients)),
            ),
        )
        for each in products
    ]
    polynomial = cue.SegmentedPolynomial(operands[:-1], operands[-1:], operations)
    return SegmentedPolynomial(polynomial, method="uniform_1d" if device == "cuda" else "naive")
