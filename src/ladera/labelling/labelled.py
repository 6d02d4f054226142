"""Frames with the labels that a model gives them."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from ase import Atoms
from ase.build import molecule
from ase.collections import g2

from ladera import provenance
from ladera.array_files import blank
from ladera.arrays import Floats, Integers
from ladera.data import formats
from ladera.data.dataset import Dataset
from ladera.data.frame import Frame
from ladera.data.store import release
from ladera.errors import ConfigError, DataError, did_you_mean
from ladera.extrapolation import GRADE
from ladera.identity import describe_data, describe_model
from ladera.labelling.asking import answers
from ladera.loading import ModelLike, as_potential
from ladera.potential import Potential, Prediction
from ladera.potential.committee import CALIBRATED, calibration_of
from ladera.progress import Task
from ladera.quantities import QUANTITIES, Quantity
from ladera.structure import StructureWarning

PathLike = str | os.PathLike[str]
# What can be labelled: a data set, files, or structures of Ladera or ASE.
Frames = Dataset | PathLike | Frame | Atoms | Sequence[PathLike | Frame | Atoms]


class Values:
    """What a potential says of the frames of a data set: arrays that need not fit in memory.

    ``of[FORCES]`` are (n_frames, ...) or (n_atoms_total, ...), NaN where the structure has no such
    thing or was not asked; ``exists`` (n_frames,) says where it has, False everywhere of what the
    potential does not give. ``spreads`` are the sample standard deviations of a committee's
    members, of the quantities whose spread is calibrated.
    """

    def __init__(
        self, potential: Potential, dataset: Dataset, quantities: Sequence[Quantity] = QUANTITIES
    ) -> None:
        self._dataset, self._atoms = dataset, int(dataset.offsets[-1])
        self._given = [q for q in quantities if q in potential.gives]
        self.of: Mapping[Quantity, Floats] = {
            q: self._blank(q, q in self._given) for q in QUANTITIES
        }
        self.exists = {quantity: np.zeros(len(dataset), dtype=bool) for quantity in QUANTITIES}
        spread = [q for q in CALIBRATED if potential.members and q in self._given]
        self.spreads: Mapping[Quantity, Floats] = {q: self._blank(q, True) for q in spread}

    def _blank(self, quantity: Quantity, given: bool) -> Floats:
        """An array of NaN for a quantity; of one that is not given it takes no memory."""
        shape = (self._atoms if quantity.per_atom else len(self._dataset), *quantity.shape)
        return blank(shape) if given else np.broadcast_to(np.nan, shape)

    def atoms_of(self, frames: Integers) -> Integers:
        """Where the atoms of some frames are among all."""
        starts, counts = self._dataset.offsets[frames], self._dataset.atom_counts[frames]
        ends = np.cumsum(counts)
        rows: Integers = np.arange(ends[-1]) + np.repeat(starts - (ends - counts), counts)
        return rows

    def add(self, frames: Integers, prediction: Prediction) -> None:
        """What is said of some frames."""
        atoms = self.atoms_of(frames)
        for quantity in self._given:
            exists = prediction.exists(quantity).cpu().numpy()
            if not exists.any():  # the stress of molecules: their virial is not asked for
                continue
            rows = atoms if quantity.per_atom else frames
            self.of[quantity][rows] = prediction[quantity].double().cpu().numpy()
            self.exists[quantity][frames] = exists
            if quantity in self.spreads:
                self.spreads[quantity][rows] = prediction.spread[quantity].cpu().numpy()
        release({quantity.name: values for quantity, values in self.of.items()})


@dataclass(frozen=True, eq=False, repr=False)
class Labelled:
    """Frames with the labels of a model, which :func:`predict` makes.

    ``frames`` is a data set whose energies, forces, stress, dipoles and charges are the model's,
    as far as it gives them and the structures have them; labels that the frames had are gone.
    ``std[FORCES]`` are standard deviations of a committee's errors, calibrated if it is, in the
    shape of the quantity, and ``grade`` (n_atoms_total,) says how far each atom is from the
    training data, above 1 outside; None of a model that does not know. Both are NaN in frames that
    are no sound structure. ``given`` is what the model was asked for, and ``provenance`` how all
    this was made.
    """

    frames: Dataset
    given: tuple[Quantity, ...]
    std: Mapping[Quantity, Floats]
    grade: Floats | None
    provenance: Mapping[str, Any]

    def __len__(self) -> int:
        return len(self.frames)

    def __iter__(self) -> Iterator[Frame]:
        return iter(self.frames)

    def __repr__(self) -> str:
        more = ["grade"] * (self.grade is not None) + [f"{q.name}_std" for q in self.std]
        names = ", ".join([quantity.name for quantity in self.given] + more)
        return f"Labelled({len(self):,} frames: {names})"

    def __getitem__(self, quantity: Quantity | str) -> Floats:
        """Values of all frames (n_frames, ...), or of all atoms (n_atoms_total, ...) one after
        the other: ``found["forces"]``, NaN where a frame has none.

        Also ``"grade"`` and, of a committee, ``"energy_std"`` and ``"forces_std"``. Raises
        ConfigError for what the model was not asked for.
        """
        name = quantity if isinstance(quantity, str) else quantity.name
        columns = self.columns
        if name not in columns:
            raise ConfigError(f"There is no '{name}' here; {did_you_mean(name, columns)}")
        return columns[name]

    @property
    def columns(self) -> dict[str, Floats]:
        """All that was found, by the names under which files have it."""
        found = {quantity.name: self.frames.column(quantity.name) for quantity in self.given}
        return found | self.extras

    @property
    def extras(self) -> dict[str, Floats]:
        """What is no label of a data set: standard deviations and grades."""
        grade = {} if self.grade is None else {GRADE: self.grade}
        return {f"{quantity.name}_std": std for quantity, std in self.std.items()} | grade

    def absent(self) -> list[str]:
        """Sentences on what the model gives and some structures do not have."""
        found = []
        for quantity in self.given:
            present = self.frames.has(quantity.name)
            if present.all():
                continue
            first = int(np.argmin(present))
            reason = f"has no {quantity.name}"
            with suppress(DataError):  # of an unsound one a warning has said why
                graph = self.frames[first].graph(_NEXT_TO_NOTHING)
                reason = quantity.absence(graph, 0) or reason
            count = f"{len(self) - int(present.sum()):,} of {len(self):,}"
            found.append(f"Frame {first} {reason}. So in {count} frames.")
        return found

    def save(self, path: PathLike) -> tuple[str, ...]:
        """Write a file and its provenance; see :func:`ladera.labelling.files.write`."""
        from ladera.labelling.files import write

        return write(self, path)


_NEXT_TO_NOTHING: Final = 0.01  # Angstrom
UNLABELLED: Final = formats.LabelKeys(
    **{quantity.name: None for quantity in QUANTITIES}, virial=None
)


def predict(
    model: ModelLike,
    frames: Frames,
    *,
    quantities: Sequence[Quantity | str] | None = None,
) -> Labelled:
    """The energies, forces, stress, dipoles, charges and grades that a model gives many structures.

    ``model`` is what :func:`ladera.loading.as_potential` takes. ``frames`` are a :class:`Dataset`,
    files of any format that Ladera reads, or structures (Frame, ``ase.Atoms``, the name of one of
    ASE's molecules). They are predicted in batches, those of a model with several heads each by its
    own. ``quantities`` are the only ones to predict.
    What comes back is in memory, or on disk where it is large.

    A frame that is no sound structure (two atoms in one place) has no labels, and a warning says
    so, as it does (StructureWarning) of total charges that the model does not know. Raises
    ConfigError for a quantity that the model does not give, DataError for an element that it does
    not know, naming frame and atom, and for no frames.

    >>> found = ladera.predict(potential, "trajectory.traj")
    >>> found["forces"], found.grade
    >>> found.save("labelled.extxyz")
    """
    potential = as_potential(model)
    asked = quantities_of(potential, quantities)
    files = _files(frames)
    return label(potential, as_dataset(frames), asked, files=files)


def label(
    potential: Potential,
    dataset: Dataset,
    quantities: tuple[Quantity, ...],
    *,
    files: Sequence[PathLike] = (),
) -> Labelled:
    """What :func:`predict` does, of a data set that was read from ``files``.

    ``quantities`` are of those that the potential gives, see :func:`quantities_of`.
    """
    _name_unused_charges(potential, dataset)
    values = Values(potential, dataset, quantities)
    grade: Floats | None = None
    with Task("frames predicted", len(dataset)) as task:
        for chosen, prediction, _ in answers(potential, dataset):
            values.add(chosen, prediction)
            found = potential.grade(prediction.graph, prediction)
            if found is not None:
                grade = blank((int(dataset.offsets[-1]),)) if grade is None else grade
                grade[values.atoms_of(chosen)] = found.cpu().numpy()
                release({GRADE: grade})
            task.advance(len(chosen))
    return Labelled(
        frames=dataset.labelled({q.name: (values.of[q], values.exists[q]) for q in quantities}),
        given=quantities,
        std=_deviations(potential, values),
        grade=grade,
        provenance={
            "settings": {"quantities": [quantity.name for quantity in quantities]},
            "model": describe_model(potential),
            "data": describe_data(dataset, files),
            **provenance.how(),
        },
    )


def as_dataset(frames: Frames) -> Dataset:
    """A data set of whatever structures come in; of files nothing but these is read.

    Raises DataError for what is neither, and for a file that cannot be read.
    """
    if isinstance(frames, Dataset):
        return frames
    if files := _files(frames):
        return formats.read(files, keys=UNLABELLED)
    several: Iterable[object] = ()
    if isinstance(frames, Iterable) and not isinstance(frames, Atoms | str):
        several = frames
    return Dataset.from_frames(map(_frame, several or (frames,)))


def _files(frames: object) -> list[PathLike]:
    """The files that frames are to be read from; none of structures."""
    several = [frames] if isinstance(frames, str | os.PathLike) else frames
    found = list(several) if isinstance(several, list | tuple) else []
    return found if all(map(_is_file, found)) else []


def _is_file(name: object) -> bool:
    """Whether it is the path of a file, and not the name of one of ASE's molecules."""
    is_name = isinstance(name, str) and name in g2.names and not os.path.exists(name)
    return isinstance(name, str | os.PathLike) and not is_name


def _frame(structure: object) -> Frame:
    if isinstance(structure, Atoms):
        return Frame.from_atoms(structure)
    if isinstance(structure, Frame):
        return structure
    if isinstance(structure, str) and structure in g2.names:
        return Frame.from_atoms(molecule(structure), structure)
    raise DataError(
        "Structures are a data set, files, frames or ase.Atoms, not "
        f"{type(structure).__name__}; give one of these."
    )


def quantities_of(
    potential: Potential, names: Sequence[Quantity | str] | None
) -> tuple[Quantity, ...]:
    """The quantities of these names, or all that a potential gives, in their order.

    Raises ConfigError for one that it does not give.
    """
    given = tuple(quantity for quantity in QUANTITIES if quantity in potential.gives)
    if names is None:
        return given
    known, wanted = {quantity.name: quantity for quantity in QUANTITIES}, []
    for each in names:
        name = each if isinstance(each, str) else each.name
        if name not in known:
            raise ConfigError(f"There is no quantity '{name}'; {did_you_mean(name, known)}")
        quantity = known[name]
        if quantity not in given:
            remedy = f"; train one that does ({quantity.remedy})" if quantity.remedy else ""
            raise ConfigError(
                f"This {potential.config.architecture} model gives no {quantity.words or name}: it "
                f"gives {', '.join(q.name for q in given)}{remedy}."
            )
        wanted.append(quantity)
    return tuple(quantity for quantity in given if quantity in wanted)


def _deviations(potential: Potential, values: Values) -> Mapping[Quantity, Floats]:
    """Standard deviations of the errors of a committee's means; none of a single model."""
    factors = calibration_of(potential).factors
    for quantity, spread in values.spreads.items():
        spread *= factors.get(quantity, 1.0)
        release({quantity.name: spread})
    return values.spreads


def _name_unused_charges(potential: Potential, dataset: Dataset) -> None:
    """Warn of total charges that the model does not know."""
    charges = np.nan_to_num(dataset.column("total_charge"))
    charged = np.flatnonzero(charges)
    if len(charged) and not potential.knows_charge:
        warnings.warn(
            f"{len(charged):,} of {len(dataset):,} frames have a total charge (the first is "
            f"{dataset.place(int(charged[0]))}), which the {potential.config.architecture} model "
            "does not know: what it predicts is without it.",
            StructureWarning,
            stacklevel=3,
        )
