"""Reading a training configuration, and saying in one sentence what is wrong with it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from ladera import inputs, yaml_text
from ladera.errors import ConfigError, DataError, did_you_mean
from ladera.files import write_text_atomic
from ladera.schemas import Truth
from ladera.training.config import TrainingConfig

# Ten times faster where libyaml is there, as in all wheels: symmetry functions are many lines.
_DUMPER: Final[Any] = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


def load(path: str | Path, overrides: Sequence[str] = ()) -> TrainingConfig:
    """The configuration in a YAML file, with overrides such as ``optimizer.learning_rate=0.01``.

    Raises ConfigError, with file and key, for anything that cannot be used.
    """
    text = _read_text(Path(path))
    return parse(_values(Path(path), text), str(path), overrides, text)


def load_with_files(path: str | Path, overrides: Sequence[str] = ()) -> TrainingConfig:
    """What :func:`load` gives, when the files that it names are there; ConfigError when not."""
    config = load(path, overrides)
    data, replay = config.data, None if config.finetune is None else config.finetune.replay
    named = {
        "data.files": data.files,
        "data.validation_files": data.validation_files,
        "data.test_files": data.test_files,
        "finetune.replay.files": () if replay is None else replay.files,
        "data.split.path": [data.split.path] if data.split.method == "stored" else [],
    }
    for key, files in named.items():
        for file in files:
            try:
                inputs.require_structure(Path(file), "split" if "split" in key else "data")
            except DataError as error:
                text = _read_text(Path(path))
                place = _place(key.split("."), str(path), overrides, text)
                said = str(error).replace("There is", "there is")
                raise ConfigError(f"{place}: '{key}': {said}") from None
    return config


def parse(
    values: dict[str, Any], name: str, overrides: Sequence[str] = (), text: str = ""
) -> TrainingConfig:
    """The configuration in nested dicts, which overrides change.

    ``name`` is what error messages call it; ``text`` is the YAML of it, whose lines they name.
    """
    for override in overrides:
        set_value(values, override)
    try:
        return TrainingConfig.model_validate(values)
    except ValidationError as error:
        keys, sentence = _sentence(error)
        raise ConfigError(f"{_place(keys, name, overrides, text)}: {sentence}") from None


def save(config: TrainingConfig, path: str | Path) -> None:
    """Write a configuration, all defaults included, so that :func:`load` reads it back."""
    text = yaml.dump(as_json(config), Dumper=_DUMPER, sort_keys=False, width=100)
    write_text_atomic(path, text)


def as_json(config: TrainingConfig) -> dict[str, Any]:
    """Plain dicts and lists that :func:`parse` reads back."""
    values = config.model_dump(mode="json", by_alias=True)
    # A label key that is named must be in the files: name those that the user named, no others.
    values["data"]["keys"] = config.data.keys.model_dump(mode="json", exclude_unset=True)
    if config.finetune is not None and config.finetune.replay is not None:
        keys = config.finetune.replay.keys.model_dump(mode="json", exclude_unset=True)
        values["finetune"]["replay"]["keys"] = keys
    return values


# --- YAML --------------------------------------------------------------------------------------


_TEMPLATE = "'ladera template' shows what a configuration looks like"


def read_yaml(path: Path, remedy: str = _TEMPLATE) -> dict[str, Any]:
    """The keys in a YAML file; ConfigError for one that is missing, no YAML or without keys."""
    return yaml_text.keys_of(path, _read_text(path), remedy)


def _read_text(path: Path) -> str:
    return yaml_text.read(path, f"'ladera template > {path}' makes one.")


def _values(path: Path, text: str) -> dict[str, Any]:
    return yaml_text.keys_of(path, text, _TEMPLATE)


def set_value(values: dict[str, Any], override: str) -> None:
    """Put the value of ``a.b=c`` into nested dicts."""
    path, equals, text = override.partition("=")
    *sections, key = path.strip().split(".")
    if not equals or not all((*sections, key)):
        raise ConfigError(f"--set {override}: expected key=value, such as optimizer.name=adam.")
    try:
        value = yaml_text.load(text)
    except yaml_text.YAMLTextError as error:
        raise ConfigError(f"--set {override[:80]}: this is no YAML value ({error}).") from None
    for section in sections:
        inner = values.setdefault(section, {})
        if not isinstance(inner, dict):
            raise ConfigError(
                f"--set {override}: '{section}' is the value {_shown(inner)} in the file, not a "
                "section with keys."
            )
        values = inner
    values[key] = value


# --- errors ------------------------------------------------------------------------------------


def _place(keys: Sequence[str], name: str, overrides: Sequence[str], text: str) -> str:
    """Where a key stands: in a --set, which comes last, or in a line of the file."""
    for override in reversed(overrides):
        path = [key.strip() for key in override.partition("=")[0].split(".")]
        common = min(len(path), len(keys))
        inside = len(path) <= len(keys) or not yaml_text.line_of(text, keys)  # it made the section
        if path[:common] == list(keys[:common]) and inside:
            return f"--set {override}"
    line = yaml_text.line_of(text, keys) if text else 0
    return f"{name}, line {line}" if line else name


def _sentence(error: ValidationError) -> tuple[list[str], str]:
    """Keys and one sentence of the first mistake.

    Unknown keys come before wrong choices, and these before the others.
    """
    details = sorted(error.errors(), key=_rank)
    mistakes = {_locate(detail["loc"])[0] for detail in details}
    more = f" ({len(mistakes) - 1} more after this.)" if len(mistakes) > 1 else ""
    first = _locate(details[0]["loc"])[0]
    return first.split("."), _explain(details[0], _others(details, first)) + more


def _others(details: Sequence[ErrorDetails], path: str) -> str:
    """What else but the names of its choices a key may be: " or a whole number"."""
    same = [each["type"] for each in details[1:] if _locate(each["loc"])[0] == path]
    numbers = [words for start, words in _EXPECTED for kind in same if kind.startswith(start)]
    return f" or {numbers[0].removeprefix('be ')}" if numbers else ""


# What nequip, sevenn, nequix or mace-torch call our keys, where the words are not alike.
_OTHER_CODES: Final = {
    "r_max": "cutoff",
    "l_max": "max_l",
    "lmax": "max_l",
    "num_layers": "layers",
    "num_interactions": "layers",
    "num_features": "channels",
    "avg_num_neighbors": "average_neighbors",
    "num_bessels": "num_radial",
    "polynomial_cutoff_p": "cutoff_power",
    "max_epochs": "epochs",
    "lr": "learning_rate",
}


def _rank(detail: ErrorDetails) -> int:
    match detail["type"]:
        case "extra_forbidden":
            return 0
        case "union_tag_invalid":
            return 1
        case "literal_error":  # what is no text was hardly meant as one of the names
            return 1 if isinstance(detail["input"], str) else 3
        case _:
            return 2


def _explain(detail: ErrorDetails, others: str = "") -> str:
    path, section = _locate(detail["loc"])
    value, context = detail["input"], detail.get("ctx", {})
    match detail["type"]:
        case "extra_forbidden":
            key = path.rpartition(".")[2]
            home = _home(key)
            if home and key != home and section is TrainingConfig:
                return f"'{key}' stands outside of '{home}', whose key it is; indent it there."
            if others_have := _elsewhere(path):
                return f"'{path}' is a key of {others_have}; choose that, or leave the key out."
            keys = _keys(section)
            there = _OTHER_CODES.get(key)
            hint = f"did you mean '{there}'?" if there in keys else did_you_mean(key, keys)
            return f"'{path}' is not a key Ladera knows; {hint}"
        case "missing":
            return f"the key '{path}' is missing; give it a value."
        case "union_tag_not_found":
            key = _unquote(context["discriminator"])
            return f"the key '{path}.{key}' is missing; {did_you_mean('', tags(section))}"
        case "union_tag_invalid":
            key, tag = _unquote(context["discriminator"]), context["tag"]
            return f"'{path}.{key}' is '{tag}'; {did_you_mean(tag, tags(section))}"
        case "literal_error":
            choices = re.findall(r"'([^']*)'", context["expected"])
            hint = did_you_mean(str(value), choices)
            if others and not hint.endswith("?"):
                hint = f"it should be {', '.join(choices)}{others}."
            return f"'{path}' is {_shown(value)}; {hint}"
        case "value_error":
            said = str(context["error"])
            where = f"'{path}'{' ' if said.startswith('is ') else ': '}" if path else ""
            sentence = f"{where}{said}"
            return sentence if sentence.endswith(("?", ".")) else f"{sentence}."
        case "too_short" | "too_long":
            words = ("at least", "min") if detail["type"] == "too_short" else ("at most", "max")
            count = context[f"{words[1]}_length"]
            found = context["actual_length"]
            return f"'{path}' has {found} entries; it should have {words[0]} {count}."
        case "string_type" if isinstance(value, bool | Truth):
            return (
                f"'{path}' is {_shown(value)} without quotes (as yes, no, on and off are); put the "
                "word in quotes."
            )
        case "tuple_type" if _is_of_text(detail["loc"]):
            return f"'{path}' is {_shown(value)}; it should be a list of words, such as [one, two]."
        case kind:
            expected = next((words for start, words in _EXPECTED if kind.startswith(start)), "")
            expected = expected or detail["msg"].partition(" should ")[2] or detail["msg"]
            comma = isinstance(value, str) and re.fullmatch(r"[-+]?\d+,\d+", value)
            hint = f" Write {value.replace(',', '.')}, with a point." if comma else ""
            return f"'{path}' is {_shown(value)}; it should {expected}.{hint}"


def _elsewhere(path: str) -> str:
    """The choices beside the one made that have a key, such as "finetune.method: lora"."""
    *sections, key = path.split(".")
    kind: Any = TrainingConfig
    for section in sections:
        kind = _inner(kind, section)
    if get_origin(kind) not in _UNIONS:
        return ""
    members = [each for each in map(_plain, get_args(kind)) if _names(each)]
    names = [_names(each)[0] for each in members if key in _keys(each)]
    what = next((each for each in _DISCRIMINATORS if members and each in _keys(members[0])), "")
    return f"{'.'.join((*sections, what))}: {' or '.join(names)}" if names else ""


def _is_of_text(location: tuple[int | str, ...]) -> bool:
    """Whether a list is one of words."""
    keys, section = _locate(location)
    field = getattr(section, "model_fields", {}).get(keys.rpartition(".")[2])
    return field is not None and str in get_args(_plain(field.annotation))


# In plain words, by how pydantic's names of errors begin.
_EXPECTED: Final = (
    ("int_", "be a whole number"),
    ("float_", "be a number"),
    ("bool_", "be true or false"),
    ("string_type", "be text"),
    ("tuple_type", "be a list, such as [1, 2]"),
    ("list_type", "be a list, such as [1, 2]"),
    ("dict_type", "be a section with keys of its own"),
    ("model_", "be a section with keys of its own"),
    ("finite_number", "be a finite number"),
    ("none_required", "be left out"),
)


def _shown(value: Any) -> str:
    """A value for a sentence, not longer than one can be."""
    if value is None:
        return "empty"
    if isinstance(value, bool):
        return "true" if value else "false"
    try:
        text = repr(value)
    except ValueError:  # Python writes no number of more than some thousand digits
        return "a number of thousands of digits"
    return text if len(text) <= 60 else f"{text[:57]}..."


def _locate(location: tuple[int | str, ...]) -> tuple[str, Any]:
    """The key path as the user writes it, and the type in which its last key was looked up."""
    keys: list[str] = []
    section, current = None, TrainingConfig
    for part in location:
        if get_origin(current) in _UNIONS:  # pydantic names the member; the user did not
            current = _member(current, str(part))
            continue
        keys.append(str(part))
        section, current = current, _inner(current, part)
    # A union whose member could not be told has no part of its own: it is itself the section.
    return ".".join(keys), current if get_origin(current) in _UNIONS else section


_DISCRIMINATORS: Final = ("architecture", "name", "method", "kind")
_UNIONS: Final = (Union, UnionType)


def _inner(kind: Any, key: int | str) -> Any:
    """The type of a key of a section, or of an element of a list or dict; None when unknown."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        for name, field in kind.model_fields.items():
            if key in (name, field.alias):
                return _plain(field.annotation)
        return None
    inner = [argument for argument in get_args(kind) if argument is not Ellipsis]
    return _plain(inner[-1]) if inner else None


