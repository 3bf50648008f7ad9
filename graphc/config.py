"""The only reader of the environment: every setting graphc takes from outside, in one place."""

from __future__ import annotations

import os
from pathlib import Path


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
