"""The integral of a correlation function from the logarithm of its spectrum, with its error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.special import polygamma, psi

from ladera.arrays import Floats

_MARGIN: Final = 1.5  # times the coefficients that Akaike's criterion asks for
_FEWEST: Final = 8  # frequencies that are looked at


@dataclass(frozen=True)
class Cepstrum:
    """What the spectrum of several series says at frequency zero."""

    integral: float  # of the correlation function from zero to infinity, in squares times time
    error: float  # standard error of the integral
    n_coefficients: int  # that the smooth spectrum is made of
    frequencies: Floats  # (n // 2 + 1,), in one over the unit of time
    spectrum: Floats  # (n // 2 + 1,), mean periodogram, of both sides: S(0) is twice the integral
    smooth: Floats  # (n_used,), the spectrum of the coefficients that count, as far as it was used


def cepstrum(series: Floats, interval: float) -> Cepstrum:
    r"""Cepstral analysis of independent series (n_series, n) of one process, in even steps.

    ::

        S_k   = interval / n  mean over l series of |sum_t x_t exp(-2 pi i k t / n)|^2
        C_m   = 1/(2 K) sum_{-K < k <= K} [log S_k - psi(l) + log l] exp(pi i k m / K)
        log S(0) = C_0 + 2 sum_{0 < m < P} C_m,    variance  psi'(l) (4 P - 2) / (2 K)

    Ordinates of a periodogram are independent and chi-squared about the spectrum, so that their
    logarithms have one known variance, and later coefficients are noise. P is 1.5 times what
    Akaike's criterion asks for, the least of K / psi'(l) sum_{m >= P} C_m^2 + P (Ercole, Marcolongo
    and Baroni, Sci. Rep. 7, 15835 (2017)). The K frequencies end where the smooth spectrum first
    falls to half of its value at zero: a wider range needs coefficients that drown in noise one by
    one and matter in sum. With both choices the errors hold what they promise on processes of
    several relaxation times (tests). The integral of the correlation is S(0) / 2.
    """
    count, length = series.shape
    transforms = np.fft.rfft(series, axis=1)
    spectrum = interval / length * (np.abs(transforms) ** 2).mean(axis=0)
    freedom = np.full(len(spectrum), float(count))
    freedom[0] /= 2  # real there: half of the degrees of freedom
    logarithms = np.log(spectrum) - psi(freedom) + np.log(freedom)
    variance = float(polygamma(1, count))
    last = (length - 1) // 2  # what is real again at the end is left out
    while True:
        smooth, kept = _smooth(logarithms[: last + 1], variance)
        low = np.flatnonzero(smooth < 0.5 * smooth[0])
        if not len(low) or not _FEWEST <= low[0] < last:
            break
        last = int(low[0])
    integral = float(smooth[0] / 2)
    return Cepstrum(
        integral=integral,
        error=integral * float(np.sqrt(variance * (4 * kept - 2) / (2 * last))),
        n_coefficients=kept,
        frequencies=np.arange(len(spectrum)) / (length * interval),
        spectrum=spectrum,
        smooth=smooth,
    )


def _smooth(logarithms: Floats, variance: float) -> tuple[Floats, int]:
    """The spectrum (K + 1,) of the cepstral coefficients that count, and how many these are."""
    last = len(logarithms) - 1
    coefficients = np.fft.irfft(logarithms, n=2 * last)[:last]
    left = np.cumsum((coefficients**2)[::-1])[::-1]  # (K,): of all from each one on
    numbers = np.arange(1, last)
    best = int(numbers[np.argmin(last / variance * left[1:] + numbers)])
    count = min(int(np.ceil(_MARGIN * best)), last - 1)
    kept = np.zeros(2 * last)
    kept[:count] = coefficients[:count]
    kept[2 * last - count + 1 :] = coefficients[1:count][::-1]
    return np.exp(np.fft.rfft(kept).real), count


def correlations(series: Floats, n_lags: int) -> Floats:
    """Autocorrelation of each series (..., n) over time origins, (..., n_lags)."""
    length = series.shape[-1]
    transforms = np.fft.rfft(series, n=2 * length)
    products = np.fft.irfft(np.abs(transforms) ** 2)[..., :n_lags]
    means: Floats = products / (length - np.arange(n_lags))
    return means
