"""YAML as configurations need it: text, numbers, lists and sections, whatever else YAML can say.

Dates stay text, keys are always text (``No`` is nobelium), a key that is given twice is refused,
and aliases may not make more of a file than it is.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

import yaml

from ladera.errors import ConfigError, did_you_mean, first_problem, told

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError

# What aliases may make of a file: beyond it lies nothing but a file that was made to do harm.
_MOST_NODES: Final = 500_000
_LONGEST: Final = 4_000_000  # characters
_DEEPEST: Final = 100  # sections within sections

_WORDS: Final = {
    "tag:yaml.org,2002:int": "a whole number of at most 18 digits",
    "tag:yaml.org,2002:float": "a number",
    "tag:yaml.org,2002:bool": "true or false",
}


class YAMLTextError(ValueError):
    """What is wrong with a text, and where: ``line`` counts from 1, 0 where none is to blame."""

    def __init__(self, problem: str, line: int = 0) -> None:
        super().__init__(problem)
        self.line = line


def read(path: Path, missing: str) -> str:
    """The text of a configuration; ConfigError, which ends in ``missing`` where there is none."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ConfigError(f"There is no configuration file {path}; {missing}") from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ConfigError(
            f"{path} is no text in UTF-8 (line {line}); save it in that encoding."
        ) from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}.") from error


def keys_of(path: Path, text: str, without_keys: str) -> dict[str, Any]:
    """The keys in the text of a file; ConfigError for what is no YAML, or has no keys."""
    try:
        values = load(text)
    except YAMLTextError as error:
        line = f", line {error.line}" if error.line else ""
        remedy = "." if ";" in str(error) else "; correct that line."
        raise ConfigError(f"{path}{line}: {error}{remedy}") from None
    if not isinstance(values, dict):
        raise ConfigError(f"{path} holds no keys; {without_keys}.")
    return values


def load(text: str) -> Any:
    """The value of a YAML document; YAMLTextError for one that cannot be read."""
    if len(text) > _LONGEST:
        raise YAMLTextError(f"it has {len(text):,} characters, which no configuration needs")
    try:
        _require_shallow(text)
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return None
            if _size(node, {}) > _MOST_NODES:
                raise YAMLTextError("its aliases (*name) multiply it beyond measure; write it out")
            return loader.construct_document(node)
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        opened = _never_closed(error)
        began = opened or "could not find expected ':'" in str(error.problem)
        mark = error.context_mark if began else error.problem_mark
        raise YAMLTextError(opened or _plain(error), mark.line + 1 if mark else 0) from None
    except yaml.reader.ReaderError as error:
        raise YAMLTextError(
            f"the character U+{int(error.character):04X} has no place in it: it is no YAML file"
        ) from None


def _require_shallow(text: str) -> None:
    """YAMLTextError for what would overrun the stack, whatever the limit of the process is."""
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEEPEST:
            line = event.start_mark.line + 1 if event.start_mark else 0
            raise YAMLTextError("it is nested deeper than any configuration", line)


def line_of(text: str, keys: Sequence[str]) -> int:
    """The line, from 1, of a key of a document, or of the last section on the way to it; 0: none.

    ``keys`` lead to it from outside; those of a list are its numbers.
    """
    node, line = yaml.compose(text, _Loader), 0
    for key in keys:
        if isinstance(node, yaml.SequenceNode) and key.isdigit() and int(key) < len(node.value):
            node = node.value[int(key)]
            line = node.start_mark.line + 1
        elif isinstance(node, yaml.MappingNode):
            pair = next((pair for pair in node.value if pair[0].value == key), None)
            if pair is None:
                break
            line, node = pair[0].start_mark.line + 1, pair[1]
    return line


