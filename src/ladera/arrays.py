"""Types of NumPy arrays; the shape stands where an array is used."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Reals = NDArray[np.floating[Any]]  # float32 or float64, all of a call the same
Integers = NDArray[np.int64]
Booleans = NDArray[np.bool_]
