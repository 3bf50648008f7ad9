"""Files of checkpoints: a tree of plain values and arrays, as npz or safetensors, written atomically and checked."""

from __future__ import annotations

import io
import json
import math
import os
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .errors import FileError, InputError, MissingFileError, message, user_line
from .writing import write_whole

VERSION = 1
META = "graphc.json"
"""Name of the tree, beside the arrays."""
_RESERVED = ("__metadata__", META)
_LONGEST_NAME = 65_000
"""In bytes: zip files have room for 65,535."""
DEEPEST = 100
"""How many dicts, lists and tuples may stand inside each other."""
_TOO_DEEP = f"a tree of more than {DEEPEST} parts inside each other"
Arrays = dict[str, np.ndarray]


class _UnfitError(Exception):
    """A file that its format allows and `write` does not make: what was got, what was expected."""


def write(path: str | os.PathLike[str], content: Mapping[str, Any]) -> None:
    """Write `content`, which holds dicts, lists, tuples, C-contiguous arrays, numbers, texts and None, to `path`."""
    kind = _format(path)
    arrays: Arrays = {}
    text = json.dumps(_encode(content, "", arrays))
    header = json.dumps({"graphc": VERSION, "crc": zlib.crc32(text.encode()), "content": text})
    write_whole(path, lambda part: kind.write(part, arrays, header))


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
    except _UnfitError as error:
        raise _refused(path, *error.args) from None
    except (
        SafetensorError, zipfile.BadZipFile, zlib.error, struct.error, ValueError, EOFError, KeyError, OSError,
        RuntimeError, SyntaxError, OverflowError,
    ) as error:  # fmt: skip
        detail = " ".join(str(error).split())[:120]
        raise _refused(path, f"{type(error).__name__}: {detail}", f"a whole {kind.name} file, not cut off") from error
    try:
        facts = json.loads(header)
        version, text = facts["graphc"], facts["content"]
        if version != VERSION:
            raise _refused(path, f"version {version}", f"version {VERSION}, which this graphc writes")
        if zlib.crc32(text.encode()) != facts["crc"]:
            raise ValueError("the tree has another checksum than when it was written")
        content = _decode(json.loads(text), arrays)
        if not isinstance(content, dict):
            raise TypeError(f"the tree is a {type(content).__name__}, not a dict")
        return content
    except RecursionError:
        raise _refused(path, _TOO_DEEP, "the bytes that gc.save wrote") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _refused(path, f"{type(error).__name__}: {error}", "the bytes that gc.save wrote") from error


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
        if (length := len(name.encode())) > _LONGEST_NAME:
            raise InputError(
                message(
                    f"cannot save {place[:40] + ' ...'!r}",
                    got=f"a name of {length:,} bytes",
                    expected=f"at most {_LONGEST_NAME:,} in the names of an array and of all that it stands in",
                    at=user_line(),
                    created=False,
                )
            )
        arrays[name] = value
        return {"array": name, "crc": _checksum(value)}
    below = f"{place}/" if place else ""
    if isinstance(value, Mapping):
        return {"dict": {key: _encode(part, f"{below}{key}", arrays) for key, part in value.items()}}
    if isinstance(value, (list, tuple)):
        parts = [_encode(part, f"{below}{k}", arrays) for k, part in enumerate(value)]
        return {"list" if isinstance(value, list) else "tuple": parts}
    return {"value": value}


def _decode(tree: Any, arrays: Arrays, depth: int = 0) -> Any:
    if depth > DEEPEST:
        raise RecursionError
    if "array" in tree:
        array = arrays[tree["array"]]
        if _checksum(array) != tree["crc"]:
            raise ValueError(f"array {tree['array']!r} has another checksum than when it was written")
        return array
    if "dict" in tree:
        return {key: _decode(part, arrays, depth + 1) for key, part in tree["dict"].items()}
    if "list" in tree:
        return [_decode(part, arrays, depth + 1) for part in tree["list"]]
    if "tuple" in tree:
        return tuple(_decode(part, arrays, depth + 1) for part in tree["tuple"])
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


