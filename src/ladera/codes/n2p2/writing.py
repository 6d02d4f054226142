"""From a potential to a folder that n2p2 and LAMMPS (``pair_style hdnnp``) run to its energies.

The energy of an :class:`HDNNP`, E0[e] + shift + scale * NN_e, becomes ``atom_energy`` E0[e],
``mean_energy`` shift and ``conv_energy`` 1 / scale, in the units of the folder; ``conv_length`` is
such that n2p2 sees lengths in Angstrom, as Ladera does.
"""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Sequence
from itertools import chain, pairwise, zip_longest
from pathlib import Path

import numpy as np
import torch

from ladera.codes.n2p2 import scaling, symmetry_functions, weights
from ladera.codes.n2p2.networks import LETTERS
from ladera.codes.n2p2.scaling import Statistics
from ladera.codes.n2p2.settings import SettingsWarning
from ladera.codes.n2p2.units import shortest
from ladera.errors import ConfigError
from ladera.files import write_text_atomic
from ladera.kernels.activations import TWIST_INNER, TWIST_TANH
from ladera.kernels.symmetry_functions.functions import CUTOFF_FUNCTIONS, PolynomialFunction
from ladera.models.hdnnp import HDNNP
from ladera.models.hdnnp.config import NetworkShape
from ladera.potential import Potential
from ladera.units import ANGSTROM_HARTREE, ATOMIC, METAL, UnitSystem

_SCALING_KEYWORDS = {
    "none": (),
    "scale": ("scale_symmetry_functions",),
    "center": ("center_symmetry_functions",),
    "scale_center": ("scale_symmetry_functions", "center_symmetry_functions"),
    "sigma": ("scale_symmetry_functions_sigma",),
    "principal": ("center_symmetry_functions",),  # the first layer's weights do the rest
}
_UNIT_WORDS = {
    METAL.name: ("Angstrom", "eV"),
    ATOMIC.name: ("Bohr", "Ha"),
    ANGSTROM_HARTREE.name: ("Angstrom", "Ha"),
}


def export(
    potential: Potential,
    folder: str | os.PathLike[str],
    units: UnitSystem = ATOMIC,
    more: Sequence[str] = (),
) -> tuple[Path, ...]:
    """Write ``input.nn``, ``scaling.data`` and ``weights.ZZZ.data`` in the given units.

    ``more`` are further lines for the ``input.nn``, such as keywords of a training. Returns the
    files. Raises ConfigError for a potential that is no HDNNP and for one that n2p2
    cannot express: symmetry functions with shifts of the angle or of Chebyshev polynomials, the
    activation tanh_twist, hidden layers or output activations that differ
    between elements, or hidden activations that differ in more than one element. Warns, with
    :class:`SettingsWarning`, of functions that n2p2 computes wrongly.
    """
    folder = Path(folder)
    if type(potential) is not HDNNP:  # one with dipoles would lose them
        raise ConfigError(
            f"A model of the architecture {potential.config.architecture} cannot be written for "
            "n2p2; export an hdnnp model."
        )
    _refuse_other_kinds(potential)
    _warn_of_confusion(potential)
    potential = _with_plain_tanh(potential)
    shapes = _shapes(potential)
    widest = _widest(shapes)
    text = _settings_text(potential, shapes, widest, units, more)
    files = [folder / "input.nn", folder / "scaling.data"]
    folder.mkdir(parents=True, exist_ok=True)
    write_text_atomic(files[0], text)
    scaling.write(files[1], [statistics(potential, e) for e in range(len(potential.symbols))])
    return (*files, *write_weights(potential, folder))


def write_weights(potential: HDNNP, folder: Path, ending: str = "data") -> list[Path]:
    """Write ``weights.ZZZ.data`` (or with another ending) of each element; returns the files."""
    widest = _widest(_shapes(potential))
    files = []
    for element, symbol in enumerate(potential.symbols):
        files.append((folder / weights.file_name(symbol)).with_suffix(f".{ending}"))
        weights.write(files[-1], _padded(potential, element, widest))
    return files


