"""Download one file: from where a broken download stopped, checked before it gets its name."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from ..errors import MissingFileError, message, user_line

TIMEOUT = 30.0
"""Seconds without a byte after which a connection is given up."""
ATTEMPTS = 10
"""How often one URL is asked at most."""
_CHUNK = 1 << 16


class BrokenError(OSError):
    """The connection ended before the file did, or the server sent something else."""


def md5(data: bytes) -> str:
    """The checksum that the publishers of data sets give. It finds damage, not malice."""
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def download(urls: Sequence[str], target: Path, checksum: str) -> None:
    """Fetch `target` from the first of `urls` that has it, with this MD5.

    What arrived of a broken download stays in ``<target>.part``; the next attempt asks for the rest only (HTTP Range).
    A URL is asked again, up to `ATTEMPTS` times, for as long as that changes what is there. Raises MissingFileError
    with what each URL answered.
    """
    from http.client import HTTPException

    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    failures: list[str] = []
    for url in urls:
        for _ in range(ATTEMPTS):
            before = _size(part)
            try:
                _fetch_rest(url, part)
            except (OSError, HTTPException) as error:
                failures.append(f"{url}: {type(error).__name__}: {error}")
            else:
                if md5(part.read_bytes()) == checksum:
                    os.replace(part, target)
                    return
                part.unlink()  # if bytes were there before, those may be what was wrong: once more, from the start
                failures.append(f"{url}: another file than the published one, by its MD5")
            if _size(part) == before:
                break
    kept = [f"{_size(part)} bytes are kept in {part}; the next attempt goes on there"] if _size(part) else []
    raise MissingFileError(
        message(
            f"cannot download {target.name}",
            at=user_line(),
            created=False,
            notes=[*failures, *kept],
            hint=f"without a network, copy the file to {target}",
        )
    )


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _fetch_rest(url: str, part: Path) -> None:
    """Append to `part` what it lacks of the file at `url`; begin anew where the server cannot do that."""
    from urllib.error import HTTPError
    from urllib.request import Request, urlopen

    start = _size(part)
    headers = {"User-Agent": "graphc", **({"Range": f"bytes={start}-"} if start else {})}
    try:
        response = urlopen(Request(url, headers=headers), timeout=TIMEOUT)
    except HTTPError as error:
        with error:
            if error.code != 416:
                raise
        return  # there is nothing after `start`: the part is whole, or of no use, as its checksum will tell
    with response:
        resumed = response.status == 206
        if resumed and not response.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
            raise BrokenError(f"bytes from {start} on were asked for, {response.headers.get('Content-Range')} came")
        length = response.headers.get("Content-Length")
        received = 0
        with part.open("ab" if resumed else "wb") as file:
            while chunk := response.read(_CHUNK):
                file.write(chunk)
                received += len(chunk)
    if length is not None and received < int(length):
        raise BrokenError(f"the connection ended after {received} of {length} bytes")