def _read_npz(path: Path) -> tuple[Arrays, str]:
    """Nothing is read before it is known that `write` may have made all of it, and that the file has room for it."""
    with path.open("rb") as file, zipfile.ZipFile(file) as archive:  # one file, though others replace it meanwhile
        members = archive.infolist()
        names = [member.filename for member in members]
        if META not in names:
            raise _foreign("npz", [name.removesuffix(".npy") for name in names])
        packed = [m.filename for m in members if m.compress_type != zipfile.ZIP_STORED or m.flag_bits & 1]
        if packed:
            got = f"npz with {packed[0]} compressed or encrypted"
            raise _UnfitError(got, "one that gc.save wrote, with all as it is")
        size, room = sum(member.file_size for member in members), os.fstat(file.fileno()).st_size
        if size > room:
            raise _UnfitError(f"npz with {size} bytes by its table, {room} in all", "a whole npz file, not cut off")
        # whole members: zipfile then compares their checksums
        arrays = {name.removesuffix(".npy"): _array(name, archive.read(name)) for name in names if name != META}
        return arrays, archive.read(META).decode()


def _array(name: str, data: bytes) -> np.ndarray:
    """The array in the bytes of a .npy file. Nothing is allocated where its header does not fit them."""
    file = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(file)
    except Exception as error:  # NumPy has Python's parser read it, which fails in many ways
        raise ValueError(f"the header of {name}: {type(error).__name__}: {error}") from error
    if dtype.kind not in "biuf":
        raise _UnfitError(f"{name} of dtype {dtype}", "bools, ints and floats, which gc.save writes")
    held, claimed = len(data) - file.tell(), math.prod(shape) * dtype.itemsize
    if any(type(size) is not int or not 0 <= size < 2**63 for size in shape) or held != claimed:
        raise _UnfitError(f"{name} with {held} bytes", f"as many as a {dtype}{list(shape)} has, for so its header says")
    return np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)


def _foreign(kind: str, names: list[str]) -> _UnfitError:
    held = ", ".join(names[:5]) + (" ..." if len(names) > 5 else "")
    return _UnfitError(f"{kind} with {held or 'nothing'}", "one that gc.save wrote")


def _write_safetensors(path: Path, arrays: Arrays, header: str) -> None:
    from safetensors import SafetensorError
    from safetensors.numpy import save

    try:
        data = save(arrays, {META: header})
    except SafetensorError as error:
        raise InputError(
            message(
                "cannot save so much besides arrays",
                got=f"{len(header):,} bytes, {error}",
                at=user_line(),
                created=False,
                hint="a name that ends in .npz has room for it; lists of numbers are smaller as arrays",
            )
        ) from error
    with path.open("xb") as file:  # not by save_file, which has errors and file rights of its own
        file.write(data)


_TENSORS = ("BOOL", *(f"{kind}{bits}" for kind in "IU" for bits in (8, 16, 32, 64)), "F16", "F32", "F64")


def _read_safetensors(path: Path) -> tuple[Arrays, str]:
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as file:
        names = list(file.keys())
        for name in names:
            dtype = file.get_slice(name).get_dtype()
            if dtype not in _TENSORS:
                raise _UnfitError(
                    f"tensor {name!r} of dtype {dtype}", "bools, ints and floats of NumPy, which gc.save writes"
                )
        header = (file.metadata() or {}).get(META)
        if header is None:
            raise _foreign("safetensors", names)
        return {name: file.get_tensor(name) for name in names}, header


class Format(NamedTuple):
    """A kind of file: `begins` says whether first bytes may be its own."""

    name: str
    begins: Callable[[bytes], bool]
    write: Callable[[Path, Arrays, str], None]
    read: Callable[[Path], tuple[Arrays, str]]


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
