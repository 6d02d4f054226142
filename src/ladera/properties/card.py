"""The card of a potential: what it was measured to do, and what it may be trusted for."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ladera.errors import LaderaError, PropertyError
from ladera.extrapolation import EDGE, FAR
from ladera.identity import changes_of_run, describe_run
from ladera.plotting import FAINT, PALETTE, axes, style
from ladera.progress import Task
from ladera.properties import result
from ladera.properties.conservation import EnergyConservation, energy_conservation
from ladera.properties.dimers import Dimers, dimers
from ladera.properties.elasticity import Elasticity, elasticity
from ladera.properties.equation_of_state import EquationOfState, equation_of_state
from ladera.properties.memory import FOLDER, RememberingCalculator, forget
from ladera.properties.phonons import Phonons, phonons
from ladera.properties.result import FILE, Result
from ladera.properties.structures import largest_grade
from ladera.properties.survival import Survival, survival
from ladera.properties.verdicts import (
    BAD,
    GOOD,
    LIMIT,
    NOTHING,
    UNCOMPARED,
    References,
    of_errors,
    trained_on,
    worse,
)
from ladera.properties.vibrations import Vibrations, vibrations
from ladera.quantities import MILLI, QUANTITIES, STRESS, pretty
from ladera.simulation.doubts import doubts
from ladera.simulation.records import write_structure
from ladera.simulation.relaxation import relax
from ladera.simulation.run_folder import RunFolder
from ladera.simulation.structures import read_structure
from ladera.tables import Column, Table
from ladera.units import GIGAPASCAL

if TYPE_CHECKING:
    import os

    from ase import Atoms

    from ladera.potential import Potential

SUPERCELL: Final = 9.0  # Angstrom, least height of the cell that is simulated
MOST_ELEMENTS: Final = 10  # of a model whose pairs are all looked at
LARGEST: Final = 300  # atoms, of a crystal that elastic constants and phonons are made for
# Of the time that a validation takes, of the pieces in their order: measured on networks.
SHARES: Final = {
    "dimers": 1,
    "relaxation": 2,
    "equation_of_state": 3,
    "elasticity": 5,
    "phonons": 5,
    "vibrations": 1,
    "energy_conservation": 30,
    "survival": 53,
}


@dataclass(frozen=True, kw_only=True)
class Card(Result):
    """One line for each thing that was looked at: what was found, and what that is good for."""

    kind: ClassVar[str] = "card"
    title: ClassVar[str] = "What this model may be trusted for"
    caption: ClassVar[str] = "How many findings came out well."

    model: str
    subjects: tuple[str, ...]  # (n,)
    findings: tuple[str, ...]  # (n,)
    verdicts: tuple[str, ...]  # (n,) good, with care, no, no reference, or nothing

    def table(self) -> Table:
        """Subject, finding, verdict."""
        rows = zip(self.subjects, self.findings, self.verdicts, strict=True)
        columns = (Column(self.model), Column("found"), Column("to be trusted"))
        return Table(columns, tuple(rows))

    def domain(self) -> str:
        """Nothing: lines of the card say it."""
        return ""

    def plot(self, ax: Axes | None = None) -> Figure:
        """How many of the things looked at came out well."""
        judged = [verdict for verdict in self.verdicts if verdict]
        names = (GOOD, LIMIT, BAD, UNCOMPARED)
        with style():
            figure, panel = axes(4.4, 1.7, ax)
            counts = [judged.count(name) for name in names]
            bars = panel.barh(names, counts, color=[*(PALETTE[k] for k in (2, 4, 1)), FAINT])
            panel.bar_label(bars, padding=3)
            panel.invert_yaxis()
            panel.xaxis.set_major_locator(MaxNLocator(integer=True))
            panel.set(xlabel="findings (number)", xlim=(0, max([*counts, 1]) * 1.15))
        return figure


def validate(
    potential: Potential,
    atoms: Atoms,
    folder: str | os.PathLike[str],
    /,
    *,
    name: str = "model",
    errors: dict[str, Any] | None = None,
    temperature: float | None = None,
    time: float = 10.0,
    references: References = NOTHING,
) -> list[Path]:
    """Look at a potential from all sides that fit ``atoms``; the folders of the results.

    The structure is relaxed (a crystal with its cell and symmetry). A crystal then has its
    equation of state, elastic constants and phonons, a molecule its vibrations. Every pair of
    elements is pushed together to 0.5 Angstrom; energy conservation is measured at
    ``temperature`` (K), that of the hottest training data (300 without a word), and a run of
    ``time`` ps tried at twice that, with half the safe step; a time of 0 leaves simulations out.
    ``errors`` of labelled frames, as the evaluation gives them, go into the card, which is the
    first of the folders, and are judged against guessing the mean of the labels; ``name`` is what
    it calls the model. A property that nothing is compared with is never called good: give
    ``references``, of :func:`~ladera.properties.verdicts.read_references`. One of the cell is
    called no better than what the stress is.

    Results that are in ``folder`` already are not computed again. A piece that cannot be had is a
    line of the card that says why. Raises PropertyError for a temperature that is not above zero,
    and for a folder that holds the results of another model, structure, temperature or time.
    """
    hottest = 300.0 if temperature is None else temperature
    if not hottest > 0:
        raise PropertyError.of("temperature", f"{hottest:g} K", "it must be above zero")
    if not time >= 0:
        raise PropertyError.of("time", f"{time:g} ps", "it must be above zero, or zero for no runs")
    record = describe_run({"temperature": hottest, "time": time}, potential, atoms)
    _claim(Path(folder), record)
    work = _Work(potential, Path(folder), references)
    with work.task:
        work.labels(errors or {})
        work.pair_curves(atoms)
        structure = work.relaxed(atoms)
        if structure is not None:
            work.domain(structure)
            work.statics(structure)
            assumed = "" if temperature is not None else " (hottest training temperature not known)"
            work.dynamics(structure, hottest, time, assumed)
    card = Card(
        model=name,
        subjects=tuple(line[0] for line in work.lines),
        findings=tuple(line[1] for line in work.lines),
        verdicts=tuple(line[2] for line in work.lines),
        provenance=record,
        largest_grade=work.largest_grade,
    )
    card.save(work.folder)
    forget(work.folder)
    return [work.folder, *work.saved]


def _claim(folder: Path, description: Mapping[str, Any]) -> None:
    """Say in settings.json whose results the folder holds; PropertyError when others' are there."""
    path = folder / "settings.json"
    if not path.is_file():
        RunFolder(folder).describe(description)
        return
    try:
        changes = changes_of_run(path, description)
    except (OSError, AttributeError, ValueError, KeyError, TypeError) as error:
        raise PropertyError(
            f"{path} is damaged ({error}); remove {folder} or choose another --output."
        ) from error
    if changes:
        others = [
            name if name in ("model", "structure") else f"{name} ({before:g}, not {now:g})"
            for name, before, now in changes
        ]
        raise PropertyError(
            f"{folder} holds a validation with another {', another '.join(others)}; remove it or "
            "choose another --output."
        )


