"""n2p2 as a peer: where its build lies, and what it computes and costs.

The environment variable LADERA_BENCH_N2P2 names the folder of an n2p2 built by whoever runs the
benchmarks (with bin/, include/ and lib/, as `make libnnp libnnptrain` and `make nnp-train` leave
them). A small driver, n2p2_step.cpp, is compiled against its library with the compiler CXX (g++ by
default) and the flags CXXFLAGS (-O3 -march=native by default); Eigen's headers are looked for in
EIGEN (/usr/include/eigen3 by default).

Where the variable is not set, numbers recorded once are printed instead, and no ratio is formed
with them that could be mistaken for a measured one.
"""

from __future__ import annotations

import os
import shlex
import subprocess
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

VARIABLE = "LADERA_BENCH_N2P2"
STAGES = ("neighbour list", "functions", "networks", "forces")


@dataclass(frozen=True)
class Steps:
    """Some steps of a driver on all frames of a file."""

    seconds: NDArray[np.float64]  # (repeats, 4), CPU seconds of the STAGES, all frames together
    energies: NDArray[np.float64]  # (n_frames,), in the file's unit
    forces: NDArray[np.float64]  # (n_atoms of all frames, 3), in the file's unit


class N2P2:
    """One build of n2p2."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._folder = TemporaryDirectory(prefix="ladera-n2p2-")

    def program(self, name: str) -> Path:
        """A program of the build, such as nnp-train."""
        path = self.root / "bin" / name
        if not path.is_file():
            raise SystemExit(f"{VARIABLE} is {self.root}, which has no bin/{name}; build it there.")
        return path

    @cached_property
    def driver(self) -> Path:
        """n2p2_step.cpp, compiled."""
        binary = Path(self._folder.name) / "n2p2_step"
        command = [
            *shlex.split(os.environ.get("CXX", "g++")),
            *shlex.split(os.environ.get("CXXFLAGS", "-O3 -march=native")),
            "-std=c++11",
            "-DEIGEN_DONT_PARALLELIZE",
            f"-I{self.root / 'include'}",
            f"-I{os.environ.get('EIGEN', '/usr/include/eigen3')}",
            str(Path(__file__).with_name("n2p2_step.cpp")),
            str(self.root / "lib" / "libnnp.a"),
            "-o",
            str(binary),
        ]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        if result.returncode:
            raise SystemExit(f"{shlex.join(command)} failed:\n{result.stderr[-2000:]}")
        return binary

    def steps(self, folder: Path, structures: Path, repeats: int) -> Steps:
        """Neighbour list, energies and forces of every frame, ``repeats`` times."""
        result = subprocess.run(
            [self.driver, folder, structures, str(repeats)],
            capture_output=True,
            text=True,
            check=True,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
        rows: dict[str, list[list[float]]] = {"seconds": [], "energy": [], "force": []}
        for line in result.stdout.splitlines():
            name, *values = line.split()
            if name in rows:
                rows[name].append([float(value) for value in values])
        seconds, energies, forces = (np.array(row) for row in rows.values())
        return Steps(seconds, energies[:, 0], forces)


def find() -> N2P2 | None:
    """The build that the environment names, if it names one."""
    root = os.environ.get(VARIABLE)
    if not root:
        return None
    if not Path(root, "lib", "libnnp.a").is_file():
        raise SystemExit(f"{VARIABLE} is {root}, which has no lib/libnnp.a; build n2p2 there.")
    return N2P2(Path(root))
