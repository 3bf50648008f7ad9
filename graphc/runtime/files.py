"""Generated files: content-addressed, written atomically, loaded as modules; numba's own cache lies beside each.

Many processes may write one entry at once (the bytes are equal and a rename is atomic). An entry whose bytes are not
what its name says is written again. Where the cache folder cannot be written, a folder of this process is used.
"""

from __future__ import annotations

import atexit
import contextlib
import hashlib
import importlib.util
import os
import shutil
import sys
import tempfile
import threading
from pathlib import Path
from types import ModuleType

from .. import config

_lock = threading.Lock()
_modules: dict[str, ModuleType] = {}
_fallback: list[Path] = []


def key_of(source: str) -> str:
    """The name of a generated file: what it says, and everything that decides what its machine code will be."""
    import llvmlite
    import numba
    import numpy as np
    from llvmlite import binding

    facts = (
        source,
        numba.__version__,
        llvmlite.__version__,
        np.__version__,
        sys.version,
        binding.get_host_cpu_name(),
        binding.get_host_cpu_features().flatten(),
        str(config.jit_disabled()),
    )
    return hashlib.blake2b("\0".join(facts).encode(), digest_size=16).hexdigest()


def _folder() -> Path:
    """The cache folder, created; a temporary folder of this process where that is not possible."""
    if _fallback:
        return _fallback[0]
    with contextlib.suppress(OSError, RuntimeError):  # RuntimeError: no home folder can be determined
        folder = config.cache_dir()
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK | os.X_OK):
            return folder
    _fallback.append(Path(tempfile.mkdtemp(prefix="graphc-")))
    atexit.register(shutil.rmtree, _fallback[0], ignore_errors=True)
    return _fallback[0]


def write(source: str, key: str) -> Path:
    """The path of the file with this content; written if it is not there or not whole."""
    data = source.encode()
    folder = _folder() / key[:2] / key
    path = folder / "step.py"
    try:
        if path.read_bytes() == data:
            return path
    except OSError:
        folder.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=folder, suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    return path


def load(source: str) -> ModuleType:
    """The module of `source`: the one this process has, else loaded from the cache folder."""
    key = key_of(source)
    with _lock:
        if key not in _modules:
            _modules[key] = _import(write(source, key), f"graphc_generated_{key}")
        return _modules[key]


def _import(path: Path, name: str) -> ModuleType:
    try:
        return _execute(path, name)
    except Exception:
        # numba's cache beside the file may be truncated or foreign: compile again once, without it
        shutil.rmtree(path.parent / "__pycache__", ignore_errors=True)
        return _execute(path, name)


def _execute(path: Path, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    wrote = sys.dont_write_bytecode
    sys.dont_write_bytecode = True
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    finally:
        sys.dont_write_bytecode = wrote
    return module
