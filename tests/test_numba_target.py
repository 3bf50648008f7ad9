"""The target that generated functions are compiled for: what of numba it loads, and that numba's own is left alone."""

import os
import subprocess
import sys
from pathlib import Path

import numba
import numpy as np
import pytest
from numba import types
from numba.core.errors import TypingError

import graphc as gc
from graphc.codegen import prelude
from graphc.runtime import files

STEP = """
import sys
import numpy as np
import graphc as gc

x, w = gc.input("x", ("n",)), gc.param(0.5, "w")
loss = gc.mean((gc.sin(w * x) - x) ** 2)
(slope,) = gc.grad(loss, [w])
step = gc.compile([x], loss, {w: w - 0.1 * slope})
value = step(np.linspace(0.0, 1.0, 50))
"""
UNUSED = ("numba.np.arrayobj", "numba.np.npyimpl", "numba.np.linalg", "numba.cpython.unicode", "scipy.linalg")


def test_no_more_of_numba_is_loaded_than_kernels_need() -> None:
    code = STEP + f"print([name for name in {UNUSED} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert found.stdout == "[]\n", found.stderr


def test_functions_of_the_user_are_compiled_as_ever() -> None:
    """Before and after, in the same process: with what the target of generated functions does not have."""
    code = """
import numba
import numpy as np

@numba.njit
def dot(a, b):
    return np.dot(a, b)[-1], str(len(a)), np.array([1.5])[-1]

@numba.njit(parallel=True)
def total(a):
    found = 0.0
    for i in numba.prange(a.size):
        found += a[i]
    return found

a = np.eye(3)
first = dot(a, a[1])
{step}
second = dot(a.T[::-1], a[1]), total(np.arange(10.0))
print(first, second)
"""
    found = subprocess.run([sys.executable, "-c", code.replace("{step}", STEP)], capture_output=True, text=True)
    assert found.stdout == "(0.0, '3', 1.5) ((0.0, '3', 1.5), 45.0)\n", found.stderr


def kernel(body: str) -> object:
    """A kernel of two float64 arrays `x` and `y` of `n` numbers."""
    lines = ["@kernel", "def k(m, o, chunk, finish, slot):", "    n = size(m, o, 0)"]
    lines += [f"    {name} = array(m, o, {k}, (n,), float64)" for k, name in enumerate("xy", 1)]
    return files.load("\n".join([prelude.HEADER, *lines, *[f"    {line}" for line in body.split("\n")]]) + "\n").k


def test_ranges_and_extrema_are_those_of_python() -> None:
    x, y = np.zeros(60), np.zeros(60)
    body = """\
p = 0
for start in range(-2, 3):
    for stop in (-3, 0, 4):
        for step in (-2, -1, 1, 3):
            found = 100 * start
            for i in range(start, stop, step):
                found = 10 * found + i
            x[p] = found
            y[p] = max(start, stop, step) - 7 * min(start, stop)
            p += 1"""
    table = np.array([60, x.ctypes.data, y.ctypes.data, 0, 1, 2])
    kernel(body).ctypes(table.ctypes.data, 3, 0, 1, 0)
    wanted_x, wanted_y = np.zeros(60), np.zeros(60)
    exec(body, {"x": wanted_x, "y": wanted_y})
    np.testing.assert_array_equal(x, wanted_x)
    np.testing.assert_array_equal(y, wanted_y)


@pytest.mark.parametrize("line", ["y[0] = x[-1:1]", "y = x + x", "y[0] = np.exp(x[0])", "y[0] = len('a')"])
def test_what_it_does_not_have_is_refused(line: str) -> None:
    with pytest.raises(TypingError):
        kernel(line)


def test_numbers_of_another_type_are_written_as_that_of_the_array() -> None:
    x, y = np.zeros(2), np.zeros(2)
    table = np.array([2, x.ctypes.data, y.ctypes.data, 0, 1, 2])
    kernel("x[0] = 3\ny[1] = x[0] > 2").ctypes(table.ctypes.data, 3, 0, 1, 0)
    assert x[0] == 3.0 and y[1] == 1.0


def test_its_types_say_what_they_are() -> None:
    from graphc.codegen.arrays import Array, Matrix

    assert str(Array(types.float64, 2)) == "graphc.Array(float64, 2)"
    assert Array(types.float64, 2) == Array(types.float64, 2) != Array(types.float64, 1)
    assert Matrix(types.float32, True) != Matrix(types.float32, False)
    assert numba.typeof(np.ones(2)) == types.Array(types.float64, 1, "C")


@pytest.mark.parametrize("dtype", ["uint8", "uint64", "int8", "int64"])
def test_extrema_of_integers_of_every_width(dtype: str) -> None:
    limits = np.iinfo(dtype)
    x = np.array([limits.max, 1, limits.min, limits.max - 1, 7], dtype)
    given = gc.input("x", ("n",), dtype)
    found = gc.compile([given], [gc.max(given), gc.min(given), gc.argmax(given), gc.maximum(given, given[::-1])])(x)
    for value, wanted in zip(found, [x.max(), x.min(), x.argmax(), np.maximum(x, x[::-1])], strict=True):
        np.testing.assert_array_equal(value, wanted)
        assert value.dtype == wanted.dtype


@pytest.mark.skipif(os.cpu_count() == 1, reason="a step runs in several threads where there are several cores")
def test_a_second_process_loads_the_code_of_several_threads(tmp_path: Path) -> None:
    code = """
import numpy as np
import graphc as gc
from graphc.runtime.files import compile_counter

x = gc.input("x", ("n",))
step = gc.compile([x], gc.sum(gc.sin(x) * x), threads=2)
print(step(np.linspace(0, 50, 1000001)), compile_counter() > 0)
"""
    env = os.environ | {"GRAPHC_CACHE_DIR": str(tmp_path)}
    found = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env) for _ in range(2)]
    first, second = ((run.stdout or run.stderr).split() for run in found)
    assert first[1:] == ["True"] and second == [first[0], "False"]


@pytest.mark.skipif(os.cpu_count() == 1, reason="a step runs in several threads where there are several cores")
def test_a_step_leaves_the_number_of_threads_as_the_user_set_it() -> None:
    x = gc.input("x", ("n",))
    step = gc.compile([x], gc.sum(gc.sin(x) * x), threads=2)
    values, before = np.linspace(0, 50, 1000001), numba.get_num_threads()
    first = step(values)
    numba.set_num_threads(1)
    try:
        assert step(values) == first
        assert numba.get_num_threads() == 1
    finally:
        numba.set_num_threads(before)
