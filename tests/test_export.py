"""An exported file gives the same bits as the step, knows its errors, and never imports graphc."""

from __future__ import annotations

import json
import os
import pickle
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from messages import text_of
from readable import gather, line_fit, softmax_row

import graphc as gc
from graphc.ir.tree import flatten

_RUN = """
import sys
sys.modules["graphc"] = None  # importing it is an error from here on
import numpy as np
from exported import step
data = np.load("inputs.npz")
inputs = [data[k] for k in data.files]
for _ in range(3):
    out = step(*inputs)
def leaves(value):
    if isinstance(value, dict):
        value = list(value.values())
    return [leaf for v in value for leaf in leaves(v)] if isinstance(value, (list, tuple)) else [value]
np.savez("outputs.npz", *leaves(out), *step.params.values())
"""


def check(step: gc.Step, inputs: list[np.ndarray], folder: Path, **env: str) -> None:
    """Three calls here and three of the exported file elsewhere: outputs and params agree to the bit."""
    step.export(folder / "exported.py")
    np.savez(folder / "inputs.npz", *inputs)
    for _ in range(3):
        out = step(*inputs)
    found = run(_RUN, folder, **env)
    assert found.returncode == 0, found.stderr
    data = np.load(folder / "outputs.npz")
    ours = [*flatten(out)[1], *[p.value for p in step.graph.params]]
    theirs = [data[k] for k in data.files]
    for one, other in zip(ours, theirs, strict=True):
        assert (np.asarray(one).dtype, np.shape(one), np.asarray(one).tobytes()) == (
            other.dtype,
            other.shape,
            other.tobytes(),
        )


def run(code: str, folder: Path, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        check=False,
    )


def everything() -> gc.Step:
    """Many dtypes and kinds of buffers, a large param, an array constant, derived sizes, a product, a sort."""
    x = gc.input("x", ("n", 4), "float32")
    flags = gc.input("flags", "n", "bool")
    k = gc.input("k", (), "int64")
    w = gc.param(np.linspace(-1, 1, 400, dtype="float32").reshape(4, 100), name="w")
    count = gc.param(0, name="count")
    table = gc.constant(np.array([0.5, -0.0, np.inf], "float64"))
    h = gc.tanh(x @ w)
    loss = gc.mean(gc.where(flags, gc.sum(h, axis=1), 0.5))
    picked = gc.take(table, gc.reshape(k, (1,)), axis=0)
    result = {"loss": loss, "more": (gc.argsort(gc.sum(x, axis=1)), [gc.concat([flags, flags]), picked])}
    return gc.compile([x, flags, k], result, {w: w - 0.1 * gc.grad(loss, w), count: count + k})


@pytest.mark.parametrize("disabled", ["0", "1"])
@pytest.mark.parametrize("make", [line_fit, everything])
def test_same_bits(make: Any, disabled: str, tmp_path: Path, rng: np.random.Generator) -> None:
    if make is line_fit:
        inputs = [rng.standard_normal(11), rng.standard_normal(11)]
    else:
        x = rng.standard_normal((6, 4)).astype("float32")
        inputs = [x, np.array([1, 0, 1, 1, 0, 0], bool), np.array(2)]
    check(make(), inputs, tmp_path, NUMBA_DISABLE_JIT=disabled)


def test_export_holds_the_present_params(tmp_path: Path) -> None:
    step = line_fit()
    step([1.0, 2.0], [3.0, 5.0])
    step.export(tmp_path / "exported.py")
    found = run("from exported import step; print(step.params['a'], step.params['b'])", tmp_path, NUMBA_DISABLE_JIT="1")
    values = [float(v) for v in found.stdout.split()]
    assert values == [float(p.value) for p in step.graph.params]


def test_export_checks_its_inputs(tmp_path: Path) -> None:
    gather().export(tmp_path / "exported.py")
    code = """
import importlib, sys
import numpy as np
from exported import step
before = step.params["table"].copy()
def refused(kind, *args, **named):
    try:
        step(*args, **named)
    except kind as error:
        print(error)
    else:
        raise AssertionError(args)
refused(IndexError, [0, 4])
refused(TypeError, [0.5])
refused(ValueError, [[0]])
refused(TypeError)
refused(TypeError, [0], index=[0])
refused(TypeError, jndex=[0])
assert (step.params["table"] == before).all()
swapped = np.array([-1, 3], np.dtype(np.int64).newbyteorder())
found = step([-1, 3])
assert importlib.reload(sys.modules["exported"]).step(swapped) == found != 0
refused(ValueError, np.ma.array([0, 1], mask=[True, False]))
print(step([]))
"""
    found = run(code, tmp_path, NUMBA_DISABLE_JIT="1")
    assert found.returncode == 0, found.stderr
    lines = found.stdout.splitlines()
    assert lines[0].startswith("index out of range in gather at readable.py:")
    assert lines[1] == "input 'index' has the wrong dtype: got float64, expected int64"
    assert lines[2] == "input 'index' has the wrong rank: got 2, expected 1"
    assert lines[3] == "missing input: index"
    assert lines[-2] == "input 'index' has masked elements: fill them, as with value.filled(0)"
    assert lines[-1] == "0.0"


def test_export_checks_sizes(tmp_path: Path) -> None:
    line_fit().export(tmp_path / "exported.py")
    code = "from exported import step\ntry:\n    step([1.0], [1.0, 2.0])\nexcept ValueError as e:\n    print(e)"
    found = run(code, tmp_path, NUMBA_DISABLE_JIT="1")
    assert found.stdout == "input 'y' has the wrong size: got (2,), expected (1,)\n", found.stderr


def test_exported_text_is_deterministic_and_self_contained(tmp_path: Path) -> None:
    one = softmax_row().export(tmp_path / "one.py").read_text()
    other = softmax_row().export(tmp_path / "other.py").read_text()
    assert one == other
    assert "import graphc" not in one and "from graphc" not in one and "scipy" not in one


def test_certificate_goes_with_the_step(tmp_path: Path) -> None:
    """It is pickled and exported with the step it was made for; a step that was not verified says None."""
    step = line_fit()
    print_it = "from exported import step; print(step.certificate, end='')"
    step.export(tmp_path / "exported.py")
    assert step.certificate is None and run(print_it, tmp_path).stdout == "None"
    made = step.verify(terms=200)
    assert step.certificate is made and pickle.loads(pickle.dumps(step)).certificate == made
    step.export(tmp_path / "exported.py")
    text = run(print_it, tmp_path).stdout
    assert type(made).from_json(text) == made and json.loads(text) == json.loads(made.to_json())


def test_files_that_cannot_be_written(tmp_path: Path) -> None:
    step = line_fit()
    for path, error, text in (
        (
            tmp_path / "no" / "step.py", gc.MissingFileError,
            f"got no folder {str(tmp_path.resolve() / 'no')!r}, expected a folder that is there\n  at LINE\n"
            "  hint: pathlib.Path(folder).mkdir(parents=True)",
        ),
        (tmp_path, gc.FileError, "got a folder, expected the name of a file\n  at LINE"),
    ):  # fmt: skip
        with pytest.raises(OSError) as caught:
            step.export(path)
        assert (type(caught.value), text_of(caught.value)) == (error, f"cannot write {path}: {text}")
    assert not list(tmp_path.iterdir())


def test_an_export_that_fails_leaves_the_file_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    step, path = gc.compile([], [gc.param(1.0, name="w") * 2.0]), tmp_path / "exported.py"
    step.export(path)
    before = path.read_text()

    def full(self: Path, text: str, encoding: str) -> int:
        self.write_bytes(text.encode()[:100])
        raise OSError("no space left")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match="no space left"):
        step.export(path)
    assert path.read_text() == before and [p.name for p in tmp_path.iterdir()] == ["exported.py"]


def test_an_export_has_the_params_of_one_step(tmp_path: Path) -> None:
    params = [gc.param(0.0, name=f"p{k}") for k in range(30)]
    step = gc.compile([], [], {p: p + 1.0 for p in params})
    stop, interval = threading.Event(), sys.getswitchinterval()

    def train() -> None:
        while not stop.is_set():
            step()

    thread = threading.Thread(target=train)
    sys.setswitchinterval(1e-6)
    thread.start()
    try:
        for _ in range(10):
            text = step.export(tmp_path / "exported.py").read_text()
            assert len(set(re.findall(r"'p\d+': (?:np\.)?array\(([^,)]*)", text))) == 1
    finally:
        sys.setswitchinterval(interval)
        stop.set()
        thread.join()


def test_a_folder_of_stages_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(gc.errors.FileError) as caught:
        gc.compile([], [gc.param(1.0) * 2.0]).dump(tmp_path / "file")
    assert text_of(caught.value) == f"cannot write into {tmp_path / 'file'}: got a file, expected a folder\n  at LINE"
