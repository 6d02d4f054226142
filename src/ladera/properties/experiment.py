"""Measured spectra: JCAMP-DX files, or two columns of text."""

from __future__ import annotations

import os
import re
import unicodedata
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
from ladera.files import closest
from ladera.identity import sha256
from ladera.plotting import PALETTE
from ladera.provenance import came_from
from ladera.tables import Column, Number

STICKS: Final = 60  # a file with fewer points lists peaks, one with more is a curve
PROMINENCE: Final = 0.03  # of a peak, of the highest
WEAK: Final = 0.01  # bands below this part of the strongest are looked for in no measured spectrum
FARTHEST_MATCH: Final = 0.08  # of the wavenumber
LEAST_WAVENUMBER, LARGEST_WAVENUMBER = 100.0, 20_000.0  # cm^-1, of the end of an unnamed column
LARGEST_ABSORBANCE: Final = 10.0  # no detector sees more
MOST_POINTS: Final = 1_000_000  # that a packed word repeats
_LEAST_TRANSMITTANCE: Final = 1e-3  # below it a detector sees nothing
_MOST_FRACTION: Final = 2.0  # a transmittance above it is in percent
_TABLES: Final = ("XYDATA", "XYPOINTS", "PEAKTABLE")
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
    two columns, between which spaces, commas, semicolons or tabs stand, with decimal points or,
    where no comma parts the columns, decimal commas. Lines above the columns say what these are:
    wavenumber (cm^-1) or wavelength (micrometres, nanometres), and absorbance or transmittance, in
    percent or a fraction, in the words of the instruments. Columns without such words are
    wavenumber and absorbance, and are refused where they do not look like it. Transmittance T
    becomes the absorbance -lg T.

    Raises DataError for a file that is missing or holds neither.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"There is no spectrum {path}; {closest(path)}")
    try:
        text = path.read_text(encoding="utf-8-sig", errors="replace")
        x, y = _jcamp(text) if _JCAMP.search(text) else _columns(text)
        if not (np.isfinite(x).all() and np.isfinite(y).all() and y.max() > 0 and x.min() > 0):
            raise ValueError("wavenumbers and absorbance must be finite and above zero")
    except KeyError as error:
        raise DataError(f"{path} could not be read as a spectrum: it has no {error}.") from error
    except (ValueError, IndexError, OverflowError) as error:
        raise DataError(
            f"{path} could not be read as a spectrum ({error}); give a JCAMP-DX file, or two "
            "columns of wavenumber (cm^-1) and absorbance."
        ) from error
    order = np.argsort(x, kind="stable")
    spectrum = MeasuredSpectrum(x[order], y[order] / y.max(), path.name)
    came_from(spectrum.hash, path)
    return spectrum


# --- what the columns are ----------------------------------------------------------------------

_MINUS: Final = "[-\u2010-\u2015\u2212\u207b]"
_WAVENUMBER: Final = re.compile(
    rf"cm\s*\^?\s*[({{]?\s*{_MINUS}\s*1|1\s*/\s*cm|wave\s*number|wellenzahl|kayser|"
    r"numero d[ei]?['\s]\s*\s*onda|nombre d'onde"
)
_LENGTHS: Final = {  # of the waves, and how many of their unit are a centimetre
    re.compile("micromet|micron|[\u00b5\u03bc]m\\b|\\bum\\b"): 1e4,
    re.compile(r"nanomet|\bnm\b"): 1e7,
}
_NO_WAVENUMBER: Final = re.compile(
    r"wave\s*length|longitud de onda|wellenlange|longueur d'onde|\bthz\b|\bghz\b|\bhz\b|\bm?ev\b"
)
_TRANSMITTANCE: Final = re.compile(r"tran?smi[ts]|durchlass|%\s*t\b|\bt\s*[\[(/]?\s*%")
_ABSORBANCE: Final = re.compile(r"absor|extin[ck]|\babs\b|micromol/mol")
_NO_ABSORBANCE: Final = re.compile(
    r"reflec|reflex|%\s*r\b|kubelka|raman|single.?beam|interferogram|emissi|emision"
)


def _plain(words: str) -> str:
    """Words in lower case and without accents."""
    decomposed = unicodedata.normalize("NFD", words.lower().replace("\u00b9", "1"))
    return "".join(letter for letter in decomposed if not unicodedata.combining(letter))


