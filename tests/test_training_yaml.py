"""Configurations as hostile as YAML allows: one sentence each, at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from ladera import yaml_text
from ladera.errors import ConfigError
from ladera.training import config_file

BASE = "data: {files: a.xyz}\nmodel: {architecture: hdnnp, cutoff: 5.0}\n"
LAUGHS = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{k}: &a{k} [{', '.join([f'*a{k - 1}'] * 10)}]\n" for k in range(1, 9)
)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (BASE + "epochs: 2024-01-01", "'epochs' is '2024-01-01'; it should be a whole number."),
        (BASE + "epochs: 2024-13-45", "'epochs' is '2024-13-45'; it should be a whole number."),
        (
            BASE + "epochs: !!int abc",
            "line 3: 'abc' is not a whole number of at most 18",
        ),
        (BASE + "seed: !!float x", "line 3: 'x' is not a number; correct that line."),
        (BASE + "epochs: " + "7" * 5000, "line 3: '77777777777777777777...' is not a whole number"),
        (
            BASE + "epochs: 0x" + "f" * 9000,
            "line 3: '0xffffffffffffffffff...' is not a",
        ),
        (BASE + "epochs: two", "'epochs' is 'two'; it should be a whole number."),
        (BASE + "epochs: 2.5", "'epochs' is 2.5; it should be a whole number."),
        (
            BASE + "loss: 3",
            "'loss' is 3; it should be a section with keys of its own",
        ),
        (BASE + "gradient_clip: .inf", "'gradient_clip' is inf; it should be a finite number."),
        (BASE + "gradient_clip: 0,5", "it should be a number. Write 0.5, with a point."),
        ("model: {architecture: hdnnp, cutoff: 5,0}", "line 1: the key 0 is a number"),
        (BASE + "\tepochs: 3", "line 3: a tab stands where spaces must; indent with"),
        (BASE + "epochs: " + "[" * 3000 + "]" * 3000, "it is nested deeper than any configuration"),
        (BASE + LAUGHS, "its aliases (*name) multiply it beyond measure; write it out"),
        (BASE + "a: &a [*a]", "its aliases (*name) multiply it beyond measure"),
        (BASE + "a: *b", "line 3: the alias 'b' is used but nowhere defined"),
        (BASE + "seed: !!python/object:os.system x", "python/object:os.system' is not known here"),
        (BASE + "epochs: 3\nepochs: 4", "line 4: the key 'epochs' is given twice"),
        (BASE + "a: b: c", "line 3: a ':' stands where it opens no section"),
        (BASE + "a: [1, 2", "correct that line"),
        (BASE + "a: \x07", "the character U+0007 has no place in it"),
        (BASE + "? [a]\n: 3", "line 3: a key is a list or a section; keys are names"),
        ("- a\n- b", "holds no keys"),
        (BASE + f"# {'x' * 5_000_000}", "characters, which no configuration needs"),
    ],
)
def test_one_sentence(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        config_file.load(path)
    sentence = str(caught.value)
    assert says in sentence
    assert sentence.startswith(str(path))
    assert sentence.endswith((".", "?"))
    assert len(sentence) < 400


@pytest.mark.parametrize("value", ["2024-13-45", "!!int abc", "9" * 5000, "[" * 3000, "*x"])
def test_overrides_too(tmp_path: Path, value: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(BASE)
    with pytest.raises(ConfigError, match="epochs"):
        config_file.load(path, [f"epochs={value}"])


def test_what_is_text_stays_text_and_merges_work() -> None:
    text = "a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}\nenergies: {No: -1.0, N: -2.0}\nday: 2024-01-01"
    assert yaml_text.load(text) == {
        "a": {"x": 1, "y": 2},
        "b": {"x": 1, "y": 3},
        "energies": {"No": -1.0, "N": -2.0},
        "day": "2024-01-01",
    }


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_bytes(BASE.encode("utf-16"))
    with pytest.raises(ConfigError, match="no text in UTF-8"):
        config_file.load(path)
