"""What is said where there is no device for ``target="cuda"``: what was looked for, what was found, what to do."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from types import SimpleNamespace

import pytest

import graphc as gc
from graphc.runtime import cuda


@pytest.fixture(autouse=True)
def _fresh():
    cuda.toolkit.cache_clear()
    yield
    cuda.toolkit.cache_clear()


def refusal() -> str:
    """The error of compiling for a device, without the user's line."""
    x = gc.input("x")
    with pytest.raises(gc.UnsupportedError) as info:
        gc.compile([x], x + 1, target="cuda")
    lines = str(info.value).split("\n")
    assert lines[1].startswith("  at ") and "test_cuda_missing.py" in lines[1]
    return "\n".join([lines[0], *lines[2:]])


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "numba_cuda" else found(name))
    assert refusal() == (
        "no device for target='cuda': got no such package, expected the package numba-cuda\n"
        "  hint: pip install 'graphc[cuda]'"
    )


def test_without_a_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    def context() -> None:
        raise RuntimeError("Error at driver init: \n\nCUDA driver library cannot be found.\n:")

    import numba

    fake = SimpleNamespace(is_available=lambda: False, current_context=context)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(cuda, "simulated", lambda: False)
    monkeypatch.setattr(numba, "cuda", fake, raising=False)
    monkeypatch.setitem(sys.modules, "numba.cuda", fake)
    assert refusal() == (
        "no device for target='cuda': got Error at driver init; CUDA driver library cannot be found., "
        "expected an NVIDIA driver and a device\n"
        "  hint: NUMBA_ENABLE_CUDASIM=1, set before Python starts, runs kernels in numba's simulator, for tests"
    )


def test_nothing_is_imported_until_it_is_asked_for() -> None:
    code = "import sys, graphc as gc; x = gc.input('x'); gc.compile([x], x + 1)(1.0); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not [name for name in done.stdout.split() if name.startswith(("numba.cuda", "numba_cuda", "cuda."))]
