"""Starting the processes of a run through lightning-fabric.

Which brings torch's compiler with it: a second and a half that only what trains waits for.
"""

from __future__ import annotations

import logging
import os
import warnings
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ladera.errors import ConfigError
from ladera.potential import Potential
from ladera.threads import torch_threads
from ladera.training.config import TrainingConfig

if TYPE_CHECKING:
    from lightning_fabric import Fabric


def launch(config: TrainingConfig) -> Fabric:
    """Start the processes. In each of them this returns.

    Precision is not Fabric's business here: its float64 would round the loss to float32 on the
    way out, and the potential knows which of its numbers stay in float64.
    """
    from lightning_fabric import Fabric
    from lightning_fabric.plugins.environments.lightning import LightningEnvironment
    from lightning_fabric.strategies.ddp import DDPStrategy

    if config.device == "cuda" and torch.cuda.device_count() < config.processes:
        raise ConfigError(
            f"device is cuda with {config.processes} process(es), but torch finds "
            f"{torch.cuda.device_count()} GPU(s); set device: cpu or fewer processes."
        )
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # it greets every process
    if config.processes > 1:  # a matrix of one row has two layouts; torch sees a difference
        warnings.filterwarnings("ignore", message="Grad strides do not match bucket view strides")
    fabric = Fabric(
        accelerator=config.device,
        devices=config.processes,
        strategy=DDPStrategy() if config.processes > 1 else "auto",
        plugins=LightningEnvironment(),  # in a job of Slurm as anywhere: the processes are ours
    )
    fabric.launch()
    return fabric


def threads_worth(potential: Potential, n_atoms: int) -> AbstractContextManager[None]:
    """As many of torch's threads as a step over so many atoms keeps busy.

    Threads that wait for each other in every small operation make a step slower than one alone,
    much slower where other programs run beside.
    """
    return torch_threads(n_atoms // potential.atoms_per_thread)


def over_processes(fabric: Fabric, values: Tensor) -> Tensor:
    """The sum over all processes."""
    if fabric.world_size == 1:
        return values
    total = values.to(fabric.device, copy=True)
    fabric.all_reduce(total, reduce_op="sum")  # in place
    return total.to(values.device)


def is_first_process() -> bool:
    """Whether this is the process of a run that writes files and talks."""
    ranks = ("LOCAL_RANK", "RANK", "SLURM_PROCID")
    return all(os.environ.get(name, "0") == "0" for name in ranks)
