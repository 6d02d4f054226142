r"""Checks that energies, forces and stress belong together, on pairs of nearly identical frames.

How far the energy differences y_k of n pairs follow the work x_k of the forces is said by their
concordance about zero (L. Lin, Biometrics 45, 255 (1989)),

    c = 2 sum_k x_k y_k / sum_k (x_k^2 + y_k^2)

1 only where y = x: unlike a correlation it does not forgive another slope. In Fisher's variable
z = artanh c it scatters by 1 / sqrt(n - 2), so that of sound data, whose c is SOUND or more, n
pairs have z > artanh SOUND - 3 / sqrt(n - 2) but for one time in a thousand. On groups of 7 to 15
neighbouring pairs of 24 public data sets, molecules and crystals, that limit never failed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

import numpy as np

from ladera.arrays import Booleans, Floats, Integers
from ladera.data.dataset import Dataset
from ladera.data.doctor.findings import Finding, counted
from ladera.data.doctor.pairs import NearPairs, near_pairs
from ladera.units import BOHR, GIGAPASCAL, HARTREE, KCAL_PER_MOL

SOUND: Final = 0.95  # concordance of data that belong together, at least
UNLIKE: Final = 0.6  # and the most of data that do not, however many pairs there are
FEWEST: Final = 7  # pairs that can say so, as a warning
ENOUGH: Final = 10  # pairs that forbid a training

_NEAR = 0.3  # Angstrom; real data keep to the trapezoidal rule within 10 to 20 % up to there
_STRAINED = (1e-4, 0.1)

# Which units make the energy difference so many times the work of the forces.
_FORCE_CULPRITS = {
    "energies in Hartree": 1 / HARTREE,
    "forces in Hartree/Bohr": HARTREE / BOHR,
    "forces in Hartree/Angstrom": HARTREE,
    "forces in Hartree/Bohr and energies in Hartree": 1 / BOHR,
    "energies in kcal/mol": 1 / KCAL_PER_MOL,
    "forces in kcal/mol/Angstrom": KCAL_PER_MOL,
    "positions in Bohr": BOHR,
    "gradients instead of forces (the sign)": -1.0,
}
_STRESS_CULPRITS = {
    "the sign of the stress (it should be positive in tension, as in ASE)": -1.0,
    "a stress in GPa": GIGAPASCAL,
    "a stress in GPa and positive in compression": -GIGAPASCAL,
    "a stress in kbar": GIGAPASCAL / 10,
    "a stress in kbar and positive in compression, as VASP prints it": -GIGAPASCAL / 10,
    "a stress in Hartree/Bohr^3": HARTREE / BOHR**3,
}


def forces_and_stress(dataset: Dataset) -> Iterator[Finding]:
    """Energy differences of similar frames against the work of their forces and stress."""
    pairs = near_pairs(dataset)
    near = (pairs.displacement < _NEAR) & (pairs.displacement > 1e-4) & (pairs.strain < 1e-6)
    findings = list(_forces(pairs, near))
    yield from findings
    if any(finding.severity == "error" for finding in findings):
        return  # then the stress would be blamed for the energies
    strained = (pairs.strain > _STRAINED[0]) & (pairs.strain < _STRAINED[1])
    strained &= (pairs.displacement < _NEAR) & np.isfinite(pairs.stress_work)
    yield from _stress(pairs, strained)


def _forces(pairs: NearPairs, which: Booleans) -> Iterator[Finding]:
    numbers = np.flatnonzero(which)
    x, y = pairs.force_work[numbers], pairs.energy_difference[numbers]
    if len(numbers) < 5 or max(_rms(x), _rms(y)) < 0.002:
        return
    regular = _regular(x, y)
    slope, correlation = _line(x[regular], y[regular])
    size = max(_rms(x[regular]), _rms(y[regular]))
    frame, frames = int(pairs.first[numbers[0]]), pairs.frames(numbers)
    if abs(correlation) > 0.85 and not 0.6 < slope < 1.6:
        culprits = dict(_FORCE_CULPRITS)
        if len(set(pairs.n_atoms[numbers].tolist())) == 1:
            culprits["energies per atom"] = 1 / float(pairs.n_atoms[numbers[0]])
        yield Finding.about(
            "error",
            "force-energy-ratio",
            f"Between {len(numbers):,} pairs of similar frames the energy changes by {slope:.4g} "
            f"times the work of the forces, expected 1. Probable: {_culprit(slope, culprits)}.",
            frames,
            worst=frame,
        )
    elif size > 0.02 and _unlike(x[regular], y[regular]):
        yield Finding.about(
            "error" if regular.sum() >= ENOUGH else "warning",
            "force-energy-mismatch",
            f"The forces do not belong to the energies: between {len(numbers):,} pairs of similar "
            f"frames the energy changes by {_rms(y[regular]):.2g} eV where the work of the forces "
            f"is {_rms(x[regular]):.2g} eV (root mean square; concordance "
            f"{_concordance(x[regular], y[regular]):.2f}, expected above {SOUND:g}). Are atoms or "
            "frames in another order, or labels of two calculations mixed?",
            frames,
            worst=frame,
        )
    else:
        yield from _odd_pairs(pairs, numbers[~regular])


def _odd_pairs(pairs: NearPairs, odd: Integers) -> Iterator[Finding]:
    """Single frames whose energy or forces cannot be right."""
    if len(odd) == 0:
        return
    excess = np.abs(pairs.energy_difference - pairs.force_work)[odd]
    worst = int(odd[np.argmax(excess)])
    first, second = int(pairs.first[worst]), int(pairs.second[worst])
    yield Finding.about(
        "warning",
        "force-energy-outlier",
        f"{counted(odd, 'pair')} of similar frames disagree in energy and forces: frames {first} "
        f"and {second} differ by {pairs.energy_difference[worst]:.3f} eV, their forces say "
        f"{pairs.force_work[worst]:.3f} eV. Check both calculations.",
        pairs.frames(odd),
        worst=first,
    )


def _stress(pairs: NearPairs, which: Booleans) -> Iterator[Finding]:
    numbers = np.flatnonzero(which)
    x = pairs.stress_work[numbers]
    y = (pairs.energy_difference - pairs.force_work)[numbers]
    if len(numbers) < 4 or max(_rms(x), _rms(y)) < 0.002:
        return
    regular = _regular(x, y)
    slope, correlation = _line(x[regular], y[regular])
    # Thermal motion blurs the work of small strains, so only a clear relation is judged.
    if abs(correlation) > 0.85 and not 0.5 < slope < 2.0:
        yield Finding.about(
            "error",
            "stress-ratio",
            f"Between {len(numbers):,} pairs of frames in strained cells the energy changes by "
            f"{slope:.4g} times the work of the stress, expected 1. Probable: "
            f"{_culprit(slope, _STRESS_CULPRITS)}.",
            pairs.frames(numbers),
            worst=int(pairs.first[numbers[0]]),
        )


def _regular(x: Floats, y: Floats) -> Booleans:
    """Pairs that are not far outside the spread of y - x of the others."""
    residual = y - x
    residual -= np.median(residual)
    spread = 1.4826 * np.median(np.abs(residual))
    regular: Booleans = np.abs(residual) < max(15 * spread, 0.5)
    return regular


def _line(x: Floats, y: Floats) -> tuple[float, float]:
    """Slope of y over x through the origin, and their correlation about it."""
    xx, xy, yy = float(x @ x), float(x @ y), float(y @ y)
    return xy / max(xx, 1e-300), xy / max(np.sqrt(xx * yy), 1e-300)


def _unlike(x: Floats, y: Floats) -> bool:
    """Whether so small a concordance of y and x cannot be chance."""
    if len(x) < FEWEST:
        return False
    limit = math.tanh(math.atanh(SOUND) - 3 / math.sqrt(len(x) - 2))
    return _concordance(x, y) < min(UNLIKE, limit)


def _concordance(x: Floats, y: Floats) -> float:
    return 2 * float(x @ y) / max(float(x @ x + y @ y), 1e-300)


def _rms(values: Floats) -> float:
    return float(np.sqrt(np.mean(values**2)))


def _culprit(ratio: float, culprits: dict[str, float]) -> str:
    """The explanations whose factors are within 25 % of a ratio, the closest first.

    Hartree and kcal/mol/Angstrom, say, are too close to tell apart by a noisy ratio.
    """
    distances = {
        name: abs(float(np.log(ratio / factor)))
        for name, factor in culprits.items()
        if ratio * factor > 0
    }
    names = sorted(
        (name for name in distances if distances[name] < 0.25), key=lambda name: distances[name]
    )
    if not names:
        return "units or signs are wrong in a way not known here"
    return " or ".join(names)
