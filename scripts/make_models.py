"""Train the models that the package ships on the data that it ships.

    python scripts/make_models.py [ethanol-hdnnp] [ethanol-mace]

Each is ``src/ladera/data/embedded/NAME.yaml``, trained into ``build/models/NAME`` (an interrupted
run goes on where it stopped) and copied to ``NAME.ladera`` beside its configuration. The seed is in
the configuration; the same machine makes the same file.
"""

from __future__ import annotations

import contextlib
import shutil
import sys
from pathlib import Path
from typing import Final

from ladera import cli, modelfile

ROOT: Final = Path(__file__).parents[1]
DATA: Final = ROOT / "src/ladera/data/embedded"
NAMES: Final = ("ethanol-hdnnp", "ethanol-mace")


def make(name: str) -> None:
    """Train one model and put it beside the data."""
    run = ROOT / "build/models" / name
    resume = ["--resume"] if (run / "config.yaml").exists() else []
    with contextlib.chdir(DATA):  # where the configuration finds the data
        try:
            cli.main(["train", f"{name}.yaml", "--output", str(run), *resume])
        except SystemExit as end:
            if end.code:
                raise
    shutil.copyfile(run / modelfile.MODEL, DATA / f"{name}.ladera")


for name in sys.argv[1:] or NAMES:
    make(name)
