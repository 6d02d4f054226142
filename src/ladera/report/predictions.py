"""Predictions of a run and their errors, by the name under which the manual has them."""

from ladera.training.evaluation_files import Errors
from ladera.training.predictions import Predictions

__all__ = ["Errors", "Predictions"]
