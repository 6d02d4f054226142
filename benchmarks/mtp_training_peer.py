"""motep's training of a moment tensor potential, for benchmarks/mtp_training.py; prints JSON.

    python mtp_training_peer.py FRAMES FITTED.mtp ENERGY_WEIGHT SECONDS

In an environment with motep. The functions and the cutoff are those of FITTED.mtp, its
coefficients are forgotten; the loss is the mean over the frames of ENERGY_WEIGHT (dE / n_atoms)^2
and of the mean square of the force components. Energies are given less their mean per atom, which
spares the start. It stops after SECONDS of CPU time.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from contextlib import suppress

import numpy as np
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read
from motep.io.mlip.mtp import read_mtp
from motep.train.trainer import Trainer


class _Stop(Exception):
    pass


class _Losses(logging.Handler):
    """Notes the loss of each iteration and the CPU time until then."""

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
    loss = {"energy_weight": float(weight), "forces_weight": 1 / 3, "stress_weight": 0.0}
    with suppress(_Stop):
        Trainer(data, seed=0, engine="cext", loss=loss).train(images)
    print(json.dumps(losses.rows))


if __name__ == "__main__":
    main()
