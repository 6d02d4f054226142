"""Damaged files of every kind are read or refused by a sentence: the short form of scripts/fuzz.py.

Seeded, so that a fault shows here each time or never.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))

import fuzz

SLOW = {"report of a training", "report of a simulation", "resumed training"}


# ASE leaves files open when what is in them is damaged.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_no_reader_leaves_a_traceback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # where the readers go, and from where they come back
    faults = {
        reader.name: kinds
        for reader in fuzz.readers(tmp_path)
        if (kinds := fuzz.run(reader, 1 if reader.name in SLOW else 12, 14, tmp_path))
    }
    assert not faults


@pytest.mark.parametrize("key", ["data_hash", "method", "format_version", "train"])
def test_a_split_with_something_else_in_it_is_named(tmp_path: Path, key: str) -> None:
    import json

    from ladera.data.dataset import Dataset
    from ladera.data.splits import Split, random_split
    from ladera.errors import DataError
    from training_runs import argon

    data: Dataset = argon(6)
    path = tmp_path / "split.json"
    random_split(data, 0.2).save(path)
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: None}))
    with pytest.raises(DataError, match=rf"no split that Ladera wrote \({key}: "):
        Split.load(path, data)
