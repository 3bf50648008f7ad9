"""`gc.save` and `gc.load`: what was saved comes back to the bit, whole or not at all; broken files change nothing."""

from __future__ import annotations

import io
import json
import os
import pickle
import re
import struct
import threading
import tracemalloc
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from messages import text_of

import graphc as gc
from graphc import archive
from graphc.data import ArrayDataset, DataLoader

SUFFIXES = ("npz", "safetensors")
both = pytest.mark.parametrize("suffix", SUFFIXES)


class Layer:
    """An object with a state; `refuse` is an error that its `load_state_dict` ends with, after it changed something."""

    def __init__(self, *shape: int, refuse: BaseException | None = None):
        self.w, self.refuse = np.arange(float(np.prod(shape))).reshape(shape), refuse

    def state_dict(self) -> dict[str, Any]:
        return {"layer.w": self.w, "steps": 7}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.w = state["layer.w"]
        if self.refuse is not None:
            error, self.refuse = self.refuse, None
            raise error


def check(call: Any, error: type[BaseException], text: str) -> None:
    with pytest.raises(error) as caught:
        call()
    assert type(caught.value) is error
    assert text_of(caught.value) == text


def same(a: Any, b: Any) -> bool:
    """Equal to the bit, types included."""
    if type(a) is not type(b):
        return False
    if isinstance(a, np.ndarray):
        return (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes())
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b or (a != a and b != b)


# what comes back

ARRAYS = {
    **{name: np.array([0, 1, 1], name) for name in ("bool", "int8", "uint8", "int32", "int64", "uint64", "float16")},
    "float32": np.array([[np.nan, -0.0, np.inf]], "float32"),
    "float64": np.array([[1e-310, -np.inf], [0.1, 0.2]]),
    "zero-d": np.array(3.5),
    "empty": np.zeros((0, 3)),
}
NUMBERS = {"epoch": 3, "best": 0.1, "big": 2**200, "nan": float("nan"), "inf": -float("inf"), "on": True, "no": None}


