"""Which model a command computes with, where and how precisely: the same flags everywhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from cyclopts import Parameter

from ladera.cli.misuse import UsageError

if TYPE_CHECKING:
    from cyclopts import App

    from ladera.loading import ModelSource
    from ladera.potential import Potential

CALCULATOR: Final = "--calculator"
_BY_FLAG: Final = ("diffusion", "green-kubo")  # commands whose model is a flag


@Parameter(name="*", group="Model")
@dataclass
class ModelOptions:
    """How the model is loaded."""

    calculator: Annotated[
        str | None,
        Parameter(
            help="An ASE calculator in the place of MODEL: MODULE:NAME, as ase.calculators.emt:EMT."
        ),
    ] = None
    calculator_options: Annotated[
        Path | None, Parameter(help="YAML file with the options of the calculator.")
    ] = None
    device: Annotated[
        str | None, Parameter(help="Where it computes: cpu, cuda, cuda:1. The CPU by default.")
    ] = None
    dtype: Annotated[
        Literal["float32", "float64"] | None,
        Parameter(help="Its precision; that of the file by default."),
    ] = None
    dispersion: Annotated[
        str | None,
        Parameter(help="Add D3 of a functional: pbe, or with the older damping pbe:zero."),
    ] = None
    zbl: Annotated[
        bool,
        Parameter(negative=(), help="Add the repulsion of nuclei that are closer than in bonds."),
    ] = False


def model_source(models: Sequence[Path], options: ModelOptions | None) -> ModelSource:
    """The model files, or names, with how they are to be loaded."""
    from ladera.loading import ModelSource

    options = options or ModelOptions()
    return ModelSource(
        tuple(map(str, models)),
        options.device,
        options.dtype,
        _calculator_options(models, options),
        options.dispersion,
        options.zbl,
    )


def load_model(models: Sequence[Path], options: ModelOptions | None) -> Potential:
    """The potential of a model file, or the committee of several."""
    return model_source(models, options).load()


def _calculator_options(models: Sequence[Path], options: ModelOptions) -> dict[str, Any] | None:
    """What the YAML file of a calculator's options holds; None without one."""
    from ladera.errors import ConfigError
    from ladera.files import closest
    from ladera.training.config_file import read_yaml

    path = options.calculator_options
    if path is None:
        return None
    if not path.is_file():
        raise ConfigError(f"There is no file {path} with options of a calculator; {closest(path)}")
    if options.calculator is None:
        named = ", ".join(map(str, models))
        raise ConfigError(
            f"{path} has the options of a calculator, and the model is {named}; name a calculator "
            f"with {CALCULATOR} MODULE:NAME, or leave --calculator-options out."
        )
    return read_yaml(path, "give one a line, such as method: GFN2-xTB")


def calculator_as_model(app: App, words: Sequence[str]) -> list[str]:
    """The words of a command line with what follows ``--calculator`` where the model stands."""
    words = list(words)
    name = _value(words)
    if name is None:
        return words
    if not all(name.partition(":")):
        raise UsageError(
            f"{CALCULATOR} is '{name}'; expected MODULE:NAME, such as ase.calculators.emt:EMT."
        )
    chain, _, _ = app.parse_commands(words)
    place = len(chain)
    model = ["--model", name] if chain[-1:] and chain[-1] in _BY_FLAG else [name]
    return [*words[:place], *model, *words[place:]]


def _value(words: Sequence[str]) -> str | None:
    """What follows the flag, as in ``--calculator NAME`` and ``--calculator=NAME``."""
    for word, following in zip(words, [*words[1:], None], strict=True):
        if word.startswith(f"{CALCULATOR}="):
            return word.partition("=")[2]
        if word == CALCULATOR:
            return following
    return None