def _wavenumbers(x: Floats, words: str) -> Floats:
    """x (cm^-1) of an abscissa that ``words`` are about."""
    for pattern, per_centimetre in _LENGTHS.items():
        if pattern.search(words) and not _WAVENUMBER.search(words):
            return per_centimetre / x
    found = None if _WAVENUMBER.search(words) else _NO_WAVENUMBER.search(words)
    if found or not LEAST_WAVENUMBER < x.max() < LARGEST_WAVENUMBER:
        what = f"'{found.group()}'" if found else f"the first column ends at {x.max():g}"
        raise ValueError(
            f"{what} is no wavenumber; say above the columns what they are, such as "
            "'cm-1,absorbance' or 'micrometers,absorbance'"
        )
    return x


def _absorbances(y: Floats, words: str, label: str = "") -> Floats:
    """The absorbance of an ordinate that ``words`` are about; ``label`` those right above it."""
    found = _NO_ABSORBANCE.search(label or words)
    if found:
        raise ValueError(f"'{found.group()}' is neither absorbance nor transmittance")
    for said in (label, words):
        transmitted = _TRANSMITTANCE.search(said) or said.strip(" '\"") == "t"
        absorbed = _ABSORBANCE.search(said) or said.strip(" '\"") == "a"
        if transmitted and absorbed:
            raise ValueError("it says transmittance and absorbance of its one column")
        if absorbed:
            return y
        if transmitted:
            return _of_transmittance(y, percent="%" in said)
    hanging = np.median(y) > 0.5 * (y.min() + y.max())
    if len(y) >= STICKS and (hanging or y.max() > LARGEST_ABSORBANCE):
        raise ValueError(
            "nothing says what the second column is, and it looks like transmittance; write "
            "'cm-1,%T', 'cm-1,transmittance' or 'cm-1,absorbance' above the columns"
        )
    return y


def _of_transmittance(transmittance: Floats, percent: bool) -> Floats:
    """-lg T, of a fraction or of percents."""
    highest = float(transmittance.max())
    if highest <= 0 or highest > 150 or (percent and highest <= _MOST_FRACTION):
        raise ValueError(f"its highest transmittance is {highest:g}{' %' if percent else ''}")
    fraction = transmittance / (100 if highest > _MOST_FRACTION else 1)
    absorbance: Floats = -np.log10(np.clip(fraction, _LEAST_TRANSMITTANCE, None))
    return absorbance - min(0.0, float(absorbance.min()))


_JCAMP: Final = re.compile(r"^\s*##\s*TITLE", re.IGNORECASE | re.MULTILINE)


# --- columns -----------------------------------------------------------------------------------


def _columns(text: str) -> tuple[Floats, Floats]:
    rows: list[tuple[float, float]] = []
    header: list[str] = []
    decimals: set[str] = set()
    for number, line in enumerate(text.splitlines(), start=1):
        words = _fields(line)
        values = [_number(word) for word in words]
        if len(values) == 2 and values[0] is not None and values[1] is not None:
            rows.append((values[0], values[1]))
            decimals |= {mark for word in words for mark in ".," if mark in word}
        elif len(values) > 2 and all(value is not None for value in values):
            raise ValueError(
                f"line {number} has {len(values)} columns ({line.strip()[:40]}); keep wavenumber "
                "and one spectrum, with decimal points"
            )
        elif not rows:
            header.append(line)
        elif line.strip() and not line.lstrip().startswith(("#", "!")):
            raise ValueError(f"line {number} has no two numbers: {line.strip()[:40]!r}")
    if not rows:
        raise ValueError("it has no lines of two numbers")
    if len(decimals) > 1:
        raise ValueError("some of its numbers have decimal points and some decimal commas")
    x, y = np.array(rows).T
    said = [line.strip(" #!\t\r") for line in header if line.strip(" #!\t\r,;")]
    labels = _fields(said[-1]) if said else []
    above, label = _plain("\n".join(said)), _plain(labels[-1]) if len(labels) > 1 else ""
    return _wavenumbers(x, above), _absorbances(y, above, label)


def _fields(line: str) -> list[str]:
    """The columns of a line, without the quotes around them; none for what is left empty."""
    line = line.strip()
    mark = next((mark for mark in ";\t" if mark in line), None)
    if mark is None:
        spaced = line.split()
        is_spaced = len(spaced) > 1 and all(_number(word) is not None for word in spaced)
        mark = None if is_spaced or "," not in line else ","
    words = [word.strip().strip("\"'").strip() for word in line.split(mark)]
    return [word for word in words if word]


def _number(word: str) -> float | None:
    """A number with a decimal point or comma; None for anything else."""
    if not re.fullmatch(r"[-+]?(\d+(\.\d*|,\d+)?|[.,]\d+)([eE][-+]?\d+)?", word):
        return None
    return float(word.replace(",", "."))


