"""When a loop has done enough, or is to do no more."""

from __future__ import annotations

from ladera.active.config import ActiveConfig
from ladera.active.folder import Round


def verdict(config: ActiveConfig, last: Round) -> str:
    """Why this round is the last; "" where another one follows."""
    stop = config.stop
    if reason := _enough(config, last):
        return reason
    if last.number >= stop.rounds:
        return f"{stop.rounds} rounds, the most that were allowed (stop.rounds)"
    if may_label(config, last) == 0:
        return (
            f"{last.labels_so_far:,} labels, and {stop.labels:,} are allowed (stop.labels): too "
            "few are left for another round"
        )
    hours = last.seconds_so_far / 3600
    if stop.hours is not None and hours >= stop.hours:
        return f"{hours:.3g} hours, and {stop.hours:g} were allowed (stop.hours)"
    return ""


def _enough(config: ActiveConfig, last: Round) -> str:
    """Whether the errors are as asked, and the hottest dynamics has met nothing new."""
    stop, judged = config.stop, last.judged
    if judged is None or last.reached is None:
        return ""
    goals = [(stop.forces, judged.forces), (stop.energy, judged.energy)]
    asked = [(goal, error) for goal, error in goals if goal is not None]
    if not asked or not all(error is not None and error <= goal for goal, error in asked):
        return ""
    lost = [walk for walk in last.walks if walk.ended != "finished"]
    if lost or not last.share_new <= stop.new:
        return ""
    return (
        "the errors are as small as was asked, and the walks met nothing new up to "
        f"{last.reached:g} K"
    )


def may_label(config: ActiveConfig, last: Round) -> int:
    """How many structures may be learned after a round, so that the next can still be judged."""
    if config.stop.labels is None:
        return config.select.frames
    left = config.stop.labels - last.labels_so_far - config.select.checks
    return max(0, min(config.select.frames, left))
