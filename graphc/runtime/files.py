"""Generated files: a folder per content, holding the text and numba's machine code for it, sealed by checksums.

A folder is made in private (`step.py`, `__pycache__`), sealed, and renamed into place: many processes may make one at
once, and a reader sees a whole one or none. What does not match its seal is made again. Where the cache folder cannot
be written, a folder of this process serves instead.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import hashlib
import json
import linecache
import os
import re
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

from .. import config
from ..codegen.prelude import SUPPORT, routine_file, support_text
from ..codegen.routines import named_in
from . import compilers
from .collector import collecting_rarely

TEXT, SEAL, VECTORS = "step.py", "seal", "vectors.json"
ABANDONED = 3600.0
"""Seconds after which a private folder is taken to be left behind by a process that was killed."""

_lock = threading.RLock()
_modules: dict[str, ModuleType] = {}
_temporary: list[Path] = []
_helping: list[bool] = []
_compiled = [0]


def compile_counter() -> int:
    """How many generated functions were compiled for this process; those it loaded from the cache do not count.

    >>> compile_counter() >= 0
    True
    """
    return _compiled[0]


def load(source: str, soon: Callable[[], Sequence[str]] = tuple) -> ModuleType:
    """The module of `source`: the one this process has, else loaded from the cache folder, else made.

    soon  gives the texts of files that are needed next: where processes help to make this one, they make those, too
    """
    key = key_of(source)
    if key not in _modules:
        _forks_wait()
        with _lock:
            if key not in _modules:
                _modules[key] = _find(source, key) or _make(source, key, soon)
    return _modules[key]


def key_of(source: str) -> str:
    """The name of a generated file: what it says, and everything that decides what its machine code will be."""
    return _digest("\0".join([source, str(config.jit_disabled()), *_platform()]).encode())


@functools.cache
def _platform() -> tuple[str, ...]:
    import llvmlite
    import numba
    import numpy as np
    from llvmlite import binding

    versions = (numba.__version__, llvmlite.__version__, np.__version__, sys.version)
    support = _digest("".join(map(support_text, SUPPORT)).encode())
    return (*versions, binding.get_host_cpu_name(), binding.get_host_cpu_features().flatten(), support)


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def vectors(source: str) -> dict[str, int]:
    """For each kernel of a generated file: bits of the widest vectors its arithmetic uses, 0 where it uses none.

    Read from the machine code, and noted beside the file. Kernels whose code came from the cache without such a note
    are compiled once more for it. Empty where jit is disabled.
    """
    if config.jit_disabled():
        return {}
    key = key_of(source)
    for root in _roots(create=False):
        with contextlib.suppress(OSError, ValueError):
            return dict(json.loads((_place(root, key) / VECTORS).read_text()))
    with _lock:
        module = load(source)
        found = _widths(module)
        unknown = {n for n, value in vars(module).items() if hasattr(value, "cache_hits") and n not in found}
        if unknown:
            found |= _widths(_again(source, key, unknown))
    for root in _roots(create=False):
        with contextlib.suppress(OSError):
            _note(_place(root, key) / VECTORS, json.dumps(found))
    return found


def _again(source: str, key: str, kernels: Collection[str]) -> ModuleType:
    """The module of a file with these of its kernels, compiled in a folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="graphc-") as folder:
        path = Path(folder) / TEXT
        with _module(f"{key}_again", source, path, Path(folder)) as module:
            compilers.execute_some(source, path, kernels, module.__dict__)
    return module


def _note(path: Path, text: str) -> None:
    """Write a small file in one step, where its folder is."""
    with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=f"{path.name}.", delete=False) as file:
        file.write(text)
    os.replace(file.name, path)


_PACKED = re.compile(
    r"\tv?(?:add|sub|mul|div|max|min|sqrt|fn?m(?:add|sub)\d*)p[sd]\s[^\n]*%([xyz])mm\d+\s*(?:{.*)?$", re.M
)
_PACKED_ARM = re.compile(r"\tf(?:add|sub|mul|div|max|min|sqrt|mla|mls)\s+v\d+\.", re.M)
_BITS = {"x": 128, "y": 256, "z": 512}


