"""What there is to do, in its order, and how much work of which kind each piece takes."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import figures
import molecule
import report
import samples
import step_times
from pieces import SAMPLES, Folder, Piece

if TYPE_CHECKING:
    from study import Study

OWN: Final = "own"  # the name of the crystal's own potential, beside those of models
DENSITY: Final = "density"
_RELAXATION: Final = 2000  # steps that one with its cell takes; 1,500 and 2,700 were seen


def free(isomer: str, model: str) -> str:
    """The piece with the best crystal of an isomer, at rest by a model in a cell of its own."""
    return f"free-{isomer}-{Path(model).stem}"


def memory(folder: Folder, isomer: str, model: str) -> Path:
    """Where the evaluations of a crystal at rest are kept, for all that is asked of it."""
    return folder.path / f"evaluations-{isomer}-{Path(model).stem}"


def elastic(isomer: str, model: str) -> str:
    """The piece with its elastic constants."""
    return f"elastic-{isomer}-{Path(model).stem}"


def pieces(study: Study) -> Iterator[Piece]:
    """In the order in which they are made."""
    yield Piece(f"{SAMPLES}.json", study.sampled)
    yield from _crystal(study)
    yield from _potentials(study)
    yield from _properties(study)
    yield Piece("report.md", partial(report.text, study=study))


def _crystal(study: Study) -> Iterator[Piece]:
    if study.cif is None:
        whole = 1 if study.quick else samples.WHOLE_SEARCH
        yield Piece("isomer-a.extxyz", lambda folder: [molecule.dimer()])
        yield Piece("isomer-d.extxyz", lambda folder: [molecule.dimer("d")])
        for isomer in "ad":
            file, make = f"packings-{isomer}.extxyz", partial(study.packed, isomer)
            yield Piece(file, make, {samples.SEARCH: whole})
    for name in study.candidates:
        work = {samples.UNIVERSAL: min(150, study.settings.steps)}
        yield Piece(f"held-{name}.extxyz", partial(study.held, name), work)
    yield Piece("candidates.json", study.compared)
    for isomer, model in study.crystals:
        if model != OWN:
            yield _at_rest(study, isomer, model)
    yield Piece("structure.png", lambda folder: figures.structure(study.best(folder)))


def _at_rest(study: Study, isomer: str, model: str) -> Piece:
    unit, share = (samples.OWN, 0.5) if model == OWN else (samples.UNIVERSAL, 1.0)
    work = {unit: share * min(_RELAXATION, study.settings.steps)}
    return Piece(f"{free(isomer, model)}.extxyz", partial(study.free, isomer, model), work)


def _potentials(study: Study) -> Iterator[Piece]:
    size = study.settings
    begin, select = size.active["begin"], size.active["select"]
    structures = 2 * len(study.isomers)
    rounds = size.active["stop"]["rounds"]
    labels = begin["frames"] + structures * (begin["number"] + 1)
    labels += rounds * select["checks"] + (rounds - 1) * select["frames"]  # the last one is judged
    # Of each structure two walks at each temperature, one of which judges; without D3.
    walks = 2 * structures * len(size.active["explore"]["temperatures"]) * 1000 / 0.5
    explore = size.active["explore"]
    first, later = walks * begin["time"], walks * explore["time"] + structures * explore["relax"]
    # Half of the frames are of 148 atoms or less, of the own unit of 296.
    training = samples.TRAINING * size.epochs * rounds * (labels + size.dimers) / 4
    molecules = {"monomers": {samples.HALF: size.monomers}, "pairs": {},
                 "dimers": {samples.LABEL: size.dimers}}  # fmt: skip
    for name, work in molecules.items():
        yield Piece(f"{name}.extxyz", partial(study.molecules, name), work)
    work = {samples.LABEL: labels, samples.UNIVERSAL: 0.55 * first,
            samples.OWN: training + 0.5 * rounds * later}  # fmt: skip
    yield Piece("own.json", study.learned, work)
    work = {samples.LABEL: size.unseen, samples.UNIVERSAL: 50 * (size.unseen + 5)}
    yield Piece("unseen.extxyz", study.unseen, work)
    yield Piece(
        "tuned.json", study.tuned, {samples.UNIVERSAL: samples.TUNING * size.tuning * labels}
    )
    yield Piece("errors.json", study.judged, {samples.UNIVERSAL: 2 * size.unseen})
    yield Piece("errors.png", lambda folder: figures.errors(folder.record("errors")))


def _properties(study: Study) -> Iterator[Piece]:
    size = study.settings
    for isomer in study.isomers:
        yield _at_rest(study, isomer, OWN)
    for isomer, model in study.crystals:
        unit, share = (samples.OWN, 0.5) if model == OWN else (samples.UNIVERSAL, 1.0)
        file, make = f"{elastic(isomer, model)}.json", partial(study.stiff, isomer, model)
        yield Piece(file, make, {unit: share * samples.HESSIAN})
    yield Piece("elastic.png", study.elastic_figure)
    yield Piece("bias.json", study.biases)
    hessian = {samples.OWN: samples.HESSIAN / 4}
    yield Piece("infrared-dimer.json", study.dimer_light, hessian)
    # Of crystals the Hessian is there, since elastic constants have asked for it.
    yield Piece("infrared-crystal.json", study.crystal_light)
    yield Piece("infrared-universal.json", study.universal_light)
    yield Piece("times.json", study.timed, {samples.SECOND: samples.TIMES})
    yield Piece("times.png", lambda folder: step_times.figure(folder.record("times")))
    yield Piece(f"{DENSITY}.json", study.moved, {samples.OWN: size.density_steps})
    yield Piece("spectrum.json", study.moved_on, {samples.OWN: size.spectrum_steps})
    yield Piece("infrared.png", study.infrared_figure)
