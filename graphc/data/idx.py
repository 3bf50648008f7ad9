"""The IDX format of the original MNIST files: arrays behind a short big-endian header, gzipped or not.

Source: Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits", section "File formats".
"""

from __future__ import annotations

import gzip
import math
import os
import struct
import zlib
from pathlib import Path

import numpy as np

from ..errors import FileError, message, user_line

_DTYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_MOST_AXES = 64
"""Of a NumPy array."""
_GZIP = b"\x1f\x8b"


def read_idx(path: str | os.PathLike[str]) -> np.ndarray:
    """The array in an IDX file; FileError where the file is not one, or is cut off.

    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = pathlib.Path(folder, "labels-idx1-ubyte")
    ...     _ = file.write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 3]) + bytes([7, 2, 1]))
    ...     read_idx(file)
    array([7, 2, 1], dtype=uint8)
    """
    return parse_idx(Path(path).read_bytes(), path)


def parse_idx(data: bytes, path: str | os.PathLike[str]) -> np.ndarray:
    """The array in the bytes of an IDX file; `path` is for errors."""
    if data.startswith(_GZIP):
        try:
            data = gzip.decompress(data)
        except (OSError, EOFError, zlib.error) as error:
            raise _bad(path, f"{type(error).__name__}: {error}", "a whole gzip file") from None
    known = len(data) >= 4 and data[:2] == b"\0\0" and data[2] in _DTYPES
    if not known:
        raise _bad(path, f"first bytes {data[:4].hex(' ') or 'none'}", "00 00, a dtype from 08 to 0e, number of axes")
    start = 4 + 4 * data[3]
    if len(data) < start:
        raise _bad(path, f"{len(data)} bytes", f"a header of {start}")
    shape = struct.unpack(f">{data[3]}i", data[4:start])
    dtype = np.dtype(_DTYPES[data[2]])
    if len(shape) > _MOST_AXES:
        raise _bad(path, f"{len(shape)} axes", f"at most {_MOST_AXES}")
    if math.prod(size or 1 for size in shape) * dtype.itemsize >= 2**63:  # NumPy counts so, though one of them is 0
        raise _bad(path, f"sizes {list(shape)}", "those of an array of less than 2**63 bytes")
    if min(shape, default=0) < 0 or len(data) - start != math.prod(shape) * dtype.itemsize:
        raise _bad(path, f"{len(data) - start} bytes of data", f"{dtype.newbyteorder('=')}{list(shape)}")
    return np.frombuffer(data, dtype, offset=start).reshape(shape).astype(dtype.newbyteorder("="))


def _bad(path: str | os.PathLike[str], got: str, expected: str) -> FileError:
    return FileError(
        message(f"not an IDX file: {os.fspath(path)}", got=got, expected=expected, at=user_line(), created=False)
    )
