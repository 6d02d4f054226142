"""Folders of 4G potentials: the electrostatic networks, hardness, Gaussian widths, Ewald sums.

Beside the files of every folder there are, for each element, ``weightse.ZZZ.data``, whose network
gives the electronegativity, and ``hardness.ZZZ.data`` with one number. n2p2 works in its normalised
units; in those of the folder,

    chi_i = NN^chi_e(G_i)
    E_i = atom_energy[e] + mean_energy + NN_e(G_i, conv_charge q_i) / conv_energy + electrostatics

and Coulomb energies are divided by ``four_pi_epsilon``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
import torch
from ase.data import atomic_numbers
from pydantic import ValidationError

from ladera.codes.n2p2 import reading, symmetry_functions, tables
from ladera.codes.n2p2.settings import Line, Settings
from ladera.errors import ConfigError, ModelFileError, did_you_mean, first_problem
from ladera.kernels.symmetry_functions.functions import CutoffFunction
from ladera.models.hdnnp_4g import HDNNP4G, ElectrostaticsConfig, HDNNP4GConfig
from ladera.models.hdnnp_4g.config import Ewald, JacksonCatlow, KolafaPerram, ScreeningConfig
from ladera.units import COULOMB, UnitSystem

_SHAPES: Final[dict[str, CutoffFunction]] = {
    "c": "cosine",
    "p1": "poly1",
    "p2": "poly2",
    "p3": "poly3",
    "p4": "poly4",
    "e": "exponential",
}


def read(settings: Settings, system: UnitSystem) -> HDNNP4G:
    """The potential of a folder whose ``nnp_type`` is 4G-HDNNP.

    Raises ConfigError for settings that are missing or not understood and ModelFileError for the
    other files.
    """
    folder = settings.path.parent
    functions = symmetry_functions.read(settings, system)
    counts = {symbol: len(of_element) for symbol, of_element in functions.items()}
    with_charge = {symbol: count + 1 for symbol, count in counts.items()}
    shapes, short = reading.read_networks(settings, with_charge)
    chi_shapes, chi = reading.read_networks(settings, counts, "electrostatic")
    statistics = reading.read_statistics(settings, functions)
    functions, statistics, (short, chi) = reading.without_duplicates(
        settings, functions, statistics, (short, chi)
    )
    base = reading.model_config(settings, functions, shapes)
    electrostatics = read_electrostatics(settings, system)
    try:
        config = HDNNP4GConfig(
            **base.model_dump(exclude={"architecture"}),
            electrostatics=electrostatics.model_copy(
                update={
                    "hidden_layers": {s: shape.hidden_layers for s, shape in chi_shapes.items()},
                    "activation": {s: shape.activations for s, shape in chi_shapes.items()},
                }
            ),
        )
    except ValidationError as error:
        raise ConfigError(f"{settings.path}: {_reason(error)}.") from error
    potential = HDNNP4G(config)
    reading.set_energies(potential, settings, system)
    reading.set_statistics(potential, statistics)
    for layers in short.values():  # n2p2's charges are conv_charge times ours
        layers[0][0][:, -1] *= settings.real("conv_charge", 1.0)
    reading.set_networks(potential.symbols, potential.networks, short)
    reading.set_networks(potential.symbols, potential.electronegativities, chi)
    potential.electronegativity_scale.fill_(system.energy)
    values = [read_hardness(folder, symbol) * system.energy for symbol in potential.symbols]
    with torch.no_grad():
        potential.root_hardness.copy_(torch.tensor(values, dtype=torch.float64).sqrt())
    return potential


def read_hardness(folder: Path, symbol: str) -> float:
    """The number of an element's ``hardness.ZZZ.data``, in the units of the folder.

    Raises ModelFileError for a file that is missing, has not one number, or a negative one.
    """
    path = folder / f"hardness.{atomic_numbers[symbol]:03d}.data"
    rows = tables.read(path)
    if len(rows) != 1:
        raise ModelFileError(
            f"{path} has {len(rows)} rows; expected one, the hardness of {symbol}."
        )
    value = rows[0].number(0)
    if value < 0:
        raise rows[0].error(f"the hardness of {symbol} is {value:g}; it cannot be negative.")
    return value


def read_electrostatics(settings: Settings, system: UnitSystem) -> ElectrostaticsConfig:
    """What the settings say of charges and their interaction, without the networks."""
    widths = settings.by_element("fixed_gausswidth")
    missing = [symbol for symbol in settings.elements if symbol not in widths]
    if missing:
        raise settings.error(
            f"there is no width of the charge of {', '.join(missing)}; add 'fixed_gausswidth "
            f"{missing[0]} ...'."
        )
    four_pi_epsilon = settings.real("four_pi_epsilon", 1.0)
    for keyword, value in (
        ("fixed_gausswidth", min(widths.values())),
        ("four_pi_epsilon", four_pi_epsilon),
        ("conv_charge", settings.real("conv_charge", 1.0)),
    ):
        if value <= 0:
            raise settings.error(f"'{keyword}' is {value:g}; expected more than 0.")
    return ElectrostaticsConfig(
        gaussian_widths={symbol: width * system.length for symbol, width in widths.items()},
        permittivity=four_pi_epsilon * COULOMB / (system.energy * system.length),
        ewald=read_ewald(settings, system, four_pi_epsilon),
        screening=read_screening(settings, system),
    )


def read_ewald(settings: Settings, system: UnitSystem, four_pi_epsilon: float) -> Ewald:
    """How the Ewald sums are cut off: as in n2p2, to get its numbers.

    n2p2's estimate of errors after Kolafa and Perram does not know ``four_pi_epsilon``; a largest
    charge that is greater by its square root makes up for that.
    """
    method = settings.integer("ewald_truncation_error_method", 0)
    if method not in (0, 1):
        raise settings.error(
            f"there is no ewald_truncation_error_method {method}; n2p2 has 0 (Jackson and Catlow) "
            "and 1 (Kolafa and Perram).",
            settings.line("ewald_truncation_error_method"),
        )
    if "ewald_prec" not in settings and method == 0:
        return JacksonCatlow()
    line = settings.line("ewald_prec")
    allowed = (1,) if method == 0 else (2, 3)
    values = _numbers(settings, line, allowed, f"ewald_truncation_error_method {method}")
    try:
        if method == 0:
            return JacksonCatlow(precision=values[0])
        return KolafaPerram(
            precision=values[0] * system.force,
            maximum_charge=values[1] * np.sqrt(four_pi_epsilon),
            real_cutoff=values[2] * system.length if len(values) == 3 else None,
        )
    except ValidationError as error:
        raise settings.error(f"'{line.keyword}': {_reason(error)}.", line) from error


def read_screening(settings: Settings, system: UnitSystem) -> ScreeningConfig | None:
    """Where the interaction of close atoms is switched on; None for everywhere."""
    if "screen_electrostatics" not in settings:
        return None
    line = settings.line("screen_electrostatics")
    word = line.words[2] if len(line.words) > 2 else "c"
    if word not in _SHAPES:
        raise settings.error(f"there is no screening '{word}'; {did_you_mean(word, _SHAPES)}", line)
    ends = Line(line.keyword, (*line.words[:2], *line.words[3:]), line.number)
    inner, outer = _numbers(settings, ends, (2,), "before its type")
    try:
        return ScreeningConfig(
            inner=inner * system.length, outer=outer * system.length, shape=_SHAPES[word]
        )
    except ValidationError as error:
        raise settings.error(f"'{line.keyword}': {_reason(error)}.", line) from error


def _numbers(settings: Settings, line: Line, allowed: tuple[int, ...], why: str) -> list[float]:
    """The numbers behind a keyword, of which there must be the right number."""
    if len(line.words) not in allowed:
        expected = " or ".join(map(str, allowed))
        raise settings.error(
            f"'{line.keyword}' has {len(line.words)} numbers; expected {expected} ({why}).", line
        )
    return [settings.number(line, word) for word in line.words]


def _reason(error: ValidationError) -> str:
    where, message = first_problem(error)
    return f"{where.rpartition('.')[2]}: {message}" if where else message
