"""The settings of a MACE of mace-torch, under the names that its constructor has for them.

Most of them can be told from the shapes of its tensors (:func:`infer`). A pickled module also says
the rest (:func:`of_module`); beside a bare state dict it must be written in a JSON or YAML file.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, field_validator
from torch import Tensor

from ladera.codes.mace_torch.modules import Module
from ladera.errors import ModelFileError, first_problem

BLOCKS: Final = {
    "RealAgnosticInteractionBlock": "agnostic",
    "RealAgnosticResidualInteractionBlock": "residual",
    "RealAgnosticDensityInteractionBlock": "density",
    "RealAgnosticDensityResidualInteractionBlock": "density_residual",
    "RealAgnosticResidualNonLinearInteractionBlock": "nonlinear_residual",
}
READOUTS: Final = {  # and how many hidden layers they have
    "LinearReadoutBlock": 0,
    "NonLinearReadoutBlock": 1,
    "NonLinearBiasReadoutBlock": 2,
    "LinearDipoleReadoutBlock": 0,
    "NonLinearDipoleReadoutBlock": 1,
}
DIPOLES: Final = {  # and what they predict
    "EnergyDipolesMACE": ("energy", "dipole"),
    "AtomicDipolesMACE": ("dipole",),
}
_RADIAL_BASES: Final = {
    "BesselBasis": "bessel",
    "GaussianBasis": "gaussian",
    "ChebychevBasis": "chebyshev",
}
_TRANSFORMS: Final = {"AgnesiTransform": "Agnesi", "SoftTransform": "Soft"}
# Attributes that a model of a kind that Ladera has leaves unset.
_ABSENT: Final = ("use_so3", "use_last_readout_only", "keep_last_layer_irreps", "embedding_specs")
_NUMBERS, _ENERGIES = "atomic_numbers", "atomic_energies_fn.atomic_energies"
_PRODUCT: Final = "products.{}.symmetric_contractions.contractions.{}."


class Settings(BaseModel):
    """What mace-torch builds a model from; see its constructor for the meaning of each."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    model: Literal["ScaleShiftMACE", "MACE", "EnergyDipolesMACE", "AtomicDipolesMACE"]
    atomic_numbers: tuple[int, ...]
    r_max: float
    num_bessel: int
    num_polynomial_cutoff: int
    max_ell: int
    num_interactions: int
    correlation: int
    hidden_irreps: str
    edge_irreps: str | None = None
    use_edge_irreps_first: bool = False
    MLP_irreps: str
    gate: str = "silu"
    interaction_cls_first: str
    interaction_cls: str
    readout_cls: str
    avg_num_neighbors: float | tuple[float, ...]
    radial_type: Literal["bessel", "gaussian", "chebyshev"] = "bessel"
    radial_MLP: tuple[int, ...]
    distance_transform: Literal["None", "Agnesi", "Soft"] = "None"
    apply_cutoff: bool = True
    pair_repulsion: bool = False
    use_agnostic_product: bool = False
    heads: tuple[str, ...] = ("Default",)

    @field_validator("distance_transform", mode="before")
    @classmethod
    def _no_transform(cls, value: Any) -> Any:
        return "None" if value is None else value

    @field_validator("hidden_irreps", "MLP_irreps", "edge_irreps")
    @classmethod
    def _without_spaces(cls, value: str | None) -> str | None:
        return None if value is None else value.replace(" ", "")

    def kind(self, layer: int) -> str:
        """Our name of the interaction of a layer, counted from 0."""
        return BLOCKS[self.interaction_cls if layer else self.interaction_cls_first]

    @property
    def neighbors(self) -> tuple[float, ...]:
        """The average number of neighbours of each layer."""
        average = self.avg_num_neighbors
        return average if isinstance(average, tuple) else (average,) * self.num_interactions


