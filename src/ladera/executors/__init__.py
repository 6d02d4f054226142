"""Work on other machines: the jobs of a queueing system do what processes here would do.

:func:`as_executor` finds out what somebody means by an executor, :func:`opened` has it at work, for
one set of tasks after the other. The jobs are started by Parsl (Babuji et al., HPDC 2019, 25),
``ladera[parsl]``.
"""

from ladera.executors.config import ExecutorConfig, ExecutorLike, as_executor
from ladera.executors.running import JOBS, opened

__all__ = ["JOBS", "ExecutorConfig", "ExecutorLike", "as_executor", "opened"]
