"""How soon the command line answers: CPU seconds to the first result of each command, two versions.

    python benchmarks/startup.py SOURCE [SOURCE]      # such as src, or base/src src

Each command is typed right, up to its first result on a tiny input, and wrong: a file that is not
there, a typo in YAML, a bad value of a flag. Whole processes, user and system time, the least of
several. A second source is compared with the first; what it needs once (compiled loops, on disk) is
there before it is measured.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

REPEATS = 3
CONFIG = """\
data: {files: train.extxyz, split: {validation: 2, test: 0}}
model: {architecture: lennard_jones, cutoff: 4.0, species: [H, C, O],
        epsilon: {H: 0.01, C: 0.01, O: 0.01}, sigma: {H: 1.0, C: 1.5, O: 1.5}}
epochs: 1
batch_size: 4
"""
RIGHT = {
    "--help": "--help",
    "template": "template",
    "schema": "schema",
    "info": "info argon.ladera",
    "data info": "data info train.extxyz",
    "data check": "data check train.extxyz",
    "train, one epoch": "train good.yaml --output {new}",
    "evaluate": "evaluate model.ladera train.extxyz",
    "relax": "relax argon.ladera argon.extxyz --output {new}",
    "md, one step": "md argon.ladera argon.extxyz --steps 1 --output {new}",
    "eos": "eos argon.ladera argon.extxyz --output {new}",
    "vibrations": "vibrations argon.ladera dimer.xyz --output {new}",
    "structure": "structure argon.traj --interval 1 --output {new}",
}
WRONG = {
    "relax, no such model": "relax nope.ladera argon.extxyz",
    "relax, no such structure": "relax argon.ladera nope.xyz",
    "relax, the two swapped": "relax argon.extxyz argon.ladera",
    "md, a time in GPa": "md argon.ladera argon.extxyz --time 5GPa",
    "md, no length": "md argon.ladera argon.extxyz",
    "train, no such file": "train nope.yaml",
    "train, a tab in the YAML": "train tab.yaml",
    "train, a key with a typo": "train typo.yaml",
    "train, data that are not there": "train absent.yaml",
    "evaluate, no such data": "evaluate argon.ladera nope.extxyz",
    "data check, no such file": "data check nope.extxyz",
    "validate, no such model": "validate nope.ladera",
}


def lay_out() -> None:
    """The files of the commands, in the current folder."""
    import numpy as np
    from ase import Atoms
    from ase.build import bulk
    from ase.calculators.singlepoint import SinglePointCalculator
    from ase.io import write

    import ladera
    from ladera.models.lennard_jones import LennardJonesConfig

    def lennard_jones(
        species: tuple[str, ...], epsilon: float, sigma: float, cutoff: float
    ) -> None:
        values = {
            "epsilon": dict.fromkeys(species, epsilon),
            "sigma": dict.fromkeys(species, sigma),
        }
        config = LennardJonesConfig(species=species, cutoff=cutoff, **values)
        ladera.build(config).save("argon.ladera" if "Ar" in species else "model.ladera")

    lennard_jones(("Ar",), 0.0104, 3.4, 6.5)
    lennard_jones(("H", "C", "O"), 0.01, 1.2, 4.0)
    bulk("Ar", "fcc", a=5.24, cubic=True).write("argon.extxyz")
    Atoms("Ar2", [[0, 0, 0], [0, 0, 3.819]]).write("dimer.xyz")
    write("argon.traj", [bulk("Ar", "fcc", a=5.3, cubic=True) * 2 for _ in range(3)])
    generator, frames = np.random.default_rng(0), []
    for _ in range(8):
        atoms = Atoms("CO", [[0, 0, 0], generator.normal([0, 0, 1.2], 0.05)])
        atoms.calc = SinglePointCalculator(
            atoms, energy=generator.normal(), forces=np.zeros((2, 3))
        )
        frames.append(atoms)
    write("train.extxyz", frames)
    Path("good.yaml").write_text(CONFIG)
    Path("tab.yaml").write_text(CONFIG.replace("        epsilon", "\tepsilon"))
    Path("typo.yaml").write_text(CONFIG.replace("epochs", "epoch"))
    Path("absent.yaml").write_text(CONFIG.replace("train.", "trian."))


def seconds(source: str, line: str, number: int) -> float:
    """The least CPU time of one command of a source."""
    best = float("inf")
    for repeat in range(REPEATS):
        words = line.format(new=f"out-{number}-{repeat}-{abs(hash(source))}").split()
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        environment = os.environ | {"PYTHONPATH": source, "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "ladera", *words]
        done = subprocess.run(command, env=environment, capture_output=True, check=False)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        if (done.returncode == 0) != (line in RIGHT.values()):
            raise SystemExit(f"ladera {line}: exit {done.returncode}\n{done.stderr.decode()}")
        used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        best = min(best, used)
    return best


def main() -> None:
    sources = [str(Path(word).resolve()) for word in sys.argv[1:3]]
    if not sources:
        raise SystemExit(__doc__)
    sys.path.insert(0, sources[-1])
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        lay_out()
        print(f"| `ladera` | {' | '.join(['before', 'after'][2 - len(sources) :])} |")
        print(f"|---{'|---' * len(sources)}|")
        for number, (name, line) in enumerate((RIGHT | WRONG).items()):
            numbers = [f"{seconds(source, line, number):.2f}" for source in sources]
            print(f"| {name} | {' | '.join(numbers)} |", flush=True)


if __name__ == "__main__":
    main()
