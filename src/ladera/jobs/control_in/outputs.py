"""The files that the thesis's program leaves, beside those of Ladera.

==================  ================================================================================
``function.data``   for each frame the number of atoms; for each atom its atomic number and its
                    symmetry functions; then ``0 E/N E/N 0`` with its energy per atom
``loss.out``        the error of the energies after each epoch, root mean square, meV/atom
``val_loss.out``    the same of the validation frames
``weights.Z.data``  weights and biases of each element's network, as in n2p2
``traj.data``       for each step its number and, for each atom, its index and position
==================  ================================================================================

Lengths are in the ``length_unit`` of the control.in, energies in Hartree but for the losses.
``function.data`` is n2p2's, see :mod:`ladera.jobs.n2p2.outputs`. Its functions are unscaled and
stand, as in the inputs of the networks, in the order of RuNNer and n2p2, which is not that of the
``.smf`` files.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

from ase.io.trajectory import Trajectory

from ladera.codes.n2p2 import weights
from ladera.files import atomic_path, write_text_atomic
from ladera.models.hdnnp import HDNNP
from ladera.models.hdnnp.network import AtomicNetwork
from ladera.table_files import column
from ladera.training.run_folder import read_log
from ladera.units import UnitSystem


def write_losses(folder: Path) -> None:
    """``loss.out`` and ``val_loss.out`` from the log of a run."""
    log = read_log(folder)
    for name, part in (("loss.out", "train"), ("val_loss.out", "validation")):
        values = column(log, f"{part}_energy_rmse_mev_per_atom")
        lines = [f"{value:12.6f}\n" for value in values.tolist() if not math.isnan(value)]
        if lines:
            write_text_atomic(folder / name, "".join(lines))


def write_weights(folder: Path, potential: HDNNP) -> None:
    """``weights.Z.data`` of each element."""
    for symbol, network in zip(potential.symbols, potential.networks, strict=True):
        if isinstance(network, AtomicNetwork):
            layers = [
                (layer.weight.detach().double().numpy(), layer.bias.detach().double().numpy())
                for layer in network.layers()
            ]
            weights.write(folder / weights.file_name(symbol), layers)


def write_trajectory(folder: Path, units: UnitSystem) -> None:
    """``traj.data`` from the trajectory.traj of a run, all but its first frame."""
    path = folder / "traj.data"
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.writelines(_trajectory_lines(folder / "trajectory.traj", units.length))


def _trajectory_lines(path: Path, length: float) -> Iterator[str]:
    with Trajectory(path) as frames:
        for step in range(1, len(frames)):
            yield f"{step}\n"
            for index, (x, y, z) in enumerate((frames[step].positions / length).tolist()):
                yield f"{index}\t{x:.10f}\t{y:.10f}\t{z:.10f}\n"
