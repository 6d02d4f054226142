"""What a command may write to: nothing that is there, and no folder that another run is at work in.

A command claims its output before it works, and holds a folder until it ends.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Final

_HELD: Final = ExitStack()  # locks of the folders of this command


def claim_file(path: Path) -> None:
    """Refuse a file that is there: ConfigError, before any work."""
    from ladera.files import require_absent

    require_absent(path)


def claim_folder(folder: Path, *names: str) -> None:
    """Lock a folder until the command ends, and refuse one that holds a file of these names.

    ``names`` are those that the command will write, or patterns of them. Raises ConfigError.
    """
    from ladera.files import require_absent
    from ladera.lock import locked

    _HELD.enter_context(locked(folder))
    for name in names:
        require_absent(*sorted(folder.glob(name)), folder / name)


def release() -> None:
    """Give the folders back."""
    _HELD.close()
