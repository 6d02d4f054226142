"""What is wrong with a command line, in one sentence, whichever way it was found."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, Literal, get_args, get_origin

from cyclopts import App, CycloptsError
from cyclopts.exceptions import (
    CoercionError,
    MissingArgumentError,
    RepeatArgumentError,
    UnknownCommandError,
    UnknownOptionError,
    UnusedCliTokensError,
)

from ladera.errors import LaderaError, did_you_mean

_SYNONYMS: Final = {
    "relax": ("optimize", "optimise", "optimization", "minimize", "minimise", "geomopt"),
    "md": ("dynamics", "run", "simulate", "npt", "nvt", "nve"),
    "vibrations": ("frequencies", "freq", "modes", "thermo", "thermochemistry"),
    "train": ("fit", "learn"),
    "evaluate": ("test", "score", "errors"),
    "diffusion": ("msd", "conductivity"),
    "structure": ("rdf",),
    "neb": ("barrier", "path"),
    "expansion": ("qha",),
    "info": ("show", "models", "list"),
    "committee": ("ensemble",),
    "data info": ("dataset",),
    "data convert": ("convert",),
    "data check": ("check", "doctor"),
    "data split": ("split",),
    "data filter": ("filter", "clean"),
    "data select": ("select", "sample", "fps"),
    "data generate": ("generate", "rattle", "perturb"),
    "predict": ("label", "infer", "inference", "singlepoint", "energy"),
    "vacancy": ("defect", "defects", "vacancies"),
    "surface": ("surfaces", "slab"),
    "thermal-conductivity": ("kappa", "thermal", "phono3py"),
    "thermal-conductivity lattice": ("lattice",),
    "thermal-conductivity green-kubo": ("green-kubo", "gk"),
    "cite": ("citation", "citations", "bibtex"),
}


class UsageError(LaderaError):
    """The words of a command line do not make sense together: exit code 2."""


def sentence(misuse: CycloptsError) -> str:
    """What was found, what was expected, and what to do."""
    command = " ".join(("ladera", *(misuse.command_chain or ())))
    text = _explanation(misuse, command)
    example = _example(misuse.app, getattr(misuse, "keyword", None))
    wants_example = isinstance(misuse, MissingArgumentError | UnusedCliTokensError)
    if wants_example and example:
        return f"{text}, as in `{example}`."
    if text.endswith("?") or isinstance(misuse, UnknownCommandError):
        return text
    if "; " in text:
        return f"{text.rstrip('.')}."
    return f"{text.rstrip('.')}; see `{command} --help`."


def _explanation(misuse: CycloptsError, command: str) -> str:
    match misuse:
        case UnknownCommandError():
            return _unknown_command(misuse, command)
        case UnknownOptionError():
            return _unknown_flag(misuse, command)
        case MissingArgumentError():
            return _missing(misuse, command)
        case CoercionError():
            return _wrong_value(misuse)
        case RepeatArgumentError():
            return f"{misuse.token.keyword} is given twice; give it once."
        case UnusedCliTokensError():
            words = ", ".join(f"'{word}'" for word in misuse.unused_tokens or ())
            return f"{command} has no use for {words}; it takes {_and(_positionals(misuse.app))}"
        case _:
            return str(misuse)


def _unknown_command(misuse: UnknownCommandError, command: str) -> str:
    word = (misuse.unused_tokens or [""])[0]
    if command == "ladera" and Path(word).exists():
        return (
            f"{word} stands where a command is expected; the command comes first, as in "
            "`ladera relax model.ladera ethanol.xyz`."
        )
    names = [name for name in misuse.app or () if not name.startswith("-")]
    same = [name for name, others in _SYNONYMS.items() if word.lower() in others]
    hint = f"did you mean '{same[0]}'?" if same and command == "ladera" else ""
    return f"'{word}' is no command of {command}; {hint or did_you_mean(word, names)}"


def _unknown_flag(misuse: UnknownOptionError, command: str) -> str:
    flag = (misuse.token.keyword or misuse.token.value).partition("=")[0]
    flags = [
        name
        for argument in misuse.argument_collection
        for name in argument.names
        if name.startswith("--")
    ]
    if not flags:
        return f"{command} has no flag {flag}; leave it out."
    # Of a single letter: whatever begins with it.
    hint = did_you_mean(flag if flag.startswith("--") else f"-{flag}", flags)
    if "--set" in flags and hint.startswith("choose"):
        hint = f"a key of the configuration is changed by --set {flag.lstrip('-')}=VALUE."
    return f"{command} has no flag {flag}; {hint}".replace("'", "")


def _missing(misuse: MissingArgumentError, command: str) -> str:
    """A flag without its value or with too few, or a command without what it works on."""
    argument = misuse.argument
    assert argument is not None
    if misuse.keyword is not None:
        count, found = argument.token_count()[0], list(misuse.tokens_so_far)
        if count < 2 or not found:
            return f"{misuse.keyword} has no value; give it one"
        return (
            f"{misuse.keyword} has {len(found)} of its {count} numbers ({' '.join(found)}); "
            f"give all {count}, with spaces between"
        )
    if argument.name.startswith("-") and not _is_positional(argument):
        return f"{command} needs {argument.name}; add it"
    names = _positionals(misuse.app)
    one = "name one or more" if names[:1] and names[0].endswith("S") else "name it"
    how = "name them in this order" if len(names) > 1 else one
    return f"{command} needs {_and(names)}; {how}"


def _wrong_value(misuse: CoercionError) -> str:
    argument, token = misuse.argument, misuse.token
    assert argument is not None
    name = argument.name if argument.name.startswith("-") else argument.name.lstrip("-")
    if misuse.msg is not None:
        return f"{name} {misuse.msg}"
    value = "" if token is None else token.value
    if get_origin(misuse.target_type) is Literal:
        choices = [str(choice) for choice in get_args(misuse.target_type)]
        return f"{name} is '{value}'; {did_you_mean(value, choices)}"
    if misuse.target_type is bool:
        return f"{name} is '{value}', but it takes no value; give {name} alone or leave it out."
    return f"{name} is '{value}'; expected {_KINDS.get(misuse.target_type, 'another kind')}."


_KINDS: Final[dict[Any, str]] = {float: "a number", int: "a whole number"}


def _positionals(app: App | None) -> list[str]:
    """The names of what a command works on, which it must be given."""
    if app is None:
        return []
    arguments = app.assemble_argument_collection()
    return [
        each.name.lstrip("-").upper()
        for each in arguments
        if _is_positional(each) and (each.required or "VAR" in each.field_info.kind.name)
    ]


def _is_positional(argument: Any) -> bool:
    return "POSITIONAL" in argument.field_info.kind.name


def _example(app: App | None, flag: str | None) -> str:
    """The first command line in the help of a command, or the first with a flag."""
    return example_in((app.help if app else "") or "", flag or "")


def example_in(text: str, flag: str = "") -> str:
    """The first command line in a text of help, or the first with a flag."""
    lines = (line.strip() for line in text.splitlines())
    return next((line for line in lines if line.startswith("ladera ") and flag in line), "")


def _and(words: list[str]) -> str:
    return (
        " and ".join((", ".join(words[:-1]), words[-1]) if len(words) > 1 else words) or "nothing"
    )
