"""What a checkpoint of SevenNet says of its model: the keys of its ``config`` that decide it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal

from ase.data import chemical_symbols
from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, ValidationError

from ladera.codes.torch_archive import Foreign
from ladera.errors import ModelFileError, first_problem
from ladera.models.equivariant.irreps import Irrep

Connection = Literal["none", "linear", "nequip"]
Block = tuple[int, Irrep]  # channels, and how they turn

_LARGEST: Final = 64  # l of a feature


class Radial(BaseModel):
    """The radial basis: Bessel functions are the only ones there are."""

    radial_basis_name: Literal["bessel"] = "bessel"
    bessel_basis_num: PositiveInt = 8


class Cutoff(BaseModel):
    """The function that ends at the cutoff."""

    cutoff_function_name: Literal["poly_cut", "XPLOR"] = "poly_cut"
    poly_cut_p_value: PositiveInt = 6
    cutoff_on: PositiveFloat | None = None


class Activations(BaseModel):
    """Of even and of odd scalars."""

    e: Literal["silu"] = "silu"
    o: Literal["tanh"] = "tanh"


class Settings(BaseModel):
    """The settings of a model, with the defaults of SevenNet for what a file does not say."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    version: str
    type_map: dict[int, int] = Field(alias="_type_map", min_length=1)
    model_type: Literal["E3_equivariant_model"] = Field(
        default="E3_equivariant_model", alias="_model_type"
    )
    interaction_type: Literal["nequip"] = "nequip"
    cutoff: PositiveFloat = 4.5
    channel: PositiveInt = 32
    lmax: int = Field(default=1, ge=0, le=_LARGEST)
    lmax_edge: int = Field(default=-1, le=_LARGEST)
    lmax_node: int = Field(default=-1, le=_LARGEST)
    is_parity: bool = True
    irreps_manual: Literal[False] | list[str] = False
    num_convolution_layer: PositiveInt = 3
    radial_basis: Radial = Radial()
    cutoff_function: Cutoff = Cutoff()
    act_radial: Literal["silu"] = "silu"
    act_scalar: Activations = Activations()
    act_gate: Activations = Activations()
    weight_nn_hidden_neurons: list[PositiveInt] = [64, 64]
    self_connection_type: Connection | list[Connection] = "nequip"
    readout_as_fcn: bool = False
    readout_fcn_hidden_neurons: list[PositiveInt] | None = None
    readout_fcn_activation: str | None = None
    normalize_sph: bool = Field(default=True, alias="_normalize_sph")
    use_modality: bool = False
    modal_map: dict[str, int] = Field(default_factory=dict, alias="_modal_map")
    default_modal: str | None = None
    use_modal_node_embedding: bool = False
    use_modal_self_inter_intro: bool = False
    use_modal_self_inter_outro: bool = False
    use_modal_output_block: bool = False
    use_modal_wise_shift: bool = False
    use_modal_wise_scale: bool = False

    @property
    def numbers(self) -> list[int]:
        """Atomic numbers in the order of the file."""
        return sorted(self.type_map, key=self.type_map.__getitem__)

    @property
    def tasks(self) -> Mapping[str, int]:
        """Levels of theory of a model of several, with their numbers; else none."""
        return self.modal_map if self.use_modality else {}

    @property
    def harmonics_l(self) -> int:
        """Largest l of the spherical harmonics."""
        return self.lmax_edge if self.lmax_edge > 0 else self.lmax

    @property
    def node_l(self) -> int:
        """Largest l of the features, unless they are given one by one."""
        return self.lmax_node if self.lmax_node > 0 else self.lmax

    @property
    def sorted_paths(self) -> bool:
        """Whether radial functions are in the order of their outputs, as since version 0.11."""
        numbers = re.findall(r"\d+", self.version)[:2]
        return [int(number) for number in numbers] >= [0, 11] and "dev0" not in self.version

    @property
    def connections(self) -> list[Connection]:
        """What each layer adds of its input."""
        kinds = self.self_connection_type
        return kinds if isinstance(kinds, list) else [kinds] * self.num_convolution_layer


def settings_of(path: Path, config: Mapping[Any, Any]) -> Settings:
    """The settings in the ``config`` of a checkpoint; ModelFileError, with the key, for others."""
    names = {field.alias or name for name, field in Settings.model_fields.items()}
    given = {k: v for k, v in config.items() if k in names and not isinstance(v, Foreign)}
    version = str(given.get("version", "0"))
    if "_normalize_sph" not in given and re.match(r"0\.[0-9]\.", version):
        given["_normalize_sph"] = False
    try:
        settings = Settings.model_validate(given)
    except ValidationError as error:
        key, problem = first_problem(error)
        raise ModelFileError(
            f"{path}: it is a SevenNet that Ladera does not have ('{key}': {problem})."
        ) from None
    _check(path, settings)
    return settings


def _check(path: Path, settings: Settings) -> None:
    """Raise ModelFileError for settings that contradict each other, or that Ladera has not."""
    places, layers = sorted(settings.type_map.values()), settings.num_convolution_layer
    problem = ""
    if places != list(range(len(places))) or not all(
        0 < number < len(chemical_symbols) for number in settings.type_map
    ):
        problem = "'_type_map' is not of different elements"
    elif len(settings.connections) != layers:
        problem = f"'self_connection_type' is of {len(settings.connections)} layers, not {layers}"
    elif settings.use_modality and sorted(settings.modal_map.values()) != list(
        range(len(settings.modal_map))
    ):
        problem = "'_modal_map' is not of different levels of theory"
    elif settings.readout_as_fcn and settings.readout_fcn_activation not in ("silu", None):
        problem = f"'readout_fcn_activation' is {settings.readout_fcn_activation}, Ladera has silu"
    if problem:
        raise ModelFileError(f"{path}: it is a SevenNet that Ladera does not have ({problem}).")


def blocks_of(path: Path, irreps: str) -> list[Block]:
    """Channels of each irrep of a text such as 128x0e+64x1o, in its order."""
    terms = [re.fullmatch(r"\s*(?:(\d+)x)?(\d+)([eo])\s*", term) for term in irreps.split("+")]
    blocks = [
        (int(term[1] or 1), Irrep(int(term[2]), 1 if term[3] == "e" else -1))
        for term in terms
        if term is not None and int(term[2]) <= _LARGEST
    ]
    if len(blocks) < len(terms) or len({irrep for _, irrep in blocks}) < len(blocks):
        raise ModelFileError(
            f"{path}: 'irreps_manual' in its config has '{irreps}'; Ladera reads features that "
            "have each irrep once, such as 128x0e+64x1o."
        )
    return blocks
