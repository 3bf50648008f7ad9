"""Files written whole or not at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from pathlib import Path

from .errors import check_folder


def write_whole(path: str | os.PathLike[str], write: Callable[[Path], object]) -> None:
    """Let `write` make a file beside `path`, which then takes its place; what stood there stays until then."""
    target = Path(os.path.realpath(path))
    check_folder(path)
    part = target.with_name(f".{target.name}.{secrets.token_hex(6)}.part")
    try:
        write(part)
        _flush(part)
        os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)
    if os.name == "posix":
        _flush(target.parent)


def _flush(path: Path) -> None:
    """Everything of a file or folder to the disk."""
    handle = os.open(path, os.O_RDONLY if os.name == "posix" else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
