"""What a labelling has done, line by line: nothing that is finished is lost, or computed twice.

``journal.jsonl`` is only ever appended to, each line safely on the disk before the next frame is
begun. A line that a kill or a full disk cut short is dropped. It is the truth; the data file is
written from it, and mended by it after a kill:

===========  =====================================================================================
``kind``     what happened
===========  =====================================================================================
``session``  frames were asked for: their ``key``, how long the data file was, engine and settings
``frame``    one was labelled: its ``text`` is what is appended to the data file
``failed``   one was set aside: ``reason`` and ``log``
``again``    those that were set aside are to be computed again
``end``      all frames of the session are labelled or set aside
===========  =====================================================================================

While a session lasts its frames stand in the data file in the order in which they were ready; at
its end they are put into the order in which they came.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, NonNegativeInt, ValidationError

from ladera.errors import DataError
from ladera.files import atomic_path

NAME: Final = "journal.jsonl"
_CHUNK: Final = 1 << 20  # bytes


class Entry(BaseModel):
    """A line of the journal."""

    model_config = ConfigDict(frozen=True, extra="allow")

    kind: Literal["session", "frame", "failed", "again", "end"]
    id: str = ""  # of a frame: its structure and the settings of its labels
    frame: NonNegativeInt = 0  # its number among those of the session
    text: str = ""  # of a frame that was labelled, in extended XYZ
    key: str = ""  # of a session: the ids of all its frames
    base: NonNegativeInt = 0  # bytes of the data file before it
    reason: str = ""  # why a frame failed
    log: str = ""  # the file with what the engine said
    source: str = ""
    cpu: float = 0.0  # s that a frame took, whatever came of it


class Journal:
    """The journal in a folder, and the data file that is written from it.

    ``done`` are the ids of frames that are labelled, ``failed`` the entries of those set aside.
    """

    def __init__(self, folder: Path, data: Path) -> None:
        self.path, self._data = folder / NAME, data
        self.done: set[str] = set()
        self.failed: dict[str, Entry] = {}
        self.engines: list[dict[str, Any]] = []  # what sessions say of theirs, with any frames
        self.open_session: Entry | None = None
        self._texts: list[tuple[int, int, int]] = []  # of the session: frame, offset, length
        self._sound = 0  # bytes of it that are whole lines
        self.cpu = 0.0  # s, of all that was computed
        self._read()

    def _read(self) -> None:
        """Go through what is there, changing nothing.

        Raises DataError for a line within it that is no entry.
        """
        if not self.path.exists():
            return
        offset = 0
        with self.path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if not line.endswith(b"\n"):
                    break  # the last one, of a process that was killed
                try:
                    self._take(Entry.model_validate_json(line), offset, len(line))
                except ValidationError as error:
                    raise DataError(
                        f"{self.path}, line {number}: it is no line of a journal, so nobody knows "
                        "what is labelled; put the file back, or move its folder away to begin "
                        "anew."
                    ) from error
                offset += len(line)
        self._sound = offset

    def _take(self, entry: Entry, offset: int, length: int) -> None:
        self.cpu += entry.cpu
        match entry.kind:
            case "session":
                self.open_session, self._texts = entry, []
            case "frame":
                self._note_engine()
                self.done.add(entry.id)
                self.failed.pop(entry.id, None)
                self._texts.append((entry.frame, offset, length))
            case "failed":
                self.failed[entry.id] = entry
            case "again":
                self.failed.clear()
            case "end":
                self.open_session = None

    def _note_engine(self) -> None:
        engine = (self.open_session.model_extra or {}).get("engine") if self.open_session else None
        if engine is not None and engine not in self.engines:
            self.engines.append(engine)

    def add(self, entry: Entry, **more: Any) -> None:
        """Append an entry, safely; a labelled frame to the data file, too."""
        entry = entry.model_copy(update=more)
        line = (entry.model_dump_json(exclude_defaults=True, exclude_unset=False) + "\n").encode()
        offset = self.path.stat().st_size if self.path.exists() else 0
        try:
            _append(self.path, line)
        except OSError:  # a full disk: half a line would be in the way of the next
            if self.path.exists():
                os.truncate(self.path, offset)
            raise
        self._take(entry, offset, len(line))
        if entry.kind == "frame":
            _append(self._data, entry.text.encode())

    # --- the data file -------------------------------------------------------------------------

    def mend(self) -> None:
        """Drop half a line, and append to the data file what a killed process did not come to.

        For who holds the folder, before anything else. Raises DataError for a data file that was
        changed meanwhile.
        """
        if self.path.exists() and self._sound < self.path.stat().st_size:
            os.truncate(self.path, self._sound)
        if self.open_session is not None:
            self._mend(self.open_session)

    def begin(self, key: str, **about: Any) -> None:
        """Go on with the session of a key, or begin it. The data file is mended before."""
        if self.open_session is not None:
            if self.open_session.key == key:
                return
            self.end()
        base = self._data.stat().st_size if self._data.exists() else 0
        self.add(Entry(kind="session", key=key, base=base, **about))

    def end(self) -> None:
        """Put the frames of the session into their order, and close it."""
        frames = [frame for frame, _, _ in self._texts]
        if self.open_session is not None and frames != sorted(frames):
            self._sort(self.open_session)
        self.add(Entry(kind="end"))

    def _texts_of_session(self) -> Iterator[bytes]:
        """What it has appended to the data file."""
        if not self._texts:
            return
        with self.path.open("rb") as file:
            for _, offset, length in self._texts:
                file.seek(offset)
                yield Entry.model_validate_json(file.read(length)).text.encode()

    def _mend(self, session: Entry) -> None:
        """Append what a killed process did not come to; DataError for a file that was changed."""
        size = self._data.stat().st_size if self._data.exists() else 0
        place = session.base
        if size < place:
            raise self._changed("is shorter than it was")
        with self._data.open("ab+") as file:
            for text in self._texts_of_session():
                file.seek(place)
                there = file.read(len(text))
                if there != text[: len(there)]:
                    if self._is_sorted(session, size):
                        return
                    raise self._changed(f"has something else at byte {place:,}")
                file.seek(0, os.SEEK_END)
                file.write(text[len(there) :])
                file.flush()
                place += len(text)
            os.fsync(file.fileno())
        if size > place:
            raise self._changed(f"goes on beyond byte {place:,}")

    def _changed(self, how: str) -> DataError:
        return DataError(
            f"{self._data} {how}, although a labelling of it is not finished; put it back as it "
            f"was, or move {self.path.parent} away to begin anew."
        )

    def _sort(self, session: Entry) -> None:
        """Replace the data file by one with the session's frames in their order, in one step."""
        with (
            atomic_path(self._data) as temporary,
            temporary.open("wb") as new,
            self._data.open("rb") as old,
        ):
            left = session.base
            while left and (piece := old.read(min(_CHUNK, left))):
                new.write(piece)
                left -= len(piece)
            for text in self._in_order():
                new.write(text)

    def _in_order(self) -> Iterator[bytes]:
        with self.path.open("rb") as file:
            for _, offset, length in sorted(self._texts):
                file.seek(offset)
                yield Entry.model_validate_json(file.read(length)).text.encode()

    def _is_sorted(self, session: Entry, size: int) -> bool:
        """Whether the frames are in their order already, and it was killed a moment later."""
        place = session.base
        with self._data.open("rb") as file:
            file.seek(place)
            for text in self._in_order():
                if file.read(len(text)) != text:
                    return False
                place += len(text)
        return place == size


def _append(path: Path, content: bytes) -> None:
    """Append to a file, and wait until it is on the disk; an OSError names the file."""
    try:
        with path.open("ab") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        error.filename = str(path)
        raise
