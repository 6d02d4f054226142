"""The structures that an active learning learned, round by round, for the 3D view."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from ladera.active.folder import read_frames
from ladera.data.frame import Frame
from ladera.report import viewer
from ladera.report.active_section import Loop
from ladera.report.simulation_section import Motion
from ladera.sampling.generation import closest_contact
from ladera.table_files import Columns

_CONTACT: Final = 1e-5  # relative difference of two that are one, with six digits in the table
_PACE: Final = 600  # ms between two structures: they are no motion


def motions(loop: Loop, atom_frames: int) -> list[tuple[str, Motion]]:
    """The structures that were learned, round by round: molecules, then crystals, with a title."""
    learned = [pair for each in loop.rounds for pair in _learned(loop, each.number)]
    kinds = {
        "Open structures": [pair for pair in learned if not pair[0].periodic.any()],
        "Periodic structures": [pair for pair in learned if pair[0].periodic.any()],
    }
    kinds = {title: pairs for title, pairs in kinds.items() if pairs}
    room = atom_frames // max(len(kinds), 1)
    return [
        (title if len(kinds) > 1 else "", _motion(pairs, room)) for title, pairs in kinds.items()
    ]


def _motion(pairs: Sequence[tuple[Frame, str]], room: int) -> Motion:
    frames = [frame.to_atoms() for frame, _ in pairs]
    picked = viewer.pick_frames(len(frames), max(map(len, frames)), room).tolist()
    if not picked:
        return Motion(None, frames[-1], 0, len(frames))
    scene = viewer.scene([frames[k] for k in picked], [pairs[k][1] for k in picked])
    sizes = [len(frames[k]) for k in picked]
    return Motion(scene | {"pace": _PACE, "sizes": sizes}, frames[-1], len(picked), len(frames))


def _learned(loop: Loop, number: int) -> Iterator[tuple[Frame, str]]:
    """Frames that a round added, but for free atoms: each with the words below its picture."""
    found, by = loop.candidates.get(number), loop.config.select.by
    for frame in read_frames(loop.folder.round(number).train):
        if frame.n_atoms > 1 or frame.periodic.any():
            score = None if found is None else _score(frame, found)
            words = [f"round {number}", frame.config_type]
            words += [] if score is None else [f"{by} {score:.3g}"]
            yield frame, ", ".join(word for word in words if word)


def _score(frame: Frame, found: Columns) -> float | None:
    """The score of a frame among candidates, which know it by its group and closest contact."""
    contact = closest_contact(frame)[0]
    same = (found["became"] == "picked") & np.isclose(
        found["contact"], contact, rtol=_CONTACT, atol=0
    )
    for k in np.flatnonzero(same):
        temperature = found["temperature_k"][k]
        made = not np.isfinite(temperature)
        if np.isfinite(found["score"][k]) and (made or frame.config_type == f"{temperature:g} K"):
            return float(found["score"][k])
    return None
