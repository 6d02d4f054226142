"""What is wrong with a command line, in one sentence, whichever way it was found."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import takewhile
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
    "scan": ("pes", "torsion", "surface-scan"),
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
    "--install-completion": ("completion", "completions", "complete"),
    "--version": ("version",),
    "--help": ("help",),
}


class UsageError(LaderaError):
    """The words of a command line do not make sense together: exit code 2."""


def as_typed(error: LaderaError, words: Sequence[str]) -> str:
    """The sentence of an error, which calls an argument by the flag that stands in the line."""
    if error.argument is None:
        return str(error)
    typed = [word.partition("=")[0] for word in words if word.startswith("--")]
    name = error.argument.replace("_", "-")
    flag = next((each for each in typed if each[2:].rstrip("s") == name.rstrip("s")), name)
    return f"{flag}{str(error).removeprefix(error.argument)}"


def require_values(app: App, words: Sequence[str]) -> None:
    """UsageError for empty words, and what follows a flag that takes no value or fewer numbers."""
    empty = [
        place
        for place, word in enumerate(words)
        if not word or (word.startswith("--") and word.endswith("="))
    ]
    if empty:
        place = empty[0]
        flag = next(
            (w.rstrip("=") for w in words[max(place - 1, 0) : place + 1] if w[:2] == "--"), ""
        )
        name = flag or f"Word {place + 1} of the command line"
        raise UsageError(f"{name} is empty; give it a value, or see whether a variable is unset.")
    for place, word in enumerate(words):
        if not word.startswith("--") or "=" in word:
            continue
        after = list(takewhile(_is_value, words[place + 1 :]))
        if not after or Path(after[-1]).exists():
            continue
        count = _token_count(app, words, word)
        if count is None or len(after) <= count:
            continue
        stray = " ".join(after[count:])
        takes = f"{count} numbers" if count else "no value"
        whole = word if not count and after[0].lower() in _UNTRUE else stray
        what = f"leave {whole} out" if whole == word else f"take {whole} out"
        raise UsageError(f"{word} takes {takes}, and '{stray}' follows; {what}.")


def _is_value(word: str) -> bool:
    """Whether a word is a number, or says that something is so or not."""
    return word.lower() in (*_TRUE, *_UNTRUE) or re.fullmatch(r"-?[\d.]+", word) is not None


def _token_count(app: App, words: Sequence[str], flag: str) -> int | None:
    """How many words a flag of a command takes; None for any number, or no such flag."""
    _, apps, _ = app.parse_commands(list(words))
    for argument in apps[-1].assemble_argument_collection():
        if flag in argument.names:
            if argument.hint is bool or bool in get_args(argument.hint):
                return 0
            count, any_number = argument.token_count()
            return None if any_number or count == 1 else count
    return None


_TRUE: Final = ("yes", "true", "on")
_UNTRUE: Final = ("no", "false", "off")


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
    elif hint.count(",") > _MOST_FLAGS:
        hint = f"`{command} --help` lists those that it has."
    return f"{command} has no flag {flag}; {hint}".replace("'", "")


_MOST_FLAGS: Final = 4  # in a sentence, less one


def _missing(misuse: MissingArgumentError, command: str) -> str:
    """A flag without its value or with too few, or a command without what it works on."""
    argument = misuse.argument
    assert argument is not None
    if misuse.keyword is not None:
        count, found = argument.token_count()[0], list(misuse.tokens_so_far)
        if count < 2 or not found:
            return f"{misuse.keyword} has no value; give it one{_purpose(argument)}"
        return (
            f"{misuse.keyword} has {len(found)} of its {count} numbers ({' '.join(found)}); "
            f"give all {count}, with spaces between"
        )
    names = _positionals(misuse.app)
    words = _given(misuse)
    if argument.name.startswith("-") and not _is_positional(argument):
        if names and not words:
            return f"{command} needs {_and([*names, argument.name])}; add them"
        return f"{command} needs {argument.name}; add it"
    one = "name one or more" if names[:1] and names[0].endswith("S") else "name it"
    how = "name them in this order" if len(names) > 1 else one
    have = f", and was given {_and(words)}" if words else ""
    return f"{command} needs {_and(names)}{have}; {how}"


def _given(misuse: MissingArgumentError) -> list[str]:
    """What a command was given to work on, before its flags."""
    words = (misuse.root_input_tokens or [])[len(misuse.command_chain or ()) :]
    return list(takewhile(lambda word: not word.startswith("-"), words))


def _purpose(argument: Any) -> str:
    """What the value of a flag is, as its help says."""
    return f" ({help_.rstrip('.')})" if (help_ := argument.parameter.help) else ""


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