def complete(path: Path, tensors: Mapping[str, Tensor], stated: Mapping[str, Any]) -> Settings:
    """The settings that the tensors imply and those stated, which must not contradict them.

    Raises ModelFileError, naming what is missing, contradicts, or is of an unknown kind.
    """
    for name in _ABSENT:
        if stated.get(name):
            raise ModelFileError(
                f"{path}: it is a MACE with {name} = {stated[name]!r}, which Ladera does not have."
            )
    _require_known_blocks(path, stated)
    inferred = infer(path, tensors)
    if "avg_num_neighbors" not in stated and not _needs_neighbors(inferred):
        inferred["avg_num_neighbors"] = 1.0
    both = inferred | dict(stated)
    if "avg_num_neighbors" not in both:
        raise ModelFileError(
            f"{path}: a state dict does not hold avg_num_neighbors; write it in "
            f"{path.with_suffix('.json').name} beside it, such as "
            '{"avg_num_neighbors": 12.5} (and gate, heads, apply_cutoff if they are not silu, '
            "Default, true)."
        )
    try:
        settings = Settings.model_validate(both)
        implied = Settings.model_validate(both | inferred)
    except ValidationError as error:
        where, message = first_problem(error)
        if error.errors()[0]["type"] == "missing":
            raise ModelFileError(
                f"{path}: a state dict of this kind does not tell {where}; write it in "
                f"{path.with_suffix('.json').name} beside it."
            ) from error
        raise ModelFileError(f"{path}: {where + ': ' if where else ''}{message}.") from error
    for name in inferred:
        said, is_so = getattr(settings, name), getattr(implied, name)
        if said != is_so and not (isinstance(said, float) and math.isclose(said, is_so)):
            raise ModelFileError(
                f"{path}: {name} is said to be {said}, but the tensors are those of {is_so}."
            )
    return settings


def _require_known_blocks(path: Path, stated: Mapping[str, Any]) -> None:
    blocks: tuple[tuple[str, Mapping[str, Any]], ...] = (
        ("interaction_cls_first", BLOCKS),
        ("interaction_cls", BLOCKS),
        ("readout_cls", READOUTS),
    )
    for name, known in blocks:
        if name in stated and stated[name] not in list(known):
            raise ModelFileError(
                f"{path}: its {name.partition('_')[0]} block {stated[name]} is not one that Ladera "
                "has."
            )


def _needs_neighbors(inferred: Mapping[str, Any]) -> bool:
    names = ("interaction_cls_first", "interaction_cls")
    kinds = {inferred[name] for name in names if name in inferred}
    return any(not BLOCKS[kind].startswith(("density", "nonlinear")) for kind in kinds)


def of_module(module: Module) -> dict[str, Any]:
    """What the attributes of a pickled model say, that its tensors do not."""
    stated: dict[str, Any] = {"model": module.kind}
    for name in (
        "apply_cutoff",
        "heads",
        "use_edge_irreps_first",
        "use_agnostic_product",
        *_ABSENT,
    ):
        if (value := module.attribute(name)) is not None:
            stated[name] = value
    interactions = module.children("interactions")
    if interactions:
        stated["interaction_cls_first"] = interactions[0].kind
        stated["interaction_cls"] = interactions[-1].kind
        stated["avg_num_neighbors"] = [_neighbors(each) for each in interactions]
        if module.attribute("edge_irreps") is not None:
            stated["edge_irreps"] = module.attribute("edge_irreps")
    readouts = module.children("readouts")
    if readouts:
        stated["readout_cls"] = readouts[-1].kind
        stated |= _gate(readouts[-1])
    for path, name, names in (
        ("radial_embedding.bessel_fn", "radial_type", _RADIAL_BASES),
        ("radial_embedding.distance_transform", "distance_transform", _TRANSFORMS),
    ):
        if (part := module.child(path)) is not None:
            stated[name] = names.get(part.kind, part.kind)
    # Models of 2022 kept these as plain attributes.
    for name in ("atomic_numbers", "r_max"):
        if (value := module.attribute(name)) is not None:
            stated[name] = value
    return stated


