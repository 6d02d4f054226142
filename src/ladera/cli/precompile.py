"""``ladera compile``: compile the loops now, on all cores, instead of in the first run."""

from __future__ import annotations

import logging
from typing import Annotated, Literal

from cyclopts import Parameter

from ladera.cli.session import answer
from ladera.progress import Task

log = logging.getLogger(__name__)

Family = Literal["hdnnp", "hdnnp-triplets", "mace", "mtp", "nequip"]


def compile_(
    families: Annotated[
        list[Family] | None,
        Parameter(help="What to compile; all, if nothing is named. Triplets: narrow functions."),
    ] = None,
    /,
) -> int:
    """Compile loops ahead of the first run, on all cores.

    Ladera compiles what it needs when it needs it, once per installation, one loop after the
    other. Here several are compiled at once: before a batch of jobs on a cluster, or in an image.

        ladera compile hdnnp
    """
    import time
    from typing import get_args

    from ladera.models.precompile import precompile
    from ladera.processes import available_cores

    start = time.perf_counter()
    names = []
    with Task("compiled") as task:
        for name, done, total in precompile(families or get_args(Family), available_cores()):
            names.append(name)
            task.total = total
            task.show(done, name)
            log.info("%d/%d  %s", done, total, name)
    seconds = time.perf_counter() - start
    answer({"compiled": names, "seconds": seconds})
    print(f"Compiled in {seconds:.0f} s; later runs load it from disk.")
    return 0
