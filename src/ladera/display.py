"""How objects show themselves: one or two lines in a terminal, a small table in a notebook."""

from __future__ import annotations

import html
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any, Final

_WIDTH: Final = 100  # characters of a line
_ROWS: Final = 40  # of a table in a notebook
_TABLE: Final = '<table style="font-variant-numeric: tabular-nums">'


def short(value: Any, unit: str = "") -> str:
    """A number or a word as it is, and of an array or a sequence how much it holds."""
    shape = getattr(value, "shape", None)
    if shape:
        text = f"({', '.join(map(str, shape))}{',' if len(shape) == 1 else ''})"
    elif isinstance(value, str | bytes):
        text = textwrap.shorten(str(value), 40, placeholder="...")
    elif isinstance(value, Sequence) and len(value) > 3:
        text = f"{len(value)} of them"
    elif isinstance(value, Sequence):
        text = ", ".join(map(short, value)) or "none"
    elif isinstance(value, float) or shape == ():
        text = f"{float(value):.6g}"
    else:
        text = textwrap.shorten(str(value), 40, placeholder="...")
    return f"{text} {unit}".rstrip()


def count(number: int, noun: str) -> str:
    """``1 frame``, ``2 frames``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def lines(name: str, parts: Iterable[str]) -> str:
    """``Name(part, part, ...)`` on two lines at most; what has no room is left out."""
    text = f"{name}({'; '.join(part for part in parts if part)})"
    first, *rest = textwrap.wrap(text, _WIDTH, break_long_words=False, break_on_hyphens=False)
    if not rest:
        return first
    second = textwrap.shorten(" ".join(rest), _WIDTH - 2, placeholder=" ...)")
    return f"{first}\n  {second}"


def table(
    columns: Sequence[str],
    rows: Sequence[Sequence[Any]],
    caption: str = "",
    foot: Sequence[str] = (),
) -> str:
    """An HTML table with lines below it; of a long one the beginning and the number of the rest."""
    head = "".join(f"<th>{html.escape(str(column))}</th>" for column in columns)
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(str(cell))}</td>" for cell in row) + "</tr>"
        for row in rows[:_ROWS]
    )
    if len(rows) > _ROWS:
        more = f"{len(rows) - _ROWS} more rows"
        body += f'<tr><td colspan="{len(columns)}">{more}</td></tr>'
    title = f"<caption><b>{html.escape(caption)}</b></caption>" if caption else ""
    heads = f"<thead><tr>{head}</tr></thead>" if any(columns) else ""
    below = "".join(f"<div><small>{html.escape(line)}</small></div>" for line in foot)
    return f"{_TABLE}{title}{heads}<tbody>{body}</tbody></table>{below}"