def _plain(kind: Any) -> Any:
    """A type without its annotations and without None."""
    if get_origin(kind) is Annotated:
        return _plain(get_args(kind)[0])
    if get_origin(kind) in _UNIONS:
        members = [member for member in get_args(kind) if member is not NoneType]
        return _plain(members[0]) if len(members) == 1 else kind
    return kind


def _member(union: Any, tag: str) -> Any:
    """The section of a union that has this name or is this class, or the dict of one with none."""
    members = [_plain(member) for member in get_args(union)]
    for member in members:
        if tag in _names(member) or tag == getattr(member, "__name__", None):
            return member
        if get_origin(member) is dict and tag.startswith("dict"):
            return member
    return None


def _home(key: str) -> str:
    """The section of a configuration, or one of the kinds of it, that has a key; "" for none."""
    for name, field in TrainingConfig.model_fields.items():
        kind = _plain(field.annotation)
        kinds = [_plain(each) for each in get_args(kind)] if get_origin(kind) in _UNIONS else [kind]
        if any(key in _keys(each) for each in kinds if hasattr(each, "model_fields")):
            return name
    return ""


def _keys(section: Any) -> list[str]:
    return [field.alias or name for name, field in section.model_fields.items()]


def tags(union: Any) -> list[str]:
    """The names by which the sections of a union are told apart."""
    return [name for member in get_args(union) for name in _names(_plain(member))]


def _names(kind: Any) -> tuple[str, ...]:
    """The names of one section of a union: the choices of the key that tells them apart."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        for key in _DISCRIMINATORS:
            if key in kind.model_fields:
                return get_args(kind.model_fields[key].annotation)
    return ()


def _unquote(text: str) -> str:
    return text.strip("'")
