"""Which key of a file holds which label, and how its numbers become a frame."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ladera.data.formats.unread import check_units, lookalikes, odd_mass
from ladera.data.frame import Frame
from ladera.data.label_keys import LabelKeys, without
from ladera.errors import DataError
from ladera.quantities import QUANTITIES
from ladera.structure import charge_said, spin_said
from ladera.units import METAL, UnitSystem

# Labels that few want: one that does not fit is passed over unless it was asked for.
_UNASKED: Final = ("dipole", "charges")
STATE: Final = ("initial_charges", "initial_magmoms")  # columns of charge and spin of the whole
AT_ZERO_BROADENING: Final = "energy at zero broadening"  # where the energy is the free energy


__all__ = ["DataWarning", "FileLabels", "LabelKeys"]


class DataWarning(UserWarning):
    """Something of a data file was not read."""


class FileLabels:
    """The labels of one file: makes a frame of each structure, and says what was not read."""

    def __init__(self, path: Path, keys: LabelKeys, units: UnitSystem | None) -> None:
        self._path, self._keys = path, keys
        self._units, self._units_said = units or METAL, units is not None
        self._found: set[str] = set()
        self._free_atoms_only = True
        self._remarks: dict[str, tuple[str, int]] = {}

    def frame(
        self,
        values: Mapping[str, Any],
        *,
        numbers: NDArray[np.int64],
        positions: NDArray[np.float64],
        cell: NDArray[np.float64],
        periodic: NDArray[np.bool_],
        source: str,
        subset: str = "",
    ) -> Frame:
        """A frame in Ladera's units from a file's numbers.

        ``values`` holds whatever the file says, by its own keys, as text, numbers or arrays;
        positions and cell are in the file's unit of length. Raises DataError for a value of the
        wrong kind, for stress and virial that contradict each other, and for declared units that
        the file is not read in.
        """
        keys, units = self._keys, self._units
        self._found |= set(values) - {AT_ZERO_BROADENING}
        self._free_atoms_only &= len(numbers) == 1
        check_units(values, units, self._units_said, source)
        labels: dict[str, Any] = {}
        for quantity in QUANTITIES:
            shape = (len(numbers), *quantity.shape) if quantity.per_atom else quantity.shape
            sizes = (9, 6) if quantity.shape == (3, 3) else (math.prod(shape),)
            value = self._numeric(quantity.name, values, source, sizes, quantity.factor(units))
            if value is not None:
                value = _matrix(value) if quantity.shape == (3, 3) else value.reshape(shape)
                labels[quantity.name] = value if shape else float(value)
        frame = Frame(
            numbers=numbers,
            positions=positions * units.length,
            cell=cell * units.length,
            periodic=periodic,
            **labels,
            config_type=str(values.get(keys.config_type, "")) if keys.config_type else "",
            head=str(values.get(keys.head, "")) if keys.head else "",
            subset=subset,
            source=source,
        )
        for name in ("total_charge", "weight"):
            value = self._numeric(name, values, source, (1,), 1.0)
            if value is not None:
                frame = frame.with_(**{name: float(value[0])})
        self._look(frame, values)
        if not self._keys.any_label:
            frame = self._with_state(frame, values)
        return self._with_stress(frame, values)

    def check(self) -> None:
        """Raise DataError when a key that has to be in the file is in none of its frames."""
        if self._found:
            self._keys.check(self._path, self._found, self._free_atoms_only)

    def warn(self) -> None:
        """Warn once of each kind of thing that was found in the file and not read."""
        used = self._keys.names() | {"species", "pos", "Z", "numbers", "subset"}
        unread = lookalikes(self._found, used)
        if unread and self._keys.any_label:
            names = ", ".join(f"'{key}'" for key in unread[:8]) + ", ..." * (len(unread) > 8)
            found = (
                "looks like a label and was" if len(unread) == 1 else "look like labels and were"
            )
            self._remarks["unread"] = (
                f"{self._path}: {names} {found} not read; say which label it is, as with "
                f"--energy-key {unread[0]} or data.keys.energy, if it is one",
                1,
            )
        for sentence, count in self._remarks.values():
            more = f" So in {count:,} frames of the file." if count > 1 else ""
            warnings.warn(f"{sentence}.{more}", DataWarning, stacklevel=2)

    def _remark(self, kind: str, sentence: str) -> None:
        first, count = self._remarks.get(kind, (sentence, 0))
        self._remarks[kind] = first, count + 1

    def _numeric(
        self,
        name: str,
        values: Mapping[str, Any],
        source: str,
        sizes: tuple[int, ...],
        unit: float,
    ) -> NDArray[np.float64] | None:
        key = self._keys.key(name, values)
        if key is None or key not in values:
            return None
        try:
            array = _numbers(values[key], f"{source}: '{key}'")
            if array.size in sizes:
                return array.ravel() * unit
            expected = " or ".join(str(size) for size in sizes)
            raise DataError(
                f"{source}: '{key}' has {array.size} numbers, expected {expected} for {name}"
                f"{'' if name in ('energy', 'forces') else '; ' + without(name)}."
            )
        except DataError as error:
            if name not in _UNASKED or name in self._keys.model_fields_set:
                raise
            self._remark(name, f"{str(error).split('; ')[0].rstrip('.')}; it was not read")
            return None

    def _with_state(self, frame: Frame, values: Mapping[str, Any]) -> Frame:
        """Of a structure that is to be computed: with the charge that ASE's keys say.

        A remark on the spin that they say, of which frames know nothing.
        """
        info = {key: value for key, value in values.items() if np.ndim(value) == 0}
        arrays = {key: values[key] for key in STATE if np.ndim(values.get(key, 0)) > 0}
        if spin := spin_said(info, arrays):
            self._remark(
                "spin",
                f"{frame.source} has {' and '.join(spin)}, which was not read: a spin is the "
                "multiplicity of an engine's settings",
            )
        if frame.total_charge is None and self._keys.total_charge == "total_charge":
            try:
                charge = charge_said(info, arrays)
            except DataError as error:
                raise DataError(f"{frame.source}: {error}") from None
            return frame.with_(total_charge=charge or None)
        return frame

    def _with_stress(self, frame: Frame, values: Mapping[str, Any]) -> Frame:
        """With the stress that a virial means, and without one where there is no volume."""
        key = self._keys.key("virial", values)
        virial = self._numeric("virial", values, frame.source, (9, 6), self._units.energy)
        if (virial is not None or frame.stress is not None) and frame.volume == 0.0:
            name = "stress" if virial is None else key
            self._remark(
                "open", f"{frame.source}: '{name}' of a structure without a volume was not read"
            )
            return frame.with_(stress=None)
        if virial is None:
            return frame
        stress = _matrix(-virial / frame.volume)
        if frame.stress is None or self._keys.virial is not None:
            return frame.with_(stress=stress)
        difference = np.abs(stress - frame.stress)
        worst = np.unravel_index(int(np.argmax(np.nan_to_num(difference))), (3, 3))
        if difference[worst] > 1e-5 + 0.01 * np.abs(stress).max():
            raise DataError(
                f"{frame.source}: '{self._keys.stress}' and '{key}' contradict each other: a "
                f"component of the stress is {frame.stress[worst]:.6g}, -virial / volume "
                f"{stress[worst]:.6g} eV/Angstrom^3; leave the wrong one out "
                "(--virial-key none or --stress-key none; data.keys.virial: null)."
            )
        return frame

    def _look(self, frame: Frame, values: Mapping[str, Any]) -> None:
        """Remark on a free energy that is another than the energy, and on masses."""
        if frame.energy is not None and "energy" not in self._keys.model_fields_set:
            free = _number_or_nan(values.get("free_energy")) * self._units.energy
            zero = _number_or_nan(values.get(AT_ZERO_BROADENING))
            if abs(zero - frame.energy) > 1e-6:
                self._remark(
                    "free_energy",
                    f"{frame.source}: the energy is the free energy, whose derivatives the forces "
                    f"are; that at zero broadening, {abs(zero - frame.energy):.3g} eV away, is "
                    "read with --energy-key energy (--energy-key free_energy goes without this "
                    "remark)",
                )
            elif abs(free - frame.energy) > 1e-6:
                self._remark(
                    "free_energy",
                    f"{frame.source}: 'free_energy' differs from 'energy' by "
                    f"{abs(free - frame.energy):.3g} eV and was not read; the forces of smeared "
                    "occupations belong to it (--energy-key free_energy; --energy-key energy to "
                    "go without this remark)",
                )
        masses = values.get("masses", values.get("mass"))
        if isinstance(masses, np.ndarray) and masses.size == frame.n_atoms:
            odd = odd_mass(frame.numbers, masses.ravel().astype(np.float64))
            if odd:
                self._remark(
                    "masses", f"{frame.source}: {odd}; is it that element? The mass was not used"
                )


def _number_or_nan(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan


def _matrix(components: NDArray[np.float64]) -> NDArray[np.float64]:
    """A (3, 3) tensor from nine components, or from six in Voigt's order xx yy zz yz xz xy."""
    if components.size == 6:
        components = components[[0, 5, 4, 5, 1, 3, 4, 3, 2]]
    return components.reshape(3, 3)


_BRACKETS = str.maketrans("[]{},;", "      ")


def _numbers(value: Any, where: str) -> NDArray[np.float64]:
    """The numbers of a value, which may be text such as ``1 2 3`` or ``[[1, 2], [3, 4]]``."""
    words = value
    if isinstance(value, str):  # ASE marks some lists with _JSON
        words = value.removeprefix("_JSON").translate(_BRACKETS).split()
    try:
        return np.asarray(words, dtype=np.float64)
    except (ValueError, TypeError):
        raise DataError(f"{where} is '{value}', expected numbers.") from None
