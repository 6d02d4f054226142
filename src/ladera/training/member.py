"""``python -m ladera.training.member``: a process of its own for one member of a committee.

It takes the configuration as JSON, the folder of the run, and ``--resume`` where there is a run to
go on with. To the process that started it, it says each epoch, or why it failed, as a line of JSON.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from typing import Any, Final

from ladera.errors import LaderaError
from ladera.training.config_file import parse
from ladera.training.observer import Row, Silent
from ladera.training.trainer import train

_INTERRUPTED: Final = 130  # 128 + SIGINT, as shells say it


class _Speaker(Silent):
    """Says every epoch."""

    def epoch(self, row: Row) -> None:
        """A line for it."""
        _write({"row": dict(row)})


def main(arguments: Sequence[str]) -> int:
    """Train the member; the exit code."""
    text, folder, *flags = arguments
    config = parse(json.loads(text), "The configuration of the member")
    try:
        train(config, folder, resume="--resume" in flags, observer=_Speaker())
    except LaderaError as error:
        _write({"error": str(error)})
        return 1
    except KeyboardInterrupt:
        return _INTERRUPTED
    return 0


def _write(message: dict[str, Any]) -> None:
    if os.environ.get("LOCAL_RANK", "0") == "0":  # the first of several processes speaks for all
        sys.stdout.write(json.dumps(message) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
