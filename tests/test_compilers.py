"""Kernels of one file compiled by several processes: who compiles what does not show in what comes out."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest

import graphc as gc
from graphc import config
from graphc.errors import InputError
from graphc.runtime import compilers, files

HEADER = "import numba\nkernel = numba.cfunc('float64(float64)', error_model='numpy', cache=True)\n"
LOOP = "    s = 0.0\n    for i in range(100):\n        s += x * i + {k}\n    return s\n"
BROKEN = "\n@kernel\ndef k9(x):\n    return x + 'text'\n"


def text(seed: int, kernels: int = 4) -> str:
    """A generated file of a few kernels, which no other test has."""
    definitions = [f"\n@kernel\ndef k{k}(x):\n{LOOP.format(k=seed + k)}" for k in range(kernels)]
    return "".join([HEADER, *definitions, "\ndef step(x):\n    return [k.ctypes(x) for k in (k0, k1, k2, k3)]\n"])


def expected(seed: int, x: float) -> list[float]:
    return [x * 4950 + 100.0 * (seed + k) for k in range(4)]


@pytest.fixture(autouse=True)
def two(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Two processes for whatever has a line, and a cache folder of its own."""
    monkeypatch.setenv("GRAPHC_COMPILERS", "2")
    monkeypatch.setenv("GRAPHC_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(compilers, "WORTH", 1)


@pytest.fixture
def only_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process takes one kernel and leaves the rest to its helper."""
    claim: Callable[[Path], bool] = compilers._claim
    monkeypatch.setattr(compilers, "_claim", lambda path: path.name == "k0" and claim(path))


@pytest.mark.usefixtures("only_first")
def test_kernels_come_back_from_a_helper(tmp_path: Path) -> None:
    before = files.compile_counter()
    module = files.load(text(10))
    assert module.step(2.0) == expected(10, 2.0)
    assert all(getattr(module, f"k{k}").cache_hits == 1 for k in (1, 2, 3))
    assert files.compile_counter() >= before + 3
    [entry] = [p.parent for p in tmp_path.rglob(files.TEXT)]
    assert files._whole(entry, text(10).encode()) and not (entry / compilers.CLAIMS).exists()
    assert set(files.vectors(text(10))) == {"k0", "k1", "k2", "k3"}


@pytest.mark.usefixtures("only_first")
@pytest.mark.parametrize("seed, script", [(20, None), (30, "exit 1"), (40, "exec sleep 600")])
def test_what_a_helper_leaves_is_compiled_here(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, seed: int, script: str | None
) -> None:
    program = tmp_path / "python"
    if script:
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(program))
    monkeypatch.setattr(compilers, "PATIENCE", 0.0)
    module = files.load(text(seed))
    assert module.step(3.0) == expected(seed, 3.0)
    assert [getattr(module, f"k{k}").cache_hits for k in range(4)] == [0, 0, 0, 0]


def test_all_share_the_work(tmp_path: Path) -> None:
    module = files.load(text(60))
    assert module.step(-1.0) == expected(60, -1.0)
    assert files._find(text(60), files.key_of(text(60))) is not None


def test_an_error_ends_the_helper(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    started = []

    def noted(*args: Any, **options: Any) -> subprocess.Popen[bytes]:
        started.append(popen(*args, **options))
        return started[-1]

    popen = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", noted)
    with pytest.raises(numba.TypingError):
        files.load(text(70) + BROKEN)
    assert len(started) == 1 and started[0].returncode is not None
    assert not list(tmp_path.rglob(files.TEXT))


def test_how_many_help(monkeypatch: pytest.MonkeyPatch) -> None:
    def helpers(soon: int = 0, made: int = 0) -> int:
        parts = compilers.Parts(text(80), Path("step.py"), [f"file {k}" for k in range(soon)])
        return parts.helpers(lambda file: int(file[-1]) >= made)

    assert helpers() == 1
    monkeypatch.setenv("GRAPHC_COMPILERS", "9")
    assert helpers() == 3, "one kernel for each"
    assert helpers(soon=2) == 5 and helpers(soon=2, made=1) == 4, "or a file"
    monkeypatch.setattr(compilers, "WORTH", 8)
    assert helpers() == 2, "enough lines for each"
    monkeypatch.setattr(sys, "executable", "/usr/bin/editor")
    assert helpers() == 0, "not a Python"
    monkeypatch.undo()
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")
    monkeypatch.setenv("GRAPHC_COMPILERS", "2")
    monkeypatch.setattr(compilers, "WORTH", 1)
    assert helpers() == 0, "nothing to compile"
    monkeypatch.delenv("GRAPHC_COMPILERS")
    assert config.compilers() == min(config.cores(), 4)


@pytest.mark.parametrize("value", ["0", "-1", "two", "1.5"])
def test_a_number_of_processes_that_is_none(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("GRAPHC_COMPILERS", value)
    with pytest.raises(InputError) as caught:
        config.compilers()
    assert str(caught.value) == f"GRAPHC_COMPILERS: got {value!r}, expected a number of processes, 1 or more"


def test_nobody_waits_for_a_helper_that_has_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program, waited = tmp_path / "python", []
    program.write_text("#!/bin/sh\nexec sleep 600\n")
    program.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(program))
    monkeypatch.setattr(compilers, "_wait", lambda helpers, seconds: waited.append(seconds))
    assert files.load(text(90)).step(3.0) == expected(90, 3.0)
    assert not waited


@pytest.mark.usefixtures("only_first")
def test_a_path_of_modules_that_has_other_things(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("json", "types"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('not this one')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path, tmp_path])
    module = files.load(text(100))
    assert module.step(3.0) == expected(100, 3.0)
    assert all(getattr(module, f"k{k}").cache_hits == 1 for k in (1, 2, 3))


def test_a_helper_whose_parent_is_gone_takes_nothing(tmp_path: Path) -> None:
    parts, claims = compilers.Parts(text(110), tmp_path / "step.py"), tmp_path / "claims"
    claims.mkdir()
    assert len(parts.take(claims, {"__name__": "gone"}, lambda: False)) == 4 and not list(claims.iterdir())
    assert compilers.fetch_all(["x = 1"], claims, "soon", files.load, lambda: False) and not list(claims.iterdir())


OTHER = "import numba\n\n@numba.cfunc('float64(float64)', cache=True)\ndef twice(x):\n    return 2 * x + {k}\n"


@pytest.mark.usefixtures("only_first")
def test_files_needed_soon_come_from_a_helper(tmp_path: Path) -> None:
    soon = [OTHER.format(k=k) for k in (1, 2)]
    assert files.load(text(120), lambda: soon).step(3.0) == expected(120, 3.0)
    found = [files._find(one, files.key_of(one)) for one in soon]
    assert [module.twice.cache_hits for module in found if module is not None] == [1, 1]


@pytest.mark.usefixtures("only_first")
def test_a_kernel_is_compiled_before_the_function_it_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_modules", {})
    a = gc.input("a", (40, 30), "float32")
    step = gc.compile([a], a @ a.T)
    x = np.random.default_rng(0).standard_normal((40, 30)).astype("f4")
    np.testing.assert_allclose(step(x), x @ x.T, rtol=1e-5, atol=1e-5)
    (routine,) = [module for module in files._modules.values() if hasattr(module, "multiply_float32")]
    assert routine.multiply_float32.cache_hits == 1, "a helper made it"


def test_what_a_killed_helper_leaves_is_removed(tmp_path: Path) -> None:
    parts = compilers.Parts(text(130), tmp_path / "step.py", ["x = 1"])
    folder = config.cache_dir() / files.key_of("x = 1")[:2]
    for pid in (123, 456):
        (folder / f"{files.key_of('x = 1')}.{pid}.abc").mkdir(parents=True)
    parts.helped_by = [123]
    files._remove_left(parts)
    assert [path.name.split(".")[1] for path in folder.iterdir()] == ["456"]


_FORK = """
import os, threading, time
import numpy as np
import graphc as gc
x = gc.input("x", 3)
gc.compile([x], x + 1)(np.ones(3))
from graphc.runtime import files
held = threading.Event()
def compiling():
    with files._lock:
        held.set()
        time.sleep(0.3)
        import logging
        logging.getLogger("numba").isEnabledFor(10)
        logging._acquireLock() if hasattr(logging, "_acquireLock") else logging._lock.acquire()
        logging._releaseLock() if hasattr(logging, "_releaseLock") else logging._lock.release()
thread = threading.Thread(target=compiling)
thread.start()
held.wait()
if os.fork() == 0:
    os._exit(0)
os.wait()
thread.join()
print("done")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform does not fork")
def test_a_fork_waits_for_a_compilation_that_logs() -> None:
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", _FORK], capture_output=True, text=True, timeout=100)
    assert done.stdout == "done\n", done.stderr
