"""Bad command lines and the whole of what each is answered: ``answers.txt`` holds both.

    python tests/test_answers.py     # writes the answers anew; read what git then shows of it

A line that begins with ``$`` is a command line, below it stand its exit code and all that it
prints, to an empty line. A new row is a ``$`` line.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from answer_files import lay_out
from ladera import cli

ANSWERS: Final = Path(__file__).with_name("answers.txt")
_FOREIGN: Final = re.compile(
    r"(?i:cyclopts|pydantic|libyaml|pyyaml|numpy|h5py|header too)|\bASE\b|\btorch\b|\bsafetensors\b"
    r"|\b\w+Error\b|Errno|Traceback|\bNone|<[a-z]+ |[a-z]Config\b|\btuple\b|\bdict\b"
)
# Of a training, with times, and of the first run on a machine.
_TALK: Final = r"^(?:epoch|\d+ of the \d+ symmetry functions|Compiling loops).*\n"
_MAY_SAY: Final = re.compile(
    r"mace-torch|ASE calculator|checkpoint\.safetensors"
)  # a code, and a file of a run


def answer(line: str) -> str:
    """The exit code of a command line, and what it prints."""
    out, err = io.StringIO(), io.StringIO()
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        warnings.simplefilter("ignore")  # of good commands as well
        try:
            cli.main(shlex.split(line)[1:])
        except SystemExit as leave:
            code = leave.code
    said = re.sub(_TALK, "", out.getvalue() + err.getvalue(), flags=re.M)
    said = re.sub(r"\d\.\d+e\+\d{3}", "...", said)  # of what diverges, on this processor
    return f"exit {code}\n{said}".rstrip("\n")


def recorded() -> dict[str, str]:
    """The answers in the file, by command line."""
    found = {}
    for block in re.split(r"^\$ ", ANSWERS.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
        line, _, rest = block.partition("\n")
        found[line] = rest.partition("\n\n")[0].rstrip("\n")
    return found


@contextlib.contextmanager
def folder_of_answers() -> Iterator[None]:
    """Be in a new folder with the files of the command lines."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        try:
            lay_out(Path(folder))
            yield
        finally:
            os.chdir(before)


@pytest.fixture(scope="module")
def here() -> Iterator[None]:
    """The folder, for all rows: none of them writes anything into it."""
    with folder_of_answers():
        yield


@pytest.mark.parametrize("line", list(recorded()))
@pytest.mark.usefixtures("here")
def test_the_answer_is_the_recorded_one(line: str) -> None:
    assert answer(line) == recorded()[line]


def test_there_are_enough_of_them() -> None:
    assert len(recorded()) >= 130


@pytest.mark.parametrize("line", list(recorded()))
def test_an_answer_is_one_sentence_in_our_words(line: str) -> None:
    code, _, text = recorded()[line].partition("\n")
    assert code in ("exit 1", "exit 2")
    said = text.splitlines()
    assert len(said) == 1, "more than a sentence"
    assert said[0].startswith("Error: ")
    assert said[0].endswith((".", "?", " more after this.)")), "no end"
    assert len(said[0]) < 500
    assert not _FOREIGN.search(_MAY_SAY.sub("", said[0])), "a word of another library"


def write() -> None:
    """Put the answers of today into the file."""
    text = ANSWERS.read_text(encoding="utf-8")
    with folder_of_answers():
        answers = {line: answer(line) for line in recorded()}
    for line, said in answers.items():
        rows = re.compile(r"^\$ " + re.escape(line) + r"\n(?:.+\n)*", re.MULTILINE)
        text = rows.sub(lambda _, line=line, said=said: f"$ {line}\n{said}\n", text)
    ANSWERS.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write()
