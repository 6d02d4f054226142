"""What ``nnp-scaling`` and ``nnp-train`` write: ``function.data`` and ``learning-curve.out``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import torch

from ladera.codes.n2p2 import tables
from ladera.data.dataset import Dataset
from ladera.errors import ModelFileError
from ladera.files import atomic_path, write_text_atomic
from ladera.models.hdnnp.base import SymmetryFunctionPotential
from ladera.potential import evaluate
from ladera.training.batches import Batches, in_order
from ladera.units import UnitSystem

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ladera.potential import Potential

CURVE: Final = "learning-curve.out"
_FRAMES_AT_ONCE: Final = 16


def write_function_data(
    path: Path, potential: SymmetryFunctionPotential, dataset: Dataset, units: UnitSystem
) -> None:
    """Write the unscaled symmetry functions of all atoms of a data set, frame after frame.

    Each frame has a line with its number of atoms, a line for each atom (atomic number, then the
    functions in n2p2's order), and a line '0 E/N E/N 0' with the reference energy per atom in the
    given units, 0 where it is unknown.
    """
    counts = dict(zip(potential.numbers, potential.plan.counts, strict=True))
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        for frame in dataset:
            graph = frame.graph(potential.cutoff).to(potential.dtype)
            with torch.no_grad():
                values = potential.symmetry_functions(graph).tolist()
            file.write(f"{frame.n_atoms:6d}\n")
            for number, row in zip(frame.numbers.tolist(), values, strict=True):
                functions = "".join(f" {value:14.10f}" for value in row[: counts[number]])
                file.write(f"{number:3d} {functions}\n")
            energy = 0.0 if frame.energy is None else frame.energy / frame.n_atoms / units.energy
            last = (0.0, energy, energy, 0.0)
            file.write("".join(f" {value:19.10f}" for value in last) + "\n")


class Internal(NamedTuple):
    """n2p2's training units: what energies and forces of the folder are multiplied with."""

    energy: float
    force: float


class LearningCurve:
    """``learning-curve.out``: errors on training and test frames before and after each epoch.

    Root mean square and mean absolute errors of energies per atom, of energies and (with
    ``forces``) of force components, in the units of the folder and, with ``internal``, once more
    in those of n2p2's training. nan where there are no such frames.
    """

    def __init__(
        self,
        path: Path,
        potential: Potential,
        batches: Batches,
        parts: tuple[NDArray[np.int64], NDArray[np.int64]],
        units: UnitSystem,
        forces: bool,
        internal: Internal | None,
    ) -> None:
        self._path, self._potential, self._batches = path, potential, batches
        self._parts, self._forces = parts, forces
        self._factors = [(1 / units.energy, 1 / units.force)]
        if internal is not None:
            energy, force = self._factors[0]
            self._factors.append((energy * internal.energy, force * internal.force))

    def write(self, epoch: int) -> None:
        """Add the row of an epoch; rows of later ones, of an interrupted run, are dropped."""
        errors = np.array([self._errors(part) for part in self._parts])  # (2, 6)
        values = [
            float(errors[part, kind] * (force if kind >= 4 else energy))
            for energy, force in self._factors
            for kind in range(6 if self._forces else 4)
            for part in range(2)
        ]
        row = f"{epoch:10d} " + " ".join(f"{value:16.8E}" for value in values)
        write_text_atomic(self._path, "".join([self._header(), *self._kept(epoch), row, "\n"]))

    def _kept(self, epoch: int) -> list[str]:
        """The rows before an epoch."""
        if epoch == 0 or not self._path.exists():
            return []
        lines = self._path.read_text(encoding="utf-8").splitlines(keepends=True)
        rows = [line for line in lines if not line.startswith("#")]
        try:
            return [line for line in rows if int(line.split()[0]) < epoch]
        except (ValueError, IndexError):
            raise ModelFileError(f"{self._path} is damaged; remove it and go on.") from None

    def _errors(self, frames: NDArray[np.int64]) -> list[float]:
        """RMSE and MAE of energies per atom, energies, forces, in eV and Angstrom."""
        per_atom, total, forces = [], [], []
        training = self._potential.training
        self._potential.eval()
        with torch.no_grad():
            for indices in in_order(frames, _FRAMES_AT_ONCE):
                batch = self._batches.make(indices)
                prediction = evaluate(self._potential, batch.graph, gradients=self._forces)
                residual = (prediction.energy - batch.energy)[batch.has_energy]
                total.append(residual)
                per_atom.append(residual / batch.graph.atom_counts[batch.has_energy])
                if self._forces:
                    known = batch.has_forces[batch.graph.structure_index]
                    forces.append((prediction.forces.double() - batch.forces)[known].flatten())
        self._potential.train(training)
        errors: list[float] = []
        for residuals in (per_atom, total, forces):
            values = torch.cat(residuals) if residuals else torch.empty(0)
            errors += [float(values.square().mean().sqrt()), float(values.abs().mean())]
        return [errors[0], errors[2], errors[1], errors[3], errors[4], errors[5]]

    def _header(self) -> str:
        columns = [tables.Column(10, "epoch", "Epoch; 0 is before the first one.")]
        for short, words in (("pu", "the units of the folder"), ("iu", "training units")):
            if short == "iu" and len(self._factors) == 1:
                continue
            kinds: list[tuple[str, str, str]] = [
                ("RMSEpa", "E", "RMSE of energies per atom"),
                ("RMSE", "E", "RMSE of energies"),
                ("MAEpa", "E", "MAE of energies per atom"),
                ("MAE", "E", "MAE of energies"),
            ]
            if self._forces:
                kinds += [("RMSE", "F", "RMSE of forces"), ("MAE", "F", "MAE of forces")]
            columns += [
                tables.Column(16, f"{name}_{of}{part}_{short}", f"{text}, {part} frames, {words}.")
                for name, of, text in kinds
                for part in ("train", "test")
            ]
        return tables.header(["Learning curve: errors of energies and forces."], columns)


def read_learning_curve(path: Path) -> dict[str, Any]:
    """The columns of a ``learning-curve.out`` by name, each (n_epochs,).

    Raises ModelFileError for a file without the names or with rows of another length.
    """
    rows = tables.read(path)
    names: list[str] = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        words = line.lstrip("#").split()
        if line.startswith("#") and words[:1] == ["epoch"]:
            names = words
    if not names:
        raise ModelFileError(f"{path} has no line with the names of its columns.")
    for row in rows:
        if len(row.words) != len(names):
            raise row.error(f"expected {len(names)} columns, found {len(row.words)}.")
    table = np.array([[float(word) for word in row.words] for row in rows])
    return dict(zip(names, table.reshape(-1, len(names)).T, strict=True))
