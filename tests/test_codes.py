"""Every package of another code has the face that loading asks for."""

from __future__ import annotations

import inspect
from importlib import import_module
from pathlib import Path

import pytest

from ladera import loading
from ladera.errors import ConfigError


@pytest.mark.parametrize("name", loading.CODES)
def test_a_code_reads_and_loads(name: str, tmp_path: Path) -> None:
    code = import_module(f"ladera.codes.{name}")
    assert list(inspect.signature(code.load).parameters) == ["path", *loading.CODES[name]]
    if hasattr(code, "export"):
        assert next(iter(inspect.signature(code.export).parameters)) == "potential"
    for content in (b"", b"PK\x03\x04 damaged", b"nonsense"):
        (tmp_path / "file").write_bytes(content)
        assert not code.reads(tmp_path / "file")
    assert not code.reads(tmp_path / "missing")


def test_a_folder_of_n2p2_has_no_heads(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="has no head 'pbe'"):
        loading.load(tmp_path, head="pbe")
