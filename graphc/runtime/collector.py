"""Python's collector of cyclic garbage, off while a step is built.

Graphs, and what numba makes of them, are many small objects that stay: the collector would go over all of them again
and again, a tenth of the time that compiling takes, and find next to nothing.
"""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def collector_off() -> Iterator[None]:
    """No collections inside; afterwards the collector is on if it was."""
    on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if on:
            gc.enable()