class _Work:
    """A validation in progress."""

    def __init__(self, potential: Potential, folder: Path, references: References) -> None:
        self.potential, self.folder, self.references = potential, folder, references
        self.lines: list[tuple[str, str, str]] = []
        self.saved: list[Path] = []
        self.largest_grade = math.nan  # of all pieces
        self.of_cell = (UNCOMPARED, "")  # verdict on what follows from the stress, and why
        self.task = Task("validation", float(sum(SHARES.values())))

    def say(self, subject: str, finding: str, verdict: str) -> None:
        """Add a line to the card."""
        self.lines.append((subject, finding, verdict))

    def _begin(self, piece: str) -> None:
        """Say what comes now, after all that stands before it in the table of shares."""
        before = list(SHARES)[: list(SHARES).index(piece)]
        self.task.unit = SHARES[piece]
        self.task.show(sum(SHARES[name] for name in before), piece.replace("_", " "))

    def relaxed(self, atoms: Atoms) -> Atoms | None:
        """The structure at its minimum; None when it finds none."""
        self._begin("relaxation")
        solid = bool(atoms.pbc.all())
        kept = self.folder / "relaxed.extxyz"
        if kept.is_file():
            found = read_structure(kept)
            self.say("structure", f"{atoms.get_chemical_formula()}, relaxed before", GOOD)
        else:
            try:
                done = relax(atoms, self.potential, fmax=1e-3, cell=solid, symmetry=solid)
            except LaderaError as error:
                self.say("structure", f"does not relax: {error}", BAD)
                return None
            if not done.converged:
                force = done.last.max_force_ev_per_angstrom
                self.say("structure", f"does not relax: {force:.2g} eV/Å is left", BAD)
                return None
            write_structure(kept, done.atoms)
            found = done.atoms
            self.say(
                "structure",
                f"{atoms.get_chemical_formula()}, relaxed in {done.last.step} steps",
                GOOD,
            )
        found.calc = RememberingCalculator(self.potential, self.folder / FOLDER)
        for doubt in doubts(self.potential, atoms, found):
            self.say("relaxation", doubt, LIMIT)
        return found

    def piece(self, name: str, compute: Callable[[], Result]) -> Result | None:
        """A result: that in the folder, or a new one; None when it cannot be had."""
        place = self.folder / name
        self._begin(name)
        try:
            if (place / FILE).is_file():
                found = result.load(place)
            else:
                found = compute()
                found.save(place)
        except LaderaError as error:
            self.say(name.replace("_", " "), str(error), LIMIT)
            return None
        self.saved.append(place)
        self.largest_grade = float(np.fmax(self.largest_grade, found.largest_grade))
        return found

    def labels(self, errors: dict[str, Any]) -> None:
        """What it was trained on, and its errors on labelled frames."""
        trained, missing = trained_on(self.potential)
        if missing:
            self.say("trained on", f"{', '.join(trained)}; never on {', '.join(missing)}", "")
        if STRESS.name in missing:
            self.of_cell = (LIMIT, "; stress was never trained")
        for quantity in QUANTITIES:
            found = errors.get(quantity.name)
            if not found:
                continue
            unit = pretty(quantity.unit_of_errors)
            words = f"MAE {found['mae']:.3g}, RMSE {found['rmse']:.3g} {unit}"
            if quantity == STRESS:
                words += f" (RMSE {found['rmse'] / MILLI / GIGAPASCAL:.3g} GPa)"
            verdict = of_errors(found)
            if quantity == STRESS and verdict in (LIMIT, BAD):
                self.of_cell = (verdict, f"{self.of_cell[1]}; errors of stress: {verdict}")
            self.say(f"errors of {quantity.name}", f"{words} ({found['count']} values)", verdict)

    def pair_curves(self, atoms: Atoms) -> None:
        """Pairs pushed together; of a model that knows half of the periodic table, those here."""
        few = len(self.potential.symbols) <= MOST_ELEMENTS
        species = None if few else set(atoms.symbols)
        found = self.piece("dimers", lambda: dimers(self.potential, species=species))
        if isinstance(found, Dimers):
            if found.soft:
                words = ", ".join(f"{pair} {what}" for pair, what in found.soft.items())
                self.say("atoms pushed together", words, LIMIT)
            else:
                self.say("atoms pushed together", "all pairs repel down to 0.5 Å", GOOD)

    def domain(self, atoms: Atoms) -> None:
        """Whether the structure is like what the model was trained on."""
        grade = largest_grade(atoms)
        self.largest_grade = float(np.fmax(self.largest_grade, grade))
        if not math.isfinite(grade):
            words = "not known; `ladera grade` makes an active set of frames the model knows"
            self.say("training domain", words, UNCOMPARED)
            return
        verdict = GOOD if grade <= EDGE else LIMIT if grade <= FAR else BAD
        self.say("training domain", f"largest grade of an atom {grade:.3g}; 1 is the edge", verdict)

    def statics(self, atoms: Atoms) -> None:
        """Properties of the minimum."""
        if not atoms.pbc.any():
            found = self.piece("vibrations", lambda: vibrations(atoms))
            if isinstance(found, Vibrations):
                bad = len(found.imaginary)
                span = f"{found.frequencies[0]:.0f} to {found.frequencies[-1]:.0f} cm⁻¹"
                self.say("vibrations", f"{span}, {bad} imaginary", BAD if bad else UNCOMPARED)
            return
        if not atoms.pbc.all() or len(atoms) > LARGEST:
            return
        curve = self.piece("equation_of_state", lambda: equation_of_state(atoms))
        if isinstance(curve, EquationOfState):
            volume, modulus = (curve.number(name, 0) for name in ("volume", "bulk_modulus"))
            words = f"{volume.text('.3f')} Å³ per atom, bulk modulus {modulus.text('.1f')} GPa"
            numbers = {"volume": volume.value, "bulk_modulus": modulus.value}
            self.compare("equation of state", words, numbers)
        constants = self.piece("elasticity", lambda: elasticity(atoms))
        if isinstance(constants, Elasticity):
            each = constants.constants().items()
            words = ", ".join(f"{name} {constant.text('.1f')}" for name, constant in each) + " GPa"
            words += "" if constants.stable else ", unstable"
            self.compare("elasticity", words, constants.numbers(), constants.stable)
        waves = self.piece("phonons", lambda: phonons(atoms))
        if isinstance(waves, Phonons):
            words = f"up to {waves.bands.max():.2f} THz, "
            words += "none imaginary" if waves.stable else f"imaginary to {-waves.lowest:.2f} THz"
            self.compare("phonons", words, waves.numbers(), waves.stable)

    def compare(
        self, piece: str, finding: str, numbers: Mapping[str, float], stable: bool = True
    ) -> None:
        """A line on a property: beside the references, and what follows from the stress."""
        words, verdict = self.references.judge(piece.replace(" ", "_"), numbers)
        if piece != "phonons":
            finding, verdict = finding + self.of_cell[1], worse(verdict, self.of_cell[0])
        subject = "elastic constants" if piece == "elasticity" else piece
        self.say(subject, finding + words, verdict if stable else BAD)

    def dynamics(self, atoms: Atoms, hottest: float, time: float, assumed: str) -> None:
        """Simulations from the minimum."""
        if time == 0:
            self.say("simulations", "none, as their time is 0", "")
            return
        large = atoms.repeat(_repeats(atoms))
        kept = self.piece(
            "energy_conservation",
            lambda: energy_conservation(
                large, self.potential, self.folder / "runs", temperature=hottest
            ),
        )
        safe = float("nan")
        if isinstance(kept, EnergyConservation):
            safe = kept.safe
            known = math.isfinite(safe)
            words = f"steps up to {safe:g} fs at {hottest:g} K" if known else "no step is safe"
            self.say("energy conservation", words + assumed, GOOD if known else BAD)
        step = safe / 2 if math.isfinite(safe) else 0.25
        hot = self.piece(
            "survival",
            lambda: survival(
                large,
                self.potential,
                self.folder / "runs" / "survival",
                temperature=2 * hottest,
                timestep=step,
                time=time,
            ),
        )
        if isinstance(hot, Survival):
            words = f"{hot.survived:.3g} of {hot.asked:.3g} ps at {hot.temperature:g} K"
            if math.isfinite(hot.outside):
                words += f", atoms outside the training domain in {hot.outside:.0%} of the rows"
                words += f" (largest grade {hot.largest_grade:.3g})" if hot.outside else ""
            verdict = BAD if hot.reason else (LIMIT if hot.outside > 0.1 else GOOD)
            self.say("twice the hottest training temperature", words, verdict)


def _repeats(atoms: Atoms) -> tuple[int, int, int]:
    """How often a cell is repeated to be at least nine Angstrom high."""
    if not atoms.pbc.any():
        return (1, 1, 1)
    heights = 1 / np.linalg.norm(np.linalg.pinv(atoms.cell.array), axis=0)
    counts = np.where(atoms.pbc, np.ceil(SUPERCELL / np.maximum(heights, 1e-3)), 1).astype(int)
    return int(counts[0]), int(counts[1]), int(counts[2])
