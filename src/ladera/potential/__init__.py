"""The contract of all models, what they predict, and their ASE calculator.

To read in this order: ``contract`` (what a model is and can do), ``prediction`` (what it says),
``evaluation`` (how it is asked), ``sums`` (forces and virials), ``committee``, ``calculator``.
"""

from ladera.potential.calculator import LaderaCalculator, PropertyUnavailableError
from ladera.potential.committee import Calibration, Committee
from ladera.potential.contract import Potential, PotentialConfig, TrainingStatistics
from ladera.potential.evaluation import differentiate, evaluate, strained
from ladera.potential.prediction import AtomicValues, LongRange, Prediction

__all__ = [
    "AtomicValues",
    "Calibration",
    "Committee",
    "LaderaCalculator",
    "LongRange",
    "Potential",
    "PotentialConfig",
    "Prediction",
    "PropertyUnavailableError",
    "TrainingStatistics",
    "differentiate",
    "evaluate",
    "strained",
]
