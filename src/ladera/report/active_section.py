"""The part of the page about an active learning: what its rounds cost, brought and met."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import yaml

from ladera import table_files
from ladera.active.choice import DISTORTED
from ladera.active.config import ActiveConfig
from ladera.active.folder import ActiveFolder, Judgement, Round, RoundFolder
from ladera.active.stopping import verdict
from ladera.arrays import Floats
from ladera.errors import DataError
from ladera.quantities import MILLI
from ladera.report import active_figures
from ladera.report.training_section import Plate
from ladera.table_files import Columns

_WORK: Final = ("training", "exploring", "labelling", "judging")
_OURS: Final = ("training", "exploring", "judging")  # the engine's time is counted by itself
_FORMULAS: Final = 6
_SHOWN: Final = ("walk", "temperature_k", "step", "score", "contact", "became")  # of candidates


@dataclass(frozen=True)
class Loop:
    """An active learning as its folder has it."""

    folder: ActiveFolder
    config: ActiveConfig
    rounds: list[Round]  # from the beginning, 0
    candidates: dict[int, Columns]  # by round; of those that walked or made some

    @property
    def judged(self) -> list[tuple[Round, Judgement]]:
        """The rounds whose models were judged."""
        return [(each, each.judged) for each in self.rounds if each.judged is not None]

    @property
    def stopped(self) -> str:
        """Why it ended; "" where it goes on, as the configuration is now."""
        return verdict(self.config, self.rounds[-1]) if self.rounds[-1].stopped else ""


def is_loop(folder: Path) -> bool:
    """Whether a folder holds an active learning whose first labels are there."""
    loop = ActiveFolder(folder)
    return loop.holds_loop and loop.round(0).record.exists()


def read(folder: Path) -> Loop:
    """An active learning. DataError for a damaged file, ConfigError for such a configuration."""
    files = ActiveFolder(folder)
    rounds = files.rounds()
    tables = {each.number: _candidates(files.round(each.number)) for each in rounds}
    return Loop(files, files.config(), rounds, {k: table for k, table in tables.items() if table})


def _candidates(folder: RoundFolder) -> Columns:
    if not folder.candidates.exists():
        return {}
    table = table_files.read(folder.candidates, text=("walk", "became"))
    if missing := [name for name in _SHOWN if name not in table]:
        raise DataError(
            f"{folder.candidates} has no column {missing[0]}, so that it is not what an active "
            "learning wrote; take it away to report without it."
        )
    return table


def configuration(loop: Loop) -> str:
    """The configuration, all defaults included."""
    values = loop.config.model_dump(mode="json")
    return str(yaml.safe_dump(values, sort_keys=False, width=100, allow_unicode=True))


# --- in words ------------------------------------------------------------------------------------


def facts(loop: Loop) -> list[tuple[str, str]]:
    """What was asked for, what came of it, and why it ended."""
    config, rounds = loop.config, loop.rounds
    seconds, engine = rounds[-1].seconds_so_far, sum(each.engine_seconds for each in rounds)
    return [
        ("State", f"stopped: {loop.stopped}" if loop.stopped else "goes on"),
        ("Structures", _structures(loop)),
        ("Engine", _in_words(config.engine, "engine")),
        ("Model", _model(config)),
        ("Explored", _explored(config)),
        (
            "Chosen by",
            f"{config.select.by}: new above {config.select.new:g}, lost above "
            f"{config.select.end:g}",
        ),
        ("Rounds", f"{len(rounds) - 1} of at most {config.stop.rounds}"),
        ("Hottest", _hottest(rounds)),
        ("Time", time(seconds)),
        ("Time of the engine", f"{time(engine)} of processors"),
    ]


def time(seconds: float) -> str:
    """A time in the unit in which it is read well."""
    unit, size = active_figures.unit_of_time(seconds)
    return f"{seconds / size:.3g} {unit}"


def _structures(loop: Loop) -> str:
    formulas = dict.fromkeys(walk.structure for each in loop.rounds for walk in each.walks)
    shown = [*list(formulas)[:_FORMULAS], *(["…"] if len(formulas) > _FORMULAS else [])]
    return ", ".join(loop.config.structures) + (f" ({', '.join(shown)})" if shown else "")


def _in_words(given: str | Mapping[str, Any], key: str) -> str:
    """A name, or that of a dictionary under ``key`` and what else stands in it."""
    if isinstance(given, str):
        return given
    others = [
        f"{name.replace('_', ' ')} {value}"
        for name, value in given.items()
        if name != key and not isinstance(value, Mapping | list | tuple) and value is not None
    ]
    name = str(given.get(key, ""))
    return f"{name} ({', '.join(others)})" if others else name


def _model(config: ActiveConfig) -> str:
    training = config.training_config(("data.extxyz",), ())
    words = (
        _in_words(config.training.get("model", {}), "architecture")
        if training.finetune is None
        else f"{training.finetune.base}, fine-tuned ({training.finetune.method})"
    )
    if training.committee is not None:
        words = f"committee of {training.committee.members}, each {words}"
    return words


def _explored(config: ActiveConfig) -> str:
    explore = config.explore
    temperatures = ", ".join(f"{value:g}" for value in explore.temperatures)
    words = f"{temperatures} K, {explore.time:g} ps each"
    if explore.pressures:
        words += f", at {', '.join(f'{value:g}' for value in explore.pressures)} GPa"
    if explore.relax:
        words += f", relaxations of at most {explore.relax} steps"
    return words


def _hottest(rounds: Sequence[Round]) -> str:
    """Of the last model that explored: how far every walk came, or at least some."""
    last = next((each for each in reversed(rounds) if each.number and each.walks), None)
    if last is None:
        return "no model has explored yet"
    if last.reached is not None:
        return f"{last.reached:g} K, in all walks of round {last.number}"
    dynamics = [walk for walk in last.walks if not walk.relaxation]
    known = [walk.reached for walk in dynamics if walk.reached is not None]
    if not known:
        return f"no walk of round {last.number} went through the coldest temperature"
    some = sum(value == max(known) for value in known)
    return f"{max(known):g} K, in {some} of {len(dynamics)} walks of round {last.number}"


# --- tables --------------------------------------------------------------------------------------


def cards(loop: Loop) -> dict[str, Any] | None:
    """Errors of the last model that was judged, in meV, and on what; None before there is one."""
    if not loop.judged:
        return None
    record, judged = loop.judged[-1]
    errors = [
        ("Force", judged.forces, judged.forces_rmse, "meV/Å"),
        ("Energy", judged.energy, judged.energy_rmse, "meV/atom"),
    ]
    return {
        "errors": [
            (name, MILLI * mae, None if rmse is None else MILLI * rmse, unit)
            for name, mae, rmse, unit in errors
            if mae is not None
        ],
        "frames": judged.frames,
        "round": record.number,
        "run": f"{loop.folder.round(record.number).path.name}/model",
    }


def labels(loop: Loop) -> dict[str, int]:
    """How many there are, and what became of the others."""
    return {
        "total": loop.rounds[-1].labels_so_far,
        "failed": sum(each.failed for each in loop.rounds),
        "left_out": sum(each.left_out for each in loop.rounds),
    }


def table(loop: Loop) -> dict[str, Any]:
    """A row for each round, with times in one unit."""
    times = [each.seconds.get(name, 0.0) for each in loop.rounds for name in _WORK]
    unit, size = active_figures.unit_of_time(max(times, default=0.0))
    rows = [
        {
            "round": each.number,
            "trained_on": each.trained_on or None,
            "labels": each.labels_so_far,
            "failed": each.failed,
            "left_out": each.left_out,
            "forces": None if each.judged is None else _milli(each.judged.forces),
            "energy": None if each.judged is None else _milli(each.judged.energy),
            "new": 100 * each.share_new if each.met else None,
            "met": each.met or None,
            "largest": each.largest,
            "reached": each.reached,
            "times": [
                each.seconds[name] / size if name in each.seconds else None for name in _WORK
            ],
        }
        for each in loop.rounds
    ]
    return {"rows": rows, "unit": unit, "work": [name.capitalize() for name in _WORK]}


def walks(loop: Loop) -> list[dict[str, Any]]:
    """How the walks of each round ended, the last round first."""
    return [
        {
            "round": each.number,
            "finished": sum(walk.ended == "finished" for walk in each.walks),
            "pressures": any(walk.pressure is not None for walk in each.walks),
            "walks": each.walks,
        }
        for each in reversed(loop.rounds)
        if each.walks
    ]


def _milli(value: float | None) -> float | None:
    return None if value is None else MILLI * value


# --- figures -------------------------------------------------------------------------------------


def plates(loop: Loop) -> Iterator[Plate]:
    """All figures for which there is more than one point."""
    if len(loop.judged) > 1:
        yield from _error_plates(loop)
    yield from _score_plate(loop)
    reached = {
        each.number: Counter(walk.reached for walk in each.walks if not walk.relaxation)
        for each in loop.rounds
        if each.walks
    }
    if len(reached) > 1:
        yield Plate(
            active_figures.walks(reached),
            "The hottest temperature that the walks of each round went through; none are those "
            "that were lost at the coldest one.",
        )
    yield from _group_plate(loop)
    yield from _cost_plate(loop)


def _error_plates(loop: Loop) -> Iterator[Plate]:
    frames = np.array([record.trained_on for record, _ in loop.judged], dtype=float)
    stop = loop.config.stop
    for name, title, unit, goal in (
        ("forces", "Force", "meV/Å", stop.forces),
        ("energy", "Energy", "meV/atom", stop.energy),
    ):
        errors = {
            "MAE": _errors(loop, name),
            "RMSE": _errors(loop, f"{name}_rmse"),
        }
        if np.isfinite(errors["MAE"]).sum() > 1:
            yield Plate(
                active_figures.errors_by_labels(
                    frames, errors, f"{title} error ({unit})", _milli(goal)
                ),
                f"{title} errors of each round's model, on frames it had never seen, against the "
                "frames it was trained on. Each round is judged on frames of its own.",
            )


def _errors(loop: Loop, name: str) -> Floats:
    values = [getattr(judged, name) for _, judged in loop.judged]
    return np.array([np.nan if value is None else MILLI * value for value in values])


def _score_plate(loop: Loop) -> Iterator[Plate]:
    rounds, unknown = {}, 0
    for number, found in loop.candidates.items():
        walked = found["walk"] != DISTORTED
        known = walked & np.isfinite(found["score"])
        if known.any():
            rounds[number] = (found["score"][known], found["became"][known] == "picked")
            unknown += int((walked & ~known).sum())
    if not rounds:
        return
    select = loop.config.select
    label = "Grade (no unit)" if select.by == "grade" else "Deviation of forces (eV/Å)"
    limits = {
        each.number: (each.new_above, each.lost_above)
        for each in loop.rounds
        if each.new_above is not None and each.lost_above is not None
    }
    close = f" {unknown:,} with atoms too close to each other have no score." if unknown else ""
    yield Plate(
        active_figures.scores(rounds, label, limits),
        "How little the model knew of the structures its walks met in each round, and above what "
        f"they are new and a walk is lost.{close}",
    )


def _group_plate(loop: Loop) -> Iterator[Plate]:
    if not loop.judged:
        return
    record, judged = loop.judged[-1]
    groups = {name: MILLI * error for name, error in judged.by_group.items() if error is not None}
    if len(groups) > 1:
        ordered = {name: groups[name] for name in sorted(groups, key=_by_temperature)}
        yield Plate(
            active_figures.errors_by_group(ordered, _milli(judged.forces), "Force MAE (meV/Å)"),
            f"Force errors of the model of round {record.number} by where its {judged.frames} "
            "frames were met.",
        )


def _by_temperature(group: str) -> tuple[float, str]:
    """Temperatures in their order, then all else in that of the alphabet."""
    number, _, unit = group.partition(" ")
    hot = unit == "K" and number.replace(".", "", 1).isdigit()
    return (float(number) if hot else np.inf, group)


def _cost_plate(loop: Loop) -> Iterator[Plate]:
    parts = {"Engine": np.array([each.engine_seconds for each in loop.rounds])} | {
        name.capitalize(): np.array([each.seconds.get(name, 0.0) for each in loop.rounds])
        for name in _OURS
    }
    if len(loop.rounds) > 1 and any(values.any() for values in parts.values()):
        yield Plate(
            active_figures.costs([each.number for each in loop.rounds], parts),
            "What each round cost: processor time of the engine, and by the clock the time of "
            "training, of exploring and of judging.",
        )
