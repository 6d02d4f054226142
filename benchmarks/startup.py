"""How long the command line takes to answer, and `ladera md` to reach its first step.

    python benchmarks/startup.py MODEL STRUCTURE

Whole processes, CPU seconds (user + system) and wall seconds, the fastest of several. The first
`ladera md` of an installation compiles its kernels and keeps them on disk; the later ones, measured
here, load them. The time to the first step is that of a run of one step less that of the step.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def seconds(command: list[str]) -> tuple[float, float]:
    """CPU and wall seconds of one process."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall


def fastest(command: list[str], repeats: int = 5) -> str:
    """The smallest CPU and wall time of several runs."""
    times = [seconds(command) for _ in range(repeats)]
    return f"{min(t[0] for t in times):5.2f} s CPU, {min(t[1] for t in times):5.2f} s wall"


def main() -> None:
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    ladera = str(Path(sys.executable).with_name("ladera"))
    print("ladera --help:", fastest([ladera, "--help"]))
    ensemble = ["--ensemble", "nve", "--temperature", "300", "--timestep", "0.5", "--steps", "1"]
    with tempfile.TemporaryDirectory() as folder:
        command = [ladera, "md", *sys.argv[1:3], *ensemble, "--output"]
        times = [seconds([*command, f"{folder}/{run}"]) for run in range(4)]
    wall = min(t[1] for t in times[1:])
    print(f"ladera md, one step, kernels on disk: {wall:5.2f} s wall (first: {times[0][1]:.2f} s)")


if __name__ == "__main__":
    main()
