r"""Reference energies E0 of new data, given a base that was trained at another level of theory.

A base predicts the energy of a structure as sum_i E0(Z_i) + its interactions. Where the new data
come from another level of theory their atoms have other E0. They are

    isolated_atoms  the energies of the free atoms in the data, if all elements have one
    least_squares   E0 + d, d the least squares solution of E - E_base = sum_i d(Z_i)
    base            those of the base
    given           the user's own

and ``automatic`` is the first of the first two that is possible and goes with the base. Given ones,
and free atoms, need only be of the elements that the base has not met (:func:`of_new`). The second
keeps the interactions of the base where they are; the first is right only as far as both levels of
theory agree on the energy of making the structure from its atoms. A student that was taught by
another model has never seen a free atom, and does not: it would have to unlearn some eV per atom.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from ladera.arrays import Booleans, Floats
from ladera.data import reference_energies
from ladera.data.dataset import Dataset
from ladera.errors import DataError

# A mean error above this, and above so many times what a fit of E0 leaves, is one of E0, eV/atom.
_SUSPICIOUS: Final = 0.05
_FACTOR: Final = 3.0
_REMEDY: Final = "set reference_energies: least_squares to begin closer"


@dataclass(frozen=True)
class References:
    """The reference energies of a fine-tuning, and how well the base agrees with the data then.

    The errors are the root mean square of the base's energies per atom on the training frames,
    eV/atom: with its own E0, with the new ones, and with those fitted by least squares.
    """

    method: str
    base: Mapping[str, float]  # eV
    new: Mapping[str, float]
    error_base: float
    error_new: float
    error_fitted: float

    def to_json(self) -> dict[str, object]:
        """What the files of a run say of them."""
        return {
            "method": self.method,
            "base_ev": dict(self.base),
            "new_ev": dict(self.new),
            "base_energy_rmse_mev_per_atom": {
                "with_its_own_references": 1e3 * self.error_base,
                "with_the_new_ones": 1e3 * self.error_new,
                "with_fitted_ones": 1e3 * self.error_fitted,
            },
        }


def estimate(
    wish: str | Mapping[str, float],
    dataset: Dataset,
    predicted: Floats,
    base: Mapping[str, float],
    new: Sequence[str] = (),
    keep: bool = False,
) -> References:
    """E0 of the elements of some frames, as asked for by ``wish``.

    ``predicted`` (n_frames,) are the base's energies in eV, ``base`` its E0, and of elements
    ``new`` to it those that :func:`of_new` or the user says. Frames that are free
    atoms set E0 and nothing else. Raises DataError when what is asked for is not in the data; warns
    where E0 do not go with the base (see :func:`check`), which ``automatic`` leaves for fitted;
    with ``keep`` it tries those of the base first.
    """
    old = {symbol: base[symbol] for symbol in dataset.symbols}
    fitted = fit(dataset, predicted, old)

    def references(method: str, taken: dict[str, float]) -> References:
        errors = (_error(dataset, predicted, old, values) for values in (old, taken, fitted))
        return References(method, old, taken, *errors)

    is_open = wish == "automatic"
    first = "base" if keep and is_open else wish
    chosen = references(*_chosen(first, dataset, old, fitted, new))
    if check(chosen, "fitted ones are taken" if is_open else _REMEDY) or not is_open:
        return chosen
    return references("least_squares", fitted)


def free_atoms(dataset: Dataset) -> Dataset:
    """The frames that are free atoms."""
    return dataset[reference_energies.isolated_atoms(dataset)]


def of_new(
    dataset: Dataset, predicted: Floats, base: Mapping[str, float], new: Sequence[str]
) -> dict[str, float]:
    """E0 of elements ``new`` to the base: of their free atoms, else fitted beside the others' own.

    With these a base that was right of the others is as near to the labels as it can be.
    """
    free = free_atoms(dataset)
    of_free = reference_energies.from_isolated_atoms(free) if len(free) else {}
    found = {symbol: of_free[symbol] for symbol in new if symbol in of_free}
    changed = np.array([found.get(s, base[s]) - base[s] for s in dataset.symbols])
    rest = [symbol for symbol in new if symbol not in found]
    predicted = predicted + dataset.compositions @ changed
    return found | (fit(dataset, predicted, {s: base[s] for s in rest}) if rest else {})


def fit(dataset: Dataset, predicted: Floats, base: Mapping[str, float]) -> dict[str, float]:
    """E0 + d with the d that bring the base's energies closest to the labels.

    Of the elements of ``base``, E0 of others stay. Of elements that the compositions do not tell
    apart the smallest changes are taken.
    """
    usable = _usable(dataset)
    if not usable.any():
        raise DataError("No frame to fine-tune on has an energy; give the reference energies.")
    counts = dataset.atom_counts[usable]
    columns = [dataset.symbols.index(symbol) for symbol in base]
    fractions = dataset.compositions[usable][:, columns] / counts[:, None]
    residual = (dataset.column("energy") - predicted)[usable] / counts
    change = np.linalg.lstsq(fractions, residual, rcond=1e-10)[0]
    return {s: base[s] + float(d) for s, d in zip(base, change, strict=True)}


def check(references: References, remedy: str) -> bool:
    """Warn where the new E0 leave the base with an error that other E0 would not; False there."""
    if references.error_new <= max(_SUSPICIOUS, _FACTOR * references.error_fitted):
        return True
    warnings.warn(
        f"With the reference energies of the data ({references.method}) the base is off by "
        f"{1e3 * references.error_new:.0f} meV/atom, with fitted ones by "
        f"{1e3 * references.error_fitted:.0f}: the base and the data disagree on the energies "
        f"of atoms in structures; {remedy}.",
        stacklevel=3,
    )
    return False


def _chosen(
    wish: str | Mapping[str, float],
    dataset: Dataset,
    old: dict[str, float],
    fitted: dict[str, float],
    new: Sequence[str],
) -> tuple[str, dict[str, float]]:
    match wish:
        case "base":
            return "base", old
        case "least_squares":
            return "least_squares", fitted
        case "isolated_atoms":
            return "isolated_atoms", reference_energies.from_isolated_atoms(dataset)
        case "automatic":
            free = free_atoms(dataset).symbols
            if set(free) >= set(dataset.symbols):
                return "isolated_atoms", reference_energies.from_isolated_atoms(dataset)
            if new and set(free) >= set(new):
                return "isolated_atoms", old
            return "least_squares", fitted
        case str():
            raise DataError(f"There are no reference energies '{wish}'.")
        case values:
            return "given", reference_energies.from_values(old | dict(values), dataset)


def _usable(dataset: Dataset) -> Booleans:
    usable = np.array(dataset.has("energy"))
    usable[reference_energies.isolated_atoms(dataset)] = False
    return usable


def _error(
    dataset: Dataset, predicted: Floats, old: Mapping[str, float], new: Mapping[str, float]
) -> float:
    usable = _usable(dataset)
    change = np.array([new[symbol] - old[symbol] for symbol in dataset.symbols])
    residual = predicted + dataset.compositions @ change - dataset.column("energy")
    per_atom = (residual / dataset.atom_counts)[usable]
    return float(np.sqrt(np.mean(per_atom**2)))
