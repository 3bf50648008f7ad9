"""The only reader of the environment: every setting graphc takes from outside, in one place."""

from __future__ import annotations

import os
from pathlib import Path

from .errors import InputError


def cache_dir() -> Path:
    """Folder of generated files: ``GRAPHC_CACHE_DIR``, else the platform's user cache folder."""
    chosen = os.environ.get("GRAPHC_CACHE_DIR")
    if chosen:
        return Path(chosen).expanduser()
    import platformdirs

    return Path(platformdirs.user_cache_dir("graphc", appauthor=False))


def check_passes() -> bool:
    """Whether every pass is followed by the graph verifier (``GRAPHC_CHECK=1``; the tests set it)."""
    return os.environ.get("GRAPHC_CHECK", "0") not in ("", "0")


def jit_disabled() -> bool:
    """Whether kernels run as plain Python (numba's own ``NUMBA_DISABLE_JIT``)."""
    return os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0")


def cuda_graphs() -> bool:
    """Whether a step on a CUDA device is recorded and launched as one (``GRAPHC_CUDA_GRAPHS=0``: kernel by kernel)."""
    return os.environ.get("GRAPHC_CUDA_GRAPHS", "1") not in ("", "0")


def cublas() -> bool:
    """Whether cuBLAS computes large products of matrices where it is found (``GRAPHC_CUBLAS=0``: own kernels do)."""
    return os.environ.get("GRAPHC_CUBLAS", "1") not in ("", "0")


def flush_subnormals() -> bool:
    """Whether steps compiled for the CPU take subnormal floats for 0, and make none (``GRAPHC_FLUSH_SUBNORMALS=1``).

    NumPy and graphc keep them; but a processor may take fifty times as long for an instruction that meets one.
    """
    return os.environ.get("GRAPHC_FLUSH_SUBNORMALS", "0") not in ("", "0")


def cores() -> int:
    """How many cores this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def compilers() -> int:
    """How many processes may compile a step: ``GRAPHC_COMPILERS``, else one per core, at most 4."""
    chosen = os.environ.get("GRAPHC_COMPILERS", "")
    if not chosen:
        return min(cores(), 4)
    if not chosen.isdecimal() or int(chosen) < 1:
        raise InputError(f"GRAPHC_COMPILERS: got {chosen!r}, expected a number of processes, 1 or more")
    return int(chosen)
