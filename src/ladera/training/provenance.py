"""Where a model comes from: what its file says of data, code, seed and errors."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np
import torch

from ladera import __version__
from ladera.quantities import QUANTITIES
from ladera.training import config_file
from ladera.training.preparation import Prepared


def provenance(
    prepared: Prepared, best: Mapping[str, Any], results: Mapping[str, Any]
) -> dict[str, Any]:
    """For the header of a model file; ``results`` are the errors of each part."""
    return {
        "config": config_file.as_json(prepared.config),
        "data_hash": prepared.dataset.hash,
        "split": prepared.split.to_json(),
        "seed": prepared.config.seed,
        "epoch": best["epoch"],
        "validation_loss": best["loss"],
        "errors": {
            part: {quantity.name: summary[quantity.name] for quantity in QUANTITIES}
            for part, summary in results.items()
        },
        "versions": {
            "ladera": __version__,
            "torch": torch.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }
