"""What the README and the documentation show is what Ladera does: their examples are run.

Fenced ``console`` blocks hold shell commands after ``$`` and ``python`` blocks hold code; those of
one page run in order, in one directory that has a small ``ethanol.extxyz``; a ``yaml`` block that
begins with ``# name.yaml`` is written to that file. A block after the comment
``<!-- not run: reason -->`` is not run, but the ``ladera`` commands in it must parse.
"""

from __future__ import annotations

import inspect
import os
import re
import shlex
import subprocess
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlparse

import numpy as np
import pytest
from cyclopts import App

from ladera import cli
from ladera.cli.models import calculator_as_model
from ladera.cli.session import Session
from ladera.data import formats

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(
    r"^(?P<comment><!-- not run: [^\n]+ -->\n+)?```(?P<language>[a-z]*)[^\n]*\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
EMBEDDED = ROOT / "src/ladera/data/embedded/ethanol.extxyz.gz"


@dataclass(frozen=True)
class Block:
    """One fenced block of a page."""

    language: str
    text: str
    line: int
    is_run: bool

    @property
    def commands(self) -> list[str]:
        """The shell commands of a console block, continuation lines joined."""
        text = self.text.replace("\\\n", " ")
        return [line[2:] for line in text.splitlines() if line.startswith("$ ")]


def blocks(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    return [
        Block(
            language=match["language"],
            text=match["text"],
            line=text.count("\n", 0, match.start("text")),
            is_run=match["comment"] is None,
        )
        for match in FENCE.finditer(text)
    ]


def parse(command: str) -> None:
    """Raise CycloptsError unless ``ladera`` understands the command line."""
    words = shlex.split(command.split(" | ")[0].split(" > ")[0], comments=True)
    meant = calculator_as_model(cli.app, Session.of(words[1:]).words)
    cli.app.parse_args(meant, exit_on_error=False, print_error=False)


def run(command: str) -> None:
    """Run a shell command; a plain ``ladera`` line without the wait for a new process."""
    words = shlex.split(command, comments=True)
    if words[0] == "ladera" and not {"|", ">", "&&"} & set(words):
        with warnings.catch_warnings():
            warnings.simplefilter("default")  # the command line prints them
            with pytest.raises(SystemExit) as end:
                cli.main(words[1:])
        assert end.value.code == 0, command
        return
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    result = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command],
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, f"{command}:\n{result.stdout}{result.stderr}"


def help_examples(group: App, words: tuple[str, ...] = ("ladera",)) -> list[str]:
    """The ``ladera`` lines of every command's help."""
    found = []
    for name in group:
        if name.startswith("-"):
            continue
        command = group[name]
        if command.default_command is None:
            found += help_examples(command, (*words, name))
        else:
            text = inspect.getdoc(command.default_command) or ""
            lines = text.replace("\\\n", " ").splitlines()
            found += [s for line in lines if (s := line.strip(" $")).startswith("ladera ")]
    return found


@pytest.fixture(scope="session")
def ethanol(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An eighth of the embedded data in its order, the free atoms last; training takes seconds."""
    path = tmp_path_factory.mktemp("docs") / "ethanol.extxyz"
    frames = formats.read(EMBEDDED)
    last = len(frames) - 3
    formats.write(frames[np.array([*range(0, last, 8), last, last + 1, last + 2])], path)
    return path


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_block_has_a_language_that_is_checked(page: Path) -> None:
    known = {"python", "console", "yaml", "text", "json"}
    assert {block.language for block in blocks(page)} <= known


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_shown_is_understood(page: Path) -> None:
    for block in blocks(page):
        for command in block.commands:
            if command.startswith("ladera "):
                parse(command)


@pytest.mark.parametrize("example", help_examples(cli.app))
def test_every_example_in_the_help_is_understood(example: str) -> None:
    parse(example)


@pytest.mark.parametrize(
    "page",
    [
        page
        for page in PAGES
        if any(b.is_run and b.language in ("console", "python") for b in blocks(page))
    ],
    ids=lambda page: page.name,
)
def test_examples_run(
    page: Path, ethanol: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ethanol.extxyz").write_bytes(ethanol.read_bytes())
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {}
    for block in blocks(page):
        if not block.is_run:
            continue
        if file := re.match(r"# (\w+\.yaml)\n", block.text):
            (tmp_path / file[1]).write_text(block.text)
        if block.language == "python":
            code = "\n" * block.line + block.text  # so that a traceback names the page's line
            exec(compile(code, page, "exec"), namespace)
        for command in block.commands:
            run(command)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_pictures_exist(page: Path) -> None:
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    for target in re.findall(r"\]\(([^)#\s]+)", text):
        if not urlparse(target).scheme:
            assert (page.parent / target).exists(), f"{page.name} points to {target}"


def test_citation_and_changelog_know_the_version() -> None:
    from ladera import __version__

    assert f"version: {__version__}" in (ROOT / "CITATION.cff").read_text()
    assert "## [Unreleased]" in (ROOT / "CHANGELOG.md").read_text()
