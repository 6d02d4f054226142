"""Is what was deployed right? A model, as an engine computes it, held against itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ladera.arguments import checked
from ladera.errors import PropertyError, did_you_mean
from ladera.loading import ModelLike, as_potential
from ladera.plotting import PALETTE, axes, log_scale, style
from ladera.progress import track
from ladera.properties.checks.ase_engine import ASEEngine
from ladera.properties.checks.cutoff import check_cutoff
from ladera.properties.checks.density import check_density
from ladera.properties.checks.derivatives import check_derivatives
from ladera.properties.checks.drift import check_drift
from ladera.properties.checks.engine import Engine
from ladera.properties.checks.rows import Rounding, Row
from ladera.properties.checks.structure import structure_for
from ladera.properties.checks.symmetries import check_symmetries, check_ways
from ladera.properties.recorded import recorded
from ladera.properties.result import Result, quantity
from ladera.quantities import ENERGY
from ladera.simulation.preparation import check_species
from ladera.tables import Column, Number, Table

if TYPE_CHECKING:
    from ase import Atoms

    from ladera.arrays import Floats
    from ladera.potential import Potential
    from ladera.simulation.structures import StructureLike

PASSED, FAILED, UNCHECKED = "yes", "NO", "not checked"
NOTHING: Final = "-"
ASE: Final = "ase"


def _lammps(potential: Potential) -> Engine:
    from ladera.properties.checks.lammps_engine import LAMMPSEngine

    return LAMMPSEngine(potential)


def _openmm(potential: Potential) -> Engine:
    from ladera.properties.checks.openmm_engine import OpenMMEngine

    return OpenMMEngine(potential)


def _ipi(potential: Potential) -> Engine:
    from ladera.properties.checks.ipi_engine import IPIEngine

    return IPIEngine(potential)


ENGINES: Final[Mapping[str, Callable[[Potential], Engine]]] = {
    ASE: ASEEngine,
    "lammps": _lammps,
    "openmm": _openmm,
    "ipi": _ipi,
}


@dataclass(frozen=True, kw_only=True)
class Check(Result):
    """What each check found, and what it may find; not-a-number for what was not checked."""

    kind: ClassVar[str] = "check"
    title: ClassVar[str] = "Is what was deployed right?"
    caption: ClassVar[str] = "What each check found, as a share of what is allowed."

    engine: str
    structure: str  # what it was checked with, in words
    names: tuple[str, ...]  # (n,)
    found: Floats = quantity()  # (n,), in the unit of its line
    allowed: Floats = quantity()  # (n,)
    units: tuple[str, ...]  # (n,)
    verdicts: tuple[str, ...]  # (n,) yes, NO, or not checked
    notes: tuple[str, ...]  # (n,) what is wrong, or why it was not checked

    @property
    def passed(self) -> bool:
        """Whether all that was checked is right."""
        return FAILED not in self.verdicts

    def table(self) -> Table:
        """One line for each check."""
        rows = []
        for k, name in enumerate(self.names):
            found = Number(self.found[k], instead=NOTHING)
            allowed = Number(self.allowed[k], instead=NOTHING)
            rows.append((name, found, allowed, self.units[k], self.verdicts[k]))
        columns = (
            Column("check"),
            Column("found", pattern=".1e"),
            Column("allowed", pattern=".1e"),
            Column("unit"),
            Column("right"),
        )
        said = [f"{n}: {note}." for n, note in zip(self.names, self.notes, strict=True) if note]
        where = f"{self.structure}; engine {self.engine}."
        return Table(columns, tuple(rows), notes=(*said, where))

    def domain(self) -> str:
        """Nothing: whatever the structure, a gradient is a gradient."""
        return ""

    def plot(self, ax: Axes | None = None) -> Figure:
        """What was found as a share of what is allowed, on a logarithmic scale."""
        kept = [k for k, verdict in enumerate(self.verdicts) if verdict != UNCHECKED]
        shares = np.array([self.found[k] / self.allowed[k] for k in kept])
        shares = np.where(np.isfinite(shares), np.clip(shares, 1e-6, 1e6), 1e6)
        colors = [PALETTE[1 if self.verdicts[k] == FAILED else 2] for k in kept]
        with style():
            figure, panel = axes(5.6, 0.6 + 0.2 * len(kept), ax)
            panel.barh([self.names[k] for k in kept], shares, left=1e-7, color=colors)
            panel.axvline(1.0, color="black", lw=0.8)
            panel.invert_yaxis()
            log_scale(panel, "x")
            panel.set(xlabel="found / allowed", xlim=(1e-7, max(10.0, 2 * shares.max(initial=0))))
        return figure


@checked
def check(
    model: ModelLike,
    structure: StructureLike | None = None,
    *,
    engine: str = ASE,
    temperature: float | None = None,
) -> Check:
    """Whether what computes with a model is right: forces, stress, symmetries, conservation.

    Whatever it says of the structure is held against other things that it says, so nothing is
    needed but the ``engine``: "ase", the calculator, also another code's; "lammps", LAMMPS with
    ``pair_style ladera``; "openmm", OpenMM with the model as its force; or "ipi", i-PI with the
    files of ``ladera ipi input``. These three are compared with the calculator besides, and with a
    ``temperature`` (K) by the density of the structure at no pressure, too: two runs of minutes.
    Forces and stress are compared with differences of the energy, the Hessian with its transpose,
    the structure turned, inverted, shifted, renumbered, with atoms moved by whole cells and twice,
    other numbers of threads, batches and the other precision with the first answer; an atom is
    carried through the cutoff, and a short run has to conserve its energy. ``structure`` may be
    left out: the lowest frame of the training is taken where its files still are, or else a random
    packing of the model's elements. All atoms are moved a little first.

    What is allowed follows from the precision, the largest force and the number of atoms, see
    :class:`ladera.properties.checks.rows.Rounding`; of derivatives, from the noise of the energy
    and from a second step. Raises PropertyError for an engine that does not exist, for a model
    without energies, and for a temperature where there are no two densities, and DataError for an
    element that the model does not know.
    """
    potential = as_potential(model)
    if engine not in ENGINES:
        raise PropertyError(f"There is no engine '{engine}'; {did_you_mean(engine, ENGINES)}")
    if ENERGY not in potential.gives:
        raise PropertyError(
            f"The {potential.config.architecture} model gives no energy, of which forces, stress "
            "and all else that is checked are made; check one that does."
        )
    atoms, words = structure_for(potential, structure)
    check_species(atoms, potential)
    _require_densities(atoms, engine, temperature)
    return _check(potential, atoms, engine=engine, words=words, temperature=temperature)


def _require_densities(atoms: Atoms, engine: str, temperature: float | None) -> None:
    """PropertyError where a temperature is given and two densities cannot be compared at it."""
    if temperature is None:
        return
    if not 0 < temperature < np.inf:
        raise PropertyError.of("temperature", f"{temperature:g} K", "it must be above zero")
    if engine == ASE:
        what = "the density is that of ladera md beside that of another engine; name one"
        raise PropertyError.of("temperature", f"{temperature:g} K", f"{what}, such as lammps")
    if not atoms.pbc.all():
        what = "a density needs a structure that is periodic in all directions"
        raise PropertyError.of("temperature", f"{temperature:g} K", f"{what}; leave it out")


@recorded
def _check(
    potential: Potential,
    atoms: Atoms,
    /,
    *,
    engine: str,
    words: str,
    temperature: float | None = None,
) -> Check:
    asked = ENGINES[engine](potential)
    rows = list(track(_rows(asked, potential, atoms, temperature), "checks"))
    verdicts = [
        UNCHECKED if not row.was_checked else PASSED if row.passed else FAILED for row in rows
    ]
    return Check(
        engine=engine,
        structure=words,
        names=tuple(row.name for row in rows),
        found=np.array([row.found for row in rows]),
        allowed=np.array([row.allowed for row in rows]),
        units=tuple(row.unit for row in rows),
        verdicts=tuple(verdicts),
        notes=tuple(row.note for row in rows),
    )


def _rows(
    engine: Engine, potential: Potential, atoms: Atoms, temperature: float | None
) -> Iterator[Row]:
    """All checks, one after the other."""
    generator = np.random.default_rng(1)
    yield from check_derivatives(engine, atoms, generator)
    yield from check_symmetries(engine, atoms, generator)
    yield from check_ways(engine, atoms)
    yield from check_cutoff(engine, tuple(dict.fromkeys(atoms.symbols)))
    yield check_drift(engine, atoms, generator)
    if engine.name != ASE:
        own, said = ASEEngine(potential).ask(atoms), engine.ask(atoms)
        rounding = Rounding.of(own, atoms, max(engine.epsilon, ASEEngine(potential).epsilon))
        yield rounding.compare("Ladera's own calculator", said, own)
    if temperature is not None:
        yield check_density(ASEEngine(potential), engine, atoms, temperature, generator)
