"""``ladera lammps``: a plugin for LAMMPS, and LAMMPS with it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from ladera.cli.numbers import whole
from ladera.cli.session import answer

Tree = Annotated[
    Path | None,
    Parameter(
        name="--lammps",
        help="Folder of another LAMMPS than the one installed in this environment: its sources, "
        "or where it was installed.",
    ),
]


def build(*, tree: Tree = None) -> int:
    """Compile the plugin that gives LAMMPS pair_style ladera, and say where it is.

    It takes a C++ compiler and some seconds, once for a LAMMPS: the plugin is kept in the user's
    cache folder. A script loads it by the line that is printed; with ladera lammps run it needs no
    such line.

        ladera lammps build
        ladera lammps build --lammps ~/lammps
    """
    from ladera.engines.lammps.building import build
    from ladera.engines.lammps.installed import find_lammps

    found = find_lammps(tree)
    plugin = build(found)
    answer({"kind": "plugin", "lammps": found.version}, [plugin])
    print(f"The plugin for the LAMMPS of {found.version}, whose headers are in {found.headers}:")
    print(f"plugin load {plugin}")
    return 0


def run(
    script: Annotated[Path, Parameter(help="Script of LAMMPS.")],
    /,
    *,
    processes: Annotated[
        int, Parameter(name=["--processes", "-n"], help="Processes of MPI.", converter=whole)
    ] = 1,
    threads: Annotated[
        int | None,
        Parameter(
            help="Threads of each process; as many as there are cores for it.", converter=whole
        ),
    ] = None,
    var: Annotated[
        list[str] | None,
        Parameter(help="Variables of the script: NAME=VALUE.", consume_multiple=1),
    ] = None,
    tree: Tree = None,
) -> int:
    """Run a script of LAMMPS that may say pair_style ladera MODEL.

    The plugin is compiled if there is none yet. LAMMPS is started by the mpirun that belongs to it;
    its exit code is that of this command.

        ladera lammps run in.lammps
        ladera lammps run in.lammps -n 4 --threads 2 --var T=300
    """
    from ladera.engines.lammps.running import run_script
    from ladera.errors import ConfigError

    if not script.is_file():
        from ladera.files import closest

        raise ConfigError(f"There is no script {script}; {closest(script)}")
    variables: list[str] = []
    for each in var or ():
        name, equals, value = each.partition("=")
        if not name or not equals:
            raise ConfigError(f"--var is '{each}'; write NAME=VALUE, such as T=300.")
        variables += ["-var", name, value]
    code = run_script(script, processes, threads, tree, variables)
    answer({"kind": "lammps", "exit_code": code}, [])
    return code