def comparison(
    source: str, shifts: Floats, unmatched: Floats
) -> tuple[tuple[Column, str | Number], ...]:
    """What a table says of a measured spectrum: ``shifts`` and ``unmatched`` peaks in cm^-1."""
    found = np.abs(shifts[np.isfinite(shifts)])
    mean = Number(float(found.mean())) if len(found) else Number(np.nan, note="no peak matched")
    left = ", ".join(f"{peak:.0f}" for peak in unmatched) or "none"
    return (
        (Column("measured"), source),
        (Column("mean size of the shifts", "cm^-1", pattern=".1f"), mean),
        (Column("measured peaks that match nothing, cm⁻¹"), left),
    )


# --- JCAMP-DX ----------------------------------------------------------------------------------


def _jcamp(text: str) -> tuple[Floats, Floats]:
    """Wavenumbers and absorbance of the one data block."""
    records: dict[str, str] = {}
    tables = 0
    for record in re.sub(r"\$\$.*", "", text).split("##")[1:]:
        label, _, value = record.partition("=")
        label = re.sub(r"[\s\-/_]", "", label).upper()
        tables += label in _TABLES
        records.setdefault(label, value)
    if tables != 1:
        raise ValueError(
            f"it has {tables} of XYDATA, XYPOINTS and PEAK TABLE; keep one spectrum in it"
        )
    kind = records.get("DATATYPE", "").strip()
    if kind and "INFRARED" not in kind.upper():
        raise ValueError(f"its DATA TYPE is {kind}, not INFRARED SPECTRUM")
    name = next(name for name in _TABLES if name in records)
    form, _, body = records[name].partition("\n")
    form = re.sub(r"\s", "", form).upper()
    if name == "XYDATA" and form.startswith("(X++"):
        x, y = _even_data(records, body)
    elif form == "(XY..XY)":
        x, y = _pairs(records, body)
    else:
        raise ValueError(f"its {name} has the form '{form}', not (X++(Y..Y)) or (XY..XY)")
    if len(x) == 0:
        raise ValueError(f"its {name} is empty")
    unit = _plain(records.get("XUNITS", ""))
    return _wavenumbers(x, unit), _absorbances(y, _plain(records.get("YUNITS", "")))


def _pairs(records: dict[str, str], body: str) -> tuple[Floats, Floats]:
    words = re.findall(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?", body)
    if len(words) % 2:
        raise ValueError(f"it has {len(words)} numbers, which are no pairs")
    values = np.array(words, dtype=float).reshape(-1, 2)
    return values[:, 0] * _factor(records, "X"), values[:, 1] * _factor(records, "Y")


def _even_data(records: dict[str, str], body: str) -> tuple[Floats, Floats]:
    """(X++(Y..Y)): each line has its first abscissa and then ordinates at even distances."""
    values: list[float] = []
    last_was_difference = False
    for line in body.splitlines():
        abscissa = re.match(r"\s*[-+]?\d*\.?\d+(?:[eE][-+]\d+)?", line)
        if abscissa is None:
            continue
        ordinates, differences = _unpack(line[abscissa.end() :], values[-1] if values else 0.0)
        # After differences a line begins with the last ordinate once more, as a check.
        values += ordinates[1:] if last_was_difference and values else ordinates
        last_was_difference = differences
    first, last = float(records["FIRSTX"]), float(records["LASTX"])
    count = float(records.get("NPOINTS", len(values)))
    if count != len(values):
        raise ValueError(f"it says {count:g} points and has {len(values)}")
    return np.linspace(first, last, len(values)), np.array(values) * _factor(records, "Y")


_PACKED: Final = re.compile(
    r"(?P<squeezed>[@A-Ia-i]\d*\.?\d*)|(?P<difference>[%J-Rj-r]\d*)|(?P<repeat>[S-Zs]\d*)"
    r"|(?P<plain>[-+]?\d+\.?\d*(?:[eE][-+]\d+)?)"
)


def _unpack(text: str, before: float) -> tuple[list[float], bool]:
    """Ordinates of a line, and whether the last of them was a difference (ASDF, McDonald and
    Wilks, Appl. Spectrosc. 42, 151 (1988)).
    """
    strange = _PACKED.sub("", text).strip(" \t\r,;")
    if strange:
        raise ValueError(f"'{strange[:10]}' in its table is no number; leave such points out")
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
            count = float(_digits(word, "STUVWXYZ", "s", first=1).replace("s", "9")) - 1
            if count + len(values) > MOST_POINTS or not values:
                raise ValueError(f"'{word[:20]}' repeats a value {count:g} times")
            values += [values[-1] + (k + 1) * (step or 0.0) for k in range(int(count))]
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
