"""``ladera --install-completion``: words completed by the shell."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, Literal

from cyclopts import App, Parameter

from ladera.cli.session import answer

# How the scripts of cyclopts collect the words of a command: any that is one, even a folder called
# relax. Here it is only the first, and the second of a group.
_ANY_WORD: Final = {
    "bash": 'if [[ " $all_commands " =~ " $word " ]]; then',
    "fish": 'if string match -q -- "* $word *" " $all_commands "',
}
_FIRST_WORDS: Final = {
    "bash": 'if [[ " $all_commands " =~ " $word " && ( ${#cmd_path[@]} -eq 0 || '
    '" GROUPS " =~ " ${cmd_path[*]} " ) ]]; then',
    "fish": 'if string match -q -- "* $word *" " $all_commands "; and begin; '
    'test (count $subcommands) -eq 0; or contains -- "$subcommands" GROUPS; end',
}


def install_completion(
    shell: Annotated[
        Literal["bash", "zsh", "fish"] | None, Parameter(help="The one you are in by default.")
    ] = None,
    /,
    *,
    output: Annotated[
        Path | None, Parameter(help="Write the script there, and change no start-up file.")
    ] = None,
) -> int:
    """Let the shell complete commands, flags and their values.

    Writes a script to where the shell looks for such, and a line that loads it to ~/.bashrc or
    ~/.zshrc. It works in the next shell.

        ladera --install-completion bash
    """
    from cyclopts.completion.detect import ShellDetectionError, detect_shell
    from cyclopts.completion.install import add_to_rc_file, get_default_completion_path

    from ladera.errors import ConfigError
    from ladera.files import write_text_atomic

    try:
        shell = shell or _known(detect_shell())
    except ShellDetectionError:
        raise ConfigError(
            "This shell does not say which one it is; name it: ladera --install-completion bash "
            "(or zsh, or fish)."
        ) from None
    path = output or get_default_completion_path(shell, "ladera")
    write_text_atomic(path, script(shell))
    changed = None
    if output is None and shell != "fish":
        changed = add_to_rc_file(path.absolute(), "ladera", shell)
    answer({"kind": "completion", "shell": shell}, [path])
    print(f"Wrote {path}; ladera completes in the next {shell}.")
    if changed:
        print(f"{'~'}/.{shell}rc loads it.")
    return 0


def script(shell: Literal["bash", "zsh", "fish"]) -> str:
    """The script of a shell, with the flags of every command."""
    from ladera.cli import make_app

    app = make_app()
    app.meta.default(_everywhere)
    text = app.meta.generate_completion(prog_name="ladera", shell=shell)
    groups = " ".join(name for name in app if app[name].default_command is None)
    if shell not in _ANY_WORD:
        return text
    return text.replace(_ANY_WORD[shell], _FIRST_WORDS[shell].replace("GROUPS", groups))


def _everywhere(
    *words: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)],
    json: Path | None = None,
    quiet: bool = False,
    verbose: Annotated[bool, Parameter(name=("--verbose", "-v"))] = False,
    debug: bool = False,
) -> None:
    """The flags of :mod:`ladera.cli.session`, for the script alone."""


def _known(name: str) -> Literal["bash", "zsh", "fish"]:
    from ladera.errors import ConfigError

    match name:
        case "bash" | "zsh" | "fish":
            return name
    raise ConfigError(f"This shell is {name}; completion is for bash, zsh and fish.")


def register(app: App) -> None:
    """Make it a command of the app."""
    app.command(install_completion, name="--install-completion", help_format="markdown")
