"""Tests of the CUDA target, in processes of their own: numba chooses between its simulator and a device as it starts.

NUMBA_ENABLE_CUDASIM=1 python -m pytest tests/cuda/simulated      what kernels compute, in numba's simulator
python -m pytest tests/cuda/compiled                              what they compile to; needs no device either
python -m pytest tests/cuda/driver                                what the driver is asked for, with a stand-in for it
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numba
import pytest

HERE = Path(__file__).parent
SIMULATED = bool(getattr(numba.config, "ENABLE_CUDASIM", False))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE not in item.path.parents:
            continue
        wants = "simulated" in item.path.parent.name
        if importlib.util.find_spec("numba_cuda") is None:
            item.add_marker(pytest.mark.skip(reason="numba-cuda is not installed: pip install 'graphc[test-cuda]'"))
        elif wants and not SIMULATED:
            item.add_marker(pytest.mark.skip(reason="set NUMBA_ENABLE_CUDASIM=1 before Python starts"))
        elif not wants and SIMULATED:
            item.add_marker(pytest.mark.skip(reason="the simulator compiles nothing: unset NUMBA_ENABLE_CUDASIM"))
