"""What a network is given before the first step of a training, as ``nnp-train`` gives it."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import torch

from ladera.codes.n2p2 import reading, scaling, weights
from ladera.codes.n2p2.settings import Settings, SettingsWarning
from ladera.codes.n2p2.weights import Layer
from ladera.models.hdnnp import HDNNP
from ladera.models.hdnnp.scaling import RESOLUTION
from ladera.potential import evaluate
from ladera.training.batches import Batches, in_order

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ladera.units import UnitSystem

_FRAMES_AT_ONCE = 16


def set_scaling(potential: HDNNP, settings: Settings) -> None:
    """The statistics of ``scaling.data``; without it those of the training frames stay.

    Warns of constant functions: n2p2 divides by zero there, Ladera leaves them as they are.
    """
    functions: reading.Functions = {
        s: list(f) for s, f in zip(potential.symbols, potential.plan.functions, strict=True)
    }
    if (settings.path.parent / reading.SCALING).is_file():
        reading.set_statistics(potential, reading.read_statistics(settings, functions))
        return
    for element, (symbol, listed) in enumerate(functions.items()):
        span = potential.maximum[element] - potential.minimum[element]
        constant = [
            f for f, width in zip(listed, span.tolist(), strict=False) if width < RESOLUTION
        ]
        if constant:
            more = f" and {len(constant) - 1} more" if len(constant) > 1 else ""
            warnings.warn(
                f"{settings.path}: {scaling.describe(constant[0])}{more} of {symbol} constant over "
                "the training frames, which teaches nothing; n2p2 would divide by zero there.",
                SettingsWarning,
                stacklevel=2,
            )


def set_weights(potential: HDNNP, settings: Settings, seed: int) -> None:
    """First weights: those of ``weights.ZZZ.data`` with ``use_old_weights_short``, or random ones.

    The latter are uniform between ``weights_min`` and ``weights_max``, and then

        plain             w *= sqrt(6 / (n_in + n_out)) in layers with tanh;  all biases 0
        nguyen_widrow_*   w_k *= beta / |w_k|, b *= beta,  beta = 0.7 n_out^(1 / n_in), twice that
                          with tanh, in hidden layers (Nguyen and Widrow, IJCNN 1990)

    w_k the weights of node k. The random numbers are others than n2p2's.
    """
    inputs = dict(zip(potential.symbols, potential.plan.counts, strict=True))
    shapes = {symbol: potential.config.network(symbol) for symbol in potential.symbols}
    sizes = {symbol: (n, *shapes[symbol].hidden_layers, 1) for symbol, n in inputs.items()}
    layers: reading.Networks
    if "use_old_weights_short" in settings:
        paths = {s: settings.path.parent / weights.file_name(s) for s in potential.symbols}
        layers = {
            symbol: weights.as_layers(path, weights.read(path), sizes[symbol])
            for symbol, path in paths.items()
        }
    else:
        low, high = settings.real("weights_min", -1.0), settings.real("weights_max", 1.0)
        if low >= high:
            raise settings.error(
                f"weights_min is {low:g}, which is not below weights_max {high:g}."
            )
        scheme = _nguyen_widrow if "nguyen_widrow_weights_short" in settings else _glorot_bengio
        generator = np.random.default_rng(seed)
        layers = {
            symbol: scheme(_uniform(generator, low, high, sizes[symbol]), shape.activations)
            for symbol, shape in shapes.items()
        }
    reading.set_networks(potential.symbols, potential.networks, layers)


def set_normalization(
    potential: HDNNP,
    settings: Settings,
    system: UnitSystem,
    batches: Batches,
) -> float:
    """Shift and scale of the energies as ``normalize_data_set`` asks; returns conv_length.

    With the standard deviations of energies per atom and force components, and those of the forces
    of the untrained networks, F_nn (in the units of the folder),

        ref     conv_energy = 1 / sigma(E),               conv_length = sigma(F) / sigma(E)
        force   conv_energy = sigma(F_nn) / sigma(F),     conv_length = sigma(F_nn)
    """
    _, _, given = reading.normalization(settings)
    if "normalize_data_set" not in settings:
        return given
    mode = settings.words("normalize_data_set")[0]
    if mode == "stats-only":
        return given
    dataset = batches.dataset
    references = potential.reference_energies.numpy()
    free = dataset.compositions @ references[[potential.symbols.index(s) for s in dataset.symbols]]
    energies = ((dataset.column("energy") - free) / dataset.atom_counts) / system.energy
    energy_spread = float(np.std(energies, ddof=1)) if len(energies) > 1 else 0.0
    force_spread = float(np.std(dataset.column("forces") / system.force, ddof=1))
    if mode == "ref":
        conv_energy = 1 / max(energy_spread, 1e-300)
        conv_length = force_spread * conv_energy
    elif mode == "force":
        potential.energy_scale.fill_(system.energy)
        conv_length = float(np.std(_forces(potential, batches) / system.force, ddof=1))
        conv_energy = conv_length / max(force_spread, 1e-300)
    else:
        raise settings.error(
            f"normalize_data_set is '{mode}'; choose ref, force or stats-only.",
            settings.line("normalize_data_set"),
        )
    if min(energy_spread, force_spread, conv_length) <= 0:
        raise settings.error(
            "the energies or forces of the data do not vary, so that they cannot be normalised; "
            "leave normalize_data_set out.",
            settings.line("normalize_data_set"),
        )
    potential.energy_shift.fill_(float(energies.mean()) * system.energy)
    potential.energy_scale.fill_(system.energy / conv_energy)
    return conv_length


def _forces(potential: HDNNP, batches: Batches) -> NDArray[np.float64]:
    """Forces of the untrained networks on all atoms, eV/Angstrom."""
    frames = in_order(np.arange(len(batches.dataset)), _FRAMES_AT_ONCE)
    with torch.no_grad():
        graphs = (batches.make(indices).graph for indices in frames)
        return np.concatenate([evaluate(potential, graph).forces.numpy() for graph in graphs])


def _uniform(
    generator: np.random.Generator, low: float, high: float, sizes: Sequence[int]
) -> list[Layer]:
    return [
        (generator.uniform(low, high, (n_out, n_in)), generator.uniform(low, high, n_out))
        for n_in, n_out in pairwise(sizes)
    ]


def _glorot_bengio(layers: Sequence[Layer], activations: Sequence[str]) -> list[Layer]:
    return [
        (
            weight * (np.sqrt(6.0 / sum(weight.shape)) if activation == "tanh" else 1.0),
            np.zeros_like(bias),
        )
        for (weight, bias), activation in zip(layers, activations, strict=True)
    ]


def _nguyen_widrow(layers: Sequence[Layer], activations: Sequence[str]) -> list[Layer]:
    scaled = []
    for (weight, bias), activation in zip(layers[:-1], activations[:-1], strict=True):
        n_out, n_in = weight.shape
        beta = 0.7 * n_out ** (1.0 / n_in) * (2.0 if activation == "tanh" else 1.0)
        scaled.append((weight * beta / np.linalg.norm(weight, axis=1)[:, None], bias * beta))
    return [*scaled, layers[-1]]
