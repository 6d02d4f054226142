"""Ladera: machine-learned interatomic potentials, from labelled frames to plotted results.

>>> import ladera
>>> potential = ladera.load("model.ladera")
>>> atoms.calc = potential.calculator()
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ladera.active import ActiveRun, Distilled, distill, learn
    from ladera.data.dataset import Dataset
    from ladera.data.formats import read, write
    from ladera.data.frame import Frame
    from ladera.errors import LaderaError
    from ladera.graph import Graph
    from ladera.interface import evaluate, hessian, train
    from ladera.labelling import Labelled, LabelRun, label, predict
    from ladera.loading import load
    from ladera.models.registry import build
    from ladera.potential import Committee, LaderaCalculator, Potential, Prediction
    from ladera.properties.check import check
    from ladera.properties.diffusion import diffusion
    from ladera.properties.elasticity import elasticity
    from ladera.properties.energy_path import energy_path
    from ladera.properties.equation_of_state import equation_of_state
    from ladera.properties.green_kubo import green_kubo
    from ladera.properties.infrared import infrared
    from ladera.properties.lattice_conductivity import lattice_conductivity
    from ladera.properties.phonons import phonons
    from ladera.properties.quasi_harmonic import quasi_harmonic
    from ladera.properties.raman import raman
    from ladera.properties.scan import scan
    from ladera.properties.spectrum import spectrum
    from ladera.properties.surfaces import surfaces
    from ladera.properties.trajectory import Trajectory, read_trajectory
    from ladera.properties.vacancies import vacancies
    from ladera.properties.vibrations import vibrations
    from ladera.simulation.mace_calculator import MACECalculator
    from ladera.simulation.molecular_dynamics import run_md
    from ladera.simulation.published import mace_mp, mace_off
    from ladera.simulation.relaxation import relax
    from ladera.simulation.settings import MDSettings

__version__ = "0.2.0"

# Public names and where they live. They are imported on first use, so that `import ladera` and
# `ladera --help` never wait for torch.
_HOMES = {
    "ActiveRun": "ladera.active",
    "Committee": "ladera.potential",
    "Dataset": "ladera.data.dataset",
    "Distilled": "ladera.active",
    "Frame": "ladera.data.frame",
    "Graph": "ladera.graph",
    "LabelRun": "ladera.labelling",
    "Labelled": "ladera.labelling",
    "LaderaCalculator": "ladera.potential",
    "LaderaError": "ladera.errors",
    "MACECalculator": "ladera.simulation.mace_calculator",
    "MDSettings": "ladera.simulation.settings",
    "Potential": "ladera.potential",
    "Prediction": "ladera.potential",
    "Trajectory": "ladera.properties.trajectory",
    "build": "ladera.models.registry",
    "check": "ladera.properties.check",
    "distill": "ladera.active",
    "diffusion": "ladera.properties.diffusion",
    "elasticity": "ladera.properties.elasticity",
    "energy_path": "ladera.properties.energy_path",
    "equation_of_state": "ladera.properties.equation_of_state",
    "evaluate": "ladera.interface",
    "green_kubo": "ladera.properties.green_kubo",
    "hessian": "ladera.interface",
    "infrared": "ladera.properties.infrared",
    "lattice_conductivity": "ladera.properties.lattice_conductivity",
    "label": "ladera.labelling",
    "learn": "ladera.active",
    "load": "ladera.loading",
    "mace_mp": "ladera.simulation.published",
    "mace_off": "ladera.simulation.published",
    "phonons": "ladera.properties.phonons",
    "predict": "ladera.labelling",
    "quasi_harmonic": "ladera.properties.quasi_harmonic",
    "raman": "ladera.properties.raman",
    "read": "ladera.data.formats",
    "read_trajectory": "ladera.properties.trajectory",
    "relax": "ladera.simulation.relaxation",
    "scan": "ladera.properties.scan",
    "run_md": "ladera.simulation.molecular_dynamics",
    "spectrum": "ladera.properties.spectrum",
    "surfaces": "ladera.properties.surfaces",
    "train": "ladera.interface",
    "vacancies": "ladera.properties.vacancies",
    "vibrations": "ladera.properties.vibrations",
    "write": "ladera.data.formats",
}

__all__ = [
    "ActiveRun",
    "Committee",
    "Dataset",
    "Distilled",
    "Frame",
    "Graph",
    "LabelRun",
    "Labelled",
    "LaderaCalculator",
    "LaderaError",
    "MACECalculator",
    "MDSettings",
    "Potential",
    "Prediction",
    "Trajectory",
    "__version__",
    "build",
    "check",
    "diffusion",
    "distill",
    "elasticity",
    "energy_path",
    "equation_of_state",
    "evaluate",
    "green_kubo",
    "hessian",
    "infrared",
    "label",
    "lattice_conductivity",
    "learn",
    "load",
    "mace_mp",
    "mace_off",
    "phonons",
    "predict",
    "quasi_harmonic",
    "raman",
    "read",
    "read_trajectory",
    "relax",
    "run_md",
    "scan",
    "spectrum",
    "surfaces",
    "train",
    "vacancies",
    "vibrations",
    "write",
]


# Modules for the engines that people simulate with, which need these to be installed.
_MODULES = ("openmm", "torch_sim")


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    if name in _MODULES:
        return import_module(f"{__name__}.{name}")
    from ladera.errors import did_you_mean

    public = [each for each in __all__ if not each.startswith("_")]
    raise AttributeError(f"ladera has no '{name}'; {did_you_mean(name, public)}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES, *_MODULES})
