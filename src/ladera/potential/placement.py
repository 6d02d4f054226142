"""Where a potential computes, and in which precision."""

from __future__ import annotations

from typing import Final

import torch

from ladera.errors import ConfigError, did_you_mean
from ladera.potential.contract import Potential

PRECISIONS: Final = {"float32": torch.float32, "float64": torch.float64}


def placed(
    potential: Potential, device: str | torch.device | None, dtype: str | torch.dtype | None
) -> Potential:
    """The same potential, moved to a device and converted to a precision, if these are given.

    Raises ConfigError for a device that this machine does not have and for what is no precision.
    """
    if dtype is not None:
        wanted = PRECISIONS.get(str(dtype).removeprefix("torch."))
        if wanted is None:
            raise ConfigError(f"The precision is '{dtype}'; {did_you_mean(str(dtype), PRECISIONS)}")
        if not potential.differentiable and wanted != torch.float64:
            raise ConfigError(
                "An ASE calculator computes in its own precision; leave --dtype out (dtype=)."
            )
        potential = potential.to(wanted)
    if device is not None:
        place = require_device(device)
        if not potential.differentiable and place.type != "cpu":
            raise ConfigError(
                "An ASE calculator computes where it is made to; leave --device out (device=), and "
                "choose the device by its own options."
            )
        potential = potential.to(place)
    return potential


def require_device(name: str | torch.device) -> torch.device:
    """The device of a name; ConfigError unless it is here."""
    try:
        device = torch.device(name)
    except (RuntimeError, TypeError) as error:
        raise ConfigError(f"There is no device '{name}'; give cpu, cuda or cuda:1.") from error
    if device.type not in ("cpu", "cuda"):
        raise ConfigError(f"Ladera computes on cpu and cuda, not on '{name}'; give one of these.")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device.type == "cuda" and (device.index or 0) >= count:
        reason = (
            f"this machine has {count}"
            if count
            else "torch finds no GPU"
            if torch.version.cuda
            else f"torch {torch.__version__} is a build for the CPU alone"
        )
        raise ConfigError(f"There is no device '{name}': {reason}; give cpu, or no device at all.")
    return device
