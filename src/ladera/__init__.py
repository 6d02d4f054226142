"""Ladera: machine-learned interatomic potentials, from labelled frames to plotted results.

>>> import ladera
>>> potential = ladera.load("model.ladera")
>>> atoms.calc = potential.calculator()
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ladera.data.dataset import Dataset
    from ladera.data.frame import Frame
    from ladera.errors import LaderaError
    from ladera.graph import Graph
    from ladera.interface import evaluate, hessian
    from ladera.loading import load
    from ladera.models.registry import build
    from ladera.potential import Committee, Potential, Prediction
    from ladera.simulation.published import mace_mp, mace_off

__version__ = "0.2.0"

# Public names and where they live. They are imported on first use, so that `import ladera` and
# `ladera --help` never wait for torch.
_HOMES = {
    "Committee": "ladera.potential",
    "Dataset": "ladera.data.dataset",
    "Frame": "ladera.data.frame",
    "Graph": "ladera.graph",
    "LaderaError": "ladera.errors",
    "Potential": "ladera.potential",
    "Prediction": "ladera.potential",
    "build": "ladera.models.registry",
    "evaluate": "ladera.interface",
    "hessian": "ladera.interface",
    "load": "ladera.loading",
    "mace_mp": "ladera.simulation.published",
    "mace_off": "ladera.simulation.published",
}

__all__ = [
    "Committee",
    "Dataset",
    "Frame",
    "Graph",
    "LaderaError",
    "Potential",
    "Prediction",
    "__version__",
    "build",
    "evaluate",
    "hessian",
    "load",
    "mace_mp",
    "mace_off",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'ladera' has no attribute '{name}'")
    return getattr(import_module(_HOMES[name]), name)
