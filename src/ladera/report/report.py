"""One HTML page of a training run, its simulations or an active learning, without a network.

Everything is inside the file: figures as SVG, the 3D view's script, the trajectories. A content
security policy forbids the page to fetch anything, so that nobody has to take that on trust.
"""

from __future__ import annotations

import datetime
import json
import math
import os
import warnings
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

import ladera
from ladera.errors import DataError
from ladera.files import require_absent, write_text_atomic
from ladera.plotting import to_svg
from ladera.progress import track
from ladera.properties import result
from ladera.properties.result import Result
from ladera.report import (
    active_section,
    active_structures,
    figures,
    finetune_section,
    origin_section,
    simulation_section,
    training_section,
    uncertainty_section,
    viewer,
)
from ladera.report.simulation_section import Motion
from ladera.report.training_section import ERROR_UNITS, Plate
from ladera.simulation.run_folder import SimulationRun, is_simulation
from ladera.table_files import column
from ladera.training.evaluation_files import PARTS
from ladera.training.run_folder import TrainingRun, is_training

HOW_TO_GET_3D: Final = (
    "3Dmol.js, which draws the 3D view, is not installed: run `sh scripts/fetch_3dmol.sh` in a "
    "clone of Ladera (it needs npm), then make the report again."
)
_FINDINGS_SHOWN: Final = 100
_GENERATOR: Final = b'<meta name="generator" content="Ladera'
_MINUS: Final = "\N{MINUS SIGN}"


class ReportWarning(UserWarning):
    """The report is complete but for something its maker could have."""


def write_report(
    run: str | os.PathLike[str],
    output: str | os.PathLike[str] | None = None,
    *,
    simulations: Sequence[str | os.PathLike[str]] = (),
    properties: Sequence[str | os.PathLike[str]] = (),
    skip: float = 0.0,
) -> Path:
    """Write the report of a run and return its path.

    Parameters
    ----------
    run
        Folder of a training run, of a simulation, of a property or of an active learning, in
        progress or not.
    output
        File to write; ``report.html`` in ``run`` when not given.
    simulations
        Folders of molecular dynamics and relaxations to show as well.
    properties
        Folders of saved results, such as those of ``ladera elastic``, to show as well.
    skip
        Time (ps) at the start of molecular dynamics that its averages leave out.

    Raises DataError for a folder without a run and for a damaged file, ConfigError where ``output``
    is a file but no report, and for the configuration of an active learning that cannot be read.
    Warns (ReportWarning) when 3Dmol.js is missing; the report then has still pictures and says how
    to get it.
    """
    folder = Path(run)
    if not folder.is_dir():
        what = f"{folder} is a file" if folder.exists() else f"There is no folder {folder}"
        raise DataError(
            f"{what}; give the folder of a training run, a simulation, a "
            "property or an active learning."
        )
    folders = [Path(simulation) for simulation in simulations]
    results = [Path(result) for result in properties]
    if is_simulation(folder):
        folders.insert(0, folder)
    elif result.is_property(folder):
        results.insert(0, folder)
    elif not (is_training(folder) or active_section.is_loop(folder)):
        raise DataError(
            f"{folder} holds no run: expected log.csv or model.ladera of a training, md.csv or "
            "relax.csv of a simulation, result.json of a property, round_0/round.json of an active "
            "learning."
        )
    path = folder / "report.html" if output is None else Path(output)
    if not _is_report(path):
        require_absent(path)
    run_shown: TrainingRun | active_section.Loop | None = None
    if active_section.is_loop(folder):  # it has a model.ladera, too
        run_shown = active_section.read(folder)
    elif is_training(folder):
        run_shown = TrainingRun.read(folder)
    shown = {name: result.load(name) for name in results}
    page = _render(folder, run_shown, [SimulationRun.read(name) for name in folders], shown, skip)
    write_text_atomic(path, page)
    return path


