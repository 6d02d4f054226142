"""The expressions of an ``.amp`` file as values, without evaluating them as code.

A file is one expression of Python, ``dict(descriptor="dict(...)", model="dict(...)")``, whose two
texts are expressions again. Here each is taken apart, and only what such files are made of counts:
numbers, texts, lists, dictionaries, and the calls dict(...), OrderedDict(...), array(...) and
matrix(...).
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from ladera.errors import ModelFileError

_LARGEST: Final = 100_000_000  # bytes
_DEEPEST: Final = 50  # brackets within brackets; those of Amp have ten


def parse(path: Path) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """The parameters of the descriptor and of the model; ModelFileError for any other text."""
    try:
        if path.stat().st_size > _LARGEST:
            raise ModelFileError(f"{path} is too large for a file of Amp.")
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise ModelFileError(f"{path} cannot be read ({error.strerror}).") from error
    whole = _expression(path, text)
    parts = []
    for key in ("descriptor", "model"):
        part = whole.get(key) if isinstance(whole, Mapping) else None
        part = _expression(path, part) if isinstance(part, str) else part
        if not isinstance(part, Mapping):
            raise ModelFileError(f"{path} does not give the {key}; expected a file that Amp saved.")
        parts.append(part)
    return parts[0], parts[1]


def _expression(path: Path, text: str) -> Any:
    try:
        return _value(path, ast.parse(text.strip(), mode="eval").body)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ModelFileError(
            f"{path} is no expression of dictionaries and numbers, as Amp saves it, or cut short."
        ) from error


def _value(path: Path, node: ast.expr, depth: int = 0) -> Any:
    """What an expression stands for; nothing is looked up or called."""
    if depth > _DEEPEST:
        raise ModelFileError(f"{path} has too many brackets within brackets to be a file of Amp.")
    inner = [_value(path, child, depth + 1) for child in _children(node)]
    match node:
        case ast.Constant():
            return node.value
        case ast.UnaryOp(op=ast.USub()) if isinstance(inner[0], (int, float)):
            return -inner[0]
        case ast.List() | ast.Tuple():
            return inner
        case ast.Dict() if None not in node.keys:
            half = len(inner) // 2
            return dict(zip(map(_key, inner[:half]), inner[half:], strict=True))
        case ast.Call(func=ast.Name(id="dict" | "OrderedDict"), args=[]):
            names = [keyword.arg for keyword in node.keywords]
            return dict(zip(names, inner, strict=True))
        case ast.Call(func=ast.Name(id="dict" | "OrderedDict"), args=[_], keywords=[]):
            pairs = inner[0].items() if isinstance(inner[0], dict) else inner[0]
            return {_key(key): value for key, value in pairs}
        case ast.Call(func=ast.Name(id="array" | "matrix"), args=[_], keywords=[]):
            return inner[0]
    raise ModelFileError(
        f"{path}, column {node.col_offset + 1}: '{ast.unparse(node)[:40]}' is neither a number, a "
        "text, a list nor a dictionary; a file of Amp has nothing else, and nothing is run."
    )


def _children(node: ast.expr) -> list[ast.expr]:
    """The expressions that an expression is made of, in the order in which they are needed."""
    match node:
        case ast.UnaryOp():
            return [node.operand]
        case ast.List() | ast.Tuple():
            return node.elts
        case ast.Dict():
            return [*(key for key in node.keys if key is not None), *node.values]
        case ast.Call():
            return [*node.args, *(keyword.value for keyword in node.keywords)]
    return []


def _key(value: Any) -> str | int:
    if not isinstance(value, (str, int)):
        raise ValueError("a key is a text or a number")
    return value