def statistics(potential: HDNNP, element: int) -> Statistics:
    """The statistics of an element's functions as n2p2 needs them.

    Ladera scales a constant function by 1 where n2p2 would divide by its range or sigma of 0; a
    range or sigma of 1 says the same.
    """
    count, mode = potential.plan.counts[element], potential.config.scaling
    of_element = Statistics(
        *(
            getattr(potential, name)[element, :count].double().numpy().copy()
            for name in Statistics._fields
        )
    )
    if mode in ("scale", "scale_center"):
        flat = of_element.maximum <= of_element.minimum
        of_element.maximum[flat] = of_element.minimum[flat] + 1.0
    if mode == "sigma":
        of_element.deviation[of_element.deviation <= 0] = 1.0
    return of_element


def _refuse_other_kinds(potential: HDNNP) -> None:
    kinds = {f.kind for functions in potential.plan.functions for f in functions if not f.in_n2p2}
    if kinds:
        raise ConfigError(
            f"The model has symmetry functions of the kind {' and '.join(sorted(kinds))}, which "
            "n2p2 does not; train with functions: gaussian to export it."
        )


def _warn_of_confusion(potential: HDNNP) -> None:
    """Name elements with narrow polynomial functions that n2p2 takes for one another.

    It computes C(r_jk) once for all functions of a group (same central element and neighbours)
    with the same inner and outer radius, whatever their shapes.
    """
    confused = []
    for symbol, functions in zip(potential.symbols, potential.plan.functions, strict=True):
        shapes: dict[object, set[str]] = {}
        for f in functions:
            if isinstance(f, PolynomialFunction) and f.narrow:
                shapes.setdefault((f.kind, f.neighbors, f.inner, f.cutoff), set()).add(f.shape)
        if any(len(alternatives) > 1 for alternatives in shapes.values()):
            confused.append(symbol)
    if confused:
        warnings.warn(
            f"n2p2 confuses narrow polynomial functions of {' and '.join(confused)} that differ in "
            "their shape but not in their radii: it will compute other energies than Ladera.",
            SettingsWarning,
            stacklevel=3,
        )


def _with_plain_tanh(potential: HDNNP) -> HDNNP:
    """The same networks with tanh x for 1.7159 tanh(2x/3): the factors go into the weights."""
    of_element = [potential.config.network(symbol).activations for symbol in potential.symbols]
    if not any("tanh_scaled" in names for names in of_element):
        return potential
    activation = {
        symbol: tuple("tanh" if name == "tanh_scaled" else name for name in names)
        for symbol, names in zip(potential.symbols, of_element, strict=True)
    }
    plain = HDNNP(potential.config.model_copy(update={"activation": activation}))
    plain.to(potential.dtype).load_state_dict(potential.state_dict())
    with torch.no_grad():
        for network, names in zip(plain.atomic_networks(), of_element, strict=True):
            layers = network.layers()
            for layer, following, name in zip(layers, layers[1:], names, strict=False):
                if name == "tanh_scaled":
                    layer.weight.mul_(TWIST_INNER)
                    layer.bias.mul_(TWIST_INNER)
                    following.weight.mul_(TWIST_TANH)
    return plain.eval()


def _shapes(potential: HDNNP) -> dict[str, NetworkShape]:
    """The networks of all elements; ConfigError for what n2p2 cannot express."""
    shapes = {symbol: potential.config.network(symbol) for symbol in potential.symbols}
    for symbol, shape in shapes.items():
        for name in shape.activations:
            if name not in LETTERS:
                raise ConfigError(
                    f"The network of {symbol} has the activation {name}, which n2p2 does not; "
                    f"train with one of {', '.join(LETTERS)}."
                )
    for what, values in (
        ("numbers of hidden layers", {len(shape.hidden_layers) for shape in shapes.values()}),
        ("output activations", {shape.activations[-1] for shape in shapes.values()}),
    ):
        if len(values) > 1:
            raise ConfigError(
                f"The elements have different {what} ({', '.join(map(str, sorted(values)))}), "
                "which n2p2 cannot express; train with the same for all elements."
            )
    return shapes


def _widest(shapes: dict[str, NetworkShape]) -> tuple[int, ...]:
    """Hidden nodes that hold the network of every element.

    n2p2's keywords for the nodes of one element differ between its versions; a network filled up
    with nodes that nothing listens to is the same in all.
    """
    layers = zip_longest(*(shape.hidden_layers for shape in shapes.values()))
    return tuple(max(nodes) for nodes in layers)


