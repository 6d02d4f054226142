"""Tasks as calls of Parsl, and their results as they are ready."""

from __future__ import annotations

import math
import os
import runpy
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

from ladera.errors import ConfigError
from ladera.executors.config import PBS, ExecutorConfig, ExecutorLike, ParslFile, Slurm, as_executor
from ladera.executors.remote import perform
from ladera.interrupt import StopRequest
from ladera.processes import Pool, Processes, ProcessPool, RemoteError, Results, Task

if TYPE_CHECKING:
    from parsl.config import Config
    from parsl.dataflow.dflow import DataFlowKernel
    from parsl.providers.base import ExecutionProvider

T = TypeVar("T")

_INTERCHANGE: Final = [sys.executable, "-P", "-m", "ladera.executors.interchange"]
JOBS: Final = "jobs"  # folder of their scripts and logs, within that of the results
_RETRIES: Final = 2  # of a task whose job was lost
_PERIOD: Final = 5.0  # s between looks at the queue
_SILENCE: Final = 60  # s without a sign of life, after which a job is lost


@contextmanager
def opened(executor: ExecutorLike | None, folder: Path) -> Iterator[Pool]:
    """Who does tasks until the ``with`` ends: processes of this machine, or an executor's jobs.

    One that is open already stays so. Nothing is started before there is work; scripts and logs of
    jobs are then in ``folder``. Raises ConfigError for an executor that cannot work here.
    """
    if isinstance(executor, Pool):
        yield executor
        return
    with ProcessPool() if executor is None else _jobs(executor, folder) as pool:
        yield pool


def _jobs(
    executor: ExecutorConfig | Mapping[str, Any] | str | os.PathLike[str], folder: Path
) -> JobPool:
    config = as_executor(executor)
    require_parsl()
    return JobPool(config, folder)


class JobsError(ConfigError):
    """Jobs are not taken by the queue, or end before they did anything."""


def require_parsl() -> None:
    """Raise ConfigError without Parsl."""
    try:
        import parsl  # noqa: F401
    except ImportError:
        raise ConfigError(
            "Jobs of a queue are started by Parsl, which is not installed; install it by "
            "pip install 'ladera[parsl]'."
        ) from None


class JobPool:
    """Jobs of an executor, until the end of a ``with``: see :class:`ladera.processes.Pool`.

    While there is no work Parsl ends those that have waited for some minutes, and submits others
    when there is some again.
    """

    def __init__(self, config: ExecutorConfig, folder: Path) -> None:
        self.config, self._folder = config, folder
        self._kernel: DataFlowKernel | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def runner(self, here: Processes) -> Jobs:
        """See :class:`ladera.processes.Pool`."""
        return Jobs(self, here)

    def kernel(self) -> DataFlowKernel:
        """Parsl at work, started if it is not."""
        if self._kernel is None:
            from parsl.dataflow.dflow import DataFlowKernel

            self._folder.mkdir(parents=True, exist_ok=True)
            self._kernel = DataFlowKernel(config=_for_parsl(self.config, self._folder))
        return self._kernel

    def close(self) -> None:
        """Cancel the jobs that are left; new ones may follow."""
        with StopRequest() as stop:
            if self._kernel is not None:
                self._kernel.cleanup()
                self._kernel = None
        if stop.requested:
            raise KeyboardInterrupt


@dataclass(frozen=True)
class Jobs:
    """The runner of a pool of jobs; otherwise it is as ``here`` is."""

    pool: JobPool
    here: Processes

    def run(self, tasks: Iterable[Task[T]], look: Callable[[], None] = lambda: None) -> Results[T]:
        """See :class:`ladera.processes.Runner`."""
        waiting = iter(tasks)
        busy: dict[Future[Any], Task[T]] = {}
        with StopRequest() as stop, self._ended(busy):
            kernel = self.pool.kernel()
            capacity = self.pool.config.capacity or _capacity(kernel)
            while not stop.requested:
                while len(busy) < capacity and (task := next(waiting, None)) is not None:
                    busy[self._submitted(kernel, task)] = task
                if not busy:
                    break
                ready, _ = wait(busy, timeout=self.here.interval, return_when=FIRST_COMPLETED)
                for future in ready:
                    task = busy.pop(future)
                    try:
                        result = _result(future)
                    except JobsError:
                        raise
                    except Exception as error:
                        if task.rescue is None:
                            raise task.explain(error) from None
                        result = task.rescue(error)
                    yield task, result
                look()
        if stop.requested:
            raise KeyboardInterrupt(self.here.stopped)

    @contextmanager
    def _ended(self, busy: Mapping[Future[Any], Task[Any]]) -> Iterator[None]:
        """At the end there is no task at work that nobody waits for: it would end with its job."""
        try:
            yield
        finally:
            if busy:
                self.pool.close()

    def _submitted(self, kernel: DataFlowKernel, task: Task[T]) -> Future[Any]:
        threads = getattr(self.pool.config, "threads", self.here.threads)
        arguments = (task.call, task.output, task.limit, threads, task.patience)
        future: Future[Any] = kernel.submit(
            perform,
            app_args=arguments,
            executors="all",
            cache=False,
            ignore_for_cache=[],
            app_kwargs={},
        )
        return future


