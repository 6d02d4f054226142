"""The plugin: compiled once for a LAMMPS and a Python, and kept in the user's cache folder."""

from __future__ import annotations

import hashlib
import os
import site
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Final

from ladera.engines.lammps.installed import Lammps
from ladera.errors import ConfigError
from ladera.files import atomic_path

SOURCES: Final = Path(__file__).parent / "plugin"
PLUGIN: Final = "laderaplugin.so"  # LAMMPS_PLUGIN_PATH takes what ends like this
_LINES: Final = 3  # of a compiler's words


def build(lammps: Lammps) -> Path:
    """The plugin for a LAMMPS, compiled unless that has been done before.

    Raises ConfigError where the compiler refuses.
    """
    command = [
        lammps.compiler,
        *("-O2", "-fPIC", "-shared", "-std=c++17", "-w"),
        f"-DLAMMPS_{lammps.sizes}",
        f"-I{lammps.headers}",
        *([] if lammps.mpi_headers is None else [f"-I{lammps.mpi_headers}"]),
        f"-DLADERA_LAMMPS_NUMBER={lammps.version}",
        *(f'-DLADERA_{name}="{value}"' for name, value in _python().items()),
        f'-DLADERA_SOURCES="{sources_hash()}"',
        *map(str, sorted(SOURCES.glob("*.cpp"))),
    ]
    plugin = _cache() / f"lammps-{_hash(command, lammps.headers)}" / PLUGIN
    if not plugin.is_file():
        with atomic_path(plugin) as temporary:
            done = subprocess.run(
                [*command, "-o", str(temporary)], capture_output=True, text=True, check=False
            )
            if done.returncode != 0:
                said = [line for line in done.stderr.splitlines() if "error" in line][:_LINES]
                raise ConfigError(
                    f"{lammps.compiler} cannot compile the plugin with the headers of LAMMPS in "
                    f"{lammps.headers}: {' '.join(said) or done.stderr.strip()[-300:]}"
                )
    return plugin


def sources_hash() -> str:
    """What tells the plugin of this Ladera from those of others."""
    digest = hashlib.sha256()
    for source in sorted(SOURCES.iterdir()):
        digest.update(source.name.encode() + b"\0" + source.read_bytes())
    return digest.hexdigest()[:16]


def _python() -> dict[str, str]:
    """The Python of this process, for a LAMMPS that has to start it."""
    folders = [
        *site.getsitepackages(),
        *([site.getusersitepackages()] if site.ENABLE_USER_SITE else []),
    ]
    here = str(Path(__file__).parents[3])
    return {
        "LIBPYTHON": _shared_library(),
        "PYTHONHOME": sys.base_prefix,
        "PYTHON_VERSION": "{}.{}".format(*sys.version_info),
        "EXECUTABLE": sys.executable,
        "SITE_PACKAGES": os.pathsep.join(folders),
        "SOURCE": "" if here in folders else here,
    }


def _shared_library() -> str:
    """Where libpython is; empty of a Python that is all in its program."""
    name, folder = (sysconfig.get_config_var(key) for key in ("INSTSONAME", "LIBDIR"))
    path = Path(str(folder)) / str(name)
    return str(path) if path.is_file() and ".so" in path.name else ""


def _hash(command: list[str], headers: Path) -> str:
    digest = hashlib.sha256("\0".join(command).encode())
    for header in sorted(headers.glob("*.h")):
        digest.update(header.read_bytes())
    return digest.hexdigest()[:16]


def _cache() -> Path:
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "ladera"
