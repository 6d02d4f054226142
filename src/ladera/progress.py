"""How far long work is, and how long it takes yet: a bar for who watches, nothing for others.

    for volume in track(volumes, "volumes"): ...

    with Task("displaced copies", total=240) as task:
        task.advance(12, "any words")

Work says where it is; whether anybody sees it is decided here. On a terminal, and in a notebook, a
thread draws what lasts longer than half a second and takes it away at the end; in scripts whose
standard error goes to a file or a pipe nothing is written. Work within work is drawn below it, and
moves the bar above it by its share. :func:`hide` ends it all.
"""

from __future__ import annotations

import contextvars
import os
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import suppress
from datetime import timedelta
from shutil import get_terminal_size
from time import monotonic
from typing import Any, Final, Protocol, Self, TypeVar

T = TypeVar("T")

PATIENCE: Final = 0.5  # s, before anything is drawn
INTERVAL: Final = 0.25  # s, between two drawings
_WIDTH: Final = 24  # characters of a bar
_LOCK: Final = threading.RLock()  # of who writes to the terminal

_tasks: Final[list[Task]] = []  # at work, the outer ones first
_painters: Final[list[_Painter]] = []  # the one there is
_hidden: Final[set[bool]] = set()  # of one element when nobody is to see anything


class Task:
    """A piece of work: ``done`` of ``total``, and ``words`` beside it.

    ``total`` is None where nobody knows; of a float the percentage is shown instead of the numbers.
    ``unit`` is what the work below it amounts to, in its own measure.
    """

    def __init__(self, label: str, total: float | None = None, *, done: float = 0.0) -> None:
        self.label, self.total, self.done = label, total, done
        self.words, self.unit = "", 1.0
        self.started = monotonic()
        self._first = done
        self._furthest = 0.0

    def __enter__(self) -> Self:
        self.started = monotonic()
        _tasks.append(self)
        if len(_tasks) == 1 and not _hidden:
            screen = _screen()
            if screen is not None:
                _painters.append(_Painter(screen))
        return self

    def __exit__(self, *error: object) -> None:
        _tasks.remove(self)
        if not _tasks and _painters:
            _painters.pop().stop()

    def show(self, done: float, words: str | None = None) -> None:
        """So much is done."""
        self.done = done
        if words is not None:
            self.words = words

    def advance(self, amount: float = 1.0, words: str | None = None) -> None:
        """So much more is done."""
        self.show(self.done + amount, words)

    @property
    def rate(self) -> float | None:
        """How much of it in a second; None as long as nobody knows."""
        seconds = monotonic() - self.started
        return (self.done - self._first) / seconds if self.done > self._first else None

    def fraction(self, below: float | None = None) -> float | None:
        """How much of it is done, from 0 to 1, with the share ``below`` of its unit; never less."""
        if not self.total:
            return None
        now = (self.done + (below or 0.0) * self.unit) / self.total
        self._furthest = min(1.0, max(self._furthest, now))
        return self._furthest

    def left(self, fraction: float | None) -> float | None:
        """Seconds that it takes yet, if it goes on as it did; None as long as nobody knows."""
        if fraction is None or not self.total:
            return None
        gone = fraction - self._first / self.total
        return (1 - fraction) * (monotonic() - self.started) / gone if gone > 0 else None


def track(items: Iterable[T], label: str, total: int | None = None) -> Iterator[T]:
    """The items, one after the other, as a task: each is done when the next is asked for."""
    if total is None and isinstance(items, Sized):
        total = len(items)
    with Task(label, total) as task:
        for item in items:
            yield item
            task.advance()


def hide(hidden: bool = True) -> None:
    """Let nobody see anything from now on, in this process; or anybody again."""
    _hidden.clear()
    _hidden.update({True} if hidden else ())


# --- who watches --------------------------------------------------------------------------------


class _Screen(Protocol):
    """Where lines are drawn."""

    def draw(self, lines: list[_Line]) -> None: ...

    def clear(self) -> None: ...


class _Line:
    """A task as it is drawn."""

    def __init__(self, task: Task, fraction: float | None) -> None:
        self.bare = not task.total and not task.words
        self.label, self.words, self.fraction = task.label, task.words, fraction
        count = f"{int(task.done):,}" if task.done or task.total else ""
        if isinstance(task.total, float):
            count = f"{fraction or 0:.0%}"
        self.count = f"{count}/{task.total:,}" if isinstance(task.total, int) else count
        self.elapsed = _clock(monotonic() - task.started)
        left = task.left(fraction)
        self.left = "" if left is None else f"{_clock(left)} left"

    def text(self, bar: Callable[[float], str], spell: Callable[[str], str] = str) -> str:
        """The line in words, spelled as is needed, with a bar as ``bar`` draws it."""
        drawn = "" if self.fraction is None else bar(self.fraction)
        times = ", ".join(filter(None, (self.elapsed, self.left)))
        parts = (spell(self.label), self.count, drawn, times, spell(self.words))
        return "  ".join(part for part in parts if part)


