"""MNIST, Fashion-MNIST, Digits: files found, checked, downloaded, resumed; what is missing is said."""

from __future__ import annotations

import gzip
import hashlib
import http.server
import os
import shutil
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from messages import text_of

import graphc as gc
from graphc.data import MNIST, Compose, DataLoader, Digits, FashionMNIST, Normalize, Pad, ToTensor, read_idx
from graphc.data import digits as digits_module
from graphc.data.mnist import TEST, TRAIN, Source

REAL = os.environ.get("GRAPHC_MNIST")
needs_mnist = pytest.mark.skipif(not REAL, reason="GRAPHC_MNIST does not name a folder with the four files of MNIST")


def idx(array: np.ndarray, code: int = 8) -> bytes:
    return struct.pack(f">BBBB{array.ndim}i", 0, 0, code, array.ndim, *array.shape) + array.tobytes()


def small_files() -> dict[str, bytes]:
    """Files as those of MNIST, of 30 and 20 images of 5 x 4 pixels."""
    rng = np.random.default_rng(0)
    files = {}
    for names, count in ((TRAIN, 30), (TEST, 20)):
        files[names[0]] = idx(rng.integers(0, 256, (count, 5, 4), np.uint8))
        files[names[1]] = idx(rng.integers(0, 10, count).astype(np.uint8))
    return files


PLAIN = small_files()
ZIPPED = {f"{name}.gz": gzip.compress(data, mtime=0) for name, data in PLAIN.items()}