def _padded(potential: HDNNP, element: int, widest: tuple[int, ...]) -> list[weights.Layer]:
    """Weights and biases of an element's network in hidden layers of other sizes.

    With normalised nodes n2p2 divides by the number of nodes before, which the weights make up for.
    """
    network, count = potential.atomic_networks()[element], potential.plan.counts[element]
    layers = []
    sizes = (count, *widest, 1)
    for l, (layer, (n_in, n_out), divisor) in enumerate(
        zip(network.layers(), pairwise(sizes), network.divisors, strict=True)
    ):
        inner = layer.weight.detach()
        if l == 0:
            inner = potential.input_scaling().unmixed(inner, element)[:, :count]
        factor = n_in / divisor if divisor != 1 else 1.0
        weight, bias = np.zeros((n_out, n_in)), np.zeros(n_out)
        weight[: inner.shape[0], : inner.shape[1]] = factor * inner.numpy()
        bias[: layer.out_features] = factor * layer.bias.detach().numpy()
        layers.append((weight, bias))
    return layers


def _settings_text(
    potential: HDNNP,
    shapes: dict[str, NetworkShape],
    widest: tuple[int, ...],
    units: UnitSystem,
    more: Sequence[str],
) -> str:
    config = potential.config
    length, energy = _UNIT_WORDS[units.name]
    lines = [
        "# Neural network potential, written by Ladera.",
        f"# Length unit : {length}",
        f"# Energy unit : {energy}",
        "# In LAMMPS, with 'units metal' and this folder as DIR:",
        f"#   pair_style hdnnp {config.cutoff * 1.0001:.6f} dir DIR showew no resetew no maxew "
        f"1000000 cflength {1 / units.length:.16g} cfenergy {1 / units.energy:.16g}",
        f"#   pair_coeff * * {' '.join(potential.symbols)}    # your atom types, in their order",
        "",
        *_energy_lines(potential, units),
        f"number_of_elements {len(potential.symbols)}",
        f"elements {' '.join(potential.symbols)}",
        f"cutoff_type {CUTOFF_FUNCTIONS.index(config.cutoff_function)} {config.cutoff_alpha!r}",
        *_SCALING_KEYWORDS[config.scaling],
        f"scale_min_short {config.scale_range[0]!r}",
        f"scale_max_short {config.scale_range[1]!r}",
        *_network_lines(shapes, widest, config.normalize_nodes),
        "",
    ]
    functions = chain.from_iterable(potential.plan.functions)
    lines += [symmetry_functions.write(function, units) for function in functions]
    return "\n".join([*lines, *([""] if more else []), *more, ""])


def _energy_lines(potential: HDNNP, units: UnitSystem) -> list[str]:
    """Offsets of the elements and, unless they do nothing, the keywords of normalisation."""
    unit = units.energy
    lines = []
    shift, scale = float(potential.energy_shift), float(potential.energy_scale)
    if shift != 0 or scale != unit:
        lines += [
            f"mean_energy {shortest(shift / unit, shift, lambda x: x * unit)}",
            f"conv_energy {shortest(unit / scale, scale, lambda x: unit / x)}",
            f"conv_length {units.length!r}",
        ]
    energies = potential.reference_energies.tolist()
    if any(energies):
        lines += [
            f"atom_energy {symbol} {shortest(value / unit, value, lambda x: x * unit)}"
            for symbol, value in zip(potential.symbols, energies, strict=True)
        ]
    return lines


def _network_lines(
    shapes: dict[str, NetworkShape], widest: tuple[int, ...], normalize_nodes: bool
) -> list[str]:
    counted = Counter(shape.activations for shape in shapes.values())
    common = counted.most_common(1)[0][0]
    others = {s: shape.activations for s, shape in shapes.items() if shape.activations != common}
    if len(others) > 1:
        raise ConfigError(
            f"{' and '.join(others)} have other activations than {' '.join(common)}; n2p2 takes "
            "one element with its own at most."
        )
    lines = [
        f"global_hidden_layers_short {len(widest)}",
        f"global_nodes_short {' '.join(map(str, widest))}",
        f"global_activation_short {_letters(common)}",
    ]
    for symbol, activations in others.items():
        lines.append(f"element_activation_short {symbol} {_letters(activations)}")
    return lines + ["normalize_nodes"] * normalize_nodes


def _letters(activations: tuple[str, ...]) -> str:
    return " ".join(LETTERS[name] for name in activations)
