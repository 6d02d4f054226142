"""What the doctor says: findings, and the report that holds them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, Self

from ladera.arrays import Integers

Severity = Literal["error", "warning", "note"]
_RANK: dict[Severity, int] = {"error": 0, "warning": 1, "note": 2}


@dataclass(frozen=True)
class Finding:
    """One kind of trouble, where it is worst and where else it is."""

    severity: Severity  # error: do not train on it; warning: look at it; note: good to know
    code: str  # short name, such as not-finite
    message: str  # one sentence: what was found, what was expected, what to do
    frame: int | None = None  # the first or worst frame, None when it is the whole data set
    atom: int | None = None  # an atom of that frame
    frames: tuple[int, ...] = ()  # every frame concerned

    @classmethod
    def about(
        cls,
        severity: Severity,
        code: str,
        message: str,
        frames: Integers,
        *,
        worst: int | None = None,
        atom: int | None = None,
    ) -> Self:
        """A finding about some frames: the first is the one to look at unless ``worst`` is said."""
        if worst is None and len(frames):
            worst = int(frames[0])
        return cls(severity, code, message, worst, atom, tuple(frames.tolist()))


@dataclass(frozen=True)
class Report:
    """All findings about a data set, errors first."""

    findings: tuple[Finding, ...]
    n_frames: int
    n_atoms: int
    data_hash: str

    @property
    def errors(self) -> tuple[Finding, ...]:
        """Findings that forbid training."""
        return self._of("error")

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """Findings to look at."""
        return self._of("warning")

    @property
    def notes(self) -> tuple[Finding, ...]:
        """Findings that are good to know."""
        return self._of("note")

    def to_json(self) -> dict[str, Any]:
        """Plain dicts and lists, for :func:`json.dumps`."""
        return {
            "n_frames": self.n_frames,
            "n_atoms": self.n_atoms,
            "data_hash": self.data_hash,
            "n_errors": len(self.errors),
            "n_warnings": len(self.warnings),
            "findings": [asdict(finding) for finding in self.findings],
        }

    def _of(self, severity: Severity) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.findings if finding.severity == severity)


def sort_findings(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Errors first, then by frame."""
    return tuple(
        sorted(findings, key=lambda f: (_RANK[f.severity], -1 if f.frame is None else f.frame))
    )


def renumber(finding: Finding, rows: Integers) -> Finding:
    """A finding about a view, with the frame numbers of the whole; ``rows`` are the view's."""
    frame = None if finding.frame is None else int(rows[finding.frame])
    return replace(finding, frame=frame, frames=tuple(rows[list(finding.frames)].tolist()))


def counted(frames: Sequence[int] | Integers, noun: str = "frame") -> str:
    """ "Frame 3" for one, "12 frames, the first is frame 3," for several: begins a sentence."""
    if len(frames) == 1:
        return f"{noun.capitalize()} {int(frames[0])}"
    return f"{len(frames):,} {noun}s (first: {int(frames[0])})"
