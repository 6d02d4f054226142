"""The ``ladera`` command: parse the words, call one function of the library, print what it says.

Each command lives in its own module, which imports what it needs when it runs: help waits for
nothing heavy. Exit codes: 0 done, 1 refused or failed with a sentence that says why, 2 a command
line that was not understood, 70 an error in Ladera itself, 130 interrupted, by whatever signal, 141
done, but nobody read all that it printed.
"""

from __future__ import annotations

import errno
import os
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from cyclopts import App, CycloptsError, Parameter

from ladera import __version__, progress
from ladera.cli import (
    active,
    check,
    cite,
    committee,
    completion,
    data,
    defects,
    demo,
    diffusion,
    distill,
    draw,
    dynamics,
    evaluate,
    exchange,
    finetune,
    functions,
    grade,
    info,
    ipi,
    label,
    lammps,
    neb,
    phonons,
    precompile,
    predict,
    properties,
    prune,
    relax,
    report,
    sampling,
    scan,
    session,
    thermal_conductivity,
    train,
    validate,
    vibrations,
)
from ladera.cli.inputs import inputs_first
from ladera.cli.misuse import UsageError, as_typed, require_values
from ladera.cli.misuse import sentence as misuse_in_words
from ladera.cli.models import calculator_as_model
from ladera.cli.outputs import release
from ladera.cli.streams import StandardStreams, standard_streams
from ladera.errors import LaderaError
from ladera.interrupt import interrupted_by_signals

FAILURE: Final = 1
USAGE: Final = 2
INTERNAL_ERROR: Final = 70  # EX_SOFTWARE of sysexits.h
INTERRUPTED: Final = 130  # 128 + SIGINT, as shells say it
BROKEN_PIPE: Final = 141  # 128 + SIGPIPE

# In the order of the help, which is their docstrings.
GROUPS: Final[tuple[tuple[str, str, tuple[Callable[..., int], ...]], ...]] = (
    (
        "data",
        "Look at, check, convert, filter, choose, make and split data sets.",
        (
            *(data.info, data.check, data.convert, data.split),
            *(sampling.filter_, sampling.select, sampling.generate),
        ),
    ),
    (
        "functions",
        "Choose symmetry functions by data, and see what those of a model do.",
        (functions.select, functions.report),
    ),
    (
        "thermal-conductivity",
        "Thermal conductivity: of a crystal by its phonons, or of any matter by its heat flux.",
        (thermal_conductivity.lattice, thermal_conductivity.green_kubo),
    ),
    (
        "ipi",
        "Path integrals in i-PI: files to run them by, and a client for its sockets.",
        (ipi.input_, ipi.client),
    ),
    (
        "lammps",
        "Run any model in LAMMPS, on any number of processes.",
        (lammps.run, lammps.build),
    ),
)
MD_HELP: Final = """\
Run molecular dynamics.

Writes md.csv, trajectory.traj, restart.npz, settings.json and final.extxyz. Ctrl-C leaves a
restart point; the same command with --resume goes on from there. The exit code is not 0 when
the structure explodes or leaves the model's training domain; last_good.extxyz is then the
last structure that was sound.

    ladera md model.ladera ethanol.xyz --ensemble nvt-bussi --temperature 300 --time 20
    ladera md ethanol.xyz --engine tblite --temperature 300 --time 1

The folder is named by what is run: md-300K, md-300-600K (a ramp), md-300K-1GPa, md-nve-300K.
"""

# One whose flags are a settings class comes by name, with its help: pydantic can wait.
COMMANDS: Final[tuple[Callable[..., int] | tuple[str, str], ...]] = (
    demo.demo,
    train.template,
    train.schema,
    train.train,
    evaluate.evaluate,
    predict.predict,
    label.label,
    active.active,
    distill.distill,
    info.info,
    draw.draw,
    committee.committee,
    grade.grade,
    finetune.finetune,
    prune.prune,
    exchange.import_,
    exchange.export,
    relax.relax,
    ("ladera.cli.md:md", MD_HELP),
    properties.eos,
    properties.elastic,
    phonons.phonons,
    phonons.expansion,
    defects.vacancy,
    defects.surface,
    vibrations.vibrations,
    vibrations.ir,
    vibrations.raman,
    diffusion.diffusion,
    neb.neb,
    scan.scan,
    dynamics.structure,
    dynamics.spectrum,
    validate.validate,
    check.check,
    report.report,
    cite.cite,
    precompile.compile_,
)

HELP: Final = """\
Machine-learned interatomic potentials, from labelled frames to plotted results.

Start with ladera demo, or with ladera template > config.yaml and your own data.
Every command explains itself: ladera train --help. Units are Angstrom, eV, fs and K
throughout.
"""