def _result(future: Future[Any]) -> Any:
    """What came of a call; RemoteError for one whose job was lost again and again.

    Raises JobsError where the queue takes no jobs, or they fail.
    """
    from parsl.errors import ParslError
    from parsl.executors.errors import BadStateException
    from parsl.jobs.errors import TooManyJobFailuresError

    try:
        return future.result()
    except (BadStateException, TooManyJobFailuresError) as error:
        said = [line.strip() for line in str(error).splitlines() if ":" in line]
        raise JobsError(f"The jobs of the executor fail: {said[-1] if said else error}.") from None
    except ParslError as error:
        said = str(error).strip().splitlines()
        raise RemoteError(
            f"its job was lost: {said[0] if said else type(error).__name__}"
        ) from None


def _for_parsl(config: ExecutorConfig, folder: Path) -> Config:
    from parsl.config import Config
    from parsl.executors import HighThroughputExecutor

    if isinstance(config, ParslFile):
        return _of_file(config.file)
    assert isinstance(config, Slurm | PBS)
    executor = HighThroughputExecutor(
        label=config.executor,
        provider=_provider(config),
        max_workers_per_node=config.workers,
        cores_per_worker=config.threads,
        interchange_launch_cmd=_INTERCHANGE,
        worker_logdir_root=str(folder),
        heartbeat_threshold=_SILENCE,
        heartbeat_period=_SILENCE // 4,
        block_error_handler=_give_up,
    )
    return Config(
        executors=[executor],
        retries=_RETRIES,
        retry_handler=_cost,
        run_dir=str(folder),
        strategy_period=_PERIOD,
        initialize_logging=False,
        exit_mode="skip",
    )


def _give_up(executor: Any, jobs: dict[str, Any]) -> None:
    """Fail all tasks where jobs fail before any did something; a node lost later is replaced."""
    from parsl.jobs.error_handlers import simple_error_handler

    if not executor.connected_blocks():
        simple_error_handler(executor, jobs)


def _provider(config: Slurm | PBS) -> ExecutionProvider:
    from parsl.launchers import SimpleLauncher
    from parsl.providers import PBSProProvider, SlurmProvider

    common: dict[str, Any] = {
        "account": config.account,
        "init_blocks": 0,
        "max_blocks": config.jobs,
        "walltime": config.time,
        "launcher": SimpleLauncher(),
        "worker_init": f"{_environment()}\n{config.setup}",
    }
    if isinstance(config, Slurm):
        return SlurmProvider(
            partition=config.queue,
            cores_per_node=config.workers * config.threads,
            scheduler_options="\n".join(f"#SBATCH {line}" for line in config.options),
            exclusive=False,
            **common,
        )
    pbs: Any = PBSProProvider
    provider: ExecutionProvider = pbs(
        queue=config.queue,
        cpus_per_node=config.workers * config.threads,
        scheduler_options="\n".join(f"#PBS {line}" for line in config.options),
        **common,
    )
    return provider


def _environment() -> str:
    """Shell lines that give a job the folder, the Python and the packages of this process."""
    modules = os.pathsep.join(path or os.getcwd() for path in sys.path)
    return f"cd {shlex.quote(os.getcwd())}\n" + "\n".join(
        f"export {name}={shlex.quote(value)}{after}"
        for name, value, after in (
            ("PATH", str(Path(sys.executable).parent), ':"$PATH"'),
            ("PYTHONPATH", modules, ""),
        )
    )


def _of_file(path: Path) -> Config:
    """The ``config`` of a Python file."""
    from parsl.config import Config
    from parsl.executors import HighThroughputExecutor

    found = runpy.run_path(str(path)).get("config")
    if not isinstance(found, Config):
        raise ConfigError(
            f"{path} has no config of Parsl; give it the line config = parsl.config.Config(...)."
        )
    for executor in found.executors:
        if isinstance(executor, HighThroughputExecutor):
            executor.interchange_launch_cmd = _INTERCHANGE
            _find_workers(executor.provider)
    return found


def _find_workers(provider: Any) -> None:
    """Parsl's workers are found beside this Python, unless the configuration knows others."""
    if hasattr(provider, "worker_init"):
        beside = shlex.quote(str(Path(sys.executable).parent))
        provider.worker_init = f'{provider.worker_init}\nexport PATH="$PATH":{beside}'


def _cost(error: Exception, _: object) -> float:
    """How many of the attempts a failure takes: one that the call itself raised takes all."""
    from parsl.executors.high_throughput.errors import ManagerLost, WorkerLost

    return 1 if isinstance(error, ManagerLost | WorkerLost) else _RETRIES + 1


def _capacity(kernel: DataFlowKernel) -> int:
    """How many tasks the executors of a configuration of Parsl do at the same time."""
    count = 0
    for executor in kernel.executors.values():
        provider: Any = getattr(executor, "provider", None)
        blocks = provider.max_blocks * provider.nodes_per_block if provider else 1
        names = ("max_workers_per_node", "max_threads")
        workers = next((w for name in names if (w := getattr(executor, name, None))), 1)
        count += int(blocks * (1 if math.isinf(workers) else workers))
    return max(1, count)
