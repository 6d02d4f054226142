r"""From an ``.nqx`` file to a :class:`~ladera.models.nequip.NequIP` with the same energies.

Nequix (Koker and Smidt, arXiv:2508.16067) has no factors in its radial networks, Bessel functions
2 / r_c sin(k r) / r, gates whose constant is 1.6766, and signs of Clebsch-Gordan coefficients that
e3nn has since version 0.5. All of it goes into weights.
"""

from __future__ import annotations

import os
from itertools import pairwise
from math import sqrt
from pathlib import Path
from typing import Final

import numpy as np
import torch
from ase.data import chemical_symbols
from pydantic import ValidationError
from torch import Tensor

from ladera import __version__
from ladera.arrays import Reals
from ladera.codes.nequix.archive import Archive, channels
from ladera.errors import ModelFileError, first_problem
from ladera.models.equivariant.clebsch_gordan import is_turned
from ladera.models.equivariant.irreps import paths
from ladera.models.equivariant.networks import SILU
from ladera.models.nequip.config import NequIPConfig
from ladera.models.nequip.model import NequIP
from ladera.models.nequip.shapes import LayerShape, layer_shapes

# 1 / sqrt(mean silu(x)^2), as e3nn-jax takes it from the quantiles of a normal distribution in
# float32.
_SILU: Final = 1 / 0.5964577198028564
_GATE: Final = _SILU / SILU  # what every gated feature is there, of ours


def load(path: str | os.PathLike[str]) -> NequIP:
    """The potential in an ``.nqx`` file of Nequix, in float32 as it is there.

    Raises ModelFileError for a file that is damaged or cut short, and for a model of a kind that
    Ladera does not have, naming the key or the array.
    """
    archive = Archive(Path(path))
    config = _config(archive)
    potential = NequIP(config)
    tensors = _tensors(archive, config)
    with torch.no_grad():
        for name, parameter in potential.named_parameters():
            parameter.copy_(tensors.pop(name))
        for name, buffer in tensors.items():
            potential.get_buffer(name).copy_(buffer)
    potential.to(torch.float32)
    potential.provenance = {
        "imported_from": "Nequix",
        "file": str(path),
        "versions": {"ladera": __version__},
    }
    return potential.eval()


def _config(archive: Archive) -> NequIPConfig:
    settings, path = archive.settings, archive.path
    widths = channels(archive)
    unknown = [n for n in settings.atomic_numbers if n >= len(chemical_symbols)]
    if unknown or len(set(settings.atomic_numbers)) < len(settings.atomic_numbers):
        raise ModelFileError(
            f"{path}: 'atomic_numbers' in its first line are not those of different elements."
        )
    if settings.lmax < len(widths) - 1:
        raise ModelFileError(
            f"{path}: 'lmax' in its first line is {settings.lmax}, below the largest l of its "
            f"features, {len(widths) - 1}; no model of Nequix is like that."
        )
    if not settings.radial_polynomial_p.is_integer():
        raise ModelFileError(
            f"{path}: 'radial_polynomial_p' in its first line is {settings.radial_polynomial_p:g}; "
            "Ladera has whole numbers."
        )
    connection = "species" if settings.index_weights else "linear"
    try:
        return NequIPConfig(
            species=tuple(chemical_symbols[number] for number in settings.atomic_numbers),
            cutoff=settings.cutoff,
            layers=settings.n_layers,
            max_l=settings.lmax,
            channels=widths,
            embedding_channels=len(settings.atomic_numbers),
            connections=(connection,) * settings.n_layers,
            num_radial=settings.radial_basis_size,
            cutoff_power=int(settings.radial_polynomial_p),
            radial_layers=(settings.radial_mlp_size,) * settings.radial_mlp_layers,
            layer_norm=settings.layer_norm,
            average_neighbors=settings.avg_n_neighbors,
        )
    except ValidationError as error:
        key, problem = first_problem(error)
        raise ModelFileError(
            f"{path}: it is a Nequix that Ladera does not have ({key}: {problem})."
        ) from error


def _tensors(archive: Archive, config: NequIPConfig) -> dict[str, Tensor]:
    """Parameters and buffers by their names, float64, in the order in which the file has them.

    Elements ascend there, too, in whatever order the settings list them.
    """
    settings, n_species = archive.settings, len(config.species)
    values: dict[str, Reals] = {
        "reference_energies": archive.array("the energies of atoms", n_species),
        "embedding": np.eye(n_species),
        "scale": np.full(n_species, settings.scale),
        "shift": np.array(settings.shift),
    }
    for t, shape in enumerate(layer_shapes(config)):
        # The gates before a layer, and not before the first one, have the other constant.
        of_layer = _layer(archive, f"layer {t + 1}", shape, config, _GATE if t else 1.0)
        values |= {f"layers.{t}.{name}": array for name, array in of_layer.items()}
    readout = archive.array("the readout", config.widths[0], 1)
    values["readout.weights.0"] = _GATE * readout.astype(float)
    return {name: torch.tensor(array, dtype=torch.float64) for name, array in values.items()}


def _layer(
    archive: Archive, where: str, shape: LayerShape, config: NequIPConfig, gate: float
) -> dict[str, Reals]:
    """The parameters of one layer, by their names in it."""
    values: dict[str, Reals] = {}
    sizes = (config.num_radial, *config.radial_layers, sum(shape.widths))
    for k, (n_in, n_out) in enumerate(pairwise(sizes)):
        array = archive.array(f"the radial network of {where}", n_in, n_out).astype(float)
        factor = sqrt(n_in) / SILU if k else sqrt(n_in) * sqrt(2 / config.cutoff)
        values[f"radial.weights.{k}"] = factor * array
    values[f"radial.weights.{k}"] *= _signs(shape)
    for k, n in enumerate(shape.channels):
        array = archive.array(f"linear_1 of {where}", n, n)
        values[f"up.weights.{k}"] = gate * array.astype(float)
    for k, size in enumerate(zip(shape.widths, shape.columns, strict=True)):
        values[f"down.weights.{k}"] = archive.array(f"linear_2 of {where}", *size)
    n_species = len(config.species)
    for k, (one, two) in enumerate(shape.common):
        size = (shape.channels[one], shape.columns[two])
        if shape.connection == "species":
            array = archive.array(f"skip of {where}", n_species, *size)
            array = sqrt(n_species) * array  # Ladera's layer divides by the root of the elements
        else:
            array = archive.array(f"skip of {where}", *size)
        values[f"connection.weights.{k}"] = gate * array.astype(float)
    for k, n in enumerate(shape.columns if config.layer_norm else ()):
        values[f"norm.weights.{k}"] = archive.array(f"layer_norm of {where}", n)
    return values


def _signs(shape: LayerShape) -> Reals:
    """What the radial functions of each path are multiplied by, for our coefficients."""
    signs = []
    for way in paths(shape.features, shape.harmonics, shape.out):
        degrees = shape.features[way.one].l, shape.harmonics[way.two].l, shape.out[way.out].l
        sign = -1.0 if is_turned(*degrees) else 1.0
        signs.append(np.full(shape.channels[way.one], sign))
    return np.concatenate(signs)
