"""A hook of mkdocs: formulas become MathML, which browsers draw without a script or a network.

``pymdownx.arithmatex`` marks them up; this replaces its marks.
"""

from __future__ import annotations

import html
import re
from typing import Any

from latex2mathml.converter import convert

_MARK = re.compile(
    r'<(?P<tag>span|div) class="arithmatex">\\[(\[](?P<formula>.*?)\\[)\]]</(?P=tag)>', re.DOTALL
)


def on_page_content(content: str, **_: Any) -> str:
    """Called by mkdocs with the HTML of each page."""
    return _MARK.sub(_mathml, content)


def _mathml(mark: re.Match[str]) -> str:
    display = "block" if mark["tag"] == "div" else "inline"
    return convert(html.unescape(mark["formula"]), display=display)
