"""Where documentation of 0.1 said the calculator is: it is in :mod:`ladera.potential`."""

from ladera.potential.calculator import LaderaCalculator, PropertyUnavailableError

__all__ = ["LaderaCalculator", "PropertyUnavailableError"]
