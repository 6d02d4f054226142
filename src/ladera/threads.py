"""How many of its threads torch uses."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def torch_threads(most: int) -> Iterator[None]:
    """At most so many, for operations that are too small for more.

    Threads without work wait for it in a loop for a while, and so take cores from what follows,
    such as the compiled loops of a model.
    """
    allowed = torch.get_num_threads()
    torch.set_num_threads(max(1, min(allowed, most)))
    try:
        yield
    finally:
        torch.set_num_threads(allowed)
