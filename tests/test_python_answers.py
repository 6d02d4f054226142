"""What Ladera answers to calls in Python, all in one file to be read: python_answers.txt.

Each call stands after ``>>>``, its answer below: the value, or the class of what is raised and its
sentence; before it the warnings. The calls run one after the other in a folder of the files that
:func:`prepare` writes, with the names of :func:`namespace`. After a change that was meant, or to
add a call (its line alone is enough), the answers are written anew by

    python tests/test_python_answers.py

Then read the difference: an answer that names no argument, value, expectation or next step, or
that speaks of another library, is a mistake in Ladera and not in the file.
"""

from __future__ import annotations

import ast
import io
import os
import re
import tempfile
import traceback
import warnings
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ase import Atoms
from ase import io as ase_io
from ase.build import bulk, molecule
from ase.calculators.emt import EMT

import ladera
from ladera.errors import LaderaError

FILE = Path(__file__).with_name("python_answers.txt")
PROMPT = ">>> "
# What differs from machine to machine.
GPUS = re.compile(r"torch \S+ is a build for the CPU alone|torch finds no GPU|this machine has \d+")


def prepare(folder: Path) -> None:
    """Files that the calls name."""
    ase_io.write(folder / "ethanol.xyz", molecule("CH3CH2OH"))
    ase_io.write(folder / "water.xyz", molecule("H2O"))
    ase_io.write(folder / "frames.xyz", [molecule("CH3CH2OH"), molecule("CH3OH")])
    (folder / "notes.txt").write_text("to do: buy milk\n")
    (folder / "empty.ladera").write_text("")
    (folder / "adir").mkdir()
    lennard_jones().save(folder / "argon.ladera")


def lennard_jones(**changes: Any) -> ladera.Potential:
    values = {"architecture": "lennard_jones", "species": ["Ar"], "cutoff": 6.5}
    return ladera.build(values | {"epsilon": {"Ar": 0.0104}, "sigma": {"Ar": 3.4}} | changes)


def namespace() -> dict[str, Any]:
    """Names that the calls use."""
    atoms, argon = molecule("CH3CH2OH"), bulk("Ar", "fcc", a=5.383, cubic=True)
    argon.calc = lennard_jones().calculator()
    with_calculator = atoms.copy()
    with_calculator.calc = ladera.load("ethanol-mace").calculator()
    return {
        "Atoms": Atoms,
        "EMT": EMT,
        "Path": Path,
        "argon": argon,
        "atoms": atoms,
        "dipoleless": lennard_jones().calculator(),
        "ethanol": with_calculator,
        "frame": ladera.read([atoms])[0],
        "graph": ladera.Graph.from_atoms(atoms, 4.5),
        "ladera": ladera,
        "lj": lennard_jones(),
        "mace": ladera.load("ethanol-mace"),
        "molecule": molecule,
        "np": np,
        "short": ladera.Graph.from_atoms(atoms, 2.0),
        "torch": torch,
    }


def calls() -> list[tuple[str, str]]:
    """The calls of the file, each with what stands between it and the next."""
    parts = ("\n" + FILE.read_text(encoding="utf-8")).split(f"\n{PROMPT}")[1:]
    return [(call, rest) for call, _, rest in (part.partition("\n") for part in parts)]


def answer(call: str, names: dict[str, Any]) -> str:
    """What a call answers, printed and raised, with the warnings before it."""
    printed = io.StringIO()
    with warnings.catch_warnings(record=True) as caught, redirect_stdout(printed):
        warnings.simplefilter("always")
        try:
            tree = ast.parse(call, mode="exec")
            last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
            exec(compile(tree, "call", "exec"), names)
            if isinstance(last, ast.Expr):
                value = eval(compile(ast.Expression(last.value), "call", "eval"), names)
                text = "" if value is None else repr(value)
            else:
                text = ""
        except Exception as error:
            text = f"{type(error).__name__}: {error}"
            if not isinstance(error, LaderaError) and not _is_of_python(error):
                text = f"NOT OURS: {text}"
    text = GPUS.sub("...", text)
    said = [f"{type(w.message).__name__}: {w.message}" for w in caught]
    return "\n".join([*said, printed.getvalue() + text]).strip()


def _is_of_python(error: Exception) -> bool:
    """Whether it is Python's own answer to a name or an index that is not there."""
    where = Path(traceback.extract_tb(error.__traceback__)[-1].filename)
    names = ("call", "__init__.py", "prediction.py")  # of the module ladera, of predictions
    return isinstance(error, IndexError) or (
        isinstance(error, AttributeError) and where.name in names
    )


def sections(text: str) -> str:
    """Comments and empty lines that follow an answer, up to the next call."""
    lines = text.splitlines()
    first = next((i for i, line in enumerate(lines) if not line or line[0] == "#"), len(lines))
    comments = "\n".join(lines[first:]).rstrip()
    return f"{comments}\n" if comments else ""


def answered() -> str:
    """The file as it is now."""
    head = FILE.read_text(encoding="utf-8").partition(PROMPT)[0]
    names, text = namespace(), head
    for call, rest in calls():
        text += f"{PROMPT}{call}\n{answer(call, names)}\n{sections(rest)}\n"
    return text.rstrip() + "\n"


def test_the_answers_are_those_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    prepare(tmp_path)
    names = namespace()
    for call, rest in calls():
        expected = rest.removesuffix(sections(rest)).strip()
        assert answer(call, names) == expected, f"{call}; see {Path(__file__).name}"


def test_every_answer_is_ladera_s_own_and_one_sentence() -> None:
    text = FILE.read_text(encoding="utf-8")
    assert "NOT OURS" not in text
    assert len(calls()) >= 90
    for call, rest in calls():
        lines = rest.removesuffix(sections(rest)).strip().splitlines()
        raised = [line for line in lines if re.match(r"(?!Attribute)\w+Error: ", line)]
        assert all(line.endswith((".", "?")) for line in raised), call
        assert not any(word in rest for word in ("pydantic", "NoneType", "numpy", "safetensors"))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        os.chdir(place)
        prepare(Path(place))
        written = answered()
    FILE.write_text(written, encoding="utf-8")
