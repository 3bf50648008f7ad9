"""Compiling the kernels of a generated file in several processes, for numba compiles in one thread at a time.

The kernels of a file do not know of each other, nor of the functions in files of their own that they call. This process
and its helpers take all of them, and other files that are needed soon, one by one, by making a file of the name, which
only one can: helpers begin with those functions, this process with the longest kernel. What a helper compiles comes
back through the cache. A helper that fails, hangs or cannot start costs nothing but time: what it leaves is compiled
here.
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
from ..codegen.prelude import routine_file
from ..codegen.routines import named_in

CLAIMS, BEFORE, SOON = "claims", "before", "soon"
"""The folder, beside a file that is being compiled, of the names of what somebody compiles; and what other files are
called there, whose functions its kernels call, or which are needed soon."""
WORTH, FILE = 160, 80
"""Lines of kernels that are worth a helper, which takes half a second to start; and as many as another file is."""
PATIENCE = 20.0
"""Seconds, and four times what this process took for its kernels, after which a helper is taken to hang."""


Fetch = Callable[[str], object]
"""What makes the file of a text, or finds it."""
Here = Callable[[], bool]
"""Whether the process is there that work is done for."""


class Parts:
    """A generated file as its kernels, the longest first, and all else; and the other files that are needed.

    before  the texts of the files that have functions that its kernels call
    soon    the texts of files that are needed next
    helped_by  the numbers of processes that helped
    """

    def __init__(self, source: str, path: Path, soon: Sequence[str] = ()):
        self.path, self.soon = path, soon
        self.helped_by: list[int] = []
        self.before = [routine_file(routine) for routine in named_in(source)]
        body = ast.parse(source, str(path)).body
        kernels = [s for s in body if isinstance(s, ast.FunctionDef) and _is_kernel(s)]
        self.kernels = sorted(kernels, key=_lines, reverse=True)
        self.others = [s for s in body if s not in kernels]
        self.for_device = any(isinstance(s, ast.ImportFrom) and _names(s) == ("numba", "cuda") for s in body)

    def helpers(self, missing: Callable[[str], bool]) -> int:
        """How many processes should help; `missing` says whether a file has to be made.

        None with kernels for a device, which are not cached.
        """
        if config.jit_disabled() or self.for_device or not self.kernels:
            return 0
        files = sum(map(missing, [*self.before, *self.soon]))
        lines = sum(map(_lines, self.kernels)) + FILE * files
        most = min(config.compilers() - 1, len(self.kernels) + files - 1, lines // WORTH)
        return max(most, 0) if _is_python(sys.executable) else 0

    def code(self, statements: Iterable[ast.stmt]) -> CodeType:
        """These statements of the file, on the lines they have there."""
        return compile(ast.Module(list(statements), []), str(self.path), "exec")

    def take(self, claims: Path, space: dict[str, Any], here: Here = lambda: True) -> list[ast.FunctionDef]:
        """Run all but kernels, then every kernel that no other process has; returns the kernels that others have.

        When the process is not `here` any more that this is for, the rest is nobody's.
        """
        exec(self.code(self.others), space)
        left: list[ast.FunctionDef] = []
        for kernel in self.kernels:
            if here() and _claim(claims / kernel.name):
                exec(self.code([kernel]), space)
            else:
                left.append(kernel)
        return left


def fetch_all(texts: Sequence[str], claims: Path, what: str, fetch: Fetch, here: Here = lambda: True) -> bool:
    """Make every one of these files that no other process has; whether others have some. `here` as in `Parts.take`."""
    left = False
    for k, text in enumerate(texts):
        if here() and _claim(claims / f"{what}{k}"):
            fetch(text)
        else:
            left = True
    return left


def help_with(path: Path, folder: Path, space: dict[str, Any], fetch: Fetch, parent: int) -> None:
    """Make, for the process `parent`, what nobody has yet of the file at `path`, which it makes in `folder`."""
    claims = folder / CLAIMS
    soon = [(claims / f"{SOON}{k}.py").read_text(encoding="utf-8") for k in range(len(list(claims.glob("*.py"))))]
    parts = Parts((folder / path.name).read_text(encoding="utf-8"), path, soon)

    def here() -> bool:
        return parent == os.getppid()

    fetch_all(parts.before, claims, BEFORE, fetch, here)
    parts.take(claims, space, here)
    fetch_all(parts.soon, claims, SOON, fetch, here)


@contextlib.contextmanager
def started(
    parts: Parts, folder: Path, fetch: Fetch, missing: Callable[[str], bool]
) -> Iterator[Callable[[dict[str, Any]], int]]:
    """What runs a generated file in a space, and says how many kernels helpers compiled.

    folder   where numba's cache of it is, see `files`
    fetch    makes a file that is needed, or finds it
    missing  whether such a file has to be made
    """
    count = parts.helpers(missing)
    if not count:
        yield functools.partial(_alone, parts.code([*parts.others, *parts.kernels]))
        return
    claims = folder / CLAIMS
    claims.mkdir()
    for k, text in enumerate(parts.soon):
        (claims / f"{SOON}{k}.py").write_text(text, encoding="utf-8")
    try:
        with _started(count, parts.path, folder) as helpers:
            parts.helped_by = [helper.pid for helper in helpers]
            yield functools.partial(_together, parts, claims, helpers, fetch)
    finally:
        shutil.rmtree(claims, ignore_errors=True)


def _alone(code: CodeType, space: dict[str, Any]) -> int:
    exec(code, space)
    return 0


def _together(
    parts: Parts,
    claims: Path,
    helpers: Sequence[subprocess.Popen[bytes]],
    fetch: Fetch,
    space: dict[str, Any],
) -> int:
    begun = time.monotonic()
    left = parts.take(claims, space)
    elsewhere = [fetch_all(parts.before, claims, BEFORE, fetch), fetch_all(parts.soon, claims, SOON, fetch)]
    if left or any(elsewhere):
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


_HELPER = """\
import os, sys  # which are there: nothing is imported from the working folder
sys.path[:] = {modules!r}
sys.modules["graphc"] = type(sys)("graphc")  # of the package, no more than is needed: all of it takes longer
sys.modules["graphc"].__path__ = [{package!r}]
sys.modules["scipy"] = None  # numba would load it for products of matrices
from graphc.runtime.files import help_with
help_with({path!r}, {folder!r}, {parent})
os._exit(0)  # to take down LLVM and all else would take time
"""
"""The program of a helper."""


@contextlib.contextmanager
def _started(count: int, path: Path, folder: Path) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Helpers for the file in `folder`; none of them outlives the block."""
    modules = [place for place in sys.path if isinstance(place, str)]  # Python ignores all else
    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    code = _HELPER.format(modules=modules, package=package, path=str(path), folder=str(folder), parent=os.getpid())
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
