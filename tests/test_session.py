"""Words that go with every command: --json, --quiet, -v, wherever they stand on the line."""

from __future__ import annotations

import pytest

from ladera import cli

CASES = {
    "data info": "data info frames.extxyz",
    "data check": "data check frames.extxyz",
    "data convert": "data convert frames.extxyz --output frames.h5",
    "data split": "data split frames.extxyz --output split.json",
}


def run(capsys: pytest.CaptureFixture[str], line: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as left:
        cli.main(line.split())
    captured = capsys.readouterr()
    return int(left.value.code or 0), captured.out, captured.err
