"""The stand-in for the CUDA driver, built with the C compiler there is; programs that run with it."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
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


@pytest.fixture(scope="session")
def stand_in_cublas(stand_in: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with libcublas.so.12, for the binding of nvmath-python to load."""
    if importlib.util.find_spec("nvmath") is None:
        pytest.skip("nvmath-python is not installed: pip install 'graphc[test-cuda]'")
    compiler = str(shutil.which("cc") or shutil.which("gcc"))
    folder = tmp_path_factory.mktemp("cublas")
    for name in ("libcublas.so.12", "libcublasLt.so.12"):  # the second is loaded, and nothing of it is asked for
        build = [compiler, "-shared", "-fPIC", "-o", str(folder / name), str(HERE / "cublas.c")]
        subprocess.run([*build, f"-L{stand_in}", "-l:libcuda.so.1"], check=True, capture_output=True)
    return folder


@pytest.fixture
def scenario(stand_in: Path, tmp_path: Path) -> Callable[..., list[str]]:
    """Run one function of `scenarios` with the stand-in; the calls of the driver that it noted."""
    return lambda name, **environment: _run("scenarios.py", name, [stand_in], tmp_path / "calls", environment)


@pytest.fixture
def product(stand_in: Path, stand_in_cublas: Path, tmp_path: Path) -> Callable[..., list[str]]:
    """Run one function of `products` with the stand-ins; the calls of the driver and of cuBLAS that they noted."""

    def run(name: str, found: bool = True, **environment: str) -> list[str]:
        folders = [stand_in, stand_in_cublas] if found else [stand_in]
        return _run("products.py", name, folders, tmp_path / "calls", environment)

    return run


def _run(file: str, name: str, folders: Sequence[Path], log: Path, environment: Mapping[str, str]) -> list[str]:
    libraries, path = (os.pathsep.join(map(str, found)) for found in (folders, sys.path))
    known = {"LD_LIBRARY_PATH": libraries, "FAKE_CUDA_LOG": str(log), "PYTHONPATH": path}
    done = subprocess.run(
        [sys.executable, str(HERE / file), name],
        env={**os.environ, **known, **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return log.read_text().splitlines()
