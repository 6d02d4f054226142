"""Measured spectra: JCAMP-DX files, or two columns of text."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from scipy.ndimage import gaussian_filter1d
from scipy.optimize import linear_sum_assignment
from scipy.signal import find_peaks

from ladera.arrays import Floats
from ladera.errors import DataError
from ladera.identity import sha256
from ladera.plotting import PALETTE
from ladera.provenance import came_from

STICKS: Final = 60  # a file with fewer points lists peaks, one with more is a curve
PROMINENCE: Final = 0.03  # of a peak, of the highest
WEAK: Final = 0.01  # bands below this part of the strongest are looked for in no measured spectrum
FARTHEST_MATCH: Final = 0.08  # of the wavenumber
_LEAST_TRANSMITTANCE: Final = 1e-3  # below it a detector sees nothing
_FWHM: Final = float(np.sqrt(8 * np.log(2)))  # in standard deviations of a Gaussian


@dataclass(frozen=True)
class MeasuredSpectrum:
    """Absorbance against wavenumber, ascending; the highest point is one."""

    wavenumbers: Floats  # (n,), cm^-1
    absorbance: Floats  # (n,), no unit
    source: str

    @property
    def hash(self) -> str:
        """The hash of its points, by which the file it was read from is known."""
        return sha256(self.wavenumbers, self.absorbance)

    def peaks(self, width: float) -> Floats:
        """Wavenumbers of the peaks, those closer than ``width`` (cm^-1) being one, (n_peaks,)."""
        if len(self.wavenumbers) < STICKS:
            return self.wavenumbers
        even = np.linspace(self.wavenumbers[0], self.wavenumbers[-1], 2 * len(self.wavenumbers))
        curve = np.interp(even, self.wavenumbers, self.absorbance)
        smooth = gaussian_filter1d(curve, width / _FWHM / (even[1] - even[0]))
        tops, _ = find_peaks(smooth, prominence=PROMINENCE * np.ptp(smooth))
        peaks: Floats = even[tops]
        return peaks

    def matched(self, bands: Floats, intensities: Floats, width: float) -> tuple[Floats, Floats]:
        """The measured peak of each computed band, (n_bands,), and the peaks that are left.

        Peaks are given to bands (cm^-1) so that the sum of the squared shifts is least, none
        farther than 8 % and none to a band below 1 % of the strongest; not-a-number stands for
        none.
        """
        observed = np.full(len(bands), np.nan)
        peaks = self.peaks(width)
        strong = np.flatnonzero((bands > 0) & (intensities >= WEAK * intensities.max(initial=0)))
        apart = np.abs(bands[strong, None] - peaks)
        allowed = apart <= FARTHEST_MATCH * peaks
        rows, columns = linear_sum_assignment(np.where(allowed, apart**2, 1e9))
        kept = allowed[rows, columns]
        observed[strong[rows[kept]]] = peaks[columns[kept]]
        return observed, np.delete(peaks, columns[kept])

    def draw(self, panel: Axes, top: float) -> None:
        """Put it, dashed and with ``top`` as its height, on a panel whose abscissa is cm^-1."""
        look: dict[str, Any] = {"color": PALETTE[1], "label": "measured, to the same height"}
        heights = top * self.absorbance
        if len(self.wavenumbers) < STICKS:
            panel.vlines(self.wavenumbers, 0, heights, linestyles="dashed", **look)
        else:
            panel.plot(self.wavenumbers, heights, ls=(0, (4, 2)), lw=1, **look)


def read_spectrum(path: str | os.PathLike[str]) -> MeasuredSpectrum:
    """A measured infrared spectrum.

    JCAMP-DX (data as (X++(Y..Y)), packed or not, or (XY..XY)), its units as the file says; or
    two columns, wavenumber in cm^-1 and absorbance, between which spaces, commas or semicolons
    stand; with the word transmittance in a line above them the second is that. Transmittance T
    becomes the absorbance -lg T.

    Raises DataError for a file that is missing or holds neither.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"There is no spectrum {path}; check the path.")
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
        x, y = _jcamp(text) if "##" in text and "TITLE" in text.upper() else _columns(text)
    except (ValueError, KeyError, IndexError) as error:
        raise DataError(
            f"{path} could not be read as a spectrum ({error}); give a JCAMP-DX file, or two "
            "columns of wavenumber (cm^-1) and absorbance."
        ) from error
    order = np.argsort(x, kind="stable")
    x, y = x[order], y[order]
    if not (np.isfinite(x).all() and np.isfinite(y).all() and y.max() > 0 and x[0] > 0):
        raise DataError(f"{path}: wavenumbers and absorbance must be finite and above zero.")
    spectrum = MeasuredSpectrum(x, y / y.max(), path.name)
    came_from(spectrum.hash, path)
    return spectrum


