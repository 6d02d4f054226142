"""Which parameters of a base may change, and how: all, some, or by matrices of low rank."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from ladera.errors import ConfigError, did_you_mean
from ladera.potential import Potential


class LowRank(nn.Module):
    r"""A parameter as its first value and a correction of low rank (Hu et al., 2106.09685).

        W = W0 + A B,    A (..., rows, rank), B (..., rank, columns), A = random, B = 0 at first

    The leading axes of a parameter with more than two number matrices that are corrected each for
    itself. ``W0`` does not change.
    """

    def __init__(self, weight: Tensor, rank: int) -> None:
        super().__init__()
        *leading, rows, columns = weight.shape
        spread = torch.randn(*leading, rows, rank, dtype=torch.float64) / rows**0.5
        # As large as the parameter, so that one learning rate suits a model's every parameter.
        scale = weight.detach().double().square().mean().sqrt().clamp(min=1e-3)
        self.A = nn.Parameter((spread * scale).to(weight))
        self.B = nn.Parameter(torch.zeros(*leading, rank, columns).to(weight))

    def forward(self, weight: Tensor) -> Tensor:
        """W of W0."""
        return weight + self.A @ self.B


class Renewed(nn.Module):
    """A parameter as its first value, but where ``mask`` says: there it may change."""

    mask: Tensor

    def __init__(self, weight: Tensor, mask: Tensor) -> None:
        super().__init__()
        self.values = nn.Parameter(weight.detach().clone())
        self.register_buffer("mask", mask)

    def forward(self, weight: Tensor) -> Tensor:
        """W of its first value."""
        return torch.where(self.mask, self.values, weight)


def freeze_but(potential: Potential, masks: Mapping[str, Tensor]) -> int:
    """Keep all parameters as they are but where the masks of some say that they may change.

    Returns how many numbers may change.
    """
    potential.requires_grad_(False)
    for name, mask in masks.items():
        if bool(mask.all()):
            potential.get_parameter(name).requires_grad_(True)
        else:
            module, _, own = name.rpartition(".")
            part, weight = potential.get_submodule(module), potential.get_parameter(name)
            parametrize.register_parametrization(part, own, Renewed(weight, mask))
    return sum(int(mask.sum()) for mask in masks.values())


def freeze(potential: Potential, trainable: Sequence[str]) -> int:
    """Keep all parameters as they are but those whose names begin as one of ``trainable`` says.

    Returns how many numbers may change. Raises ConfigError for a beginning that fits no parameter.
    """
    names = [name for name, _ in potential.named_parameters()]
    for start in trainable:
        if not any(_begins(name, start) for name in names):
            known = {name[: k + 1] for name in names for k in _ends(name)}
            raise ConfigError(
                f"finetune.trainable: no parameter of the base begins with '{start}'; "
                f"{did_you_mean(start, known)}"
            )
    for name, parameter in potential.named_parameters():
        parameter.requires_grad_(any(_begins(name, start) for start in trainable))
    return count(potential)


def add_low_rank(potential: Potential, rank: int, free: Sequence[str] = ()) -> int:
    """Let only corrections of low rank change, of every parameter that is a matrix or several.

    The parameters named ``free`` and a matrix with a side no longer than ``rank`` change freely;
    biases and other vectors stay as they are. Returns how many numbers may change. Raises
    ConfigError for a model without matrices to correct.
    """
    potential.requires_grad_(False)
    corrected, unbound = 0, {id(potential.get_parameter(name)) for name in free}
    for module in list(potential.modules()):
        for name, parameter in list(module.named_parameters(recurse=False)):
            if id(parameter) in unbound:
                parameter.requires_grad_(True)
                continue
            if parameter.ndim < 2:
                continue
            if min(parameter.shape[-2:]) <= rank:
                parameter.requires_grad_(True)
                continue
            parametrize.register_parametrization(module, name, LowRank(parameter, rank))
            corrected += 1
    if not corrected:
        raise ConfigError(
            f"No parameter of the {potential.config.architecture} model is a matrix larger than "
            f"finetune.rank = {rank}; take a smaller rank, or another finetune.method."
        )
    return count(potential)


def merge(potential: Potential) -> None:
    """Make every corrected parameter a plain one again, with the value it has come to."""
    for module in list(potential.modules()):
        if parametrize.is_parametrized(module):
            for name in list(module.parametrizations):  # type: ignore[arg-type]
                parametrize.remove_parametrizations(module, name, leave_parametrized=True)


def count(potential: Potential) -> int:
    """How many numbers of a potential may change."""
    return sum(p.numel() for p in potential.parameters() if p.requires_grad)


def _begins(name: str, start: str) -> bool:
    return name == start or name.startswith(start + ".")


def _ends(name: str) -> list[int]:
    """Where the parts of a dotted name end."""
    return [k - 1 for k, letter in enumerate(name) if letter == "."] + [len(name) - 1]
