"""Engines by their names, and by what a configuration says."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

from pydantic import ValidationError

from ladera import yaml_text
from ladera.codes import calculators
from ladera.errors import ArgumentError, ConfigError, did_you_mean, told
from ladera.labelling.engines.contract import Engine, EngineConfig

# What :func:`as_engine` takes.
EngineLike: TypeAlias = Engine | EngineConfig | Mapping[str, Any] | str | os.PathLike[str]


class _Entry(NamedTuple):
    module: str
    config: str
    engine: str


ENGINES: Final[Mapping[str, _Entry]] = {
    "tblite": _Entry("tblite", "TBLiteConfig", "TBLite"),
    "pyscf": _Entry("pyscf", "PySCFConfig", "PySCF"),
    "espresso": _Entry("programs", "EspressoConfig", "Espresso"),
    "cp2k": _Entry("programs", "CP2KConfig", "CP2K"),
    "gpaw": _Entry("programs", "GPAWConfig", "GPAW"),
    "calculator": _Entry("calculator", "AnyCalculatorConfig", "AnyCalculator"),
    "model": _Entry("teacher", "TeacherConfig", "Teacher"),
}
_YAML: Final = (".yaml", ".yml")
_REMEDY: Final = "begin with a line such as engine: tblite"


def as_engine(engine: EngineLike) -> Engine:
    """The engine that somebody means; its settings are checked.

    The name of one, with its defaults (``"tblite"``); a YAML file, or a dictionary, with its
    settings; the ``MODULE:NAME`` of an ASE calculator; a model file or the name of a published
    model, which then is the teacher. Raises ConfigError for settings that cannot be used, and what
    :func:`ladera.load` raises of a model.
    """
    if isinstance(engine, Engine):
        return engine
    return build(as_config(engine))


def as_config(engine: EngineConfig | Mapping[str, Any] | str | os.PathLike[str]) -> EngineConfig:
    """The settings that somebody means; see :func:`as_engine`."""
    if isinstance(engine, EngineConfig):
        return engine
    if isinstance(engine, Mapping):
        return parse(dict(engine), "The engine")
    if not isinstance(engine, (str, os.PathLike)):
        raise ArgumentError(
            f"The engine is {told(engine)}; give the name of one, a YAML file, a dictionary, or a "
            "model."
        )
    path = Path(engine)
    if path.suffix.lower() in _YAML:
        text = yaml_text.read(path, "write one, such as engine: tblite.")
        return parse(yaml_text.keys_of(path, text, _REMEDY), str(path), text)
    name = str(engine)
    if name in ENGINES and not path.is_file():
        return parse({"engine": name}, f"The engine {name}")
    if calculators.reads(path):
        return parse({"engine": "calculator", "calculator": name}, name)
    if not path.exists() and re.fullmatch(r"\w+", name):
        close = did_you_mean(name, ENGINES)
        if close.startswith("did you"):
            raise ConfigError(f"There is no engine '{name}'; {close}")
    return parse({"engine": "model", "model": name}, name)


def parse(values: Mapping[str, Any], name: str, text: str = "") -> EngineConfig:
    """The settings in a dictionary, which errors call ``name``; ``text`` is the YAML of it.

    The keys of ``retry`` are checked in their place, too.
    """
    values = dict(values)
    engine = values.get("engine")
    if engine is None:
        raise ConfigError(f"{name} does not say which engine; {_REMEDY}.")
    if engine not in ENGINES:
        raise ConfigError(f"{name}: engine is {told(engine)}; {did_you_mean(str(engine), ENGINES)}")
    entry = ENGINES[engine]
    kind: type[EngineConfig] = getattr(_module(entry), entry.config)
    try:
        config = kind.model_validate(values)
    except ValidationError as error:
        raise ConfigError(yaml_text.problem_of(error, kind, name, text, "engine")) from None
    second_attempt(config, name, text)
    return config


def second_attempt(
    config: EngineConfig, name: str = "retry", text: str = ""
) -> EngineConfig | None:
    """The settings of a second attempt; None where there is to be none."""
    if config.retry is None:
        return None
    for key in ("engine", "retry"):
        if key in config.retry:
            raise ConfigError(
                f"{name}: retry has the key '{key}'; a second attempt is by the same engine, with "
                "other settings."
            )
    changed = {**config.model_dump(exclude={"retry"}), **config.retry}
    try:
        found = type(config).model_validate(changed)
    except ValidationError as error:
        raise ConfigError(
            yaml_text.problem_of(error, type(config), f"{name}, retry", text, "engine")
        ) from None
    if found.of_labels == config.of_labels and found.time_limit == config.time_limit:
        raise ConfigError(f"{name}: retry changes nothing; name a key with another value.")
    return found


def build(config: EngineConfig) -> Engine:
    """The engine of some settings, which it checks."""
    entry = ENGINES[config.engine]
    engine: Engine = getattr(_module(entry), entry.engine)(config)
    return engine


def _module(entry: _Entry) -> Any:
    return import_module(f"ladera.labelling.engines.{entry.module}")