def _columns(text: str) -> tuple[Floats, Floats]:
    rows, header = [], ""
    for number, line in enumerate(text.splitlines(), start=1):
        words = re.split(r"[\s,;]+", line.strip())
        try:
            rows.append((float(words[0]), float(words[1])))
        except (ValueError, IndexError):
            if rows and line.strip() and not line.lstrip().startswith(("#", "!")):
                raise ValueError(
                    f"line {number} has no two numbers: {line.strip()[:40]!r}"
                ) from None
            header += line.lower()
    if not rows:
        raise ValueError("it has no lines of two numbers")
    x, y = np.array(rows).T
    return x, _absorbance(y) if "transmittance" in header else y


def _jcamp(text: str) -> tuple[Floats, Floats]:
    """Wavenumbers and absorbance of the first data block."""
    records: dict[str, str] = {}
    for record in text.split("##")[1:]:
        label, _, value = record.partition("=")
        records.setdefault(re.sub(r"[\s\-/_]", "", label).upper(), value)
    if "XYDATA" in records:
        x, y = _even_data(records)
    else:
        body = records.get("XYPOINTS") or records.get("PEAKTABLE")
        if body is None:
            raise ValueError("it has no XYDATA, XYPOINTS or PEAK TABLE")
        x, y = _pairs(records, body)
    if "MICRO" in records.get("XUNITS", "").upper():
        x = 1e4 / x
    return x, _absorbance(y) if "TRANSMIT" in records.get("YUNITS", "").upper() else y


def _pairs(records: dict[str, str], body: str) -> tuple[Floats, Floats]:
    words = re.findall(r"[-+]?\d[\d.]*(?:[eE][-+]?\d+)?", _without_comments(body))
    values = np.array(words[: len(words) // 2 * 2], dtype=float).reshape(-1, 2)
    return values[:, 0] * _factor(records, "X"), values[:, 1] * _factor(records, "Y")


def _even_data(records: dict[str, str]) -> tuple[Floats, Floats]:
    """(X++(Y..Y)): each line has its first abscissa and then ordinates at even distances."""
    values: list[float] = []
    last_was_difference = False
    for line in _without_comments(records["XYDATA"]).splitlines()[1:]:
        abscissa = re.match(r"\s*[-+]?\d*\.?\d+(?:[eE][-+]\d+)?", line)
        if abscissa is None:
            continue
        ordinates, differences = _unpack(line[abscissa.end() :], values[-1] if values else 0.0)
        # After differences a line begins with the last ordinate once more, as a check.
        values += ordinates[1:] if last_was_difference and values else ordinates
        last_was_difference = differences
    first, last = float(records["FIRSTX"]), float(records["LASTX"])
    count = int(float(records.get("NPOINTS", len(values))))
    if count != len(values):
        raise ValueError(f"it says {count} points and has {len(values)}")
    return np.linspace(first, last, count), np.array(values) * _factor(records, "Y")


_PACKED: Final = re.compile(
    r"(?P<squeezed>[@A-Ia-i]\d*\.?\d*)|(?P<difference>[%J-Rj-r]\d*)|(?P<repeat>[S-Zs]\d*)"
    r"|(?P<plain>[-+]?\d+\.?\d*(?:[eE][-+]\d+)?)"
)


def _unpack(text: str, before: float) -> tuple[list[float], bool]:
    """Ordinates of a line, and whether the last of them was a difference (ASDF, McDonald and
    Wilks, Appl. Spectrosc. 42, 151 (1988)).
    """
    values: list[float] = []
    step: float | None = None
    for match in _PACKED.finditer(text):
        word = match.group()
        if match["squeezed"] or match["plain"]:
            values.append(
                float(_digits(word, "@ABCDEFGHI", "abcdefghi") if match["squeezed"] else word)
            )
            step = None
        elif match["difference"]:
            step = float(_digits(word, "%JKLMNOPQR", "jklmnopqr"))
            values.append((values[-1] if values else before) + step)
        else:
            for _ in range(int(_digits(word, "STUVWXYZ", "s", first=1).replace("s", "9")) - 1):
                values.append(values[-1] + (step or 0.0))
    return values, step is not None


def _digits(word: str, plus: str, minus: str, first: int = 0) -> str:
    """The number that a letter and digits stand for: its place in ``plus``, or in ``minus``."""
    if word[0] in plus:
        return str(plus.index(word[0]) + first) + word[1:]
    if first:
        return "9" + word[1:]
    return "-" + str(minus.index(word[0]) + 1) + word[1:]


def _factor(records: dict[str, str], axis: str) -> float:
    return float(records.get(f"{axis}FACTOR", "1"))


def _without_comments(text: str) -> str:
    return re.sub(r"\$\$.*", "", text)


def _absorbance(transmittance: Floats) -> Floats:
    """-lg T, of a fraction or of percents."""
    fraction = transmittance / (100 if transmittance.max() > 2 else 1)
    absorbance: Floats = -np.log10(np.clip(fraction, _LEAST_TRANSMITTANCE, None))
    return absorbance - min(0.0, float(absorbance.min()))