class _Loader(yaml.SafeLoader):
    """The safe loader with less to it."""

    yaml_implicit_resolvers: ClassVar = {  # type: ignore[misc] # the base's, without dates
        first: [each for each in resolvers if each[0] != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            value = super().construct_object(node, deep)
            if isinstance(value, int) and abs(value) >= 2**63:
                raise ValueError("it fits in no integer of a computer")
            return value
        except (ValueError, TypeError, OverflowError, AttributeError, KeyError, IndexError):
            shown = str(node.value)[:20] + ("..." if len(str(node.value)) > 20 else "")
            kind = _WORDS.get(node.tag, f"a {node.tag.rpartition(':')[2]} that can be used here")
            raise _error(f"'{shown}' is not {kind}", node) from None

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        if isinstance(node, yaml.MappingNode):
            seen: set[str] = set()
            for key, _ in node.value:
                _require_text(key)
                if key.value in seen:
                    raise _error(f"the key '{key.value}' is given twice", key)
                seen.add(key.value)
        return super().construct_mapping(node, deep)


def _require_text(key: yaml.Node) -> None:
    """Make a key text, or refuse it."""
    if not isinstance(key, yaml.ScalarNode):
        raise _error("a key is a list or a section; keys are names", key)
    if key.tag.endswith((":int", ":float")):
        raise _error(
            f"the key {key.value[:20]} is a number, and keys are names; a decimal number has a "
            "point, not a comma",
            key,
        )
    if not key.tag.endswith(":merge"):
        key.tag = "tag:yaml.org,2002:str"


def _size(node: yaml.Node, known: dict[int, int]) -> int:
    """Nodes below a node when aliases are written out; one that holds itself has no end."""
    if isinstance(node, yaml.ScalarNode):
        return 1
    if id(node) not in known:
        known[id(node)] = _MOST_NODES + 1  # while it is not known: for one that holds itself
        inner = [
            each for pair in node.value for each in (pair if isinstance(pair, tuple) else [pair])
        ]
        known[id(node)] = 1 + sum(_size(each, known) for each in inner)
    return known[id(node)]


def _error(problem: str, node: yaml.Node) -> yaml.MarkedYAMLError:
    return yaml.constructor.ConstructorError(None, None, problem, node.start_mark)


def _never_closed(error: yaml.MarkedYAMLError) -> str:
    """What was opened and not closed, such as quotes; "" where that is not the problem."""
    opened = {"quoted scalar": "a quote", "flow mapping": "a '{'", "flow sequence": "a '['"}
    context = str(error.context)
    return next(
        (
            f"{what} opens here and does not close"
            for name, what in opened.items()
            if name in context
        ),
        "",
    )


def _plain(error: yaml.MarkedYAMLError) -> str:
    """The problem in plain words."""
    problem = str(error.problem)
    if "'\\t'" in problem:
        return "a tab stands where spaces must; indent with spaces"
    if "could not determine a constructor" in problem:
        return f"the tag {problem.rpartition('tag ')[2]} is not known here; leave it out"
    if "could not find expected ':'" in problem:
        return "a key has no ':' after it; write key: value"
    if "mapping values are not allowed" in problem:
        return "a ':' stands where it opens no section; look at the indentation, or put quotes"
    if "found undefined alias" in problem:
        return f"the alias {problem.rpartition(' ')[2]} is used but nowhere defined (&)"
    if "another document" in problem:
        return "a second document begins ('---'); keep one of them"
    if "expected" in problem and "but found" in problem:
        expected, _, found = problem.partition("but found")
        return f"there is {_token(found)} where {_token(expected.removeprefix('expected'))} belongs"
    return problem


def _token(name: str) -> str:
    """A name of PyYAML's, such as <block end>, without its brackets."""
    name = name.strip(" ,").replace("<", "").replace(">", "")
    return "nothing more" if name in ("stream end", "block end") else name


def problem_of(
    error: ValidationError, kind: type[BaseModel], name: str, text: str, what: str
) -> str:
    """What is wrong with the settings of ``what``: unknown keys first, then the rest."""
    details = error.errors()
    unknown = [each for each in details if each["type"] == "extra_forbidden"]
    missing = [each for each in details if each["type"] == "missing"]
    detail = (unknown or missing or details)[0]
    keys, section = _within(kind, detail["loc"])
    path, fields = ".".join(keys), section.model_fields
    line = line_of(text, keys) if text and keys else 0
    place = f"{name}, line {line}" if line else name
    if unknown:
        return f"{place}: '{path}' is no key of this {what}; {did_you_mean(keys[-1], fields)}"
    if missing and keys[-1] in fields:
        about = fields[keys[-1]].description or ""
        return f"{place}: the key '{path}' is missing ({about.rstrip('.')}); give it."
    if detail["type"] == "literal_error":
        choices = re.findall(r"'([^']*)'", detail["ctx"]["expected"])
        value = told(detail["input"])
        return f"{place}: {path} is {value}; {did_you_mean(str(detail['input']), choices)}"
    said = first_problem(error)[1]
    return f"{place}: {path}: {said}." if path else f"{place}: {said}."


def _within(kind: type[BaseModel], location: Sequence[int | str]) -> tuple[list[str], Any]:
    """The keys of a place as the user wrote them, and the section that has the last one."""
    keys: list[str] = []
    section: Any = kind
    inner: Any = kind
    for part in location:
        fields = getattr(inner, "model_fields", None)
        if fields is None:  # within a list; or pydantic names the kinds of value that may be there
            keys += [str(part)] * isinstance(part, int)
            break
        keys.append(str(part))
        section, inner = inner, fields[part].annotation if part in fields else None
    return keys, section
