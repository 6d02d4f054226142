"""Configuration of a Behler-Parrinello potential."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, model_validator

from ladera.errors import ConfigError
from ladera.kernels.symmetry_functions.functions import (
    CUTOFF_FUNCTIONS,
    CutoffFunction,
    SymmetryFunction,
)
from ladera.models.hdnnp.generation import Family, Recipe, Size, generate, pool
from ladera.models.repelled import RepelledConfig

if TYPE_CHECKING:
    from ladera.graph import Graph
    from ladera.kernels.symmetry_functions.plan import Plan

Method = Literal["cur", "farthest_point"]

Activation = Literal[
    "linear",
    "tanh",
    "logistic",
    "softplus",
    "relu",
    "gaussian",
    "cosine",
    "reversed_logistic",
    "exponential",
    "harmonic",
    "tanh_twist",
    "tanh_weak_twist",
    "tanh_scaled",
    "leaky_relu",
    "celu",
]
Scaling = Literal["none", "scale", "center", "scale_center", "sigma", "principal"]
Layers = Annotated[tuple[PositiveInt, ...], Field(min_length=1)]
Activations = Activation | tuple[Activation, ...]


class NetworkShape(NamedTuple):
    """Hidden nodes and activations of one element's network."""

    hidden_layers: tuple[int, ...]
    activations: tuple[str, ...]  # of each hidden layer and the output