def _widths(module: ModuleType) -> dict[str, int]:
    """The widest vectors of each C function that this process compiled, from its assembly."""
    found = {}
    for name, value in vars(module).items():
        if hasattr(value, "cache_hits") and not value.cache_hits:
            text = value._library.get_asm_str()
            widths = [_BITS[letter] for letter in _PACKED.findall(text)]
            found[name] = max(widths, default=128 if _PACKED_ARM.search(text) else 0)
    return found


# folders


def _roots(create: bool) -> Iterator[Path]:
    """Where entries may stand: the cache folder, then a temporary folder of this process."""
    with contextlib.suppress(RuntimeError):  # no home folder can be determined
        yield config.cache_dir()
    if create and not _temporary and not _helping:
        _temporary.append(Path(tempfile.mkdtemp(prefix="graphc-")))
        atexit.register(_remove_temporary, os.getpid())
    yield from _temporary


def _remove_temporary(owner: int) -> None:
    if os.getpid() == owner:  # a forked child must not take its parent's folder away
        shutil.rmtree(_temporary[0], ignore_errors=True)


def _place(root: Path, key: str) -> Path:
    return root / key[:2] / key


def _stamp(folder: Path) -> str:
    """The key of an entry, also where its folder is private."""
    return folder.name.partition(".")[0]


def _seal(folder: Path) -> None:
    """Write down the digest of every file of an entry."""
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    lines = [f"{_digest(p.read_bytes())} {p.relative_to(folder).as_posix()}\n" for p in files]
    (folder / SEAL).write_text("".join(lines))


def _whole(folder: Path, data: bytes) -> bool:
    """Whether the entry has this text, and every file is what its seal says."""
    try:
        if (folder / TEXT).read_bytes() != data:
            return False
        lines = (folder / SEAL).read_text().splitlines()
        wanted = [line.split(" ", 1) for line in lines]
        named = [name for _, name in wanted]
        return TEXT in named and all(_digest((folder / name).read_bytes()) == digest for digest, name in wanted)
    except (OSError, ValueError):
        return False


def _find(source: str, key: str) -> ModuleType | None:
    """The module from a whole entry; None where there is none, or where numba cannot read what it wrote."""
    for root in _roots(create=False):
        folder = _place(root, key)
        if _whole(folder, source.encode()):
            with contextlib.suppress(Exception):
                return _execute(source, key, folder / TEXT, folder)
    return None


def _make(source: str, key: str, soon: Callable[[], Sequence[str]] = tuple) -> ModuleType:
    """Compile `source` in a private folder and put that in place."""
    failed: OSError | None = None
    for root in _roots(create=True):
        final = _place(root, key)
        try:
            final.parent.mkdir(parents=True, exist_ok=True)
            _sweep(final.parent)
            private = Path(tempfile.mkdtemp(prefix=f"{key}.{os.getpid()}.", dir=final.parent))
            try:
                (private / TEXT).write_bytes(source.encode())
                parts = compilers.Parts(source, final / TEXT, soon())
                module = _execute(source, key, final / TEXT, private, parts)
                _seal(private)
                _publish(private, final, source.encode())
                return module
            finally:
                shutil.rmtree(private, ignore_errors=True)
        except OSError as error:  # cannot be written, or is full
            failed = error
    raise failed or OSError("no folder for generated files")


def _publish(private: Path, final: Path, data: bytes) -> None:
    """Rename a sealed folder into place; another process's whole one stays, a broken one goes."""
    with contextlib.suppress(OSError):
        os.rename(private, final)
        return
    if not _whole(final, data):
        broken = private.with_name(f"{private.name}.broken")
        with contextlib.suppress(OSError):
            os.rename(final, broken)
            os.rename(private, final)
        shutil.rmtree(broken, ignore_errors=True)


def _sweep(folder: Path) -> None:
    """Remove private folders that killed processes left behind."""
    for path in folder.glob("*.*"):
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > ABANDONED:
                shutil.rmtree(path, ignore_errors=True)


# modules


