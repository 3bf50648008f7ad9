"""Time of a call, and memory of this process."""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

BLOCK, LEAST, MOST = 50e-6, 5, 20_000
"""Seconds that one reading of the clock covers at least; fewest and most readings."""


def call_times(call: Callable[..., Any], args: Sequence[Any], seconds: float) -> tuple[float, float]:
    """Seconds of ``call(*args)``, the least and the median of as many readings as fit; short calls in blocks."""
    clock = time.perf_counter
    for _ in range(3):
        start = clock()
        call(*args)
        once = clock() - start
    block = max(1, math.ceil(BLOCK / max(once, 1e-7)))
    repeats = min(MOST, max(LEAST, int(seconds / (block * max(once, 1e-7)))))
    readings = np.empty(repeats)
    gc.collect()
    gc.disable()
    until = clock() + 4 * seconds
    try:
        for k in range(repeats):
            if clock() > until and k >= LEAST:  # much slower than the first calls: a busy machine
                readings = readings[:k]
                break
            start = clock()
            for _ in range(block):
                call(*args)
            readings[k] = clock() - start
    finally:
        gc.enable()
    return float(readings.min()) / block, float(np.median(readings)) / block


def memory(field: str) -> float | None:
    """Megabytes of this process: "VmRSS" now, "VmHWM" at its highest; None where there is no /proc."""
    status = Path("/proc/self/status")
    if not status.exists():
        return None
    line = next(line for line in status.read_text().splitlines() if line.startswith(field + ":"))
    return int(line.split()[1]) / 1024
