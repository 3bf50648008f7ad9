"""The stand-in for the CUDA driver, built with the C compiler there is; programs that run with it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with libcuda.so.1."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None or not sys.platform.startswith("linux"):
        pytest.skip("no C compiler to build the stand-in for the driver with, or not Linux")
    folder = tmp_path_factory.mktemp("driver")
    build = [compiler, "-shared", "-fPIC", "-o", str(folder / "libcuda.so.1"), str(HERE / "driver.c")]
    subprocess.run(build, check=True, capture_output=True)
    return folder


@pytest.fixture
def scenario(stand_in: Path, tmp_path: Path) -> Callable[..., list[str]]:
    """Run one function of `scenarios` with the stand-in; the calls of the driver that it noted."""

    def run(name: str, **environment: str) -> list[str]:
        log = tmp_path / "calls"
        known = {"LD_LIBRARY_PATH": str(stand_in), "FAKE_CUDA_LOG": str(log), "PYTHONPATH": os.pathsep.join(sys.path)}
        done = subprocess.run(
            [sys.executable, str(HERE / "scenarios.py"), name],
            env={**os.environ, **known, **environment},
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return log.read_text().splitlines()

    return run