def make_app() -> App:
    """The command line with all its commands."""
    app = App(
        name="ladera",
        help=HELP,
        help_epilogue=session.HELP,
        help_format="plaintext",  # without the machinery of Markdown: half of the time
        version=__version__,
        default_parameter=Parameter(negative=()),  # no --no-resume beside --resume
        result_action="return_int_as_exit_code_else_zero",
        exit_on_error=False,
        print_error=False,
        suppress_keyboard_interrupt=False,
    )
    for rank, command in enumerate(COMMANDS):
        if isinstance(command, tuple):
            path, text = command
            app.command(path, help=text, sort_key=rank, help_format="markdown")
        else:
            app.command(inputs_first(command), sort_key=rank, help_format="markdown")
    for name, purpose, commands in GROUPS:
        group = App(name=name, help=purpose, sort_key=-1, help_format="markdown")
        for rank, command in enumerate(commands):
            group.command(inputs_first(command, name), sort_key=rank, help_format="markdown")
        app.command(group)
    completion.register(app)
    return app


app: Final = make_app()


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command line (that of the process by default) and leave with its exit code."""
    line = session.Session.of(list(sys.argv[1:] if arguments is None else arguments))
    warnings.formatwarning = _one_line_warning
    _require_home()
    streams = standard_streams()
    with interrupted_by_signals():
        code = _exit_code(lambda: _run(line), line)
        release()
        sys.exit(code or _exit_code_of(streams))


def _run(line: session.Session) -> int:
    """Run the command of a line, in sight of who watches; its words, for one without a command."""
    line.begin()
    with progress.Task(f"ladera {line.words[0]}" if line.words else "ladera"):
        require_values(app, line.words)
        code: int = app(calculator_as_model(app, line.words))
        return code


def _require_home() -> None:
    """ASE asks for a home, which a user whom the system does not know (a container's) has not."""
    try:
        Path.home()
    except RuntimeError:
        os.environ["HOME"] = "/nonexistent"


def _exit_code(command: Callable[[], Any], line: session.Session) -> int:
    """Run a command; whatever goes wrong becomes one sentence on stderr and an exit code."""
    sentence: str | None = None
    try:
        code: int = command()
    except BaseException as error:
        if line.debug and isinstance(error, Exception):
            traceback.print_exc()
        sentence, code = _explain(error, line.words)
        _fail(sentence, code)
    try:
        line.end(code, sentence)
    except OSError as error:
        return _fail(_system_sentence(error), FAILURE)
    return code


def _explain(error: BaseException, words: Sequence[str]) -> tuple[str, int]:
    """What went wrong, in a sentence, and the exit code; what is no failure is raised again."""
    match error:
        case KeyboardInterrupt():
            return f"Interrupted: {error}." if str(error) else "Interrupted.", INTERRUPTED
        case CycloptsError():
            return misuse_in_words(error), USAGE
        case UsageError():
            return str(error), USAGE
        case LaderaError():
            return as_typed(error, words), error.exit_code
        case OSError():
            return _system_sentence(error), FAILURE
        case MemoryError():
            return "Not enough memory; try smaller batches or structures.", FAILURE
        case Exception():
            interruption = _interruption_behind(error)
            if interruption is not None:
                return _explain(interruption, words)
            return _internal_sentence(error), INTERNAL_ERROR
    raise error


def _interruption_behind(error: BaseException) -> KeyboardInterrupt | None:
    """The interruption that an error was made of.

    A signal comes anywhere: while a class of a library is made, Python 3.11 passes on what was
    raised as the cause of a RuntimeError, and others do alike.
    """
    behind = error.__cause__ or error.__context__
    while behind is not None and not isinstance(behind, KeyboardInterrupt):
        behind = behind.__cause__ or behind.__context__
    return behind


def _exit_code_of(streams: StandardStreams) -> int:
    """What is left to say when all is done, but its words did not all come through."""
    error = streams.error()
    if error is None:
        return 0
    if error.errno == errno.EPIPE:  # nobody reads on
        return BROKEN_PIPE
    return _fail(f"All is done but for its words on standard output: {error.strerror}.", FAILURE)


def _fail(sentence: str, code: int) -> int:
    print(f"Error: {sentence}" if code != INTERRUPTED else sentence, file=sys.stderr)
    return code


def _system_sentence(error: OSError) -> str:
    """What the operating system refused, and for which file."""
    where = f" ({error.filename})" if error.filename is not None else ""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    remedy = "; free some space and run again" if full else ""
    return f"{error.strerror or error}{where}{remedy}."


def _internal_sentence(error: Exception) -> str:
    """An unexpected error in one sentence, its traceback in a file."""
    summary = f"This is a mistake in Ladera ({type(error).__name__}: {error})"
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="ladera-", suffix="-traceback.txt", delete=False, encoding="utf-8"
        ) as file:
            traceback.print_exc(file=file)
    except OSError:
        return f"{summary}; run again with --debug to see the traceback, and report it."
    return f"{summary}; please report it with the traceback in {file.name}."


def _one_line_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    line: str | None = None,
) -> str:
    """Warnings for people: the sentence, without the line of code that gave it."""
    return f"Warning: {message}\n"
