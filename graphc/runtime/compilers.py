"""Compiling the kernels of a generated file in several processes, for numba compiles in one thread at a time.

The kernels of a file do not know of each other. This process and its helpers take them one by one, the longest first,
by making a file of the kernel's name, which only one can; what a helper compiles comes back through numba's cache in
the file's folder. A helper that fails, hangs or cannot start costs nothing but time: what it leaves is compiled here.
"""

from __future__ import annotations

import ast
import contextlib
import functools
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path
from types import CodeType
from typing import Any

from .. import config

CLAIMS = "claims"
"""The folder, beside a file that is being compiled, of the names of kernels that somebody compiles."""
WORTH = 160
"""Lines of kernels that are worth a helper, which takes about a second to start."""
PATIENCE = 20.0
"""Seconds, and four times what this process took for its kernels, after which a helper is taken to hang."""


class Parts:
    """A generated file as its kernels, the longest first, and all else."""

    def __init__(self, source: str, path: Path):
        self.path = path
        body = ast.parse(source, str(path)).body
        kernels = [s for s in body if isinstance(s, ast.FunctionDef) and _is_kernel(s)]
        self.kernels = sorted(kernels, key=_lines, reverse=True)
        self.others = [s for s in body if s not in kernels]
        self.for_device = any(isinstance(s, ast.ImportFrom) and _names(s) == ("numba", "cuda") for s in body)

    def helpers(self) -> int:
        """How many processes should help: none with kernels for a device, which are not cached."""
        if config.jit_disabled() or self.for_device:
            return 0
        most = min(config.compilers() - 1, len(self.kernels) - 1, sum(map(_lines, self.kernels)) // WORTH)
        return max(most, 0) if _is_python(sys.executable) else 0

    def code(self, statements: Iterable[ast.stmt]) -> CodeType:
        """These statements of the file, on the lines they have there."""
        return compile(ast.Module(list(statements), []), str(self.path), "exec")

    def take(self, claims: Path, space: dict[str, Any], parent: int | None = None) -> list[ast.FunctionDef]:
        """Run all but kernels, then every kernel that no other process has; returns the kernels that others have.

        parent  the process that is helped: when it is gone, the rest is nobody's
        """
        exec(self.code(self.others), space)
        left: list[ast.FunctionDef] = []
        for kernel in self.kernels:
            if parent in (None, os.getppid()) and _claim(claims / kernel.name):
                exec(self.code([kernel]), space)
            else:
                left.append(kernel)
        return left


@contextlib.contextmanager
def started(source: str, path: Path, folder: Path) -> Iterator[Callable[[dict[str, Any]], int]]:
    """What runs a generated file in a space, and says how many kernels helpers compiled.

    Helpers, where they are worth it, start at once: until they are there, what the file needs can be loaded.

    path    what the file's functions say they come from
    folder  where numba's cache of it is, see `files`
    """
    parts = Parts(source, path)
    count = parts.helpers()
    if not count:
        yield functools.partial(_alone, compile(source, str(path), "exec"))
        return
    claims = folder / CLAIMS
    claims.mkdir()
    try:
        with _started(count, path, folder) as helpers:
            yield functools.partial(_together, parts, claims, helpers)
    finally:
        shutil.rmtree(claims, ignore_errors=True)


def _alone(code: CodeType, space: dict[str, Any]) -> int:
    exec(code, space)
    return 0


def _together(parts: Parts, claims: Path, helpers: Sequence[subprocess.Popen[bytes]], space: dict[str, Any]) -> int:
    begun = time.monotonic()
    left = parts.take(claims, space)
    if left:
        _wait(helpers, PATIENCE + 4 * (time.monotonic() - begun))
    for helper in helpers:  # what is left now is not theirs any more
        helper.kill()
        helper.wait()
    exec(parts.code(left), space)
    return sum(space[kernel.name].cache_hits for kernel in left)


def execute_some(source: str, path: Path, kernels: Collection[str], space: dict[str, Any]) -> None:
    """Run a generated file in `space`, with these of its kernels only."""
    parts = Parts(source, path)
    wanted = [kernel for kernel in parts.kernels if kernel.name in kernels]
    exec(parts.code([*parts.others, *wanted]), space)


@contextlib.contextmanager
def _started(count: int, path: Path, folder: Path) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Helpers for the file in `folder`; none of them outlives the block."""
    modules = [place for place in sys.path if isinstance(place, str)]  # Python ignores all else
    code = f"import sys; sys.path[:] = {modules!r}\n"  # before an import finds what lies in the working folder
    code += f"from graphc.runtime.files import help_with; help_with({str(path)!r}, {str(folder)!r}, {os.getpid()})"
    helpers: list[subprocess.Popen[bytes]] = []
    try:
        for _ in range(count):
            with contextlib.suppress(OSError):  # no process, or no memory for one
                quiet = subprocess.DEVNULL
                helpers.append(subprocess.Popen([sys.executable, "-c", code], stdin=quiet, stdout=quiet, stderr=quiet))
        yield helpers
    finally:
        for helper in helpers:
            helper.kill()
            helper.wait()


def _wait(helpers: Iterable[subprocess.Popen[bytes]], seconds: float) -> None:
    """Until all have ended, or that long."""
    end = time.monotonic() + seconds
    for helper in helpers:
        with contextlib.suppress(subprocess.TimeoutExpired):
            helper.wait(max(0.0, end - time.monotonic()))


def _claim(path: Path) -> bool:
    """Whether this process is the first that wants `path`."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    except FileExistsError:
        return False
    return True


def _is_kernel(function: ast.FunctionDef) -> bool:
    return any(isinstance(d, ast.Name) and d.id == "kernel" for d in function.decorator_list)


def _names(statement: ast.ImportFrom) -> tuple[str, ...]:
    return (statement.module or "", *[alias.name for alias in statement.names])


def _lines(statement: ast.stmt) -> int:
    return (statement.end_lineno or statement.lineno) - statement.lineno


def _is_python(executable: str | None) -> bool:
    """Whether a program runs Python: where that is embedded, it may be anything."""
    name = os.path.basename(executable or "").lower()
    return name.startswith("python") and not getattr(sys, "frozen", False)
