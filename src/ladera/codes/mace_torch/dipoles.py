"""A MACE with energy and dipole as the EnergyDipolesMACE of mace-torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from torch import Tensor

from ladera.errors import ConfigError
from ladera.models.mace.config import MACEConfig
from ladera.units import DEBYE

# What its constructor takes, beside atomic_energies.
_ARGUMENTS: Final = (
    *("r_max", "num_bessel", "num_polynomial_cutoff", "max_ell", "interaction_cls"),
    *("interaction_cls_first", "num_interactions", "num_elements", "hidden_irreps", "MLP_irreps"),
    *("avg_num_neighbors", "atomic_numbers", "correlation", "gate", "radial_MLP"),
    "atomic_energies",
)


def require_alike(config: MACEConfig) -> None:
    """Raise ConfigError for a model that mace-torch has no class for."""
    plain = {
        "outputs": (config.outputs, ("energy", "dipole")),
        "charges": (config.charges, False),
        "basis": (config.basis, "bessel"),
        "transform": (config.transform, None),
        "zbl": (config.zbl, False),
        "apply_cutoff": (config.apply_cutoff, True),
        "element_products": (config.element_products, True),
        "edge_channels": (config.edge_channels, ()),
        "readout_bias": (config.readout_bias, False),
        "number of readout_layers": (len(config.readout_layers), 1),
    }
    for name, (found, wanted) in plain.items():
        if found != wanted:
            raise ConfigError(
                f"mace-torch has models with dipoles of one kind, EnergyDipolesMACE, whose {name} "
                f"would be {wanted!r}; this model has {found!r}: train one like that to export it."
            )
    if config.hidden_l == 0 or config.num_interactions == 1:
        raise ConfigError(
            "The EnergyDipolesMACE of mace-torch has vectors among its features and two layers at "
            f"least, and this model has hidden_l: {config.hidden_l} and num_interactions: "
            f"{config.num_interactions}; take a base with hidden_l: 1 or more."
        )


def settings(energies: Mapping[str, Any]) -> dict[str, Any]:
    """The constructor's arguments, of those of a ScaleShiftMACE."""
    nodes = str(energies["MLP_irreps"]).partition("x")[0]
    kept = {name: energies[name] for name in _ARGUMENTS}
    shift, both = energies["atomic_inter_shift"], f"{nodes}x0e+{nodes}x1o"
    kept["atomic_energies"] = [energy + shift for energy in energies["atomic_energies"]]
    return {"model": "EnergyDipolesMACE", **kept, "MLP_irreps": both}


def unscaled(state: Mapping[str, Tensor], config: MACEConfig) -> dict[str, Tensor]:
    """The tensors of a model without scale and shift, whose dipoles are in debye."""
    found, scale = dict(state), state["scale"][0]
    found["reference_energies"] = state["reference_energies"] + state["shift"][:, None]
    for layer in range(config.num_interactions):
        for part, factor in (("readout", scale), ("dipole", 1 / DEBYE)):
            last = max(name for name in state if name.startswith(f"layers.{layer}.{part}.weights."))
            found[last] = (state[last].double() * factor).to(state[last])
    return found