def _clock(seconds: float) -> str:
    return str(timedelta(seconds=int(seconds)))


def _lines() -> list[_Line]:
    """What there is to draw: made from the innermost outward, since the outer ones count it.

    Of one that can only say that it goes on nothing is drawn beside another.
    """
    lines, below = [], None
    for task in reversed(_tasks[:]):
        below = task.fraction(below)
        lines.append(_Line(task, below))
    told = [line for line in lines if not line.bare]
    return told[::-1] or lines[:1]


class _Painter:
    """A thread that draws while the work goes on."""

    def __init__(self, screen: _Screen) -> None:
        self._screen, self._over = screen, threading.Event()
        # In the same context: a notebook knows by it which cell the words belong to.
        run = contextvars.copy_context().run
        self._thread = threading.Thread(target=run, args=(self._paint,), daemon=True)
        self._thread.start()

    def _paint(self) -> None:
        if self._over.wait(PATIENCE):
            return
        with suppress(OSError):  # a terminal that is gone
            while not self._over.is_set():
                self._screen.draw(_lines())
                self._over.wait(INTERVAL)
            self._screen.clear()

    def stop(self) -> None:
        """Take everything away."""
        self._over.set()
        self._thread.join()


def _screen() -> _Screen | None:
    """Where somebody may be watching."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if shell is not None and hasattr(shell, "kernel"):
        return _Notebook()
    if sys.stderr is not None and sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
        return _Terminal()
    return None


class _Terminal:
    """The last lines of a terminal; whatever is printed meanwhile comes above them."""

    def __init__(self) -> None:
        self._stream: Any = sys.stderr
        self._drawn = 0  # lines
        self._beside: list[_Beside] = []  # the streams of the same terminal, while it is watched

    def draw(self, lines: list[_Line]) -> None:
        """Replace what was drawn before."""
        width = get_terminal_size().columns - 1
        shown = [line.text(self._bar)[:width] for line in lines]
        with _LOCK:
            if not self._beside:
                self._watch()
            self.erase()
            start = "" if all(stream.at_start for stream in self._beside) else "\n"
            self._write(start + "".join(f"{line}\n" for line in shown))
            self._drawn = len(shown)

    def erase(self) -> None:
        """Take away what was drawn."""
        self._write("\x1b[A\x1b[2K" * self._drawn)
        self._drawn = 0

    def clear(self) -> None:
        """Leave nothing behind."""
        with _LOCK:
            self.erase()
            for name in ("stdout", "stderr"):
                stream = getattr(sys, name)
                if stream in self._beside:
                    setattr(sys, name, stream.real)

    def _watch(self) -> None:
        for name in ("stdout", "stderr"):
            stream = getattr(sys, name)
            if stream is not None and stream.isatty():
                self._beside.append(_Beside(stream, self))
                setattr(sys, name, self._beside[-1])

    def _write(self, text: str) -> None:
        encoding = self._stream.encoding or "ascii"
        self._stream.write(text.encode(encoding, "replace").decode(encoding))
        self._stream.flush()

    def _bar(self, fraction: float) -> str:
        done = round(_WIDTH * fraction)
        return f"[{'#' * done}{'.' * (_WIDTH - done)}]"


class _Beside:
    """A stream to the terminal of a bar, which steps aside for what is written."""

    def __init__(self, real: Any, screen: _Terminal) -> None:
        self.real, self._screen, self.at_start = real, screen, True

    def write(self, text: str) -> int:
        """Write it where the bar was; that is drawn again below."""
        with _LOCK:
            self._screen.erase()
            written: int = self.real.write(text)
            self.at_start = text.endswith("\n") if text else self.at_start
        return written

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)


class _Notebook:
    """A display of a notebook's cell that is updated in place; it needs no widgets."""

    def __init__(self) -> None:
        self._handle: Any = None

    def draw(self, lines: list[_Line]) -> None:
        """Replace what was drawn before."""
        from html import escape

        from IPython.display import HTML, display

        page = HTML("".join(f"<div>{line.text(self._bar, escape)}</div>" for line in lines))
        if self._handle is None:
            self._handle = display(page, display_id=True)
        else:
            self._handle.update(page)

    def clear(self) -> None:
        """Leave nothing behind."""
        from IPython.display import HTML

        if self._handle is not None:
            self._handle.update(HTML(""))

    def _bar(self, fraction: float) -> str:
        return f'<progress max="1" value="{fraction:.4f}"></progress>'
