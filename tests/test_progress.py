"""Progress: drawn for who watches, absent elsewhere, right about the time that is left."""

from __future__ import annotations

import io
import os
import pty
import re
import subprocess
import sys
import time
import types
from pathlib import Path

import pytest
from ase.build import bulk
from ase.calculators.lj import LennardJones

from ladera import progress
from ladera.progress import Task, track
from ladera.properties.equation_of_state import equation_of_state

WORK = """
import sys, time, warnings
from ladera.progress import Task, track
with Task("whole", 2) as whole:
    for piece in track(range(2), "pieces"):
        with Task("inner", 8) as inner:
            for k in range(8):
                time.sleep(0.02)
                inner.advance(1, "force 0.1")
        if piece == 0:
            print("said")
            warnings.warn("beware")
        whole.advance()
{end}
print("end", "-" * 5)
"""


def on_terminal(code: str, **environment: str) -> tuple[int, str]:
    """Exit code, and what a program writes to a terminal; nobody has patience."""
    code = "import ladera.progress as p; p.PATIENCE = 0.0; p.INTERVAL = 0.01\n" + code
    leader, follower = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=follower,
        stdout=follower,
        stderr=follower,
        env=os.environ | environment,
    ) as process:
        os.close(follower)
        text = b""
        while True:
            try:
                block = os.read(leader, 4096)
            except OSError:  # the other end is closed
                break
            if not block:
                break
            text += block
    os.close(leader)
    return process.returncode, text.decode()


def screen(text: str) -> list[str]:
    """The lines that are left on a terminal: its cursor goes up, and lines are erased."""
    lines, row = [""], 0
    for part in re.findall(r"\x1b\[A|\x1b\[2K|\r\n|[^\x1b\r\n]+", text):
        if part == "\x1b[A":
            row -= 1
        elif part == "\x1b[2K":
            lines[row] = ""
        elif part == "\r\n":
            row += 1
            lines += [""] * (row + 1 - len(lines))
        else:
            lines[row] += part
    return [line for line in lines if line]


def test_a_terminal_shows_what_is_done_and_left_and_is_clean_afterwards() -> None:
    code, text = on_terminal(WORK.format(end=""))
    assert code == 0
    assert re.search(r"pieces  1/2  \[#+\.+\]  0:00:0\d, 0:00:0\d left", text)
    assert re.search(r"inner  \d/8  \[#*\.+\]  0:00:00, 0:00:0\d left  force 0.1", text)
    left = screen(text)
    assert left[0] == "said"
    assert "beware" in left[1]
    assert left[-1] == "end -----"
    assert not any("#" in line or "pieces" in line for line in left)


def test_a_failure_leaves_the_terminal_clean() -> None:
    code, text = on_terminal(WORK.format(end="    raise SystemExit('no')"))
    assert code == 1
    assert screen(text)[-1] == "no"
    assert not any("whole" in line for line in screen(text))


@pytest.mark.parametrize("how", ["hidden", "dumb", "pipe"])
def test_nothing_is_drawn_for_who_does_not_watch(how: str) -> None:
    code = WORK.format(end="")
    if how == "pipe":
        run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        text = run.stdout + run.stderr
    elif how == "dumb":
        text = on_terminal(code, TERM="dumb")[1]
    else:
        text = on_terminal("p.hide()\n" + code)[1]
    assert "said" in text
    assert "pieces" not in text
    assert "\x1b" not in text


def test_the_time_left_follows_from_what_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(progress, "monotonic", lambda: now)
    with Task("steps", 100, done=60) as task:  # a run that goes on
        assert task.left(task.fraction()) is None
        now += 10
        task.show(80)
        assert task.rate == pytest.approx(2.0)
        assert task.left(task.fraction()) == pytest.approx(10.0)
    with Task("unknown") as task:
        task.advance(5)
        assert task.left(task.fraction()) is None


def test_work_below_moves_the_bar_above_by_its_share() -> None:
    with Task("outer", 10) as outer:
        outer.unit = 4
        outer.show(2)
        with Task("inner", 2) as inner:
            inner.advance()
            assert outer.fraction(inner.fraction()) == pytest.approx(0.4)
        assert outer.fraction() == pytest.approx(0.4), "the bar went back"


def test_track_ends_with_a_loop_that_is_left() -> None:
    for number in track([1, 2, 3], "numbers"):
        if number == 2:
            break

    def fail() -> None:
        for _ in track([1, 2, 3], "numbers"):
            raise ValueError("one")

    with pytest.raises(ValueError, match="one"):
        fail()
    assert progress._tasks == []


def test_a_notebook_shows_one_display_and_empties_it(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []
    handle = types.SimpleNamespace(update=shown.append)

    def display(page: str, display_id: bool) -> object:
        assert display_id
        shown.append(page)
        return handle

    shell = types.SimpleNamespace(kernel=object())
    module = types.SimpleNamespace(get_ipython=lambda: shell)
    pages = types.SimpleNamespace(HTML=str, display=display)
    monkeypatch.setitem(sys.modules, "IPython", module)
    monkeypatch.setitem(sys.modules, "IPython.display", pages)
    monkeypatch.setattr(progress, "PATIENCE", 0.0)
    monkeypatch.setattr(progress, "INTERVAL", 0.01)
    for _ in track(range(3), "a < b"):
        time.sleep(0.03)
    assert any("a &lt; b 1/3" in " ".join(page.split()) for page in shown)
    assert any(re.search(r'<progress max="1" value="0\.\d+">', page) for page in shown)
    assert shown[-1] == ""


def test_a_property_tells_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    advance = Task.advance
    monkeypatch.setattr(
        Task, "advance", lambda task, *words: seen.append(task.label) or advance(task, *words)
    )
    atoms = bulk("Ar", a=5.25)
    atoms.calc = LennardJones(sigma=3.4, epsilon=0.01, rc=8.0, smooth=True)
    equation_of_state(atoms, points=7)
    assert seen.count("volumes at rest") == 7


def test_a_terminal_that_is_gone_stops_no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    class Gone(io.StringIO):
        def isatty(self) -> bool:
            return True

        def write(self, text: str) -> int:
            raise OSError(5, "Input/output error")

    monkeypatch.setattr(progress, "PATIENCE", 0.0)
    monkeypatch.setattr(sys, "stderr", Gone())
    monkeypatch.setenv("TERM", "xterm")
    assert list(track(range(3), "numbers")) == [0, 1, 2]


def test_progress_costs_next_to_nothing() -> None:
    """A step of the fastest dynamics takes 100 microseconds; 1 % of it is one."""
    with Task("steps", 10**5) as task:
        began = time.process_time()
        for step in range(10**5):
            task.done = step
        assert (time.process_time() - began) / 10**5 < 1e-6
    began = time.process_time()
    for _ in track(range(10**5), "numbers"):
        pass
    assert (time.process_time() - began) / 10**5 < 2e-5


def test_every_long_command_has_a_line_of_its_own(tmp_path: Path) -> None:
    """Whatever a command does, who watches sees its name and the time; then nothing."""
    code = "import sys; from ladera.cli import main; main(['info', 'ethanol-mace'])"
    code, text = on_terminal(code)
    assert code == 0
    assert "ladera info  0:00:0" in text
    assert not any(line.startswith("ladera info") for line in screen(text))
