"""From an ``.mtp`` file to a moment tensor potential with the same energies.

The file's energy of an atom is species_coeffs[z] + sum_s moment_coeffs[s] B_s, with radial
functions that are all multiplied by ``scaling``; there the factor goes into their coefficients.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import torch
from ase.data import atomic_numbers, chemical_symbols

from ladera import __version__
from ladera.codes.mtp.parsing import Coefficients, Contents, parse
from ladera.errors import ConfigError, ModelFileError, did_you_mean
from ladera.models.mtp import MTP, MTPConfig
from ladera.models.mtp.graphs import scalars

log = logging.getLogger(__name__)
# How files that Ladera writes say which element each type is, in the line potential_tag.
TYPES: Final = re.compile(r"types((?: [A-Z][a-z]?)+)")


def load(path: str | os.PathLike[str], *, types: Sequence[str] = ()) -> MTP:
    """The potential in an ``.mtp`` file of MLIP-2 or MLIP-3, or of Ladera.

    ``types`` are the elements of the types in the order of the file, which numbers them and does
    not say which element each is; only files that Ladera wrote do. Raises ModelFileError, with the
    line, for a damaged file, radial functions of a type that Ladera does not have, and a file that
    was never trained; ConfigError for ``types`` that are missing or not those of the file.
    """
    found = parse(Path(path))
    if found.coefficients is None:
        raise ModelFileError(
            f"{path} has no coefficients, so it was never trained: train with Ladera, model: "
            f"{{architecture: mtp, level: {found.level}}}, or give a file that was trained."
        )
    if found.active_set:
        log.info("%s: what MLIP keeps for its selection, the active set, is not read.", path)
    symbols = _elements(found, types)
    potential = MTP.with_program(
        MTPConfig(
            species=symbols,
            cutoff=found.max_distance,
            level=found.level,
            min_distance=found.min_distance,
            radial_basis_size=found.radial_basis_size,
        ),
        found.program,
    )
    _set_parameters(potential, symbols, found.scaling, found.coefficients)
    potential.provenance = {
        "imported_from": "MLIP",
        "file": str(path),
        "types": list(symbols),
        "versions": {"ladera": __version__},
    }
    return potential.eval()


def described(path: str | os.PathLike[str]) -> dict[str, str]:
    """What an ``.mtp`` file says of itself, whether or not its elements are known, in words."""
    found = parse(Path(path))
    named = TYPES.fullmatch(found.tag)
    elements = named[1].split() if named else ()
    n_scalars = len(found.program.scalars)
    return {
        "types": f"{found.n_types}, " + (" ".join(elements) or "whose elements it does not say"),
        "level": f"{found.level}, {n_scalars} functions"
        + ("" if n_scalars == len(scalars(found.level)) else ", not all of the level"),
        "cutoff": f"{found.max_distance:g} Angstrom, made for distances from "
        f"{found.min_distance:g} Angstrom",
        "radial functions": f"{found.program.n_radial} of {found.radial_basis_size} Chebyshev "
        "polynomials for each pair of types",
        "trained": "no" if found.coefficients is None else "yes",
        "active set": "yes, which Ladera does not read" if found.active_set else "none",
        "to compute": "give it as a model"
        if named
        else f"ladera import {path} --types ... names the element of each type",
    }


def _elements(found: Contents, types: Sequence[str]) -> tuple[str, ...]:
    """The element of each type; ConfigError where it is not known or contradicts the file."""
    path, count = found.path, found.n_types
    named = TYPES.fullmatch(found.tag)
    stated = tuple(named[1].split()) if named else ()
    types = tuple(types) or stated
    if not types:
        example = ("Li", "P", "S", "O", "H", "C", "N", "Cl")[:count]
        words = " ".join(example) if len(example) == count else "Li P S ..."
        numbers = ", ".join(map(str, found.labels[:4])) + (", ..." if count > 4 else "")
        raise ConfigError(
            f"{path} numbers its {_counted(count)} ({numbers}) and does not say which element "
            f"each is; name {'it' if count == 1 else 'them in that order'} once, as in `ladera "
            f"import {path} --types {words} --output {path.stem}.ladera`, or in Python with types=."
        )
    if len(types) != count:
        raise ConfigError(
            f"{path} has {_counted(count)}, and types names {len(types)} ({' '.join(types)}); name "
            "the element of each, in the order of the file."
        )
    for symbol in types:
        if symbol not in atomic_numbers or symbol == "X":
            hint = did_you_mean(symbol, chemical_symbols[1:])
            raise ConfigError(f"The type '{symbol}' is no element; {hint}")
    if len(set(types)) < count:
        raise ConfigError(
            f"Two types of {path} would be the same element ({' '.join(types)}); a model of Ladera "
            "has one for each."
        )
    if stated and stated != types:
        raise ConfigError(
            f"{path} says that its types are {' '.join(stated)}, and not {' '.join(types)}; leave "
            "types out."
        )
    return types


def _counted(count: int) -> str:
    return "one type" if count == 1 else f"{count} types"


def _set_parameters(
    potential: MTP, types: Sequence[str], scaling: float, coefficients: Coefficients
) -> None:
    """Put the coefficients where the model has its elements, which are in their own order."""
    order = [types.index(symbol) for symbol in potential.symbols]
    radial = scaling * coefficients.radial[order][:, order]
    with torch.no_grad():
        potential.radial_coefficients.copy_(torch.from_numpy(radial))
        potential.species_energies.copy_(torch.from_numpy(coefficients.species[order]))
        potential.moment_coefficients.copy_(torch.from_numpy(coefficients.moments))
