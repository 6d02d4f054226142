"""``ladera active``: from structures and an engine to a model that was judged."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from ladera.cli.inputs import CONFIG
from ladera.cli.misuse import UsageError
from ladera.cli.session import answer

if TYPE_CHECKING:
    from ladera.active import ActiveRun
    from ladera.active.folder import Round

log = logging.getLogger(__name__)

_HEAD = ("round", "frames", "force MAE", "energy MAE", "new", "hottest", "labels", "hours")
_UNITS = ("", "learned", "meV/Å", "meV/atom", "%", "K", "so far", "so far")


def active(
    config: Annotated[
        Path | None,
        CONFIG,
        Parameter(help="YAML file, as `ladera active --template` prints one."),
    ] = None,
    /,
    *,
    output: Annotated[Path, Parameter(help="Folder of the loop.")] = Path("active"),
    template: Annotated[
        bool, Parameter(negative=(), help="Print a commented configuration with every key.")
    ] = False,
) -> int:
    """Learn a potential actively: explore, label what is new, train, judge, and again.

    Starts from structures and an engine, and ends with a model whose errors were measured on
    structures that it had never seen. Each round's files are in a folder round_N of the output,
    the model in model.ladera, tables and figures in report.html. The same command, run again after
    whatever stopped it, goes on; the section stop of the configuration may ask for more then.

        ladera active --template > active.yaml
        ladera active active.yaml --output methanol
    """
    if template:
        return _template(config)
    if config is None:
        raise UsageError(
            "ladera active was not given a configuration; ladera active --template > active.yaml "
            "makes one."
        )
    from ladera.active import config as config_file
    from ladera.active import learn

    run = learn(config_file.read(config), output, on_round=Rounds(output))
    pages = report(run.folder)
    answer(document(run), [run.model, *pages])
    print(f"Stopped: {run.stopped}.")
    shown = "".join(f"; {page} shows all rounds" for page in pages)
    print(f"The model is {run.model}{shown}.")
    return 0


def report(folder: Path, *properties: Path) -> list[Path]:
    """Write the page of a loop; none where that fails, which costs a page and never the loop."""
    try:
        from ladera.report.report import write_report

        return [write_report(folder, properties=properties)]
    except Exception as error:
        log.debug("What went wrong with the report:", exc_info=True)
        said = str(error).rstrip(".") or type(error).__name__
        log.warning(
            "Warning: there is no new report (%s). `ladera report %s` makes one.", said, folder
        )
        return []


def _template(config: Path | None) -> int:
    import yaml

    from ladera.active.config import template

    if config is not None:
        raise UsageError(f"--template prints a configuration, and {config} is one; leave one out.")
    answer(yaml.safe_load(template()))
    print(template(), end="")
    return 0


class Rounds:
    """Prints a line for each round, as they come, and writes the page of the loop."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._begun = folder, False

    def __call__(self, record: Round) -> None:
        """A round that has been judged."""
        if not self._begun:
            print_head()
            self._begun = True
        print_round(record)
        report(self._folder)


def print_head() -> None:
    """What the columns of :func:`print_round` are."""
    for line in (_HEAD, _UNITS):
        _print(line)


def print_round(record: Round) -> None:
    """A line on a round that was judged."""
    judged = record.judged
    forces, energy = (None, None) if judged is None else (judged.forces, judged.energy)
    _print(
        (
            str(record.number),
            f"{record.trained_on:,}",
            _milli(forces),
            _milli(energy),
            f"{100 * record.share_new:.3g}",
            "-" if record.reached is None else f"{record.reached:g}",
            f"{record.labels_so_far:,}",
            f"{record.seconds_so_far / 3600:.3g}",
        )
    )


def _print(cells: tuple[str, ...]) -> None:
    print("".join(f"{cell:>11}" for cell in cells), flush=True)


def _milli(value: float | None) -> str:
    return "-" if value is None else f"{1000 * value:.3g}"


def document(run: ActiveRun) -> dict[str, Any]:
    """What it did, for programs."""
    return {
        "stopped": run.stopped,
        "rounds": [record.model_dump(mode="json") for record in run.rounds],
    }
