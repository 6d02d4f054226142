"""Starting the processes of a run through lightning-fabric."""

from __future__ import annotations

import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies.ddp import DDPStrategy

from ladera.errors import ConfigError
from ladera.training.config import TrainingConfig


def launch(config: TrainingConfig) -> Fabric:
    """Start the processes. In each of them this returns.

    Precision is not Fabric's business here: its float64 would round the loss to float32 on the
    way out, and the potential knows which of its numbers stay in float64.
    """
    if config.device == "cuda" and torch.cuda.device_count() < config.processes:
        raise ConfigError(
            f"device is cuda with {config.processes} process(es), but torch finds "
            f"{torch.cuda.device_count()} GPU(s); set device: cpu or fewer processes."
        )
    fabric = Fabric(
        accelerator=config.device,
        devices=config.processes,
        strategy=DDPStrategy(broadcast_buffers=False) if config.processes > 1 else "auto",
    )
    fabric.launch()
    return fabric
