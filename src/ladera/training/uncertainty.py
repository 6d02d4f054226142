r"""Is a committee's spread the size of its error? The factor that makes it so, and how well.

Let D be the error of the mean of M members and s their sample standard deviation. Taking errors as
Gaussian with standard deviation alpha sigma, sigma being what s estimates, D / (alpha s) follows
Student's t distribution with nu = M - 1 degrees of freedom, and the likelihood of all errors is

    L(alpha) = prod_i  t_nu( D_i / (alpha s_i) ) / (alpha s_i)

whose largest value has  mean_i (nu + 1) z_i^2 / (nu + z_i^2) = 1  with z = D / (alpha s). For many
members this is the alpha^2 = mean_i D_i^2 / s_i^2 of Musil et al., J. Chem. Theory Comput. 15, 906
(2019); for few it has the correction of Imbalzano et al., J. Chem. Phys. 154, 074102 (2021),

    alpha^2 = (M - 3) / (M - 1) mean_i D_i^2 / s_i^2

(their factor besides holds 1/M less, for it scales the members about their mean). Theirs needs four
members or more, and with four its own variance is infinite; the likelihood needs two.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from scipy.optimize import brentq

from ladera.arrays import Floats
from ladera.errors import DataError
from ladera.potential.committee import Calibration, coverage_factor
from ladera.quantities import MILLI, Quantity

LEVELS: Final = (0.68, 0.95)  # of the intervals whose coverage is looked at

_NO_SPREAD: Final = (
    1e-6  # of the root mean square spread: what symmetry makes zero, but for rounding
)
_BINS: Final = 10
_FEWEST_IN_A_BIN: Final = 5


@dataclass(frozen=True, eq=False)
class Uncertainty:
    """The spread of a committee on the frames of a data set."""

    n_members: int
    calibration: Calibration
    spreads: Mapping[Quantity, Floats]  # of those that are calibrated, in the shape of the quantity

    def std(self, quantity: Quantity) -> Floats:
        """Standard deviation of the errors, in the shape and unit of the quantity."""
        return self.calibration.factors.get(quantity, 1.0) * self.spreads[quantity]


def fit_factor(errors: Floats, spreads: Floats, n_members: int) -> float:
    """The alpha of the likelihood above.

    Values without a label (NaN) do not count, nor those without spread: symmetry makes forces zero.
    Raises DataError when nothing is left, or when there is no error to explain.
    """
    errors, spreads = _usable(errors, spreads)
    if len(errors) == 0:
        raise DataError(
            "The spread of this committee cannot be calibrated: no value has both a label and a "
            "spread (are its members the same model?)."
        )
    ratios, nu = np.square(errors / spreads), n_members - 1

    def excess(log_alpha: float) -> float:
        squares = ratios * np.exp(-2 * log_alpha)
        return float(np.mean((nu + 1) * squares / (nu + squares))) - 1

    positive = ratios[ratios > 0]
    if len(positive) * (nu + 1) <= len(ratios):
        raise DataError(
            "The spread of this committee cannot be calibrated: its mean agrees with the labels "
            "exactly; calibrate with labels that it was not made from."
        )
    low = 0.5 * np.log(positive.min()) - 20
    high = 0.5 * np.log(positive.max()) + 20
    return float(np.exp(brentq(excess, low, high, xtol=1e-12)))


def reliability(
    errors: Floats, spreads: Floats, n_members: int, factor: float | None
) -> dict[str, Any] | None:
    """How well spreads (times ``factor``) tell the size of errors; None without labels.

    ``errors`` and ``spreads`` in eV or eV/Angstrom, NaN where a label is missing. Of the spread as
    it is (before) and of the calibrated one (after; None without a factor): the share of the
    errors inside the intervals that should hold 68 and 95 % of them, and the mean logarithm of the
    likelihood (errors in meV). Of both: the rank correlation of spread and size of error. ``bins``
    are groups of growing spread: root mean squares of spread and error (meV), and their number.
    """
    from scipy.stats import spearmanr  # half a second, for committees alone

    errors, spreads = _usable(errors, spreads)
    if len(errors) == 0:
        return None
    varied = len(errors) > 2 and np.ptp(spreads) > 0 and np.ptp(np.abs(errors)) > 0
    correlation = float(spearmanr(spreads, np.abs(errors))[0]) if varied else None
    return {
        "count": len(errors),
        "factor": factor,
        "correlation": correlation,
        "before": _agreement(errors, spreads, n_members),
        "after": None if factor is None else _agreement(errors, factor * spreads, n_members),
        "bins": _bins(errors, spreads),
    }


def _agreement(errors: Floats, deviations: Floats, n_members: int) -> dict[str, float]:
    from scipy.stats import t as student

    ratios = np.abs(errors / deviations)
    log_likelihood = student.logpdf(ratios, n_members - 1) - np.log(MILLI * deviations)
    found = {"log_likelihood": float(np.mean(log_likelihood))}
    for level in LEVELS:
        inside = ratios <= coverage_factor(level, n_members)
        found[f"coverage_{100 * level:.0f}"] = float(np.mean(inside))
    return found


def _bins(errors: Floats, spreads: Floats) -> list[dict[str, float]]:
    count = min(_BINS, max(1, len(errors) // _FEWEST_IN_A_BIN))
    groups = np.array_split(np.argsort(spreads, kind="stable"), count)
    return [
        {
            "spread": MILLI * float(np.sqrt(np.mean(spreads[group] ** 2))),
            "error": MILLI * float(np.sqrt(np.mean(errors[group] ** 2))),
            "count": len(group),
        }
        for group in groups
    ]


def _usable(errors: Floats, spreads: Floats) -> tuple[Floats, Floats]:
    labelled = np.isfinite(errors)
    errors, spreads = errors[labelled], spreads[labelled]
    if len(spreads) == 0:
        return errors, spreads
    some = spreads > _NO_SPREAD * np.sqrt(np.mean(np.square(spreads)))
    return errors[some], spreads[some]