@both
def test_round_trip(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"run.{suffix}"
    content = {
        "state": ARRAYS, "numbers": NUMBERS, "text": "\N{SNOWMAN}\n", "nested": [1, (2.0, [ARRAYS["float32"]]), {}],
        "path": 1, "file": np.arange(3), "allow_pickle": np.arange(2), "__metadata__": np.ones(1), "": np.ones(2),
        "graphc.json": np.ones(3), "a/b": np.zeros(1),
        "a": {"b": np.ones(1), "../b\0": np.ones(2), "..": {"b_": np.ones(3)}},
    }  # fmt: skip
    gc.save(file, **content)
    assert same(gc.load(file), content)
    gc.save(file)
    assert gc.load(file) == {}


@both
def test_what_is_saved(tmp_path: Path, suffix: str) -> None:
    """Params, eager tensors, objects, NumPy scalars; arrays of any layout and byte order; `str` paths."""
    file = str(tmp_path / f"run.{suffix}")
    w = gc.param(np.array([1.0, 2.0], "float32"), name="w")
    odd = np.arange(12.0).reshape(3, 4)[::-1, ::2].T
    gc.save(
        file, layer=Layer(2, 3), params=[w], tensor=gc.eager.tensor([1.0, 2.0], requires_grad=True),
        scalar=np.float32(0.1), count=np.int64(5), odd=odd, swapped=np.arange(3, dtype=">i4"),
        fortran=np.asfortranarray(odd),
    )  # fmt: skip
    assert same(gc.load(file), {
        "layer": {"layer.w": np.arange(6.0).reshape(2, 3), "steps": 7}, "params": [w.value],
        "tensor": np.array([1, 2], "float32"), "scalar": float(np.float32(0.1)), "count": 5,
        "odd": np.ascontiguousarray(odd), "swapped": np.arange(3, dtype="int32"), "fortran": np.ascontiguousarray(odd),
    })  # fmt: skip


@both
def test_restoring(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"run.{suffix}"
    layer, w, b = Layer(2, 3), gc.param([1.0, 2.0], name="w"), gc.param(3, name="b")
    fill = np.arange(4)
    gc.save(file, layer=layer, params={"w": w, "b": b}, pair=(w, fill), epoch=2)
    other, v, c = Layer(2, 3), gc.param([0.0, 0.0]), gc.param(0)
    other.w = other.w * 0
    into, u = np.zeros(4, int), gc.param([5.0, 5.0])
    found = gc.load(file, layer=other, params={"b": c, "w": v}, pair=[u, into])
    assert found["epoch"] == 2
    for a, z in ((other.w, layer.w), (v.value, [1, 2]), (c.value, 3), (u.value, [1, 2]), (into, fill)):
        np.testing.assert_array_equal(a, z)
    found["layer"]["layer.w"][:] = 9
    np.testing.assert_array_equal(other.w, layer.w)


@both
def test_arrays_of_the_other_byte_order_are_restored(tmp_path: Path, suffix: str) -> None:
    """They keep theirs, the file has the machine's."""
    file = tmp_path / f"run.{suffix}"
    arrays = [np.arange(1.0, 4.0).astype(kind) for kind in (">f8", "<f8", ">i2", "<i2")]
    into = [np.zeros_like(array) for array in arrays]
    gc.save(file, arrays=arrays)
    gc.load(file, arrays=into)
    assert same(into, arrays)
    check(
        lambda: gc.load(file, arrays=[into[0].astype(">f4"), *into[1:]]), gc.FileError,
        misfit(file, "arrays/0: float64[3] in the file, >f4[3] expected", held="arrays"),
    )  # fmt: skip


def test_a_key_goes_on_with_its_draws(tmp_path: Path) -> None:
    """Its eager draws are numbered from where they were; a file of a version without their number is still read."""
    file, tensor = tmp_path / "run.npz", gc.eager.tensor(0.0)
    key, other = gc.random.Key(1), gc.random.Key(2)
    drawn = [gc.random.uniform(key, (2,), like=tensor) for _ in range(2)]
    gc.save(file, key=key)
    drawn.append(gc.random.uniform(key, (2,), like=tensor))
    gc.load(file, key=other)
    assert gc.random.uniform(other, (2,), like=tensor).numpy().tolist() == drawn[2].numpy().tolist()
    gc.save(file, key={"words": key.words, "counter": key.counter})
    gc.load(file, key=other)
    assert gc.random.uniform(other, (2,), like=tensor).numpy().tolist() == drawn[0].numpy().tolist()


@both
@pytest.mark.parametrize("kind", ["PCG64", "Philox", "MT19937", "SFC64"])
def test_generators(tmp_path: Path, suffix: str, kind: str) -> None:
    file = tmp_path / f"run.{suffix}"
    a, b = (np.random.Generator(getattr(np.random, kind)(seed)) for seed in (1, 2))
    a.integers(0, 9, 5, "int32")
    a.random()
    gc.save(file, rng=a)
    gc.load(file, rng=b)
    np.testing.assert_array_equal(a.integers(0, 100, 50, "int32"), b.integers(0, 100, 50, "int32"))
    np.testing.assert_array_equal(a.random(20), b.random(20))


@both
def test_training_goes_on_as_if_it_had_never_stopped(tmp_path: Path, suffix: str) -> None:
    """To the bit: params, momentum, step counter, order of the batches, random numbers in the graph."""
    x = gc.input("x", ("n", 3))

    class Run:
        def __init__(self, seed: int):
            rng = np.random.default_rng(0)
            self.w = gc.param(np.zeros(3), name="w")
            self.key = gc.random.Key(seed)
            noise = gc.random.uniform(self.key, (3,))
            loss = gc.mean((x @ (self.w + 0.1 * noise) - 1.0) ** 2)
            schedule = gc.optim.SGD([self.w], lr=0.05, momentum=0.9)
            self.opt = schedule
            updates = {**schedule.minimize(loss), **self.key.updates()}
            self.step = gc.compile([x], loss, updates, name="resumed")
            self.loader = DataLoader(ArrayDataset(rng.normal(size=(20, 3))), 6, shuffle=True, seed=seed, num_workers=1)

        def epochs(self, count: int) -> list[Any]:
            return [self.step(xb) for _ in range(count) for (xb,) in self.loader]

        def objects(self) -> dict[str, Any]:
            return {"model": {"w": self.w}, "opt": self.opt, "key": self.key, "loader": self.loader}

    whole, first, second = Run(3), Run(3), Run(4)
    file = tmp_path / f"run.{suffix}"
    losses = first.epochs(2)
    gc.save(file, **first.objects())
    gc.load(file, **second.objects())
    losses += second.epochs(2)
    assert same(np.array(losses), np.array(whole.epochs(4)))
    assert same(second.w.value, whole.w.value)
    assert same(second.opt.state_dict(), whole.opt.state_dict())


# refused: what cannot be saved


@pytest.mark.parametrize("value,got", [
    (np.array(["a"]), "array of <U1"), (np.array([None]), "array of object"),
    (np.zeros(2, complex), "array of complex128"),
    (np.zeros(1, np.longdouble), f"array of {np.dtype(np.longdouble)}"), (print, "builtin_function_or_method"),
    (b"bytes", "bytes"), (1j, "complex"), ({1: 2.0}, "dict with keys that are no texts"), (set(), "set"),
    (gc.input("x"), "Tensor"),
])  # fmt: skip
def test_what_cannot_be_saved(tmp_path: Path, value: Any, got: str) -> None:
    file = tmp_path / "run.npz"
    gc.save(file, epoch=1)
    for content, place in (({"thing": value}, "thing"), ({"a": {"b": [1, value]}}, "a/b/1")):
        check(
            lambda content=content: gc.save(file, **content), gc.InputError,
            f"cannot save {place!r}: got {got}, expected objects with state_dict(), params, arrays, numbers, texts, "
            "or dicts, lists, tuples of them\n  at LINE",
        )  # fmt: skip
    assert gc.load(file) == {"epoch": 1}
    assert os.listdir(tmp_path) == ["run.npz"]


class Endless:
    """An object that is a part of its own state."""

    def state_dict(self) -> dict[str, Any]:
        return {"me": self}


def nested(depth: int, value: Any = 1) -> Any:
    for _ in range(depth):
        value = [value]
    return value


@both
def test_what_is_too_deep_or_too_long_to_be_saved(tmp_path: Path, suffix: str) -> None:
    """The old file stays."""
    file = tmp_path / f"run.{suffix}"
    gc.save(file, epoch=1)
    loop: list[Any] = []
    loop.append(loop)
    ring: dict[str, Any] = {}
    ring["x"] = ring
    for value, parts in ((loop, "0/"), (ring, "x/"), (nested(10**4), "0/"), (nested(100), "0/"), (Endless(), "me/")):
        place = ("a/" + 100 * parts)[:40]
        check(
            lambda value=value: gc.save(file, a=value), gc.InputError,
            f"cannot save '{place} ...': got more than 100 dicts, lists and tuples inside each other, "
            "expected fewer, and none that contains itself\n  at LINE",
        )  # fmt: skip
    check(
        lambda: gc.save(file, a=[10**5000]), gc.InputError,
        "cannot save 'a/0': got an int of more digits than Python writes and reads "
        "(see sys.set_int_max_str_digits)\n  at LINE",
    )  # fmt: skip
    check(
        lambda: gc.save(file, **{"a" * 70_000: [np.ones(1)]}), gc.InputError,
        f"cannot save '{'a' * 40} ...': got a name of 70,002 bytes, expected at most 65,000 in the names of an array "
        "and of all that it stands in\n  at LINE",
    )  # fmt: skip
    assert gc.load(file) == {"epoch": 1}
    assert os.listdir(tmp_path) == [file.name]
    content = {"a": nested(99), "b" * 64_998: [np.ones(1)], "c" * 10**5: 10**4299}
    gc.save(file, **content)
    assert same(gc.load(file), content)


def test_a_tree_too_large_for_safetensors(tmp_path: Path) -> None:
    """Its header has room for 100 MB; the old file stays."""
    file, text = tmp_path / "run.safetensors", "x" * 100_000_000
    gc.save(file, epoch=1)
    with pytest.raises(gc.InputError) as caught:
        gc.save(file, text=text)
    lines = text_of(caught.value).splitlines()
    assert re.fullmatch(r"cannot save so much besides arrays: got 100,\d{3},\d{3} bytes, .*header too large", lines[0])
    assert lines[1:] == [
        "  at LINE", "  hint: a name that ends in .npz has room for it; lists of numbers are smaller as arrays",
    ]  # fmt: skip
    assert gc.load(file) == {"epoch": 1}


@pytest.mark.parametrize("path,got", [
    ("run", "'run'"), ("run.pt", "'run.pt'"), ({"w": 1}, "dict"), (b"run.npz", "bytes"),
])  # fmt: skip
def test_bad_paths(path: Any, got: str) -> None:
    for call in (gc.save, gc.load):
        check(
            lambda call=call: call(path), gc.InputError,
            f"bad path of a checkpoint: got {got}, expected a name that ends in .npz or .safetensors\n  at LINE\n"
            '  hint: gc.save("run.npz", model=model): the path comes first, the rest by name',
        )  # fmt: skip


# refused: files that are not whole, or not ours


@both
def test_no_file(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"run.{suffix}"
    check(lambda: gc.load(file), gc.MissingFileError, f"no checkpoint: got no file {file}\n  at LINE")
    with pytest.raises(FileNotFoundError):
        gc.load(file)


@both
def test_a_file_cut_off_anywhere(tmp_path: Path, suffix: str) -> None:
    """And params keep their values."""
    file, w = tmp_path / f"run.{suffix}", gc.param(np.arange(5.0))
    gc.save(file, w=w, epoch=3)
    data = file.read_bytes()
    w.value = np.zeros(5)
    for length in range(len(data)):
        file.write_bytes(data[:length])
        with pytest.raises(gc.FileError, match=r"^not a checkpoint: .*run\."):
            gc.load(file, w=w)
    assert not w.value.any()
    file.write_bytes(data)
    assert gc.load(file, w=w)["epoch"] == 3


@both
def test_a_damaged_byte_anywhere(tmp_path: Path, suffix: str) -> None:
    """It is found, or it is one that says nothing (a date in a zip file)."""
    file = tmp_path / f"run.{suffix}"
    content = {"w": np.arange(3.0), "epoch": 3}
    gc.save(file, **content)
    data = file.read_bytes()
    refused = 0
    for k in range(len(data)):
        bad = bytearray(data)
        bad[k] ^= 1 << k % 8
        file.write_bytes(bad)
        try:
            found = gc.load(file)
        except gc.FileError as error:
            assert str(error).startswith("not a checkpoint: ")
            refused += 1
        else:
            assert same(found, content)
    assert refused > len(data) / 2


def test_what_is_said_of_a_damaged_file(tmp_path: Path) -> None:
    npz, tensors = tmp_path / "run.npz", tmp_path / "run.safetensors"
    for file in (npz, tensors):
        gc.save(file, w=np.arange(100.0))
    npz.write_bytes(npz.read_bytes()[:500])
    check(
        lambda: gc.load(npz), gc.FileError,
        f"not a checkpoint: {npz}: got BadZipFile: File is not a zip file, expected a whole npz file, not cut off\n"
        "  at LINE",
    )  # fmt: skip
    data = tensors.read_bytes()
    tensors.write_bytes(data[:-1])
    with pytest.raises(gc.FileError, match=r"got SafetensorError: .* expected a whole safetensors file, not cut off"):
        gc.load(tensors)
    tensors.write_bytes(data[:-1] + b"\1")
    check(
        lambda: gc.load(tensors), gc.FileError,
        f"not a checkpoint: {tensors}: got ValueError: array 'w' has another checksum than when it was written, "
        "expected the bytes that gc.save wrote\n  at LINE",
    )  # fmt: skip
    assert data.count(b"array") == 1
    tensors.write_bytes(data.replace(b"array", b"arrow"))
    check(
        lambda: gc.load(tensors), gc.FileError,
        f"not a checkpoint: {tensors}: got ValueError: the tree has another checksum than when it was written, "
        "expected the bytes that gc.save wrote\n  at LINE",
    )  # fmt: skip


def test_files_of_others(tmp_path: Path) -> None:
    npz, tensors = tmp_path / "run.npz", tmp_path / "run.safetensors"
    for file, other, name in ((npz, tensors, "npz"), (tensors, npz, "safetensors")):
        gc.save(other, w=np.ones(2))
        for data in (b"", b"<html>", pickle.dumps([1]), other.read_bytes()):
            file.write_bytes(data)
            check(
                lambda file=file: gc.load(file), gc.FileError,
                f"not a checkpoint: {file}: got a file that begins with {data[:9]!r}, expected {name}, "
                "as its name says\n  at LINE",
            )  # fmt: skip
    many = {f"w{k}": np.ones(2) for k in range(6)}
    np.savez(npz, **many)
    safetensors.numpy.save_file(many, tensors)
    for file, name in ((npz, "npz"), (tensors, "safetensors")):
        check(
            lambda file=file: gc.load(file), gc.FileError,
            f"not a checkpoint: {file}: got {name} with w0, w1, w2, w3, w4 ..., expected one that gc.save wrote\n"
            "  at LINE",
        )  # fmt: skip
    np.savez(npz, w=np.array([print], object))
    check(
        lambda: gc.load(npz), gc.FileError,
        f"not a checkpoint: {npz}: got npz with w, expected one that gc.save wrote\n  at LINE",
    )  # fmt: skip


def tensors_file(file: Path, dtype: str, size: int, metadata: Mapping[str, str]) -> None:
    """A safetensors file of a dtype that NumPy need not have."""
    header = {"__metadata__": metadata, "w": {"dtype": dtype, "shape": [4], "data_offsets": [0, 4 * size]}}
    text = json.dumps(header).encode()
    file.write_bytes(struct.pack("<Q", len(text)) + text + bytes(4 * size))


@pytest.mark.parametrize("dtype,size", [("BF16", 2), ("F8_E5M2", 1), ("F8_E4M3", 1), ("C64", 8)])
def test_tensors_of_dtypes_that_numpy_does_not_have(tmp_path: Path, dtype: str, size: int) -> None:
    file = tmp_path / "run.safetensors"
    for metadata in ({}, {archive.META: "{}"}, {"format": "pt"}):
        tensors_file(file, dtype, size, metadata)
        check(
            lambda: gc.load(file), gc.FileError,
            f"not a checkpoint: {file}: got tensor 'w' of dtype {dtype}, expected bools, ints and floats of NumPy, "
            "which gc.save writes\n  at LINE",
        )  # fmt: skip


def member(shape: Any, data: bytes = b"", descr: str = "<f8") -> bytes:
    """A .npy file whose header says `shape`, or is it."""
    said = repr({"descr": descr, "fortran_order": False, "shape": shape}) if isinstance(shape, tuple) else shape
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(said)) + said.encode() + data


def crafted(file: Path, tree: str, kind: int = zipfile.ZIP_STORED, **members: bytes) -> None:
    """An npz with a tree that has the right checksum."""
    with zipfile.ZipFile(file, "w", kind) as made:
        made.writestr(archive.META, json.dumps({"graphc": 1, "crc": zlib.crc32(tree.encode()), "content": tree}))
        for name, data in members.items():
            made.writestr(f"{name}.npy", data)


def peak(call: Any) -> int:
    """The most memory in use at once while `call` runs, in bytes."""
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_headers_that_claim_what_is_not_there(tmp_path: Path) -> None:
    """Sizes are compared with the file before there is memory for them."""
    file = tmp_path / "run.npz"
    for data, got, expected in (
        (member((10**13,)), "w.npy with 0 bytes", "as many as a float64[10000000000000] has, for so its header says"),
        (member((-1, -1), bytes(8)), "w.npy with 8 bytes", "as many as a float64[-1, -1] has, for so its header says"),
        (member((0, 10**30)), "w.npy with 0 bytes", f"as many as a float64[0, {10**30}] has, for so its header says"),
        (member((True,), bytes(8)), "w.npy with 8 bytes", "as many as a float64[True] has, for so its header says"),
        (member((1,), bytes(8), "|O"), "w.npy of dtype object", "bools, ints and floats, which gc.save writes"),
    ):
        crafted(file, "{}", w=data)
        text = f"not a checkpoint: {file}: got {got}, expected {expected}\n  at LINE"
        assert peak(lambda text=text: check(lambda: gc.load(file), gc.FileError, text)) < 2**22  # type: ignore[misc]
    for header in ("(" * 5000, "-" * 9000, "{'descr': " + "-" * 5000 + "1, 'fortran_order': False, 'shape': ()}", ""):
        crafted(file, "{}", w=member(header))
        with pytest.raises(gc.FileError, match=r"^not a checkpoint: .* got ValueError: the header of w\.npy: "):
            gc.load(file)


def test_compressed_files_are_not_unpacked(tmp_path: Path) -> None:
    """Those of others are known by their names, and `gc.save` compresses nothing."""
    file = tmp_path / "run.npz"
    np.savez_compressed(file, w=np.zeros(2**22))
    assert file.stat().st_size < 2**16
    foreign = f"not a checkpoint: {file}: got npz with w, expected one that gc.save wrote\n  at LINE"
    assert peak(lambda: check(lambda: gc.load(file), gc.FileError, foreign)) < 2**21
    crafted(file, '{"dict": {}}' + " " * 2**25, zipfile.ZIP_DEFLATED)
    packed = (
        f"not a checkpoint: {file}: got npz with graphc.json compressed or encrypted, "
        "expected one that gc.save wrote, with all as it is\n  at LINE"
    )
    assert peak(lambda: check(lambda: gc.load(file), gc.FileError, packed)) < 2**21


@pytest.mark.parametrize("tree,got", [
    ("[" * 10**5, "a tree of more than 100 parts inside each other"),
    ('{"list":[' * 150 + '{"value":1}' + "]}" * 150, "a tree of more than 100 parts inside each other"),
    ('{"value": 3}', "TypeError: the tree is a int, not a dict"),
    ('{"list": []}', "TypeError: the tree is a list, not a dict"),
    (json.dumps({"array": "w", "crc": archive._checksum(np.zeros(1))}), "TypeError: the tree is a ndarray, not a dict"),
    ('{"dict": []}', "AttributeError: 'list' object has no attribute 'items'"),
])  # fmt: skip
def test_trees_that_save_does_not_write(tmp_path: Path, tree: str, got: str) -> None:
    file, w = tmp_path / "run.npz", np.ones(1)
    crafted(file, tree, w=member((1,), bytes(8)))
    text = f"not a checkpoint: {file}: got {got}, expected the bytes that gc.save wrote\n  at LINE"
    check(lambda: gc.load(file), gc.FileError, text)
    check(lambda: gc.load(file, w=w), gc.FileError, text)
    assert w == 1


def test_a_file_of_another_version(tmp_path: Path) -> None:
    file = tmp_path / "run.npz"
    for header, text in (
        ({"graphc": 2, "content": ""}, "got version 2, expected version 1, which this graphc writes"),
        ([], "got TypeError: list indices must be integers or slices, not str, expected the bytes that gc.save wrote"),
        ({}, "got KeyError: 'graphc', expected the bytes that gc.save wrote"),
    ):
        with zipfile.ZipFile(file, "w") as made:
            made.writestr(archive.META, json.dumps(header))
        check(lambda: gc.load(file), gc.FileError, f"not a checkpoint: {file}: {text}\n  at LINE")


# refused: files that do not fit


def misfit(file: Path, *lines: str, held: str) -> str:
    notes = "".join(f"  {line}\n" for line in lines)
    return (
        f"{file} does not fit, nothing has been changed\n  at LINE\n{notes}"
        f"  hint: it holds {held}; gc.load(path) without names returns all of it"
    )


@both
def test_what_does_not_fit(tmp_path: Path, suffix: str) -> None:
    """All of it is listed, and nothing is changed."""
    file = tmp_path / f"run.{suffix}"
    rng = np.random.default_rng(1)
    gc.save(file, w=np.ones(3), b=np.ones(2, "float32"), parts={"a": np.ones(1), "c": np.ones(1)}, rng=rng, epoch=3)
    w, b, a, frozen = gc.param(np.zeros(4)), gc.param(np.zeros(2)), gc.param([0.0]), np.zeros(3)
    frozen.flags.writeable = False
    layer, other = Layer(2), np.random.Generator(np.random.MT19937(0))
    before = other.bit_generator.state["state"]["key"].copy()
    held = "w, b, parts, rng, epoch"
    check(
        lambda: gc.load(file, w=w, b=b, parts={"a": a, "d": a}, epoch=layer, rng=other, more=a), gc.FileError,
        misfit(
            file,
            "w: float64[3] in the file, float64[4] expected",
            "b: float32[2] in the file, float64[2] expected",
            "parts/d: not in the file",
            "parts/c: in the file, not expected",
            "epoch: 3 in the file, a state expected",
            "rng: PCG64 in the file, a generator MT19937 expected",
            "more: not in the file",
            held=held,
        ),
    )  # fmt: skip
    check(
        lambda: gc.load(file, w=frozen, epoch=3, parts=[a, a], b={"x": a}, rng=w), gc.FileError,
        misfit(
            file,
            "w: the array to fill is read-only",
            "epoch: a int cannot be restored into; load returns the value",
            "parts: dict in the file, a list expected",
            "b: float32[2] in the file, a dict expected",
            "rng: dict in the file, float64[4] expected",
            held=held,
        ),
    )  # fmt: skip
    check(
        lambda: gc.load(file, epoch=other), gc.FileError,
        misfit(file, "epoch: 3 in the file, a generator MT19937 expected", held=held),
    )  # fmt: skip
    assert not any(p.value.any() for p in (w, b, a))
    np.testing.assert_array_equal(layer.w, [0, 1])
    np.testing.assert_array_equal(other.bit_generator.state["state"]["key"], before)


@both
def test_an_object_that_refuses_its_state(tmp_path: Path, suffix: str) -> None:
    """What was restored before it is taken back, it included."""
    file = tmp_path / f"run.{suffix}"
    gc.save(file, a=Layer(2), w=np.ones(2), rng=np.random.default_rng(5), fill=np.ones(3), b=Layer(3))
    for refuse, got in (
        (RuntimeError("size mismatch:\n    layer.w\n  at x.py:3"), "RuntimeError: size mismatch:"),
        (gc.InputError("size mismatch:\n    layer.w\n  at x.py:3"), "size mismatch:"),
        (KeyboardInterrupt(), ""),
    ):
        a, b, w, rng, fill = (
            Layer(2),
            Layer(3, refuse=refuse),
            gc.param(np.zeros(2)),
            np.random.default_rng(1),
            np.zeros(3),
        )
        a.w, b.w = a.w + 5, b.w + 5
        known = rng.bit_generator.state

        def load(a: Any = a, b: Any = b, w: Any = w, rng: Any = rng, fill: Any = fill) -> None:
            gc.load(file, a=a, w=w, rng=rng, fill=fill, b=b)

        if got:
            check(
                load, gc.FileError,
                f"{file} does not fit 'b', nothing has been changed: got {got}\n  at LINE\n  layer.w",
            )  # fmt: skip
        else:
            with pytest.raises(KeyboardInterrupt):
                load()
        assert (a.w.tolist(), b.w.tolist(), w.value.tolist(), fill.tolist()) == ([5, 6], [5, 6, 7], [0, 0], [0, 0, 0])
        assert rng.bit_generator.state == known


# writing


@both
def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """At any of its moments: while writing, at the flush, at the rename."""
    file = tmp_path / f"run.{suffix}"
    gc.save(file, epoch=1)

    def fail(*args: Any) -> None:
        raise OSError(28, "No space left on device")

    def half(path: Path, arrays: Any, header: str) -> None:
        path.write_bytes(b"PK half")
        fail()

    for what, name, value in (
        (os, "fsync", fail), (os, "replace", fail),
        (archive, "_FORMATS", {f".{suffix}": archive._FORMATS[f".{suffix}"]._replace(write=half)}),
    ):  # fmt: skip
        with monkeypatch.context() as patch:
            patch.setattr(what, name, value)
            with pytest.raises(OSError, match="No space left on device"):
                gc.save(file, epoch=2)
        assert os.listdir(tmp_path) == [file.name]
        assert gc.load(file) == {"epoch": 1}
    with pytest.raises(FileNotFoundError):
        gc.save(tmp_path / "nowhere" / file.name, epoch=2)


@both
def test_flushed_before_it_is_renamed(tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    done = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda handle: (done.append("fsync"), fsync(handle)))
    monkeypatch.setattr(os, "replace", lambda a, b: (done.append("replace"), replace(a, b)))
    gc.save(tmp_path / f"run.{suffix}", epoch=1)
    assert done == ["fsync", "replace", "fsync"][: 3 if os.name == "posix" else 2]


@both
def test_links_and_rights(tmp_path: Path, suffix: str) -> None:
    """A link stays one; a new file has the rights that other new files have."""
    (tmp_path / "disk").mkdir()
    link, file = tmp_path / f"last.{suffix}", tmp_path / "disk" / f"run.{suffix}"
    link.symlink_to(file)
    gc.save(link, epoch=1)
    assert link.is_symlink()
    assert gc.load(file) == {"epoch": 1}
    plain = tmp_path / "plain"
    plain.write_bytes(b"")
    assert file.stat().st_mode == plain.stat().st_mode


@both
def test_readers_see_whole_files(tmp_path: Path, suffix: str) -> None:
    """While others write."""
    file = tmp_path / f"run.{suffix}"
    sizes = (3, 2000)
    gc.save(file, w=np.zeros(3), size=3)
    stop, wrong = threading.Event(), []

    def writes(size: int) -> None:
        while not stop.is_set():
            gc.save(file, w=np.full(size, float(size)), size=size)

    writers = [threading.Thread(target=writes, args=(size,)) for size in sizes]
    for thread in writers:
        thread.start()
    for _ in range(30):
        found = gc.load(file)
        if found["w"].shape != (found["size"],):
            wrong.append(found)
    stop.set()
    for thread in writers:
        thread.join()
    assert (wrong, os.listdir(tmp_path)) == ([], [file.name])


def test_files_that_others_can_read(tmp_path: Path) -> None:
    """By their names, with NumPy and safetensors, without pickle."""
    layer = Layer(2, 3)
    for suffix in SUFFIXES:
        gc.save(tmp_path / f"run.{suffix}", model=layer)
    with np.load(tmp_path / "run.npz", allow_pickle=False) as found:
        np.testing.assert_array_equal(found["model/layer.w"], layer.w)
    found = safetensors.numpy.load_file(tmp_path / "run.safetensors")
    np.testing.assert_array_equal(found["model/layer.w"], layer.w)
    assert io.BytesIO((tmp_path / "run.npz").read_bytes()).read(2) == b"PK"


def test_each_part_has_a_name(tmp_path):
    w = gc.param([1.0], name="w")
    for function, text in ((gc.save, "cannot save what has no name"), (gc.load, "cannot load what has no name")):
        with pytest.raises(gc.InputError) as caught:
            function(tmp_path / "run.npz", w)
        lines = str(caught.value).splitlines()
        assert lines[0] == f"{text}: got Param, expected each part by name"
        assert lines[-1] == f"  hint: gc.{function.__name__}(path, model=model)"
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(gc.MissingFileError) as caught:
        gc.save(tmp_path / "no" / "run.npz", epoch=1)
    lines = str(caught.value).splitlines()
    folder = str((tmp_path / "no").resolve())
    assert (
        lines[0]
        == f"cannot write {tmp_path / 'no' / 'run.npz'}: got no folder {folder!r}, expected a folder that is there"
    )
    assert lines[-1] == "  hint: pathlib.Path(folder).mkdir(parents=True)"
