"""Polynomials of rows of channels by NVIDIA's cuEquivariance, on GPUs where it is installed.

cuEquivariance makes one kernel of a polynomial, the same for every channel, and one of each of its
derivatives, however high, so that training goes this way too. Coefficients and weights are those
that the other ways take: a model does not change, and neither does its file.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from ladera.arrays import Floats, Integers

NEGLIGIBLE = 1e-12  # a coefficient that is zero but for rounding

log = logging.getLogger(__name__)


def serves(device: torch.device) -> bool:
    """Whether the tensors on a device go this way: on GPUs, if the kernels are installed."""
    return device.type == "cuda" and _installed()


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
class Products:
    """Products of segments of some operands, each added to a segment of the last."""

    operands: tuple[int, ...]
    segments: Integers  # (n_products, n_operands), of each operand
    coefficients: Floats  # (n_products,)


def polynomial(
    sizes: Sequence[int], widths: Sequence[int | None], products: Sequence[Products], device: str
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
    whole = cue.SegmentedPolynomial(operands[:-1], operands[-1:], operations)
    return SegmentedPolynomial(whole, method="uniform_1d" if device == "cuda" else "naive")


def evaluate(module: Any, inputs: list[Tensor], *indices: dict[int, Tensor]) -> Tensor:
    """The last operand of a :func:`polynomial`, (rows, segments * channels)."""
    with torch.cuda.device_of(inputs[0]):  # type: ignore[no-untyped-call]  # kernels run on this
        (output,) = module(inputs, *indices)
    result: Tensor = output
    return result
