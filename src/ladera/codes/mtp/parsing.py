"""What an ``.mtp`` file says, checked to fit together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from ladera.arrays import Floats
from ladera.codes.mtp.fields import COEFFICIENTS, PAIR, Fields
from ladera.kernels.moment_tensors.program import MomentProgram

HIGHEST_LEVEL: Final = 28
_VERSION, _RADIAL_BASIS = "1.1.0", "RBChebyshev"

Rows = Sequence[Sequence[int]]


class Coefficients(NamedTuple):
    """What a fit made."""

    radial: Floats  # (n_types, n_types, n_radial, size); the first type is the central atom's
    species: Floats  # (n_types,), eV
    moments: Floats  # (n_scalars,)


@dataclass(frozen=True)
class Contents:
    """What an ``.mtp`` file says; lengths in Angstrom, energies in eV."""

    path: Path
    n_types: int
    labels: tuple[int, ...]  # what the file calls its types; none before it is trained
    tag: str
    scaling: float  # of all radial functions
    min_distance: float
    max_distance: float
    radial_basis_size: int
    program: MomentProgram
    level: int
    coefficients: Coefficients | None  # none of a file that was never trained
    active_set: bool  # whether something of MLIP's selection stands behind


def reads(path: Path) -> bool:
    """Whether a path is a file that begins with the line ``MTP``."""
    try:
        with path.open("rb") as file:
            return file.read(64).split(b"\n", 1)[0].strip() == b"MTP"
    except OSError:
        return False


def parse(path: Path) -> Contents:
    """The contents of a file.

    Raises ModelFileError, with the line, for what is no such file, is cut short or contradicts
    itself: keys that are missing, unknown or given twice, counts that are not those of the lists,
    numbers of moments that are out of range, and a moment that is used before it is complete. Also
    for radial functions of another type than RBChebyshev, and a level beyond 28.
    """
    fields = Fields(path)
    _require_kind(fields)
    n_types, size = fields.count("species_count"), fields.count("radial_basis_size")
    shortest, longest = fields.number("min_dist"), fields.number("max_dist")
    if not 0 < shortest < longest:
        raise fields.error(
            fields.line("max_dist"),
            f"min_dist is {shortest:g} and max_dist {longest:g}; expected 0 < min_dist < max_dist.",
        )
    program = _program(fields)
    labels: tuple[int, ...] = ()
    coefficients = None
    if any(name in fields.entries for name in COEFFICIENTS[1:]) or fields.pairs:
        labels, radial = _radial_coefficients(fields, n_types, size)
        species = fields.numbers("species_coeffs", "species_count")
        moments = fields.numbers("moment_coeffs", "alpha_scalar_moments")
        radial = radial[:, :, : program.n_radial]  # a pruned file may leave the last ones idle
        coefficients = Coefficients(radial, np.array(species), np.array(moments))
    return Contents(
        path=path,
        n_types=n_types,
        labels=labels,
        tag=fields.entries["potential_tag"].text if "potential_tag" in fields.entries else "",
        scaling=fields.scaling,
        min_distance=shortest,
        max_distance=longest,
        radial_basis_size=size,
        program=program,
        level=_level(fields, program),
        coefficients=coefficients,
        active_set=fields.active_set,
    )


def _require_kind(fields: Fields) -> None:
    line, version = fields.entry("version")
    if version != _VERSION:
        raise fields.error(line, f"it has version '{version[:20]}'; Ladera reads {_VERSION}.")
    line, basis = fields.entry("radial_basis_type")
    if basis != _RADIAL_BASIS:
        raise fields.error(
            line,
            f"its radial functions are of the type '{basis[:40]}', and Ladera has {_RADIAL_BASIS} "
            "alone; train with that type in MLIP, or with Ladera.",
        )


def _program(fields: Fields) -> MomentProgram:
    """The program, whose numbers are all of moments that are complete where they are used."""
    basic, products = fields.rows("alpha_index_basic"), fields.rows("alpha_index_times")
    scalars = fields.integers("alpha_moment_mapping", "alpha_scalar_moments")
    n_moments = fields.count("alpha_moments_count")
    fields.count("alpha_scalar_moments")
    _check_basic(fields, basic)
    if fault := first_fault(len(basic), n_moments, products):
        raise fields.error(fields.line("alpha_index_times"), fault)
    made = {*range(len(basic)), *(row[3] for row in products)}
    for moment in scalars:
        if moment not in made:
            raise fields.error(
                fields.line("alpha_moment_mapping"), f"moment {moment} is made by no product."
            )
    return MomentProgram(
        np.array(basic, dtype=np.int64).reshape(-1, 4),
        np.array(products, dtype=np.int64).reshape(-1, 4),
        np.array(scalars, dtype=np.int64),
    )


def _check_basic(fields: Fields, basic: Rows) -> None:
    line, n_radial = fields.line("alpha_index_basic"), fields.count("radial_funcs_count")
    for row in basic:
        if min(row) < 0 or 2 + 4 * row[0] + sum(row[1:]) > HIGHEST_LEVEL:
            raise fields.error(
                line, f"{_braced(row)} is no moment of a level up to {HIGHEST_LEVEL}."
            )
    used = 1 + max((row[0] for row in basic), default=-1)
    if used > n_radial:
        raise fields.error(
            line,
            f"the moments have {used} radial functions, and radial_funcs_count is {n_radial}.",
        )


def first_fault(n_basic: int, n_moments: int, products: Rows) -> str:
    """What is wrong with products, in words, where they cannot be done in their order; or nothing.

    Each is {p, q, m, k} of :class:`.MomentProgram`: all moments are below ``n_moments``, the basic
    ones are not changed, and a factor is complete, so that no later product adds to it.
    """
    completed = dict.fromkeys(range(n_basic), -1)  # by which row
    completed |= {row[3]: number for number, row in enumerate(products)}
    for number, row in enumerate(products):
        p, q, _, k = row
        for moment in (p, q, k):
            if not 0 <= moment < n_moments:
                return f"{_braced(row)} names moment {moment}, and there are {n_moments}."
        if k < n_basic:
            return f"{_braced(row)} changes moment {k}, which is a basic one."
        for moment in (p, q):
            if completed.get(moment, number) >= number:
                return f"{_braced(row)} uses moment {moment} before it is complete."
    return ""


def _level(fields: Fields, program: MomentProgram) -> int:
    """The highest level of the functions: the sum of 2 + 4 mu + nu over their tensors."""
    levels = {i: 2 + 4 * row[0] + sum(row[1:]) for i, row in enumerate(program.basic.tolist())}
    for p, q, _, k in program.products.tolist():
        levels[k] = max(levels[p] + levels[q], levels.get(k, 0))
    highest: int = max(levels[moment] for moment in program.scalars.tolist())
    if highest % 2 or highest > HIGHEST_LEVEL:
        raise fields.error(
            fields.line("alpha_moment_mapping"),
            f"its functions go to level {highest}; expected an even one, up to {HIGHEST_LEVEL}.",
        )
    return highest


def _radial_coefficients(fields: Fields, n_types: int, size: int) -> tuple[tuple[int, ...], Floats]:
    """What the types are called, and the coefficients of each ordered pair of them."""
    line, n_radial = fields.line("radial_coeffs"), fields.count("radial_funcs_count")
    lines_of_pair = 1 + n_radial
    if len(fields.pairs) != n_types**2 * lines_of_pair:
        raise fields.error(
            line,
            f"{len(fields.pairs)} lines of coefficients follow; species_count {n_types} and "
            f"radial_funcs_count {n_radial} ask for {n_types**2 * lines_of_pair}.",
        )
    pairs, values = [], []
    for start in range(0, len(fields.pairs), lines_of_pair):
        title, *rows = fields.pairs[start : start + lines_of_pair]
        if not (pair := PAIR.fullmatch(title.text)):
            raise fields.error(title.line, f"expected a pair as 0-1, found '{title.text[:40]}'.")
        pairs.append((int(pair[1]), int(pair[2])))
        for row in rows:
            values.append(fields.numbers_of(row))
            if len(values[-1]) != size:
                raise fields.error(
                    row.line,
                    f"{len(values[-1])} coefficients stand here, and radial_basis_size is {size}.",
                )
    labels = tuple(neighbor for _, neighbor in pairs[:n_types])
    if len(set(labels)) < n_types or pairs != [(a, b) for a in labels for b in labels]:
        raise fields.error(
            line, "the pairs of types that follow are not in order, each once: 0-0, 0-1, ..., 1-0."
        )
    return labels, np.array(values).reshape(n_types, n_types, n_radial, size)


def _braced(row: Sequence[int]) -> str:
    return "{" + ", ".join(map(str, row)) + "}"
