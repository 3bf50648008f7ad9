"""Files of checkpoints: a tree of plain values and arrays, as npz or safetensors, written atomically and checked."""

from __future__ import annotations

import io
import json
import os
import re
import secrets
import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .errors import FileError, InputError, MissingFileError, message, user_line

VERSION = 1
META = "graphc.json"
"""Name of the tree, beside the arrays."""
_RESERVED = ("__metadata__", META)
Arrays = dict[str, np.ndarray]


def write(path: str | os.PathLike[str], content: Mapping[str, Any]) -> None:
    """Write `content`, which holds dicts, lists, tuples, C-contiguous arrays, numbers, texts and None, to `path`."""
    kind = _format(path)
    arrays: Arrays = {}
    text = json.dumps(_encode(content, "", arrays))
    header = json.dumps({"graphc": VERSION, "crc": zlib.crc32(text.encode()), "content": text})
    target = Path(os.path.realpath(path))
    part = target.with_name(f".{target.name}.{secrets.token_hex(6)}.part")
    try:
        kind.write(part, arrays, header)
        _flush(part)
        os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)
    if os.name == "posix":
        _flush(target.parent)


def read(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What `write` wrote; FileError where that is not what the file holds, MissingFileError where there is none."""
    from safetensors import SafetensorError

    kind = _format(path)
    if not os.path.isfile(path):
        raise MissingFileError(
            message("no checkpoint", got=f"no file {os.path.abspath(path)}", at=user_line(), created=False)
        )
    with open(path, "rb") as file:
        begin = file.read(9)
    if not kind.begins(begin):
        raise _refused(path, f"a file that begins with {begin!r}", f"{kind.name}, as its name says")
    try:
        arrays, header = kind.read(Path(path))
    except (
        SafetensorError, zipfile.BadZipFile, zlib.error, struct.error, ValueError, EOFError, KeyError, OSError,
        RuntimeError, SyntaxError,
    ) as error:  # fmt: skip
        detail = " ".join(str(error).split())[:120]
        raise _refused(path, f"{type(error).__name__}: {detail}", f"a whole {kind.name} file, not cut off") from error
    if header is None:
        held = ", ".join(list(arrays)[:5]) + (" ..." if len(arrays) > 5 else "")
        raise _refused(path, f"{kind.name} with {held or 'nothing'}", "one that gc.save wrote")
    try:
        facts = json.loads(header)
        version, text = facts["graphc"], facts["content"]
        if version != VERSION:
            raise _refused(path, f"version {version}", f"version {VERSION}, which this graphc writes")
        if zlib.crc32(text.encode()) != facts["crc"]:
            raise ValueError("the tree has another checksum than when it was written")
        return _decode(json.loads(text), arrays)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _refused(path, f"{type(error).__name__}: {error}", "the bytes that gc.save wrote") from error


def _flush(path: Path) -> None:
    """Everything of a file or folder to the disk."""
    handle = os.open(path, os.O_RDONLY if os.name == "posix" else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _refused(path: str | os.PathLike[str], got: str, expected: str) -> FileError:
    return FileError(
        message(f"not a checkpoint: {os.fspath(path)}", got=got, expected=expected, at=user_line(), created=False)
    )


# the tree as JSON


def _encode(value: Any, place: str, arrays: Arrays) -> Any:
    """`value` as JSON; its arrays go to `arrays`, by the names of the dicts and lists they stand in."""
    if isinstance(value, np.ndarray):
        name = re.sub(r"[^\w./-]", "_", place)
        while name in arrays or name in _RESERVED:
            name += "_"
        arrays[name] = value
        return {"array": name, "crc": _checksum(value)}
    below = f"{place}/" if place else ""
    if isinstance(value, Mapping):
        return {"dict": {key: _encode(part, f"{below}{key}", arrays) for key, part in value.items()}}
    if isinstance(value, (list, tuple)):
        parts = [_encode(part, f"{below}{k}", arrays) for k, part in enumerate(value)]
        return {"list" if isinstance(value, list) else "tuple": parts}
    return {"value": value}


def _decode(tree: Any, arrays: Arrays) -> Any:
    if "array" in tree:
        array = arrays[tree["array"]]
        if _checksum(array) != tree["crc"]:
            raise ValueError(f"array {tree['array']!r} has another checksum than when it was written")
        return array
    if "dict" in tree:
        return {key: _decode(part, arrays) for key, part in tree["dict"].items()}
    if "list" in tree:
        return [_decode(part, arrays) for part in tree["list"]]
    if "tuple" in tree:
        return tuple(_decode(part, arrays) for part in tree["tuple"])
    return tree["value"]


def _checksum(array: np.ndarray) -> int:
    """Of dtype, shape and bytes."""
    return zlib.crc32(array.reshape(-1).view(np.uint8).data, zlib.crc32(f"{array.dtype.str}{array.shape}".encode()))


# the formats


def _write_npz(path: Path, arrays: Arrays, header: str) -> None:
    with zipfile.ZipFile(path, "x") as archive:
        archive.writestr(META, header)
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, array, allow_pickle=False)


def _read_npz(path: Path) -> tuple[Arrays, str | None]:
    arrays: Arrays = {}
    header = None
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():  # whole members: zipfile then compares their checksums
            if name == META:
                header = archive.read(name).decode()
            else:
                data = io.BytesIO(archive.read(name))
                arrays[name.removesuffix(".npy")] = np.lib.format.read_array(data, allow_pickle=False)
    return arrays, header


def _write_safetensors(path: Path, arrays: Arrays, header: str) -> None:
    from safetensors.numpy import save

    with path.open("xb") as file:  # not by save_file, which has errors and file rights of its own
        file.write(save(arrays, {META: header}))


def _read_safetensors(path: Path) -> tuple[Arrays, str | None]:
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as file:
        header = (file.metadata() or {}).get(META)
        return {name: file.get_tensor(name) for name in file.keys()}, header  # noqa: SIM118 - it is no dict


class Format(NamedTuple):
    """A kind of file: `begins` says whether first bytes may be its own."""

    name: str
    begins: Callable[[bytes], bool]
    write: Callable[[Path, Arrays, str], None]
    read: Callable[[Path], tuple[Arrays, str | None]]


_FORMATS = {
    ".npz": Format("npz", lambda begin: begin.startswith(b"PK"), _write_npz, _read_npz),
    ".safetensors": Format("safetensors", lambda begin: begin[8:] == b"{", _write_safetensors, _read_safetensors),
}


def _format(path: str | os.PathLike[str]) -> Format:
    place = os.fspath(path) if isinstance(path, (str, os.PathLike)) else None
    kind = _FORMATS.get(os.path.splitext(place)[1]) if isinstance(place, str) else None
    if kind is None:
        raise InputError(
            message(
                "bad path of a checkpoint",
                got=repr(place) if place is not None else type(path).__name__,
                expected="a name that ends in .npz or .safetensors",
                at=user_line(),
                created=False,
                hint='gc.save("run.npz", model=model): the path comes first, the rest by name',
            )
        )
    return kind
