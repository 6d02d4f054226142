"""Parsl's interchange, to which the jobs are connected: it ends with the process that started it.

Parsl's own stays behind a process that was killed, and jobs that hear of it wait for work until
their time is over. Without it they end when they have heard nothing for a while. And it is not in
the session of a terminal: Ctrl-C is for the process that started it, which then ends the jobs.
"""

from __future__ import annotations

import os
import runpy
import threading
import time


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


if __name__ == "__main__":
    os.setsid()
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    runpy.run_module("parsl.executors.high_throughput.interchange", run_name="__main__")
