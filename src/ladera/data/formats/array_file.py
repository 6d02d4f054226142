"""Frames in named arrays: ``.npz`` of MD17, rMD17 and NequIP, ``.h5`` of ANI and SPICE.

An npz is one set of frames of the same atoms, an HDF5 file one for each group that has positions.
Such files do not say their units. Nothing in them is run: arrays of Python objects are refused, and
so are links, which may lead to other files or round in circles.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import h5py
import numpy as np
from ase.data import atomic_numbers

from ladera.array_files import read_arrays
from ladera.arrays import Booleans, Floats, Integers
from ladera.data.formats.labels import FileLabels
from ladera.data.frame import Frame
from ladera.data.label_keys import LabelKeys
from ladera.errors import DataError, reason_of
from ladera.units import FILE_UNITS, UnitSystem

_POSITIONS: Final = ("positions", "R", "coords", "coordinates", "pos", "conformations")
_NUMBERS: Final = ("numbers", "z", "Z", "nuclear_charges", "atomic_numbers", "species")
_CELLS: Final = ("cell", "lattice", "unit_cell")
_LABELS: Final = {
    "energy": ("E", "U", "energies", "dft_total_energy"),
    "forces": ("F", "force"),
    "dipole": ("D", "dipoles", "scf_dipole"),
    "charges": ("Q",),
}
# What a damaged file makes h5py raise.
_DAMAGED: Final = (OSError, ValueError, EOFError, RuntimeError, LookupError, TypeError, MemoryError)
_PACKED: Final = 1100  # bytes that deflate makes one of at most
_GRADIENTS: Final = ("dft_total_gradient", "gradient", "gradients")  # the forces, but for the sign


def read(path: Path, keys: LabelKeys, units: UnitSystem | None) -> Iterator[Frame]:
    """The frames of an npz or a foreign HDF5 file, in the units that are given.

    Raises DataError without units, for arrays that do not fit together, and for Python objects.
    """
    if units is None:
        raise DataError(
            f"{path} holds arrays without units; give theirs with --units (data.units), one of "
            f"{', '.join(FILE_UNITS)}: MD17 is in angstrom-kcal/mol, ANI in angstrom-hartree, "
            "SPICE in bohr-hartree."
        )
    labels = FileLabels(path, keys, units)
    for where, arrays in _sets(path):
        yield from _frames(where, arrays, keys, labels)
    labels.check()
    labels.warn()


def _sets(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """The arrays by their names, of each set of frames, and its name."""
    try:
        if path.suffix.lower() == ".npz":
            yield str(path), read_arrays(path)
            return
        with h5py.File(path, "r") as file:
            groups = list(_groups(file))
            if not groups:
                raise DataError(
                    f"{path} is an HDF5 file but no Ladera data set, and no group of it has "
                    f"positions (one of {', '.join(_POSITIONS)}); write its frames as extended XYZ "
                    "with the program that it is from."
                )
            for group in groups:
                yield f"{path}, {group.name}", _arrays(group)
    except _DAMAGED as error:
        why = (
            "arrays of Python objects, which Ladera never runs"
            if "Object arrays" in str(error)
            else ""
        )
        raise DataError(
            f"{path} holds {why}; write numbers only."
            if why
            else f"{path} cannot be read{reason_of(error)}; it is damaged, copy it again."
        ) from error


def _groups(group: h5py.Group, above: tuple[int, ...] = ()) -> Iterator[h5py.Group]:
    """The groups with positions, in the order of their names."""
    place = h5py.h5o.get_info(group.id).addr
    if place in above:
        raise ValueError(f"its group {group.name} stands within itself")
    members = dict(_members(group))
    if any(isinstance(members.get(name), h5py.Dataset) for name in _POSITIONS):
        yield group
    for each in members.values():
        if isinstance(each, h5py.Group):
            yield from _groups(each, (*above, place))


def _members(group: h5py.Group) -> Iterator[tuple[str, Any]]:
    for name in group:
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise ValueError(f"its '{name}' in {group.name} is a link to somewhere else")
        yield str(name), group[name]


def _arrays(group: h5py.Group) -> dict[str, Any]:
    """The arrays of a group; ValueError for one of more numbers than the file can hold."""
    arrays = {}
    for name, each in _members(group):
        if isinstance(each, h5py.Dataset):
            if each.nbytes > _PACKED * (each.id.get_storage_size() + 64):
                raise ValueError(
                    f"its '{name}' is to have {each.size} numbers, for which it is too short"
                )
            arrays[name] = each[()]
    return arrays


def _frames(
    where: str, arrays: Mapping[str, Any], keys: LabelKeys, labels: FileLabels
) -> Iterator[Frame]:
    places = _first(where, arrays, _POSITIONS, "positions")
    positions = _floats(where, places, arrays[places])
    if positions.ndim != 3 or positions.shape[2] != 3:
        raise DataError(
            f"{where}: '{places}' has the shape {positions.shape}; expected (frames, atoms, 3)."
        )
    named = _first(where, arrays, _NUMBERS, "atomic numbers")
    numbers = _elements(where, named, np.asarray(arrays[named]), positions.shape[:2])
    cells, periodic = _cells(where, arrays, len(positions))
    of_frames = keys.of_frames()
    values = _per_frame(arrays, len(positions), {places, named, *_CELLS, "pbc"}, keys)
    for k in range(len(positions)):
        real = numbers[k] > 0  # smaller molecules are filled up with zeros
        mine = {
            name: value[k][real]
            if value.shape[1:2] == real.shape and name not in of_frames
            else value[k]
            for name, value in values.items()
        }
        yield labels.frame(
            {name: value for name, value in mine.items() if not np.isnan(value).any()},
            numbers=numbers[k][real],
            positions=positions[k][real],
            cell=cells[k],
            periodic=periodic[k],
            source=f"{where}, frame {k}",
        )


def _first(where: str, arrays: Mapping[str, Any], names: tuple[str, ...], what: str) -> str:
    found = next((name for name in names if name in arrays), None)
    if found is None:
        raise DataError(
            f"{where} has no {what} (one of {', '.join(names)}), but "
            f"{', '.join(arrays) or 'nothing'}; write it as extended XYZ."
        )
    return found


def _floats(where: str, name: str, stored: Any) -> Floats:
    array = np.asarray(stored)
    if array.dtype.kind not in "fiu":
        raise DataError(f"{where}: '{name}' holds {array.dtype}, expected numbers.")
    return array.astype(np.float64)


def _elements(where: str, name: str, stored: Any, shape: tuple[int, ...]) -> Integers:
    """Atomic numbers (frames, atoms), of numbers or symbols for each frame or for all of them."""
    if stored.dtype.kind in "SUO":
        words = (s.decode(errors="replace") if isinstance(s, bytes) else s for s in stored.ravel())
        symbols = [str(word) for word in words]
        unknown = sorted(set(symbols) - atomic_numbers.keys())
        if unknown:
            raise DataError(f"{where}: '{unknown[0]}' of '{name}' is no chemical symbol.")
        stored = np.array([atomic_numbers[s] for s in symbols]).reshape(stored.shape)
    if stored.dtype.kind not in "iuf" or not np.isfinite(stored).all():
        raise DataError(f"{where}: '{name}' holds {stored.dtype}, expected atomic numbers.")
    try:
        return np.broadcast_to(stored.astype(np.int64), shape)
    except ValueError:
        raise DataError(
            f"{where}: '{name}' has the shape {stored.shape}; expected {shape[1]} atoms, or "
            f"{shape} for each frame."
        ) from None


def _cells(where: str, arrays: Mapping[str, Any], count: int) -> tuple[Floats, Booleans]:
    name = next((name for name in _CELLS if name in arrays), None)
    if name is None:
        return np.zeros((count, 3, 3)), np.zeros((count, 3), dtype=bool)
    stored = _floats(where, name, arrays[name])
    if stored.size not in (9, 9 * count):
        raise DataError(f"{where}: '{name}' has the shape {stored.shape}; expected (frames, 3, 3).")
    cells = np.broadcast_to(stored.reshape(-1, 3, 3), (count, 3, 3))
    said = np.asarray(arrays.get("pbc", True))
    if said.dtype.kind not in "biu" or said.shape not in ((), (1,), (3,), (count, 3), (count, 1)):
        raise DataError(f"{where}: 'pbc' has the shape {said.shape}; expected (frames, 3) truths.")
    return cells, np.broadcast_to(said.astype(bool), (count, 3))


def _per_frame(
    arrays: Mapping[str, Any], count: int, taken: set[str], keys: LabelKeys
) -> dict[str, Floats]:
    """What there is of every frame in numbers, labels under the names that are looked for."""
    found = {
        name: np.asarray(value, dtype=np.float64)
        for name, value in arrays.items()
        if name not in taken and np.shape(value)[:1] == (count,)
        and np.asarray(value).dtype.kind in "fiu"
    }  # fmt: skip
    for name in [name for name in _GRADIENTS if name in found]:
        found.setdefault("forces", -found.pop(name))
    for label, names in _LABELS.items():
        usual = [name for name in names if name in found]
        if usual and label not in keys.model_fields_set:
            found.setdefault(label, found.pop(usual[0]))
    return found
