"""Work side by side: calls in processes of their own, whose results come as they are ready.

Who has work to share out makes a :class:`Task` of each piece and asks a :class:`Runner` for the
results. :class:`Processes` is the runner of one machine; who has several works one after the other
keeps its processes in a :class:`ProcessPool` meanwhile. What a task has done already it finds in
its folder, so that the same tasks, run again, go on where they were. A piece that fails ends the
work, unless its task says what to put in the place of its result.
"""

from ladera.processes.pool import Processes, ProcessPool, available_cores
from ladera.processes.tasks import (
    Pool,
    ProcessEndedError,
    RemoteError,
    Results,
    Runner,
    Task,
    TimeLimitError,
    run_all,
)
from ladera.processes.worker import Worker, begun, run_command

__all__ = [
    "Pool",
    "ProcessEndedError",
    "ProcessPool",
    "Processes",
    "RemoteError",
    "Results",
    "Runner",
    "Task",
    "TimeLimitError",
    "Worker",
    "available_cores",
    "begun",
    "run_all",
    "run_command",
]
