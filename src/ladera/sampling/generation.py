r"""New structures from old ones, to be labelled: each says in its ``config_type`` how it was made.

Distances are judged by d / (r_i + r_j) with the covalent radii r: ``closest`` is the least of it
that a new structure may have. Where the old one has less already, that is the limit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement
from typing import Final

import numpy as np
import vesin
from ase.data import atomic_numbers, chemical_symbols, covalent_radii

from ladera.arrays import Floats, Integers
from ladera.data.frame import Frame
from ladera.errors import ConfigError, DataError
from ladera.quantities import QUANTITIES

CLOSEST: Final = 0.7
ISOLATED_ATOM: Final = "IsolatedAtom"  # the group of free atoms
_TRIES: Final = 200
_REACH: Final = 3.0  # of a sum of covalent radii, within which a partner for a contact is sought


@dataclass(frozen=True)
class Recipe:
    """What to make of structures; what is None or zero is not done."""

    supercell: Sequence[int] | None = None  # first of all, of every structure
    vacancies: int = 0  # atoms taken out, then
    strain: float | None = None  # largest component, then
    rattle: float | None = None  # Angstrom, last
    number: int = 10  # frames of each structure with vacancies, strain or rattle
    contacts: bool = False
    dimers: bool = False
    cutoff: float = 6.0  # Angstrom, where the curves of dimers end
    points: int = 20  # of each curve
    closest: float = CLOSEST
    seed: int = 0


def generate(frames: Iterable[Frame], recipe: Recipe) -> Iterator[Frame]:
    """What a recipe makes of each structure, then the dimers of all their elements.

    The same seed makes the same frames of a structure at the same place, whatever the others are.
    Raises DataError for a structure that cannot be treated so, and ConfigError for a recipe of
    nothing.
    """
    perturbed = bool(recipe.vacancies or recipe.strain or recipe.rattle)
    if not (perturbed or recipe.supercell or recipe.contacts or recipe.dimers):
        raise ConfigError(
            "Nothing was asked for; name what to make: --rattle, --strain, --vacancies, "
            "--supercell, --contacts or --dimers."
        )
    if recipe.number < 1:
        raise ConfigError.of("number", recipe.number, "it must be at least 1")
    if not 0 < recipe.closest <= 1:
        what = "it must be above 0 and at most 1, a share of the sum of covalent radii"
        raise ConfigError.of("closest", f"{recipe.closest:g}", what)
    symbols: set[str] = set()
    empty = True
    for place, frame in enumerate(frames):
        symbols |= {chemical_symbols[number] for number in frame.numbers}
        start = supercell(frame, recipe.supercell) if recipe.supercell else frame
        if perturbed:
            for k in range(recipe.number):
                yield _perturbed(start, recipe, np.random.default_rng([recipe.seed, place, k]))
        elif recipe.supercell:
            yield start
        if recipe.contacts:
            pushed = contacts(start, recipe.points, recipe.closest)
            empty &= not pushed
            yield from pushed
    if recipe.contacts and empty and not (perturbed or recipe.supercell or recipe.dimers):
        raise DataError(
            "No structure has two atoms near each other that could be pushed together; give "
            "structures of several atoms, or a smaller --closest."
        )
    if recipe.dimers:
        yield from dimers(sorted(symbols), recipe.cutoff, recipe.points, recipe.closest)


def _perturbed(frame: Frame, recipe: Recipe, generator: np.random.Generator) -> Frame:
    if recipe.vacancies:
        frame = without_atoms(frame, recipe.vacancies, generator)
    if recipe.strain:
        frame = strained(frame, recipe.strain, generator, recipe.closest)
    return rattled(frame, recipe.rattle, generator, recipe.closest) if recipe.rattle else frame


def rattled(
    frame: Frame, deviation: float, generator: np.random.Generator, closest: float = CLOSEST
) -> Frame:
    """Every atom moved by a Gaussian of this standard deviation (Angstrom) along each direction.

    Atoms that come too close are moved anew, each from its old place. Raises DataError where that
    does not end.
    """
    _require_above_zero(deviation, "rattle", "Angstrom")
    limit = min(closest, closest_contact(frame)[0])
    moves = generator.normal(0.0, deviation, frame.positions.shape)
    for _ in range(_TRIES):
        new = _bare(frame, positions=frame.positions + moves)
        near = _too_close(new, limit)
        if not len(near):
            return _made(new, frame, f"rattle-{deviation:g}")
        moves[near] = generator.normal(0.0, deviation, (len(near), 3))
    raise DataError(
        f"{_name(frame)} rattled by {deviation:g} Angstrom always has atoms closer than "
        f"{limit:.2f} of the sum of their covalent radii; rattle less, or allow them closer."
    )


def strained(
    frame: Frame, largest: float, generator: np.random.Generator, closest: float = CLOSEST
) -> Frame:
    """The cell with its atoms strained, each of the six components uniform within +-``largest``.

        r' = r (1 + e)        with a symmetric e

    Raises DataError for a structure that is not periodic in all directions, and where atoms always
    come too close.
    """
    if not 0 < largest < 0.5:
        raise ConfigError.of("strain", f"{largest:g}", "it must be above 0 and below 0.5")
    if not frame.periodic.all():
        raise DataError(
            f"{_name(frame)} is not periodic in all directions, so that it cannot be strained; "
            "leave the strain out, or give it a cell."
        )
    limit = min(closest, closest_contact(frame)[0])
    for _ in range(_TRIES):
        upper = np.triu(generator.uniform(-largest, largest, (3, 3)))
        deformation = np.eye(3) + upper + np.triu(upper, 1).T
        new = _bare(frame, positions=frame.positions @ deformation, cell=frame.cell @ deformation)
        if closest_contact(new)[0] >= limit - 1e-9:
            return _made(new, frame, f"strain-{largest:g}")
    raise DataError(
        f"{_name(frame)} strained by {largest:g} always has atoms closer than {limit:.2f} of the "
        "sum of their covalent radii; strain less, or allow them closer."
    )


def supercell(frame: Frame, repeats: Sequence[int]) -> Frame:
    """The structure repeated along its cell vectors.

    Raises DataError for a repetition along an open direction.
    """
    if len(repeats) != 3 or min(repeats) < 1:
        given = " ".join(map(str, repeats))
        raise ConfigError.of("supercell", given, "give three whole numbers from 1 up")
    for axis, count in enumerate(repeats):
        if count > 1 and not frame.periodic[axis]:
            raise DataError(
                f"{_name(frame)} is open along cell vector {axis + 1}, so that it cannot be "
                "repeated there; repeat it along periodic directions only."
            )
    shifts = np.stack(np.meshgrid(*map(np.arange, repeats), indexing="ij"), -1).reshape(-1, 3)
    positions = (frame.positions[None] + (shifts @ frame.cell)[:, None]).reshape(-1, 3)
    charge = None if frame.total_charge is None else frame.total_charge * len(shifts)
    new = _bare(
        frame,
        numbers=np.tile(frame.numbers, len(shifts)),
        positions=positions,
        cell=frame.cell * np.array(repeats)[:, None],
        total_charge=charge,
    )
    return _made(new, frame, f"supercell-{'x'.join(map(str, repeats))}")


def without_atoms(frame: Frame, count: int, generator: np.random.Generator) -> Frame:
    """The structure without some atoms, drawn at random: vacancies.

    Raises DataError where no atom would be left.
    """
    if not 0 < count < frame.n_atoms:
        atoms = f"{frame.n_atoms} atom{'s' * (frame.n_atoms != 1)}"
        raise DataError(
            f"{_name(frame)} has {atoms}, of which {count} "
            "cannot be taken out; take one at least, and leave one: change --vacancies, or make "
            "the cell larger with --supercell."
        )
    keep = np.sort(generator.permutation(frame.n_atoms)[count:])
    new = _bare(frame, numbers=frame.numbers[keep], positions=frame.positions[keep])
    return _made(new, frame, f"vacancy-{count}")


def dimers(
    symbols: Sequence[str], cutoff: float, points: int = 20, closest: float = CLOSEST
) -> list[Frame]:
    """Two atoms alone for all pairs of elements, from contact to the cutoff (Angstrom).

    The distances are equal steps of 1 / d, so that most are where the energy is steep. Each element
    alone comes first, of the group IsolatedAtom: that is where the curves end, and it sets E0.
    """
    if points < 2:
        raise ConfigError.of("points", points, "a curve needs two frames or more")
    numbers = sorted(atomic_numbers[symbol] for symbol in set(symbols))
    frames = [_open([number], [[0, 0, 0]], ISOLATED_ATOM) for number in numbers]
    for a, b in combinations_with_replacement(numbers, 2):
        contact = closest * (covalent_radii[a] + covalent_radii[b])
        name = f"dimer-{chemical_symbols[a]}-{chemical_symbols[b]}"
        if contact >= cutoff:
            what = f"the curve of {name[6:]} begins at {contact:.2f}, so give a longer one"
            raise ConfigError.of("cutoff", f"{cutoff:g} Angstrom", what)
        distances = 1 / np.linspace(1 / contact, 1 / cutoff, points)
        frames += [_open([a, b], [[0, 0, 0], [0, 0, d]], name) for d in distances]
    return frames


def contacts(frame: Frame, points: int = 5, closest: float = CLOSEST) -> list[Frame]:
    """For each pair of elements, its closest two atoms pushed together in equal steps.

    Both move along the line between them, down to ``closest``; where others come closer than that,
    the curve ends. They teach a potential what molecular dynamics meets in a collision, with the
    other atoms around.
    """
    if points < 1:
        raise ConfigError.of("points", points, "a curve needs one frame or more")
    i, j, vectors, distances = _neighbors(frame, _REACH)
    radii = covalent_radii[frame.numbers]
    frames: list[Frame] = []
    for a, b in combinations_with_replacement(np.unique(frame.numbers), 2):
        kinds = np.sort(np.column_stack([frame.numbers[i], frame.numbers[j]]), axis=1)
        pairs = np.flatnonzero((kinds == [a, b]).all(axis=1) & (i != j))
        if not len(pairs):
            continue
        pair = pairs[np.argmin(distances[pairs])]
        one, other, d = i[pair], j[pair], distances[pair]
        end = closest * (radii[one] + radii[other])
        direction = vectors[pair] / d
        for target in np.linspace(d, end, points + 1)[1:] if end < d else ():
            positions = frame.positions.copy()
            positions[one] += 0.5 * (d - target) * direction
            positions[other] -= 0.5 * (d - target) * direction
            new = _bare(frame, positions=positions)
            if closest_contact(new)[0] < min(closest, closest_contact(frame)[0]) - 1e-9:
                break
            names = f"{chemical_symbols[a]}-{chemical_symbols[b]}"
            frames.append(_made(new, frame, f"contact-{names}"))
    return frames


def closest_contact(frame: Frame) -> tuple[float, int, int]:
    """The least d / (r_i + r_j) of a structure, and the two atoms; inf without neighbours."""
    i, j, _, distances = _neighbors(frame, 1.5)
    if not len(i):
        return np.inf, 0, 0
    ratios = distances / covalent_radii[frame.numbers][np.column_stack([i, j])].sum(1)
    least = int(np.argmin(ratios))
    return float(ratios[least]), int(i[least]), int(j[least])


def _neighbors(frame: Frame, reach: float) -> tuple[Integers, Integers, Floats, Floats]:
    """All pairs closer than ``reach`` times the largest sum of covalent radii: i, j, r_ij, d."""
    neighbors = vesin.NeighborList(
        cutoff=2 * reach * float(covalent_radii[frame.numbers].max()), full_list=False
    )
    return neighbors.compute(  # type: ignore[no-any-return]
        np.ascontiguousarray(frame.positions), frame.cell, frame.periodic, "ijDd"
    )


def _too_close(frame: Frame, limit: float) -> Integers:
    """Atoms that have a neighbour closer than the limit."""
    i, j, _, distances = _neighbors(frame, 1.5)
    radii = covalent_radii[frame.numbers]
    near = distances < (limit - 1e-9) * (radii[i] + radii[j])
    return np.unique(np.concatenate([i[near], j[near]])).astype(np.int64)


def _bare(frame: Frame, **changes: object) -> Frame:
    """The frame without its labels, changed."""
    return frame.with_(**({quantity.name: None for quantity in QUANTITIES} | changes))


def _made(new: Frame, old: Frame, how: str) -> Frame:
    """With how it was made added to what the old frame says of itself."""
    before = old.config_type.split("+") if old.source.startswith("made: ") else []
    return new.with_(
        config_type="+".join([*before, how]),
        source=old.source if before else f"made: {_name(old)}",
        weight=1.0,
        subset="",
    )


def _name(frame: Frame) -> str:
    return frame.source.removeprefix("made: ") or frame.formula


def _open(numbers: list[int], positions: object, name: str) -> Frame:
    return Frame(
        numbers=np.array(numbers, dtype=np.int64),
        positions=np.array(positions, dtype=np.float64),
        cell=np.zeros((3, 3)),
        periodic=np.zeros(3, dtype=bool),
        config_type=name,
        source=f"made: {name}",
    )


def _require_above_zero(value: float, what: str, unit: str) -> None:
    if not value > 0 or not np.isfinite(value):
        raise ConfigError.of(what, f"{value:g} {unit}", "it must be finite and above zero")
