"""The contract of all models, what they predict, and their ASE calculator.

To read in this order: ``contract`` (what a model is and can do), ``prediction`` (what it says),
``evaluation`` (how it is asked), ``sums`` (forces and virials), ``committee``, ``calculator``,
``memory`` (whether a structure fits) and ``parts`` (what is done where it does not).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ladera.lazy import names_of

if TYPE_CHECKING:
    from ladera.potential.active_set import ActiveSet
    from ladera.potential.calculator import LaderaCalculator, PropertyUnavailableError
    from ladera.potential.committee import Calibration, Committee
    from ladera.potential.config import PotentialConfig
    from ladera.potential.contract import Potential, TrainingStatistics
    from ladera.potential.evaluation import differentiate, evaluate, strained
    from ladera.potential.prediction import AtomicValues, LongRange, Prediction

__all__ = [
    "ActiveSet",
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

_HOMES: Final = {
    "ActiveSet": "ladera.potential.active_set",
    "AtomicValues": "ladera.potential.prediction",
    "Calibration": "ladera.potential.committee",
    "Committee": "ladera.potential.committee",
    "LaderaCalculator": "ladera.potential.calculator",
    "LongRange": "ladera.potential.prediction",
    "Potential": "ladera.potential.contract",
    "PotentialConfig": "ladera.potential.config",
    "Prediction": "ladera.potential.prediction",
    "PropertyUnavailableError": "ladera.potential.calculator",
    "TrainingStatistics": "ladera.potential.contract",
    "differentiate": "ladera.potential.evaluation",
    "evaluate": "ladera.potential.evaluation",
    "strained": "ladera.potential.evaluation",
}

__getattr__ = names_of(__name__, _HOMES)