def _gate(readout: Module) -> dict[str, Any]:
    """The activation of a readout, as one version of mace-torch or another keeps it."""
    for path in ("non_linearity.acts.0", "equivariant_nonlin.act_gates.acts.0"):
        activation = readout.child(path)
        if activation is not None:
            return {"gate": activation.attribute("f")}
    gated = readout.child("equivariant_nonlin")
    gate = gated and (gated.attribute("_act_gate") or gated.attribute("_act_scalar"))
    return {"gate": gate} if gate else {}


def _neighbors(interaction: Module) -> Any:
    """The average number of neighbours of a layer, a number in one kind of box or another."""
    value = interaction.attribute("avg_num_neighbors", 1.0)
    while isinstance(value, list) and len(value) == 1:
        (value,) = value
    return value


def read(path: Path) -> dict[str, Any]:
    """The settings in a JSON or YAML file; ModelFileError when it is neither."""
    try:
        text = path.read_text(encoding="utf-8")
        settings = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except (OSError, ValueError, TypeError, RecursionError, yaml.YAMLError) as error:
        raise ModelFileError(f"{path} cannot be read: {error}.") from error
    if not isinstance(settings, dict):
        raise ModelFileError(f"{path} must hold the settings of a model by name.")
    return settings


def infer(path: Path, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """The settings that the shapes of the tensors imply.

    Raises ModelFileError when they are not those of a MACE.
    """
    try:
        return _infer(tensors)
    except (LookupError, ValueError, TypeError, ArithmeticError, RuntimeError) as error:
        why = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise ModelFileError(
            f"{path}: its tensors are not those of a MACE of mace-torch ({why})."
        ) from error


def _infer(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    model = _model(tensors)
    elements = tensors[_NUMBERS if model == "AtomicDipolesMACE" else _ENERGIES].shape[-1]
    channels = tensors["node_embedding.linear.weight"].numel() // elements
    layers = 1 + max(int(n.split(".")[1]) for n in tensors if n.startswith("products."))
    first = _PRODUCT.format(0, 0)
    degrees = {n.split(".")[4] for n in tensors if n.startswith("products.0.symmetric")}
    settings: dict[str, Any] = {
        "model": model,
        "num_polynomial_cutoff": int(tensors["radial_embedding.cutoff_fn.p"]),
        "r_max": float(tensors["radial_embedding.cutoff_fn.r_max"]),
        "num_interactions": layers,
        "correlation": sum(name.startswith(first + "U_matrix_") for name in tensors),
        "max_ell": math.isqrt(tensors[first + "U_matrix_1"].shape[-2]) - 1,
        "hidden_irreps": "+".join(f"{channels}x{l}{'eo'[l % 2]}" for l in range(len(degrees))),
        "pair_repulsion": "pair_repulsion_fn.c" in tensors,
        "use_agnostic_product": elements > 1 and tensors[first + "weights_max"].shape[0] == 1,
    }
    for name, layer in (("interaction_cls_first", 0), ("interaction_cls", layers - 1)):
        block = _block(tensors, layer, elements * channels**2)
        if block is not None:
            settings[name] = block
    if _NUMBERS in tensors:
        settings[_NUMBERS] = tuple(tensors[_NUMBERS].tolist())
    has_dipole = model in DIPOLES
    readout = (_infer_dipole_readout if has_dipole else _infer_readout)(tensors, layers, channels)
    return settings | _infer_radial(tensors) | readout


def _model(tensors: Mapping[str, Tensor]) -> str:
    """The class of the model; one with dipoles has vectors after its last layer."""
    last = sum(name.endswith(".linear_up.weight") for name in tensors) - 1
    first, second = (f"{_PRODUCT.format(last, place)}U_matrix_1" for place in (0, 1))
    if second in tensors or (first in tensors and tensors[first].ndim == 3):
        return "EnergyDipolesMACE" if _ENERGIES in tensors else "AtomicDipolesMACE"
    return "ScaleShiftMACE" if "scale_shift.scale" in tensors else "MACE"


def _block(tensors: Mapping[str, Tensor], layer: int, square: int) -> str | None:
    """The class of an interaction; those without a residual mix every l in their skip_tp.

    None where all l have a residual, and so the sizes do not tell.
    """
    prefix = f"interactions.{layer}."
    if prefix + "source_embedding.weight" in tensors:
        return "RealAgnosticResidualNonLinearInteractionBlock"
    density = "Density" if any(n.startswith(prefix + "density_fn.") for n in tensors) else ""
    points = tensors[_PRODUCT.format(layer, 0) + "U_matrix_1"].shape[-2]
    degrees = math.isqrt(points)
    if layer and _PRODUCT.format(layer, degrees - 1) + "U_matrix_1" in tensors and degrees > 1:
        return None
    whole = tensors[prefix + "skip_tp.weight"].numel() == degrees * square
    return f"RealAgnostic{density}{'' if whole else 'Residual'}InteractionBlock"


def _infer_radial(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    radial = "radial_embedding."
    bases = {
        "bessel": radial + "bessel_fn.bessel_weights",
        "gaussian": radial + "bessel_fn.gaussian_weights",
        "chebyshev": radial + "bessel_fn.n",
    }
    kinds = [kind for kind, name in bases.items() if name in tensors]
    if not kinds:
        raise KeyError(bases["bessel"])
    transform = "None"
    if radial + "distance_transform.a" in tensors:
        transform = "Agnesi"
    elif any(name.startswith(radial + "distance_transform.") for name in tensors):
        transform = "Soft"
    weights = "interactions.0.conv_tp_weights."
    plain = [name for name in tensors if name.startswith(weights + "layer")]
    widths = [tensors[f"{weights}layer{k}.weight"].shape[1] for k in range(len(plain))]
    if not plain:  # with biases and normalisations between
        names = [n for n in tensors if n.startswith(weights + "net.") and tensors[n].ndim == 2]
        widths = [tensors[name].shape[0] for name in names]
    return {
        "radial_type": kinds[0],
        "num_bessel": tensors[bases[kinds[0]]].numel(),
        "distance_transform": transform,
        "radial_MLP": tuple(widths[:-1]),
    }


def _infer_readout(tensors: Mapping[str, Tensor], layers: int, channels: int) -> dict[str, Any]:
    prefix = f"readouts.{layers - 1}."
    heads = tensors["readouts.0.linear.weight"].numel() // channels
    if prefix + "linear.weight" in tensors:
        return {"readout_cls": "LinearReadoutBlock", "MLP_irreps": "1x0e"}
    nodes = tensors[prefix + "linear_1.weight"].numel() // (channels * heads)
    bias = "Bias" if prefix + "linear_mid.weight" in tensors else ""
    return {"readout_cls": f"NonLinear{bias}ReadoutBlock", "MLP_irreps": f"{nodes}x0e"}


def _infer_dipole_readout(
    tensors: Mapping[str, Tensor], layers: int, channels: int
) -> dict[str, Any]:
    prefix = f"readouts.{layers - 1}."
    if prefix + "linear.weight" in tensors:
        return {"readout_cls": "LinearDipoleReadoutBlock", "MLP_irreps": "1x0e"}
    readout = {"readout_cls": "NonLinearDipoleReadoutBlock"}
    if prefix + "linear_2.weight" not in tensors:  # scalars in a model that has none there
        return readout | {"MLP_irreps": "1x0e"}
    nodes = tensors[prefix + "linear_2.weight"].numel()
    if _ENERGIES not in tensors:
        return readout | {"MLP_irreps": f"{nodes}x1o"}
    gated = tensors[prefix + "linear_1.weight"].numel() > channels * nodes
    return readout | {"MLP_irreps": f"{nodes // 2}x0e+{nodes // 2}x1o" if gated else f"{nodes}x0e"}
