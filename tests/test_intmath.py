"""The integer functions of generated kernels: NumPy's results, compiled and as plain Python, on every edge."""

import numpy as np
import pytest
from numba import njit

from graphc.codegen import intmath

REFERENCE = {
    "floor_divide": np.floor_divide,
    "remainder": np.remainder,
    "pow": lambda x, y: np.where(y < 0, x.dtype.type(0), np.power(x, np.maximum(y, x.dtype.type(0)))),
    "shift_left": np.left_shift,
    "shift_right": np.right_shift,
    "maximum": np.maximum,
    "minimum": np.minimum,
    "abs": lambda x, y: np.abs(x),
    "sign": lambda x, y: np.sign(x),
}


def edges(dtype):
    """Every pair of the values at which an integer function can go wrong."""
    info = np.iinfo(dtype)
    values = {info.min, info.min + 1, info.max - 1, info.max, 0, 1, 2, 3, 7, 8, info.bits - 1, info.bits}
    values |= {-1, -2, -7} if info.min else set()
    line = np.array(sorted(v for v in values if info.min <= v <= info.max), dtype)
    x, y = np.meshgrid(line, line)
    return x.ravel(), y.ravel()


def compiled(text, scope):
    """The function ``drive`` that `text` defines, given its decorators."""
    exec(text, scope)
    return scope["drive"]


@pytest.mark.parametrize("jit", [False, True], ids=["plain", "compiled"])
@pytest.mark.parametrize("dtype", ["int8", "int64", "uint8", "uint64", "int32", "uint16"])
def test_values(dtype, jit):
    keys = [key for key in intmath.FUNCTIONS if key[1] == dtype and key[0] in REFERENCE]
    assert [name for name, _ in keys] and {name for name, _ in keys} == set(REFERENCE)
    calls = [f"{intmath.FUNCTIONS[key].name}({'x[k]' if key[0] in ('abs', 'sign') else 'x[k], y[k]'})" for key in keys]
    lines = "".join(f"        out[{i}, k] = {call}\n" for i, call in enumerate(calls))
    text = intmath.source_for(keys) + f"\n\n@outer\ndef drive(x, y, out):\n    for k in range(x.size):\n{lines}"
    if jit:
        scope = {"np": np, "helper": njit(error_model="numpy", forceinline=True), "outer": njit(error_model="numpy")}
    else:
        scope = {"np": np, "helper": lambda f: f, "outer": lambda f: f}
    x, y = edges(dtype)
    out = np.zeros((len(keys), x.size), dtype)
    with np.errstate(all="ignore"):
        compiled(text, scope)(x, y, out)
        for (name, _), found in zip(keys, out, strict=True):
            np.testing.assert_array_equal(found, REFERENCE[name](x, y), err_msg=name)


def test_text_of_every_width_names_only_that_width():
    for row in intmath.ROWS:
        assert row.needs == ()
        assert row.source.startswith(f"def {row.name}(")
        if row.bits != 64:
            assert "64" not in row.source
        assert row.key[1] in row.source
    assert intmath.source_for([("abs", "int8"), ("sign", "int8")]) == intmath.source_for(
        [("sign", "int8"), ("abs", "int8")]
    )