def digest(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


class Small(MNIST):
    """The same code on the small files."""

    mirrors = ()
    sources: ClassVar[dict[str, Source]] = {  # type: ignore[misc]
        name: Source(digest(ZIPPED[f"{name}.gz"]), digest(data), (count, 5, 4) if "images" in name else (count,))
        for name, data in PLAIN.items()
        for count in [30 if name in TRAIN else 20]
    }


def put(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


def check(call: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error) as caught:
        call()
    assert type(caught.value) is error
    assert text_of(caught.value) == text


# the format


@pytest.mark.parametrize("code,dtype", [(8, "u1"), (9, "i1"), (11, ">i2"), (12, ">i4"), (13, ">f4"), (14, ">f8")])
def test_read_idx(tmp_path: Path, code: int, dtype: str) -> None:
    for shape in ((3,), (2, 0), (2, 3, 4)):
        array = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
        for data in (idx(array, code), gzip.compress(idx(array, code))):
            (tmp_path / "file").write_bytes(data)
            found = read_idx(tmp_path / "file")
            assert found.dtype == np.dtype(dtype).newbyteorder("=")
            np.testing.assert_array_equal(found, array)


WHOLE = idx(np.zeros((2, 3), np.uint8))


@pytest.mark.parametrize("data,got,expected", [
    (b"", "first bytes none", "00 00, a dtype from 08 to 0e, number of axes"),
    (b"<html>", "first bytes 3c 68 74 6d", "00 00, a dtype from 08 to 0e, number of axes"),
    (b"\0\0\x0a\1", "first bytes 00 00 0a 01", "00 00, a dtype from 08 to 0e, number of axes"),
    (WHOLE[:9], "9 bytes", "a header of 12"),
    (WHOLE[:-1], "5 bytes of data", "uint8[2, 3]"),
    (WHOLE + b"\0", "7 bytes of data", "uint8[2, 3]"),
    (struct.pack(">BBBBi", 0, 0, 8, 1, -3), "0 bytes of data", "uint8[-3]"),
    (struct.pack(">BBBB100i", 0, 0, 8, 100, *[1] * 100) + b"x", "100 axes", "at most 64"),
    (struct.pack(">BBBB4i", 0, 0, 14, 4, 0, *[2**31 - 1] * 3), "sizes [0, 2147483647, 2147483647, 2147483647]",
     "those of an array of less than 2**63 bytes"),
    (gzip.compress(WHOLE)[:-4], "EOFError: Compressed file ended before the end-of-stream marker was reached",
     "a whole gzip file"),
])  # fmt: skip
def test_not_idx(tmp_path: Path, data: bytes, got: str, expected: str) -> None:
    file = tmp_path / "file"
    file.write_bytes(data)
    check(lambda: read_idx(file), gc.FileError, f"not an IDX file: {file}: got {got}, expected {expected}\n  at LINE")


# files in a folder


@pytest.mark.parametrize("files", [PLAIN, ZIPPED], ids=["plain", "gz"])
@pytest.mark.parametrize("folder", [".", "Small/raw"])
def test_where_files_may_be(tmp_path: Path, files: dict[str, bytes], folder: str) -> None:
    put(tmp_path / folder, files)
    for train, names in ((True, TRAIN), (False, TEST)):
        data = Small(tmp_path, train)
        np.testing.assert_array_equal(data.data.tobytes(), PLAIN[names[0]][16:])
        np.testing.assert_array_equal(data.targets, np.frombuffer(PLAIN[names[1]][8:], np.uint8))
        assert (data.targets.dtype, len(data), data.train) == (np.dtype("int64"), 30 if train else 20, train)
        image, label = data[3]
        assert (image.shape, image.dtype, type(label)) == ((5, 4), np.uint8, int)


def test_what_is_missing(tmp_path: Path) -> None:
    put(tmp_path, {TRAIN[0]: PLAIN[TRAIN[0]]})
    raw = tmp_path / "Small" / "raw"
    hint = "  hint: Small(root, download=True) fetches them; without a network, copy them there"
    for train, lacking in ((True, TRAIN[1]), (False, f"{TEST[0]} and no {TEST[1]}")):
        check(
            lambda train=train: Small(tmp_path, train), gc.MissingFileError,
            f"Small: files are missing: got no {lacking}, with or without .gz, "
            f"expected them in {tmp_path} or {raw}\n  at LINE\n{hint}",
        )  # fmt: skip
    with pytest.raises(FileNotFoundError):
        Small(tmp_path)


def test_files_that_are_not_the_published_ones(tmp_path: Path) -> None:
    hint = "  hint: delete it; Small(root, download=True) fetches it again"
    for name, good in (*PLAIN.items(), *ZIPPED.items()):
        folder = put(tmp_path / name, PLAIN if name in PLAIN else ZIPPED)
        bad = bytearray(good)
        bad[len(bad) // 2] ^= 1
        (folder / name).write_bytes(bad)
        check(
            lambda folder=folder, name=name: Small(folder, "train" in name), gc.FileError,
            f"Small: {folder / name} is not the published file: got MD5 {digest(bad)}, expected {digest(good)}\n"
            f"  at LINE\n{hint}",
        )  # fmt: skip


def test_fashion_files_without_a_published_checksum(tmp_path: Path) -> None:
    """Unpacked: the format and the sizes are checked."""
    put(tmp_path, PLAIN)
    check(
        lambda: FashionMNIST(tmp_path), gc.FileError,
        f"FashionMNIST: {tmp_path / TRAIN[0]} is not the published file: got uint8[30, 5, 4], "
        "expected uint8[60000, 28, 28]\n  at LINE\n"
        "  hint: delete it; FashionMNIST(root, download=True) fetches it again",
    )  # fmt: skip
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (10000, 28, 28), np.uint8), rng.integers(0, 10, 10000).astype(np.uint8)
    put(tmp_path / "FashionMNIST" / "raw", {TEST[0]: idx(images), TEST[1]: idx(labels)})
    for name in TEST:
        (tmp_path / name).unlink()
    data = FashionMNIST(tmp_path, train=False)
    np.testing.assert_array_equal(data.data, images)
    np.testing.assert_array_equal(data.targets, labels)
    assert data.classes[data[0][1]] in FashionMNIST.classes


# downloads


class Server:
    """A server of `files` that can break off, ignore ranges, or answer with other bytes."""

    def __init__(self, files: dict[str, bytes]):
        self.files = files
        self.ranges = True
        self.cut: list[int] = []  # of each answer to come: after how many bytes it ends; empty: whole answers
        self.asked: list[tuple[str, str | None]] = []
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.answer(self)

            def log_message(self, *args: Any) -> None:
                """Nothing on the terminal."""

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}/"
        self.thread = threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    def answer(self, request: Any) -> None:
        name, wanted = request.path.lstrip("/"), request.headers.get("Range")
        self.asked.append((name, wanted))
        data = self.files.get(name)
        if data is None:
            request.send_error(404)
            return
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and self.ranges else 0
        if start >= len(data):
            request.send_response(416)
            request.send_header("Content-Range", f"bytes */{len(data)}")
            request.send_header("Content-Length", "0")
            request.end_headers()
            return
        request.send_response(206 if start else 200)
        if start:
            request.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        request.send_header("Content-Length", str(len(data) - start))
        request.end_headers()
        request.wfile.write(data[start:][: self.cut.pop(0) if self.cut else None])
        request.close_connection = True

    def close(self) -> None:
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server(dict(ZIPPED))
    yield made
    made.close()


def at(*urls: str) -> type[Small]:
    return type("Small", (Small,), {"mirrors": urls})


IMAGES = f"{TRAIN[0]}.gz"
LABELS = f"{TRAIN[1]}.gz"


def test_download(tmp_path: Path, server: Server) -> None:
    """What is lacking is fetched, once, from the first mirror that has it."""
    kind = at(f"{server.url}nowhere/", server.url)
    data = kind(tmp_path, download=True)
    assert len(data) == 30
    assert [name for name, _ in server.asked] == [f"nowhere/{IMAGES}", IMAGES, f"nowhere/{LABELS}", LABELS]
    assert sorted(p.name for p in (tmp_path / "Small" / "raw").iterdir()) == [IMAGES, LABELS]
    server.asked.clear()
    np.testing.assert_array_equal(kind(tmp_path, download=True).data, data.data)
    assert server.asked == []
    assert len(kind(tmp_path, train=False, download=True)) == 20


def test_a_broken_download_goes_on(tmp_path: Path, server: Server) -> None:
    """In the same call, for as long as bytes come."""
    server.cut = [100, 50]
    assert len(at(server.url)(tmp_path, download=True)) == 30
    assert server.asked == [(IMAGES, None), (IMAGES, "bytes=100-"), (IMAGES, "bytes=150-"), (LABELS, None)]


def test_a_broken_download_goes_on_later(tmp_path: Path, server: Server) -> None:
    """After an error that says how much there is."""
    server.cut = [100, 0]
    size, raw = len(ZIPPED[IMAGES]), tmp_path / "Small" / "raw"
    check(
        lambda: at(server.url)(tmp_path, download=True), gc.MissingFileError,
        f"cannot download {IMAGES}\n  at LINE\n"
        f"  {server.url}{IMAGES}: BrokenError: the connection ended after 100 of {size} bytes\n"
        f"  {server.url}{IMAGES}: BrokenError: the connection ended after 0 of {size - 100} bytes\n"
        f"  100 bytes are kept in {raw / IMAGES}.part; the next attempt goes on there\n"
        f"  hint: without a network, copy the file to {raw / IMAGES}",
    )  # fmt: skip
    assert (raw / f"{IMAGES}.part").read_bytes() == ZIPPED[IMAGES][:100]
    server.asked.clear()
    assert len(at(server.url)(tmp_path, download=True)) == 30
    assert server.asked == [(IMAGES, "bytes=100-"), (LABELS, None)]
    assert not list(raw.glob("*.part"))


def test_parts_of_any_kind(tmp_path: Path, server: Server) -> None:
    """A part that is the whole file, too long, or of another file; a server that knows no ranges."""
    good = ZIPPED[IMAGES]
    for k, (part, ranges, asked) in enumerate((
        (good, True, [f"bytes={len(good)}-"]),
        (good + b"more", True, [f"bytes={len(good) + 4}-", None]),
        (b"x" * 100, True, ["bytes=100-", None]),
        (good[:100], False, ["bytes=100-"]),
    )):  # fmt: skip
        folder = tmp_path / str(k)
        put(folder / "Small" / "raw", {f"{IMAGES}.part": part})
        server.asked.clear()
        server.ranges = ranges
        assert len(at(server.url)(folder, download=True)) == 30
        assert [wanted for name, wanted in server.asked if name == IMAGES] == asked


def test_a_mirror_with_another_file(tmp_path: Path, server: Server) -> None:
    server.files[IMAGES] = b"<html>sign in</html>"
    raw = tmp_path / "Small" / "raw"
    check(
        lambda: at(server.url)(tmp_path, download=True), gc.MissingFileError,
        f"cannot download {IMAGES}\n  at LINE\n"
        f"  {server.url}{IMAGES}: another file than the published one, by its MD5\n"
        f"  hint: without a network, copy the file to {raw / IMAGES}",
    )  # fmt: skip
    assert list(raw.iterdir()) == []


def test_a_server_that_sends_another_range(tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path / "Small" / "raw", {f"{IMAGES}.part": ZIPPED[IMAGES][:100]})

    def answer(request: Any) -> None:
        request.send_response(206)
        request.send_header("Content-Range", "bytes 7-9/10")
        request.end_headers()

    monkeypatch.setattr(server, "answer", answer)
    with pytest.raises(gc.MissingFileError, match="bytes from 100 on were asked for, bytes 7-9/10 came"):
        at(server.url)(tmp_path, download=True)
    with pytest.raises(gc.MissingFileError, match=f"100 bytes are kept in .*{IMAGES}.part"):
        at(server.url)(tmp_path, download=True)


def test_without_a_network(tmp_path: Path, server: Server) -> None:
    server.close()
    with pytest.raises(gc.MissingFileError) as caught:
        at(server.url)(tmp_path, download=True)
    lines = text_of(caught.value).splitlines()
    assert lines[0] == f"cannot download {IMAGES}"
    assert lines[2].startswith(f"  {server.url}{IMAGES}: URLError: ")
    assert lines[3:] == [f"  hint: without a network, copy the file to {tmp_path / 'Small' / 'raw' / IMAGES}"]


# the real ones


@needs_mnist
def test_mnist(tmp_path: Path) -> None:
    """Sums over all pixels and counts of labels, taken from the published files by other means."""
    train, test = MNIST(REAL or ""), MNIST(REAL or "", train=False)
    assert (train.data.shape, test.data.shape) == ((60000, 28, 28), (10000, 28, 28))
    assert np.bincount(train.targets).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert np.bincount(test.targets).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert round(float(train.data.mean() / 255), 4) == 0.1307
    assert round(float(train.data.std() / 255), 4) == 0.3081
    assert train.targets[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    test.transform = Compose([Pad(2), ToTensor(), Normalize(0.1307, 0.3081)])
    images, labels = test.arrays()
    assert (images.shape, images.dtype) == ((10000, 1, 32, 32), np.float32)
    x, t = next(iter(DataLoader(test, 100, num_workers=2)))
    np.testing.assert_array_equal(x, images[:100])
    np.testing.assert_array_equal(t, labels[:100])


@needs_mnist
def test_mnist_unpacked_and_confused(tmp_path: Path) -> None:
    """Unpacked files are checked as well; MNIST's are not taken for Fashion-MNIST's, in either form."""
    for name in TEST:
        data = gzip.decompress((Path(REAL or "") / f"{name}.gz").read_bytes())
        (tmp_path / name).write_bytes(data)
    np.testing.assert_array_equal(MNIST(tmp_path, train=False).data, MNIST(REAL or "", train=False).data)
    found = digest((tmp_path / TEST[0]).read_bytes())
    check(
        lambda: FashionMNIST(tmp_path, train=False), gc.FileError,
        f"FashionMNIST: {tmp_path / TEST[0]} is not the published file: got MD5 {found}, which is {TEST[0]} of MNIST, "
        "expected another\n  at LINE\n  hint: delete it; FashionMNIST(root, download=True) fetches it again",
    )  # fmt: skip
    for name in TEST:
        shutil.copy(Path(REAL or "") / f"{name}.gz", tmp_path)
    with pytest.raises(gc.FileError, match=f"which is {TEST[0]} of MNIST, expected bef4ecab320f06d8554ea6380940ec79"):
        FashionMNIST(tmp_path, train=False)


LOAD_DIGITS = """
from hashlib import md5
from sklearn.datasets import load_digits
bunch = load_digits()
print(md5(bunch.images.tobytes()).hexdigest(), md5(bunch.target.astype("int64").tobytes()).hexdigest())
"""


def test_digits() -> None:
    """The images of scikit-learn's `load_digits`, in its order; asked in another process, for the import stays."""
    train, test = Digits(), Digits(train=False)
    images, labels = (np.concatenate([a, b]) for a, b in ((train.data, test.data), (train.targets, test.targets)))
    done = subprocess.run([sys.executable, "-c", LOAD_DIGITS], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [digest(np.rint(images / 255.0 * 16).tobytes()), digest(labels.tobytes())]
    assert (len(train), len(test), images.dtype, images.max()) == (1437, 360, np.uint8, 255)
    assert sorted(set(test.targets.tolist())) == list(range(10))
    train.data[:] = 0
    assert Digits().data.max() == 255


def test_digits_import_no_scikit_learn() -> None:
    from test_layers import loaded_by

    added = loaded_by("import graphc as gc\ngc.data.Digits()")
    assert not {"sklearn", "joblib"} & added


def test_digits_that_are_not_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    table = digits_module._table
    monkeypatch.setattr(digits_module.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(digits_module, "_table", table.__wrapped__)
    check(
        Digits, gc.MissingFileError,
        "Digits: scikit-learn, which holds the images, is not installed\n  at LINE\n  hint: pip install scikit-learn",
    )  # fmt: skip

    class Spec:
        origin = str(tmp_path / "__init__.py")

    monkeypatch.setattr(digits_module.importlib.util, "find_spec", lambda name: Spec)
    file = tmp_path / "datasets" / "data" / "digits.csv.gz"
    put(file.parent, {file.name: b"no gzip"})
    check(
        Digits, gc.FileError,
        f"Digits: cannot read {file}: got BadGzipFile: Not a gzipped file (b'no'), "
        "expected the file as scikit-learn installs it\n  at LINE\n"
        "  hint: pip install --force-reinstall scikit-learn",
    )  # fmt: skip
