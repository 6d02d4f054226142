"""Kill trainings and simulations at random instants, go on with them, compare the numbers.

    python scripts/kill_runs.py --kills 100 --seed 0

Half of the kills are SIGKILL, the others what queue systems send first. In the end the numbers of
every run must be those of a run that nobody disturbed, bit for bit, and no lock and no temporary
file may be left. tests/test_kills.py does a few of them.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

PATIENCE = 3600  # s: a busy machine is no fault
SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGXCPU, signal.SIGHUP, signal.SIGINT)
CONFIG = """\
data: {{files: [{data}], split: {{validation: 0.25, test: 0}}}}
model: {{architecture: hdnnp, size: small, cutoff: 5.0, hidden_layers: [4]}}
epochs: {epochs}
batch_size: 4
seed: 3
checkpoint_interval: 3
"""


@dataclass(frozen=True)
class Kind:
    """A run that can be killed: its command line, what it goes on from, and what it comes to."""

    words: list[str]
    restart: str
    numbers: Callable[[Path], str]

    def start(self, folder: Path) -> subprocess.Popen[bytes]:
        words = [sys.executable, "-m", "ladera", *self.words, "--output", str(folder)]
        if (folder / self.restart).exists():
            words.append("--resume")
        return subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def kinds(place: Path, steps: int, epochs: int) -> dict[str, Kind]:
    """A simulation of 32 argon atoms and a training on 24 frames of them, files in ``place``."""
    import ase.io
    import numpy as np
    from ase.build import bulk

    from ladera.models.lennard_jones import LennardJones, LennardJonesConfig

    potential = LennardJones(
        LennardJonesConfig(species=("Ar",), cutoff=5.0, epsilon={"Ar": 0.0104}, sigma={"Ar": 3.4})
    )
    potential.save(place / "argon.ladera")
    crystal = bulk("Ar", "fcc", a=5.26, cubic=True) * 2
    crystal.write(place / "argon.xyz")
    frames, generator = [], np.random.default_rng(1)
    for _ in range(24):
        frame = bulk("Ar", "fcc", a=5.26, cubic=True)
        frame.rattle(0.2, rng=generator)
        frame.calc = potential.calculator()
        frame.get_forces(), frame.get_potential_energy()
        frames.append(frame)
    ase.io.write(place / "argon.extxyz", frames)
    (place / "train.yaml").write_text(CONFIG.format(data=place / "argon.extxyz", epochs=epochs))
    md = ["md", str(place / "argon.ladera"), str(place / "argon.xyz"), "--ensemble", "nvt-langevin"]
    md += ["--temperature", "30", "--timestep", "2", "--steps", str(steps)]
    md += ["--restart-interval", "50", "--log-interval", "5", "--trajectory-interval", "20"]
    return {
        "md": Kind(md, "restart.npz", numbers_of_simulation),
        "train": Kind(
            ["train", str(place / "train.yaml")], "checkpoint.safetensors", numbers_of_training
        ),
    }


def numbers_of_simulation(folder: Path) -> str:
    """The hash of every number of a simulation."""
    digest = hashlib.sha256((folder / "md.csv").read_bytes())
    digest.update((folder / "trajectory.traj").read_bytes())
    digest.update((folder / "final.extxyz").read_bytes())
    return digest.hexdigest()


def numbers_of_training(folder: Path) -> str:
    """The hash of every parameter, and of every error of every epoch."""
    from ladera import table_files
    from ladera.loading import load

    digest = hashlib.sha256()
    for name, tensor in load(folder / "model.ladera").state_dict().items():
        digest.update(name.encode() + tensor.numpy().tobytes())
    for name, values in table_files.read(folder / "log.csv").items():
        if name != "seconds":
            digest.update(values.tobytes())
    return digest.hexdigest()


def disturb(kind: Kind, folder: Path, generator: random.Random, kills: int, span: float) -> int:
    """Run in ``folder`` to the end, killed up to ``kills`` times; how often it was.

    A kill comes up to ``span`` seconds after the run has taken its folder, or before that.
    """
    done = 0
    while True:
        process = kind.start(folder)
        if done < kills:
            while not (folder / "running.lock").exists() and process.poll() is None:
                if generator.random() < 0.002:  # now and then it does not come so far
                    break
                time.sleep(0.01)
            time.sleep(generator.uniform(0, span))
            if process.poll() is None:
                number = generator.choice([signal.SIGKILL, generator.choice(SIGNALS)])
                process.send_signal(number)
                done += 1
        _, said = process.communicate(timeout=PATIENCE)
        if process.returncode == 0:
            return done
        if process.returncode not in (130, -signal.SIGKILL) and done:
            # Before it can handle signals it just ends.
            assert -process.returncode in SIGNALS, (process.returncode, said.decode())


def compare(kind: Kind, folder: Path, expected: str) -> None:
    """AssertionError for other numbers, a lock, or hidden files."""
    assert kind.numbers(folder) == expected, folder
    left = [path.name for path in folder.iterdir() if path.name.startswith(".")]
    assert not left, left
    assert not (folder / "running.lock").exists()


def main() -> None:
    """Kill as often as was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=6000, help="of a simulation")
    parser.add_argument("--epochs", type=int, default=100, help="of a training")
    arguments = parser.parse_args()
    generator = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        expected, total, runs = {}, 0, 0
        sorts = kinds(place, arguments.steps, arguments.epochs)
        for name, kind in sorts.items():
            kind.start(place / name).communicate()
            expected[name] = kind.numbers(place / name)
        while total < arguments.kills:
            name = ("md", "train")[runs % 2]
            runs += 1
            folder = place / f"{name}-{runs}"
            limit = min(arguments.kills - total, 12)
            total += disturb(sorts[name], folder, generator, limit, span=1.5)
            compare(sorts[name], folder, expected[name])
            print(f"{total} kills, {runs} runs, all the same bits", flush=True)


if __name__ == "__main__":
    main()