class _Beside:
    """Tells numba to keep its cache of a generated file in that file's own folder, whatever NUMBA_CACHE_DIR says."""

    folders: ClassVar[dict[str, Path]] = {}

    def __init__(self, line: int, folder: Path, file: str):
        self.line, self.folder, self._py_file = line, folder, file

    @classmethod
    def from_function(cls, function: Any, file: str) -> _Beside | None:
        folder = cls.folders.get(file)
        return None if folder is None else cls(function.__code__.co_firstlineno, folder, file)

    def ensure_cache_path(self) -> None:
        self.folder.joinpath("__pycache__").mkdir(exist_ok=True)

    def get_cache_path(self) -> str:
        return str(self.folder / "__pycache__")

    def get_source_stamp(self) -> str:
        return _stamp(self.folder)

    def get_disambiguator(self) -> str:
        return str(self.line)


@functools.cache
def _teach_numba() -> None:
    from numba.core.caching import FunctionCache

    FunctionCache._impl_class._locator_classes.insert(0, _Beside)  # type: ignore[arg-type]  # numba says nothing of its type


def _execute(source: str, key: str, path: Path, folder: Path, parts: compilers.Parts | None = None) -> ModuleType:
    """Run `source` as the module at `path`, with numba's cache in `folder`; what is new there, in `parts`."""
    with _module(key, source, path, folder) as module:
        if parts is not None:
            try:
                with compilers.started(parts, folder, load, _is_missing) as run:
                    _compiled[0] += run(module.__dict__)
            finally:
                _remove_left(parts)
        else:
            exec(compile(source, str(path), "exec"), module.__dict__)
        if not config.jit_disabled():
            for routine in named_in(source):
                load(routine_file(routine))
    _compiled[0] += sum(_compilations(value) for value in vars(module).values())
    return module


def help_with(path: str, folder: str, parent: int) -> None:
    """Compile what the file at `path` needs, which the process `parent` makes in `folder`, see `compilers`."""
    _helping.append(True)
    cache = Path(folder)
    source = (cache / TEXT).read_text(encoding="utf-8")
    with collecting_rarely(), _module(_stamp(cache), source, Path(path), cache) as module:
        compilers.help_with(Path(path), cache, module.__dict__, _load_for_others, parent)


def _remove_left(parts: compilers.Parts) -> None:
    """Remove private folders of helpers that have ended, and may have been killed."""
    for root in _roots(create=False):
        for place in [_place(root, key_of(text)) for text in (*parts.before, *parts.soon) if parts.helped_by]:
            for pid in parts.helped_by:
                for path in place.parent.glob(f"{place.name}.{pid}.*"):
                    shutil.rmtree(path, ignore_errors=True)


def _load_for_others(source: str) -> None:
    """Have a file in the cache folder, where that can be written: this process has no folder of its own."""
    with contextlib.suppress(OSError):
        load(source)


def _is_missing(source: str) -> bool:
    """Whether a file has to be made, as far as can be seen at a glance."""
    key = key_of(source)
    return key not in _modules and not any(_place(root, key).exists() for root in _roots(create=False))


@contextlib.contextmanager
def _module(key: str, source: str, path: Path, folder: Path) -> Iterator[ModuleType]:
    """A module for the text of `path`, known to Python's tracebacks; numba caches what is run inside in `folder`."""
    name = f"graphc_generated_{key}"
    module = ModuleType(name)
    module.__file__ = str(path)
    sys.modules[name] = module
    linecache.cache[str(path)] = (len(source), None, source.splitlines(keepends=True), str(path))
    _teach_numba()
    _Beside.folders[str(path)] = folder
    try:
        yield module
    except BaseException:
        del sys.modules[name]
        raise
    finally:
        _Beside.folders.pop(str(path), None)


def _compilations(value: Any) -> int:
    """How often numba compiled this member of a module: C functions, and dispatchers (which may be helpers)."""
    if hasattr(value, "cache_hits"):
        return 1 - value.cache_hits
    if hasattr(value, "overloads") and hasattr(value, "stats"):
        return len(value.overloads) - sum(value.stats.cache_hits.values())
    return 0


@functools.cache
def _forks_wait() -> None:
    """No process is forked in the middle of a compilation.

    Known to Python when numba is there: whose locks were announced before, as that of `logging`, are taken after ours.
    """
    import numba  # noqa: F401

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)
