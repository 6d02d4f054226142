"""motep's training of a moment tensor potential, for benchmarks/mtp_training.py; prints JSON.

    python mtp_training_peer.py FRAMES FITTED.mtp ENERGY_WEIGHT SECONDS

In an environment with motep. The functions and the cutoff are those of FITTED.mtp, its
coefficients are forgotten; the loss is ENERGY_WEIGHT times the mean over the frames of
(dE / n_atoms)^2 and the mean square of all force components. Energies are given less their mean per
atom, which spares the start, and the steps are the best that it has: a potential of level 2 and
then all linear coefficients, both by least squares, then BFGS on everything. It stops after SECONDS
of CPU time.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from contextlib import chdir, suppress
from tempfile import TemporaryDirectory

import numpy as np
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read
from motep.io.mlip.mtp import read_mtp
from motep.train.trainer import Trainer


class _Stop(Exception):
    pass


class _Losses(logging.Handler):
    """Notes the loss of each iteration and the CPU time until then, and stops."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds, self.begin = seconds, time.process_time()
        self.rows: list[tuple[float, float]] = []

    def emit(self, record: logging.LogRecord) -> None:
        words = record.getMessage().split()
        if len(words) == 3 and words[0] == "loss":
            spent = time.process_time() - self.begin
            self.rows.append((spent, float(words[2])))
            if spent > self.seconds:
                raise _Stop


def main() -> None:
    """Train and print the losses."""
    frames, fitted, weight, seconds = sys.argv[1:]
    images = read(frames, ":")
    mean = np.mean([image.get_potential_energy() / len(image) for image in images])
    for image in images:
        energy = image.get_potential_energy() - mean * len(image)
        forces = image.get_forces()
        image.calc = SinglePointCalculator(image, energy=energy, forces=forces)
        image.calc.targets = dict(image.calc.results)
    data = read_mtp(fitted)
    data.radial_coeffs = data.moment_coeffs = data.species_coeffs = None
    data.scaling = 1.0
    data.species = [images[0].numbers[0]]
    losses = _Losses(float(seconds))
    logger = logging.getLogger("motep")
    logger.setLevel(logging.INFO)
    logger.addHandler(losses)
    loss = {
        "energy_weight": float(weight),
        "forces_weight": 1 / sum(3 * len(image) for image in images),
        "forces_per_atom": False,
        "forces_per_conf": False,
        "stress_weight": 0.0,
    }
    linear = {"minimized": ["energy", "forces"]}
    steps = [
        {"method": "Level2MTP", **linear},
        {"method": "LLS", **linear},
        {"method": "minimize", "kwargs": {"method": "BFGS"}},
    ]
    with TemporaryDirectory() as folder, chdir(folder), suppress(_Stop):  # it writes files
        Trainer(data, seed=1, engine="cext", loss=loss, steps=steps).train(images)
    print(json.dumps(losses.rows))


if __name__ == "__main__":
    main()