class SelectionConfig(BaseModel):
    """How to choose symmetry functions by the training frames."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    number: PositiveInt = Field(description="How many symmetry functions each element gets.")
    method: Method = Field(
        default="farthest_point",
        description="farthest_point: those least correlated; cur: those that span the values best.",
    )
    pool: tuple[Recipe, ...] = Field(
        default=("gastegger_centered", "gastegger_shifted"),
        min_length=1,
        description="Recipes of the functions to choose from. If symmetry_functions are given, "
        "those are the pool.",
    )


class HDNNPConfig(RepelledConfig):
    """A Behler-Parrinello network: symmetry functions, then one small network per element.

    A cutoff is all it needs. Give ``symmetry_functions`` to choose them yourself, or a
    ``selection`` to let the training frames choose; otherwise a set of the asked ``size`` is
    generated.
    """

    later_keys: ClassVar[tuple[str, ...]] = (*RepelledConfig.later_keys, "functions")
    optimizer: ClassVar[Mapping[str, Any]] = {"name": "muon"}

    architecture: Literal["hdnnp"] = "hdnnp"
    size: Size = Field(
        default="medium",
        description="How many symmetry functions to generate: small, medium, large or huge.",
    )
    functions: Family = Field(
        default="gaussian",
        description="Which symmetry functions to generate: gaussian (wide functions of both signs "
        "of lambda), shifted (with shifts of the angle, as in ANI), or chebyshev (coefficients of "
        "the distributions of all neighbours).",
    )
    selection: SelectionConfig | None = Field(
        default=None,
        description="Let the training frames choose the symmetry functions: a section with number, "
        "method and pool. Left out: do not choose.",
    )
    symmetry_functions: tuple[SymmetryFunction, ...] = Field(
        default=(),
        description="The symmetry functions. Left out: generated from species, cutoff and size.",
    )
    cutoff_function: CutoffFunction = Field(
        default="poly2",
        description="Shape of the cutoff function; poly2 has continuous second derivatives.",
    )
    cutoff_alpha: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.0,
        description="Inner fraction of the cutoff within which its function is 1.",
    )
    hidden_layers: Layers | dict[str, Layers] = Field(
        default=(32, 32),
        description="Nodes of each hidden layer; or for each element, such as "
        "{H: [15, 15], O: [25, 25]}.",
    )
    activation: Activations | dict[str, Activations] = Field(
        default="softplus",
        description="Activation of the hidden layers, tanh_twist being 1.7159 tanh(2x/3) + "
        "0.1 x as in aenet (tanh_weak_twist 0.001 x, tanh_scaled none); or a list, one for each "
        "hidden layer and, if not linear, the output; or for each element.",
    )
    normalize_nodes: bool = Field(
        default=False,
        description="Divide what enters a node by the number of nodes of the layer before.",
    )
    scaling: Scaling = Field(
        default="principal",
        description="How symmetry functions are scaled before they enter the network; principal: "
        "to their principal components over the training frames.",
    )
    components: dict[str, PositiveInt] = Field(
        default={},
        description="With scaling: principal, how many components enter the network of each "
        "element. Left out: all that say something about the training frames, up to 512.",
    )
    scale_range: tuple[float, float] = Field(
        default=(0.0, 1.0), description="S_min and S_max of the scaling."
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.scale_range[0] == self.scale_range[1]:
            raise ValueError(f"scale_range {self.scale_range} must have two different values")
        longest = max((f.cutoff for f in self.symmetry_functions), default=0.0)
        if longest > self.cutoff:
            raise ValueError(
                f"a symmetry function reaches to {longest} Angstrom, beyond the cutoff "
                f"{self.cutoff}; raise the cutoff"
            )
        if self.components and self.scaling != "principal":
            raise ValueError(f"components are for scaling: principal, not {self.scaling}")
        for symbol in self.species:
            self.network(symbol)
            if self.components:
                _of_element(self.components, symbol, "components")
        return self

    def network(self, symbol: str) -> NetworkShape:
        """Shape of the network of an element of the model.

        Raises ValueError when it is not given, or has not an activation for each layer.
        """
        hidden: tuple[int, ...] = _of_element(self.hidden_layers, symbol, "hidden_layers")
        activation: str | tuple[str, ...] = _of_element(self.activation, symbol, "activation")
        if isinstance(activation, str):
            return NetworkShape(hidden, (*[activation] * len(hidden), "linear"))
        if len(activation) == len(hidden):
            activation = (*activation, "linear")
        if len(activation) != len(hidden) + 1:
            raise ValueError(
                f"activation has {len(activation)} entries for {len(hidden)} hidden layers of "
                f"{symbol}; give one for each of them, and one more if the output is not linear"
            )
        return NetworkShape(hidden, activation)

    def for_training(self, graphs: Sequence[Graph]) -> Self:
        """The same configuration with what the training frames choose.

        These are symmetry functions, and the number of their principal components. Raises
        ConfigError when the pool has not as many different functions as asked for, DataError when
        the frames lack an element.
        """
        from ladera.models.hdnnp.scaling import principal_components
        from ladera.models.hdnnp.selection import sample, select

        config = self
        if config.selection is not None:
            functions = config.symmetry_functions or pool(
                config.species, config.cutoff, config.selection.pool
            )
            plan = config._plan(functions)
            chosen = tuple(select(plan, sample(plan, graphs), config.selection))
            config = config.model_copy(update={"symmetry_functions": chosen})
        if config.scaling == "principal" and not config.components:
            plan = config._plan(config.complete().symmetry_functions)
            values = sample(plan, graphs)
            numbers = [principal_components(G).shape[1] for G in values]
            components = dict(zip(config.species, numbers, strict=True))
            config = config.model_copy(update={"components": components})
        return config

    def input_counts(self, functions: Sequence[int]) -> tuple[int, ...]:
        """Inputs of each element's network, for the numbers of its symmetry functions.

        Raises ConfigError when more components are asked for than there are functions.
        """
        for symbol, count in zip(self.species, functions, strict=True):
            if self.components.get(symbol, 0) > count:
                raise ConfigError(
                    f"components of {symbol} are {self.components[symbol]}, but it has {count} "
                    f"symmetry functions; ask for at most {count}, or leave components out."
                )
        known = zip(self.species, functions, strict=True)
        return tuple(self.components.get(symbol, count) for symbol, count in known)

    def _plan(self, functions: Sequence[SymmetryFunction]) -> Plan:
        from ladera.kernels.symmetry_functions.plan import make_plan

        kind = CUTOFF_FUNCTIONS.index(self.cutoff_function)
        return make_plan(self.species, functions, kind, self.cutoff_alpha)

    def complete(self) -> Self:
        """The same configuration with its symmetry functions written out."""
        if self.symmetry_functions:
            return self
        if self.selection is not None:
            raise ConfigError(
                "model.selection chooses symmetry functions by training frames, and there are "
                "none here; train this configuration, or call its for_training(graphs) first."
            )
        functions = generate(self.species, self.cutoff, self.size, self.functions)
        return self.model_copy(update={"symmetry_functions": functions})


class HDNNPDipoleConfig(HDNNPConfig):
    """A Behler-Parrinello network for the energy, and a second one for the dipole moment."""

    architecture: Literal["hdnnp_dipole"] = "hdnnp_dipole"  # type: ignore[assignment]
    dipole_layers: Layers = Field(
        default=(32, 32), description="Nodes of each hidden layer of the networks of the dipole."
    )


def _of_element(value: Any, symbol: str, key: str) -> Any:
    """What a key says of an element: the same of all of them, or an entry for each."""
    if not isinstance(value, dict):
        return value
    if symbol not in value:
        raise ValueError(f"{key} has no entry for {symbol}; add it")
    return value[symbol]
