"""``python -m graphc doctor``: what graphc runs on here, what is missing, and the command that installs it."""

from __future__ import annotations

import contextlib
import importlib.metadata
import platform
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import config
from .errors import InputError
from .runtime import cublas, cuda, threads

PACKAGES = ("graphc", "numpy", "scipy", "numba", "llvmlite", "sympy")
NEEDED = ("numpy", "scipy", "numba", "llvmlite")
OPTIONAL = (
    *("numba-cuda", "cuda-bindings", "nvidia-cuda-nvrtc", "nvidia-cuda-nvrtc-cu12", "nvidia-nvvm"),
    *("nvmath-python", "nvidia-cublas", "nvidia-cublas-cu12"),
)


@dataclass(frozen=True)
class Finding:
    """One line of the report: of what, what was found; `fix` says what to do where something is missing."""

    name: str
    found: str
    fix: str = ""


def examine() -> list[Finding]:
    """Everything that is looked at, in order.

    >>> [finding.name for finding in examine()][:2]
    ['python', 'graphc']
    """
    versions = list(_versions())
    if any(finding.name in NEEDED and finding.fix for finding in versions):  # nothing more can be asked
        return versions
    return [*versions, *_processor(), *_folder(), *_device()]


def report(findings: Sequence[Finding]) -> str:
    """The findings as text, a line for each, and what to do behind those that need it."""
    width = max(len(finding.name) for finding in findings)
    lines = []
    for finding in findings:
        lines.append(f"{finding.name:<{width}}  {finding.found}")
        if finding.fix:
            lines.append(f"{'':<{width}}  -> {finding.fix}")
    return "\n".join(lines)


def _version(package: str) -> str | None:
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        return importlib.metadata.version(package)
    return None


def _versions() -> Iterator[Finding]:
    yield Finding("python", f"{platform.python_version()} on {platform.system()} {platform.machine()}")
    for package in PACKAGES:
        version = _version(package)
        yield Finding(package, version or "not installed", "" if version else f"pip install {package}")


def _processor() -> Iterator[Finding]:
    from llvmlite import binding
    from scipy import show_config

    count = threads.available()
    layer = threads.layer()
    found = f"{layer}, {count} at a time" if layer else "none: steps run on one thread"
    yield _compilers()
    yield Finding("threads", found, "" if layer or config.cores() == 1 else "pip install tbb")
    configured: Any = show_config(mode="dicts")
    blas = configured["Build Dependencies"]["blas"]
    yield Finding("BLAS", f"{blas['name']} {blas['version']}, by SciPy; compiled steps multiply by themselves")
    features = binding.get_host_cpu_features()
    widths = {"avx512f": 512, "avx2": 256, "neon": 128}
    bits = next((bits for name, bits in widths.items() if features.get(name)), 128)
    yield Finding("vectors", f"{bits} bits on {binding.get_host_cpu_name()}; exp, log, sin ... are graphc's own")
    if config.flush_subnormals():
        yield Finding("subnormals", "taken for 0 in steps on the CPU, for GRAPHC_FLUSH_SUBNORMALS is set")


def _compilers() -> Finding:
    try:
        return Finding("compilers", f"{config.compilers()} processes at most")
    except InputError as error:
        return Finding("compilers", str(error), "unset GRAPHC_COMPILERS, or set it to a number")


def _folder() -> Iterator[Finding]:
    try:
        folder = config.cache_dir()
    except RuntimeError as error:
        yield Finding("cache", f"no folder: {error}", "set GRAPHC_CACHE_DIR to a folder that can be written")
        return
    writable = _can_be_written(folder)
    fix = "" if writable else "set GRAPHC_CACHE_DIR to a folder that can be written"
    yield Finding("cache", f"{folder}{_used(folder)}{'' if writable else ', which cannot be written'}", fix)


def _can_be_written(folder: Path) -> bool:
    """Whether files can be made in a folder, or in that which it would stand in."""
    there = next(parent for parent in (folder, *folder.parents) if parent.exists())
    try:
        with tempfile.TemporaryFile(dir=there):
            return True
    except OSError:  # no folder, not ours, or read-only
        return False


def _used(folder: Path) -> str:
    """How many generated files are kept."""
    count = sum(1 for _ in folder.glob("*/*/step.py"))
    return f", {count} generated file{'s' * (count != 1)}"


def _device() -> Iterator[Finding]:
    for package in OPTIONAL:
        version = _version(package)
        if version is not None:
            yield Finding(package, version)
    ptxas = shutil.which("ptxas")
    if ptxas:
        yield Finding("ptxas", ptxas)
    gap = cuda.missing()
    if gap is not None:
        looked, found, fix = gap
        yield Finding("target='cuda'", f"no: looked for {looked}, found: {found}", fix)
        return
    yield Finding("target='cuda'", "numba's simulator, for tests" if cuda.simulated() else "yes")
    for line in cuda.devices():
        yield Finding("device", line)
    if cuda.simulated():
        yield Finding("CUDA graphs", "none: the simulator runs kernel by kernel")
    elif config.cuda_graphs():
        yield Finding("CUDA graphs", "on: a step is recorded at its second call, and one launch from then on")
    else:
        yield Finding("CUDA graphs", "off: steps are launched kernel by kernel", "unset GRAPHC_CUDA_GRAPHS")
    yield _cublas()


def _cublas() -> Finding:
    """What computes large products of matrices on a device."""
    own = "graphc's own kernels multiply"
    if cuda.simulated():
        return Finding("cuBLAS", f"none: in the simulator {own}")
    if not config.cublas():
        return Finding("cuBLAS", f"off: {own}", "unset GRAPHC_CUBLAS")
    gap = cublas.missing()
    if gap is None:
        return Finding("cuBLAS", f"{cublas.version()}, for large products of matrices")
    looked, found, fix = gap
    return Finding("cuBLAS", f"none: {own}; looked for {looked}, found: {found}", fix)
