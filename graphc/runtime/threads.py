"""Threads: which layer runs them, and how many there are.

TBB where it can be loaded, or the layer the user chose for numba; one thread otherwise. Numba's workqueue is never
used: it aborts the process when two threads enter it.
"""

from __future__ import annotations

import ctypes
import functools
import sys
from pathlib import Path
from typing import Any

from ..config import cores
from . import drivers, files

_NEVER = ("workqueue", "threadsafe", "safe", "forksafe")
"""Layers, and descriptions of one, under which numba may take its workqueue."""


def available(wanted: int | None = None) -> int:
    """How many threads a step may use: those wanted, else as many as numba has, but no more than there are cores.

    One where no layer can run more.
    """
    if not layer():
        return 1
    if wanted is not None:
        return wanted
    from numba import config

    return min(config.NUMBA_NUM_THREADS, cores())  # type: ignore[attr-defined]  # set when it is imported


@functools.cache
def layer() -> str:
    """The threading layer for steps: "tbb", "omp" (only where the user chose it), or "" for none."""
    from numba import config, threading_layer

    try:
        running: str = threading_layer()
    except ValueError:  # none has been started
        running = ""
    chosen = running or config.THREADING_LAYER  # type: ignore[attr-defined]  # likewise
    if chosen in ("tbb", "omp"):
        return str(chosen) if chosen == "omp" or _tbb() else ""
    if chosen in _NEVER or not _tbb():
        return ""
    config.THREADING_LAYER = "tbb"  # type: ignore[attr-defined]  # likewise
    return "tbb"


def _tbb() -> bool:
    """Load TBB from the environment's own folder, where numba would not look for it."""
    folders = [Path(p) / "lib" for p in dict.fromkeys((sys.prefix, sys.exec_prefix, sys.base_prefix))]
    names = [*[str(folder / "libtbb.so.12") for folder in folders], "libtbb.so.12"]
    return any(_loads(name) for name in names)


def _loads(name: str) -> bool:
    try:
        ctypes.CDLL(name, mode=ctypes.RTLD_GLOBAL)
    except OSError:
        return False
    return True


@functools.cache
def team(flushed: bool = False) -> Any:
    """The compiled step loop with several threads."""
    from numba.np.ufunc import parallel

    parallel._launch_threads()
    made = files.load(drivers.team_source(flushed))
    for name, function in ((made.PARALLEL_FOR, "numba_parallel_for"), (made.NUM_THREADS, "get_num_threads")):
        made.note(name, made.binding.address_of_symbol(function))
    return made
