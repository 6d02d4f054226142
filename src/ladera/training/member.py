"""``python -m ladera.training.member``: a program of its own for one member of a committee.

It takes the configuration as JSON, the folder of the run, and ``--resume`` where there is a run to
go on with. Its output is the reason why it failed, if it did. A program, because Fabric starts the
other processes of a run by the command of the first.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from typing import Final

from ladera import progress
from ladera.errors import LaderaError
from ladera.interrupt import interrupted_by_signals
from ladera.training.config_file import parse
from ladera.training.observer import Silent
from ladera.training.trainer import train

_INTERRUPTED: Final = 130  # 128 + SIGINT, as shells say it


def main(arguments: Sequence[str]) -> int:
    """Train the member; the exit code."""
    text, folder, *flags = arguments
    progress.hide()  # the committee watches
    config = parse(json.loads(text), "The configuration of the member")
    try:
        with interrupted_by_signals():
            train(config, folder, resume="--resume" in flags, observer=Silent())
    except LaderaError as error:
        if os.environ.get("LOCAL_RANK", "0") == "0":  # the first of several processes speaks
            sys.stdout.write(str(error))
        return 1
    except KeyboardInterrupt:
        return _INTERRUPTED
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
