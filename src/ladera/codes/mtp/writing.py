"""From a moment tensor potential to an ``.mtp`` file that MLIP and others run to its energies."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ladera.errors import ConfigError
from ladera.files import write_text_atomic
from ladera.models.mtp import MTP
from ladera.potential import Potential


def export(potential: Potential, path: str | os.PathLike[str]) -> tuple[Path, ...]:
    """Write the potential, its types in the order of its elements; returns the file.

    The order stands in the line ``potential_tag``, which other programs pass over. ``scaling`` is
    1, and ``species_coeffs`` are the energies of free atoms and what was learned on top. Raises
    ConfigError for a potential that is no MTP, and for one with something added to it.
    """
    if added := ", ".join(potential.config.corrections):
        raise ConfigError(
            f"An .mtp file has no place for what is added to the model ({added}); export the model "
            "without it, or one that was trained without it."
        )
    if not isinstance(potential, MTP):
        raise ConfigError(
            f"A model of the architecture {potential.config.architecture} cannot be written as "
            "an .mtp file; export an mtp model."
        )
    write_text_atomic(path, "\n".join(_lines(potential)) + "\n")
    return (Path(path),)


def _lines(potential: MTP) -> Iterator[str]:
    program, config, n_types = potential.program, potential.config, len(potential.symbols)
    yield from ("MTP", "version = 1.1.0", "potential_name = Ladera")  # one word: MLIP reads one
    yield "scaling = 1.0"
    yield f"species_count = {n_types}"
    yield f"potential_tag = types {' '.join(potential.symbols)}"
    yield "radial_basis_type = RBChebyshev"
    yield f"\tmin_dist = {config.min_distance!r}"
    yield f"\tmax_dist = {config.cutoff!r}"
    yield f"\tradial_basis_size = {config.radial_basis_size}"
    yield f"\tradial_funcs_count = {program.n_radial}"
    yield "\tradial_coeffs"
    radial = potential.radial_coefficients.detach().double().tolist()
    for central, neighbors in enumerate(radial):
        for neighbor, functions in enumerate(neighbors):
            yield f"\t\t{central}-{neighbor}"
            yield from (f"\t\t\t{_braced(row)}" for row in functions[: program.n_radial])
    yield f"alpha_moments_count = {program.n_moments}"
    for name, rows in (("basic", program.basic), ("times", program.products)):
        yield f"alpha_index_{name}_count = {len(rows)}"
        yield f"alpha_index_{name} = {_braced(map(_braced, rows.tolist()))}"
    yield f"alpha_scalar_moments = {len(program.scalars)}"
    yield f"alpha_moment_mapping = {_braced(program.scalars.tolist())}"
    atoms = potential.reference_energies + potential.species_energies.detach().double()
    yield f"species_coeffs = {_braced(atoms.tolist())}"
    yield f"moment_coeffs = {_braced(potential.moment_coefficients.detach().double().tolist())}"


def _braced(values: Iterable[Any]) -> str:
    """A list in braces; numbers with as many digits as tell them apart from all others."""
    return "{" + ", ".join(map(str, values)) + "}"
