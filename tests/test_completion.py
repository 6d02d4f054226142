"""Completion: scripts for three shells, and what bash, zsh and fish make of them."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Literal, get_args

import pytest

from ladera import cli
from ladera.cli import completion
from ladera.cli.completion import script

Shell = Literal["bash", "zsh", "fish"]


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("completion")
    for shell in get_args(Shell):
        (folder / f"ladera.{shell}").write_text(script(shell), encoding="utf-8")
    return folder


def run(*words: str, folder: Path) -> str:
    found = subprocess.run(
        words, cwd=folder, capture_output=True, text=True, check=True, timeout=300
    )
    assert found.stderr == ""
    return found.stdout


def bash(folder: Path, *words: str) -> set[str]:
    """What bash offers for the last of the words."""
    program = (
        f"source ladera.bash; COMP_WORDS=({' '.join(repr(word) for word in words)}); "
        'COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _ladera; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    return set(run("bash", "--norc", "-c", program, folder=folder).split())


def fish(folder: Path, *words: str) -> set[str]:
    """What fish offers for the last of the words."""
    line = " ".join(words)
    text = run("fish", "-c", f"source ladera.fish; complete -C '{line}'", folder=folder)
    return {offer.split("\t")[0] for offer in text.splitlines()}


SITUATIONS = [
    (("ladera", "rel"), {"relax"}),
    (("ladera", "vi"), {"vibrations"}),
    (("ladera", "data", "c"), {"check", "convert"}),
    (("ladera", "relax", "--fm"), {"--fmax"}),
    (("ladera", "relax", "m.ladera", "x.xyz", "--optimizer", "l"), {"lbfgs"}),
    (("ladera", "md", "m.ladera", "x.xyz", "--ensemble", "nvt-"),
     {"nvt-langevin", "nvt-bussi", "nvt-nose-hoover"}),
    (("ladera", "relax", "--js"), {"--json"}),
    (("ladera", "eos", "--de"), {"--device", "--debug"}),
    (("ladera", "report", "relax", "--m"), {"--md"}),  # of folders called as commands
    (("ladera", "relax", "data", "--fm"), {"--fmax"}),
]  # fmt: skip


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash on this machine")
@pytest.mark.parametrize(("words", "offered"), SITUATIONS)
def test_bash_completes(words: tuple[str, ...], offered: set[str], scripts: Path) -> None:
    assert bash(scripts, *words) == offered


@pytest.mark.skipif(shutil.which("fish") is None, reason="no fish on this machine")
@pytest.mark.parametrize(("words", "offered"), SITUATIONS)
def test_fish_completes(words: tuple[str, ...], offered: set[str], scripts: Path) -> None:
    assert offered <= fish(scripts, *words)


@pytest.mark.skipif(shutil.which("zsh") is None, reason="no zsh on this machine")
def test_zsh_reads_its_script(scripts: Path) -> None:
    run("zsh", "-n", "ladera.zsh", folder=scripts)
    assert (scripts / "ladera.zsh").read_text().startswith("#compdef ladera\n")


@pytest.mark.parametrize("shell", get_args(Shell))
def test_a_script_knows_every_command(shell: Shell, scripts: Path) -> None:
    text = (scripts / f"ladera.{shell}").read_text(encoding="utf-8")
    for name in cli.app:
        if not name.startswith("-"):
            assert name in text, name
    assert "--json" in text or "-l json" in text


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_it_is_installed_where_the_shell_looks(
    shell: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(completion, "script", lambda shell: f"# ladera, for {shell}\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    start, contents = tmp_path / f".{shell}rc", []
    for _ in range(2):
        with pytest.raises(SystemExit) as left:
            cli.main(["--install-completion", shell])
        assert left.value.code == 0
        contents.append(start.read_text() if start.exists() else "")
    said = capsys.readouterr().out
    written = Path(said.split()[1].rstrip(";"))
    assert written.is_relative_to(tmp_path)
    assert "ladera" in written.read_text(encoding="utf-8")
    assert contents[0] == contents[1], "twice is not twice as much"
    assert ("ladera" in contents[0]) == (shell != "fish")


def test_a_shell_that_is_not_known_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    import cyclopts.completion.detect as detect

    def unknown() -> str:
        raise detect.ShellDetectionError

    monkeypatch.setattr(detect, "detect_shell", unknown)
    with pytest.raises(SystemExit) as left:
        cli.main(["--install-completion"])
    assert left.value.code == 1
    assert "ladera --install-completion bash" in capsys.readouterr().err
    assert not os.listdir(tmp_path)
