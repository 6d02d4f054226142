"""The parts of a folder of n2p2 or RuNNer, and the potential of one without charges.

n2p2's atomic energy, in the units of the folder, is

    E_i = atom_energy[e] + mean_energy + NN_e / conv_energy

and that of an :class:`HDNNP` is E0[e] + shift + scale * NN_e: the same, term by term. conv_length
does not change the energies, for it scales positions and the functions' parameters alike.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, groupby
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from pydantic import ValidationError
from torch import nn

from ladera.codes.n2p2 import networks, scaling, symmetry_functions, weights
from ladera.codes.n2p2 import settings as settings_file
from ladera.codes.n2p2.scaling import Statistics
from ladera.codes.n2p2.settings import Settings, SettingsWarning
from ladera.errors import ConfigError, ModelFileError, first_problem
from ladera.kernels.symmetry_functions.functions import CUTOFF_FUNCTIONS, SymmetryFunction
from ladera.models.hdnnp import HDNNP, HDNNPConfig
from ladera.models.hdnnp.base import SymmetryFunctionPotential
from ladera.models.hdnnp.config import NetworkShape, Scaling
from ladera.models.hdnnp.network import AtomicNetwork
from ladera.units import UnitSystem

Functions = dict[str, list[SymmetryFunction]]
Networks = dict[str, list[weights.Layer]]

SETTINGS: Final = "input.nn"
SCALING: Final = "scaling.data"
_GENERATIONS: Final = {"2G-HDNNP": 2, "2": 2, "4G-HDNNP": 4, "4": 4}


def read_second_generation(settings: Settings, system: UnitSystem) -> HDNNP:
    """The potential of a folder without charges."""
    functions = symmetry_functions.read(settings, system)
    inputs = {symbol: len(of_element) for symbol, of_element in functions.items()}
    shapes, layers = read_networks(settings, inputs)
    statistics = read_statistics(settings, functions)
    functions, statistics, (layers,) = without_duplicates(
        settings, functions, statistics, (layers,)
    )
    potential = HDNNP(model_config(settings, functions, shapes))
    set_energies(potential, settings, system)
    set_statistics(potential, statistics)
    set_networks(potential.symbols, potential.networks, layers)
    return potential


def read_settings(folder: Path) -> Settings:
    """The settings of a folder; ConfigError when it is no folder of n2p2."""
    if not (folder / SETTINGS).is_file():
        inside = folder / "model.ladera"
        hint = f"did you mean {inside}?" if inside.is_file() else "check the path."
        raise ConfigError(f"{folder} is a folder without {SETTINGS}; {hint}")
    return settings_file.read(folder / SETTINGS)


def generation(settings: Settings) -> int:
    """2 or 4, of ``nnp_type``; ConfigError for the other ones."""
    if "nnp_type" not in settings:
        return 2
    word = settings.words("nnp_type")[0]
    if word not in _GENERATIONS:
        raise settings.error(
            f"there is no potential of type '{word}' in Ladera; it has 2G-HDNNP and 4G-HDNNP.",
            settings.line("nnp_type"),
        )
    return _GENERATIONS[word]


def read_networks(
    settings: Settings, inputs: Mapping[str, int], network: networks.Network = "short"
) -> tuple[dict[str, NetworkShape], Networks]:
    """Shapes of the networks of all elements, with so many inputs, and their weights and biases."""
    kind = "weights" if network == "short" else "weightse"
    paths = {symbol: settings.path.parent / weights.file_name(symbol, kind) for symbol in inputs}
    values = {symbol: weights.read(path) for symbol, path in paths.items()}
    counts = {symbol: len(numbers) for symbol, numbers in values.items()}
    shapes = networks.shapes(settings, network, inputs, counts)
    shapes = networks.as_stored(settings, network, inputs, counts, shapes)
    layers = {
        symbol: weights.as_layers(
            paths[symbol], values[symbol], (inputs[symbol], *shapes[symbol].hidden_layers, 1)
        )
        for symbol in inputs
    }
    return shapes, layers


def read_statistics(settings: Settings, functions: Functions) -> dict[str, Statistics]:
    """The statistics in ``scaling.data``, checked to be good for the scaling."""
    path = settings.path.parent / SCALING
    statistics = scaling.read(path, functions)
    scaling.check(path, scaling_mode(settings), functions, statistics)
    return statistics


def scaling_mode(settings: Settings) -> Scaling:
    """How symmetry functions are scaled; sigma counts only where the other keywords are absent."""
    scale = "scale_symmetry_functions" in settings
    center = "center_symmetry_functions" in settings
    sigma = "scale_symmetry_functions_sigma" in settings
    if sigma and (scale or center):
        line = settings.line("scale_symmetry_functions_sigma")
        others = "scale_symmetry_functions" if scale else "center_symmetry_functions"
        warnings.warn(
            f"{settings.path}, line {line.number}: '{line.keyword}' has no effect beside "
            f"'{others}', as in n2p2.",
            SettingsWarning,
            stacklevel=3,
        )
    if scale:
        return "scale_center" if center else "scale"
    if center:
        return "center"
    return "sigma" if sigma else "none"


def model_config(
    settings: Settings, functions: Functions, shapes: dict[str, NetworkShape]
) -> HDNNPConfig:
    """The configuration of the potential; ConfigError for values that cannot be."""
    line, words = settings.line("cutoff_type"), settings.words("cutoff_type")
    number = settings.whole_number(line, words[0])
    if not 0 <= number < len(CUTOFF_FUNCTIONS):
        raise settings.error(
            f"there is no cutoff_type {number}; n2p2 has 0 to {len(CUTOFF_FUNCTIONS) - 1}.", line
        )
    alpha = settings.number(line, words[1]) if len(words) > 1 else 0.0
    if not 0 <= alpha < 1:
        raise settings.error(f"alpha is {alpha:g}; expected at least 0 and below 1.", line)
    low, high = settings.real("scale_min_short", 0.0), settings.real("scale_max_short", 1.0)
    flat = tuple(chain.from_iterable(functions.values()))
    try:
        return HDNNPConfig(
            species=settings.elements,
            cutoff=max(function.cutoff for function in flat),
            symmetry_functions=flat,
            cutoff_function=CUTOFF_FUNCTIONS[number],
            cutoff_alpha=alpha,
            hidden_layers=_common({s: shape.hidden_layers for s, shape in shapes.items()}),
            activation=_common({s: shape.activations for s, shape in shapes.items()}),
            normalize_nodes="normalize_nodes" in settings,
            scaling=scaling_mode(settings),
            scale_range=(low, high),
        )
    except ValidationError as error:
        raise ConfigError(f"{settings.path}: {first_problem(error)[1]}.") from error


def normalization(settings: Settings) -> tuple[float, float, float]:
    """mean_energy, conv_energy and conv_length: all of the file, or 0, 1 and 1."""
    names = ("mean_energy", "conv_energy", "conv_length")
    present = [name for name in names if name in settings]
    missing = [name for name in names if name not in settings]
    if missing and (present or "conv_charge" in settings):
        raise settings.error(
            f"the normalisation lacks {' and '.join(missing)}; give all of {', '.join(names)}, or "
            "none."
        )
    mean = settings.real("mean_energy", 0.0)
    energy, length = settings.real("conv_energy", 1.0), settings.real("conv_length", 1.0)
    for name, value in (("conv_energy", energy), ("conv_length", length)):
        if value <= 0:
            raise settings.error(
                f"'{name}' is {value:g}; expected more than 0.", settings.line(name)
            )
    return mean, energy, length


def set_energies(
    potential: SymmetryFunctionPotential, settings: Settings, system: UnitSystem
) -> None:
    """Set reference energies, shift and scale of the energies from the settings."""
    mean, conversion, _ = normalization(settings)
    offsets = settings.by_element("atom_energy")
    for element, symbol in enumerate(potential.symbols):
        potential.reference_energies[element] = offsets.get(symbol, 0.0) * system.energy
    potential.energy_shift.fill_(mean * system.energy)
    potential.energy_scale.fill_(system.energy / conversion)


def set_statistics(potential: SymmetryFunctionPotential, statistics: dict[str, Statistics]) -> None:
    """Set the statistics of the symmetry functions."""
    for element, symbol in enumerate(potential.symbols):
        of_element = statistics[symbol]
        count = len(of_element.minimum)
        for name, values in of_element._asdict().items():
            known = np.nan_to_num(values, nan=1.0)  # sigma, where the file has none
            getattr(potential, name)[element, :count] = torch.from_numpy(known)


def set_networks(symbols: Sequence[str], modules: Iterable[nn.Module], layers: Networks) -> None:
    """Set the weights and biases of the networks of these elements."""
    with torch.no_grad():
        for symbol, network in zip(symbols, modules, strict=True):
            if not isinstance(network, AtomicNetwork):
                continue
            for layer, (weight, bias) in zip(network.layers(), layers[symbol], strict=True):
                layer.weight.copy_(torch.from_numpy(weight))
                layer.bias.copy_(torch.from_numpy(bias))


def without_duplicates(
    settings: Settings,
    functions: Functions,
    statistics: dict[str, Statistics],
    all_networks: Sequence[Networks],
) -> tuple[Functions, dict[str, Statistics], list[Networks]]:
    """Every function once: the weights of equal inputs can be added.

    With ``normalize_nodes`` the first layer is divided by the number of inputs, which changes.
    Inputs beyond the functions stay as they are.
    """
    functions, statistics = dict(functions), dict(statistics)
    all_networks = [dict(layers) for layers in all_networks]
    for symbol, listed in functions.items():
        groups = [[i for i, _ in group] for _, group in groupby(enumerate(listed), lambda x: x[1])]
        if len(groups) == len(listed):
            continue
        warnings.warn(
            f"{settings.path}: {symbol} has {len(listed) - len(groups)} symmetry functions twice; "
            "their weights were added, which changes no energy.",
            SettingsWarning,
            stacklevel=3,
        )
        table = np.stack(statistics[symbol], axis=1)
        for first, *others in groups:
            if any(not np.array_equal(table[first], table[i], equal_nan=True) for i in others):
                raise ModelFileError(
                    f"{settings.path.parent / SCALING}: functions {first + 1} and {others[0] + 1} "
                    f"of {symbol} are the same, but not their rows; make the file again."
                )
        kept = [group[0] for group in groups]
        functions[symbol] = [listed[i] for i in kept]
        statistics[symbol] = Statistics(*table[kept].T)
        for layers in all_networks:
            weight, bias = layers[symbol][0]
            columns = [weight[:, group].sum(1) for group in groups]
            merged = np.stack([*columns, *weight[:, len(listed) :].T], axis=1)
            ratio = merged.shape[1] / weight.shape[1]
            shrunk = ratio if "normalize_nodes" in settings else 1.0
            layers[symbol] = [(merged * shrunk, bias * shrunk), *layers[symbol][1:]]
    return functions, statistics, all_networks


def _common(values: dict[str, Any]) -> Any:
    """The one value of all elements, or those of each."""
    first: Sequence[Any] = next(iter(values.values()))
    return first if all(value == first for value in values.values()) else values