def _is_report(path: Path) -> bool:
    """Whether a file is a page of ours, which a newer one may replace."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return _GENERATOR in file.read(4096)


def _render(
    folder: Path,
    run: TrainingRun | active_section.Loop | None,
    simulations: list[SimulationRun],
    results: dict[Path, Result],
    skip: float,
) -> str:
    """The page as text."""
    script = viewer.load_script()
    loop = run if isinstance(run, active_section.Loop) else None
    viewers = len(simulations) + len(results) + (loop is not None)
    budget = viewer.ATOM_FRAMES // max(viewers, 1)
    shown = [
        _simulation(simulation, f"s{number}", budget, skip)
        for number, simulation in enumerate(track(simulations, "simulations drawn"))
    ]
    properties = [
        _property(saved, where, f"p{number}", budget)
        for number, (where, saved) in enumerate(track(results.items(), "results drawn"))
    ]
    active = None if loop is None else _active(loop, budget)
    structures = [] if active is None else active["structures"]
    if script is None and any(item["scene"] for item in (*shown, *properties, *structures)):
        warnings.warn(HOW_TO_GET_3D, ReportWarning, stacklevel=3)
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            name=folder.resolve().name,
            version=ladera.__version__,
            made=datetime.datetime.now().astimezone().strftime("%Y-%m-%d %H:%M"),
            training=_training(run) if isinstance(run, TrainingRun) else None,
            active=active,
            simulations=shown,
            properties=properties,
            titles=Counter(saved.title for saved in results.values()),
            script=None if script is None else Markup(script.code),
            licence=None if script is None else script.licence,
            how_to_get_3d=HOW_TO_GET_3D,
        )
    )


def _environment() -> Environment:
    """Jinja with escaping of everything that is not marked as markup: labels come from data."""
    environment = Environment(
        loader=PackageLoader("ladera.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = _number
    return environment


def _training(run: TrainingRun) -> dict[str, Any]:
    """What the template shows of a training run."""
    part = training_section.judged_part(run)
    best = training_section.best_epoch(run)
    totals = [errors.total for errors in run.evaluation.values()]
    quantities = [q for q in ERROR_UNITS if any(total.get(q) for total in totals)]
    return {
        "part": part,
        "judged": None if part is None else run.evaluation[part],
        "quantities": [(quantity, *ERROR_UNITS[quantity]) for quantity in quantities],
        "parts": {name: errors.total for name, errors in run.evaluation.items()},
        "facts": _training_facts(run, best),
        "learning": _svgs(training_section.learning_plates(run, best), "learning"),
        "parity": _svgs(training_section.parity_plates(run), "parity"),
        "finetune": finetune_section.section(run.finetune),
        "uncertainty": uncertainty_section.rows(run),
        "reliability": _svgs(uncertainty_section.plates(run), "reliability"),
        "members": run.model.get("provenance", {}).get("members", []),
        "histograms": _svgs(training_section.histogram_plates(run), "histogram"),
        "checked": bool(run.check),
        "findings": run.check.get("findings", [])[:_FINDINGS_SHOWN],
        "n_findings": len(run.check.get("findings", [])),
        "config": run.config,
        "origin": origin_section.section(run.model.get("provenance", {})),
        "header": json.dumps(run.model, indent=2, ensure_ascii=False) if run.model else "",
    }


def _training_facts(run: TrainingRun, best: float | None) -> list[tuple[str, str]]:
    """What was trained on what, with what, in words."""
    config, facts = run.model.get("config", {}), []
    provenance = run.model.get("provenance", {})
    if config:
        facts.append(("Architecture", str(config.get("architecture"))))
        facts.append(("Elements", ", ".join(map(str, config.get("species", ())))))
        facts.append(("Cutoff", f"{config.get('cutoff')} Å"))
    epochs = column(run.log, "epoch")
    if len(epochs):
        kept = "" if best is None else f", the best is {best:g}"
        facts.append(("Epochs", f"{epochs[-1]:g}{kept}"))
    seconds = column(run.log, "seconds")
    if len(seconds):
        facts.append(("Time for an epoch", f"{_number(float(np.nanmedian(seconds)))} s (median)"))
    files = provenance.get("config", {}).get("data", {}).get("files", ())
    if files:
        facts.append(("Files", ", ".join(map(str, files))))
    if run.check:
        frames, atoms = run.check.get("n_frames", 0), run.check.get("n_atoms", 0)
        facts.append(("Data", f"{frames:,} frames, {atoms:,} atoms"))
    if run.split:
        sizes = (f"{len(run.split.get(part, ())):,} {part}" for part in PARTS)
        facts.append(("Split", f"{', '.join(sizes)} ({run.split.get('method')})"))
        facts.append(("Data hash", f"{str(run.split.get('data_hash'))[:16]}…"))
    if "seed" in provenance:
        facts.append(("Seed", str(provenance["seed"])))
    if "versions" in provenance:
        versions = provenance["versions"].items()
        facts.append(("Trained with", ", ".join(f"{name} {which}" for name, which in versions)))
    if "date" in provenance:
        facts.append(("Trained on", str(provenance["date"])))
    return facts


def _active(loop: active_section.Loop, atom_frames: int) -> dict[str, Any]:
    """What the template shows of an active learning."""
    return {
        "judged": active_section.cards(loop),
        "labels": active_section.labels(loop),
        "facts": active_section.facts(loop),
        "by": loop.config.select.by,
        "table": active_section.table(loop),
        "figures": _svgs(active_section.plates(loop), "active"),
        "structures": [
            {"title": title, "scene": motion.scene, "still": _still(motion, f"learned{number}")}
            | {"shown": motion.shown, "total": motion.total}
            for number, (title, motion) in enumerate(active_structures.motions(loop, atom_frames))
        ],
        "walks": active_section.walks(loop),
        "config": active_section.configuration(loop),
    }


def _simulation(
    simulation: SimulationRun, identifier: str, atom_frames: int, skip: float
) -> dict[str, Any]:
    """What the template shows of a simulation."""
    motion = simulation_section.motion(simulation, atom_frames)
    return {
        "id": identifier,
        "title": simulation_section.title(simulation),
        "facts": simulation_section.facts(simulation, skip),
        "comparison": simulation_section.comparison(simulation),
        "figures": _svgs(simulation_section.plates(simulation), identifier),
        "scene": None if motion is None else motion.scene,
        "still": None if motion is None else _still(motion, identifier),
        "origin": origin_section.section(simulation.description),
        "shown": 0 if motion is None else motion.shown,
        "total": 0 if motion is None else motion.total,
    }


def _property(saved: Result, where: Path, identifier: str, atom_frames: int) -> dict[str, Any]:
    """What the template shows of a property; DataError for fields that do not fit together."""
    try:
        return _shown(saved, where, identifier, atom_frames)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise DataError(
            f"{where / result.FILE} holds fields that do not fit together ({error!r}); compute it "
            "again."
        ) from error


def _shown(saved: Result, where: Path, identifier: str, atom_frames: int) -> dict[str, Any]:
    motion = _motion(saved, atom_frames)
    return {
        "id": identifier,
        "title": saved.title,
        "folder": where.resolve().name,
        "tables": saved.tables(),
        "figure": to_svg(saved.plot(), f"{saved.title}. {saved.caption}", identifier),
        "caption": saved.caption,
        "domain": saved.domain(),
        "origin": origin_section.section(saved.provenance),
        "scene": None if motion is None else motion.scene,
        "still": None if motion is None else _still(motion, identifier),
        "shown": 0 if motion is None else motion.shown,
        "total": 0 if motion is None else motion.total,
    }


def _motion(saved: Result, atom_frames: int) -> Motion | None:
    """What moves in a property, such as its normal modes."""
    moving = saved.motion()
    if moving is None:
        return None
    frames, labels = moving
    count = min(len(frames), atom_frames // len(frames[0]))
    scene = viewer.scene(frames[:count], labels[:count]) if count else None
    surface = saved.isosurface()
    if scene is not None and surface is not None:
        scene |= {"cube": surface[0], "level": surface[1]}
    return Motion(scene, frames[0], count, len(frames))


def _still(motion: Motion, identifier: str) -> Markup:
    description = f"The last structure, {motion.last.get_chemical_formula()}"
    return to_svg(figures.structure(motion.last), description, f"{identifier}-still")


def _svgs(plates: Iterable[Plate], prefix: str) -> list[tuple[Markup, str]]:
    """Figures as SVG with their captions."""
    return [
        (to_svg(plate.figure, plate.caption, f"{prefix}-{number}"), plate.caption)
        for number, plate in enumerate(plates)
    ]


def _number(value: float | None, digits: int = 3) -> str:
    """Three significant digits, a dash for nothing."""
    if value is None or not math.isfinite(value):
        return "\N{EN DASH}"
    if value != 0 and not 1e-3 <= abs(value) < 1e5:
        return f"{value:.{digits - 1}e}"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value)))) if value else digits - 1
    return f"{value:.{min(decimals, 5)}f}".replace("-", _MINUS)
