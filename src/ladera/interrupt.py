"""Stopping a run between two steps when Ctrl-C or a queue system asks for it."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final

# What queue systems send before the end: SIGTERM, SIGXCPU where the time is used up, SIGUSR1 and
# SIGUSR2 where a warning was asked for; SIGHUP comes when the terminal goes.
_OF_QUEUES: Final = (
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGXCPU,
    signal.SIGUSR1,
    signal.SIGUSR2,
)
_SOON: Final = 0.05  # s, until an interruption that was lost comes again


class _Handlers:
    """A handler of signals in place of others, until it is taken away again.

    SIGHUP stays ignored where it is: that is what nohup is for. Outside the main thread, where
    Python allows no handlers, nothing changes.
    """

    def __init__(self) -> None:
        self._previous: dict[int, Any] = {}

    def set(self, handler: Callable[[int, FrameType | None], None], *numbers: int) -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        for number in numbers:
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                self._previous[number] = signal.signal(number, handler)

    def restore(self, *numbers: int) -> None:
        for number in numbers or tuple(self._previous):
            if number in self._previous:
                signal.signal(number, self._previous.pop(number))


class StopRequest:
    """While it is entered, Ctrl-C or a signal of a queue system sets ``requested``, nothing else.

    A second Ctrl-C interrupts at once, as ever; a queue system may repeat itself. Outside the main
    thread nothing changes.
    """

    def __init__(self) -> None:
        self.requested = False
        self._handlers = _Handlers()

    def __enter__(self) -> StopRequest:
        self._handlers.set(self._request, signal.SIGINT, *_OF_QUEUES)
        return self

    def __exit__(self, *error: object) -> None:
        if self.requested:
            _Ending.begun = True
        self._handlers.restore()

    def _request(self, number: int, frame: FrameType | None) -> None:
        self.requested = True
        self._handlers.restore(signal.SIGINT)


class _Ending:
    """Whether this program is on its way out."""

    begun = False


@contextmanager
def interrupted_by_signals() -> Iterator[None]:
    """While it is entered, what would kill the process raises KeyboardInterrupt instead, once.

    So everything is put away on the way out: locks, temporary files, processes. Where it cannot be
    raised, as in a callback of C (the compiler of the loops has some), it comes again soon.
    """
    asked_by = signal.SIGINT

    def interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal asked_by
        if not _Ending.begun:
            _Ending.begun, asked_by = True, signal.Signals(number)
            raise KeyboardInterrupt(f"by {asked_by.name}")

    handlers = _Handlers()
    _Ending.begun = False
    handlers.set(interrupt, *_OF_QUEUES)
    try:
        with _lost_interruptions(lambda: _come_again(asked_by)):
            yield
    finally:
        handlers.restore()


def _come_again(number: int) -> threading.Timer:
    _Ending.begun = False
    again = threading.Timer(_SOON, os.kill, (os.getpid(), number))
    again.daemon = True
    again.start()
    return again


@contextmanager
def _lost_interruptions(repeat: Callable[[], threading.Timer]) -> Iterator[None]:
    """While it is entered, a KeyboardInterrupt that Python could only ignore is repeated."""
    before, repeated = sys.unraisablehook, []

    def hook(lost: sys.UnraisableHookArgs) -> None:
        if isinstance(lost.exc_value, KeyboardInterrupt):
            repeated.append(repeat())
        else:
            before(lost)

    sys.unraisablehook = hook
    try:
        yield
    finally:
        sys.unraisablehook = before
        for timer in repeated:
            timer.cancel()
