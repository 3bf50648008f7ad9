"""What the threads of a block combine, as text: one function for each operation and dtype.

Each thread has a value; the warps combine theirs by exchanging with the lane half a warp away, then a quarter, and so
on; the results of the warps stand in shared memory and are combined in their order. So the order is the same each time,
and every thread gets the result.
"""

from __future__ import annotations

import numpy as np

from ..ir.dtypes import BOOL, DType

BARRIER = "cuda.syncthreads()"
_CARRIERS = {**dict.fromkeys(("bool_", "int8", "int16", "uint8", "uint16", "uint32"), "int32"), "uint64": "int64"}
"""What a value travels as between lanes: these move 32 and 64 bits, of integers and floats."""

_COMBINED = {"add": "x + y", "mul": "x * y", "or": "x | y", "and": "x & y"}


def type_name(dtype: DType) -> str:
    """What generated code calls a dtype."""
    return "bool_" if dtype == BOOL else dtype.name


def block_function(name: str) -> str:
    """The text of ``block_<op>_<dtype>``: combines a value of each thread; for argmax and argmin, with its position.

    Of ``scan_<op>_<dtype>``: the running combination.
    """
    what, op, kind = name.split("_")
    dtype = np.dtype(kind)
    if what == "scan":
        return _running(name, op, dtype)
    if op.startswith("arg"):
        return _best(name, op, dtype)
    kind = type_name(dtype)
    if dtype == BOOL:
        op = {"add": "or", "mul": "and", "max": "or", "min": "and"}.get(op, op)
    if op in ("max", "min"):
        combined = f"{op}{'imum' if dtype.kind == 'f' else ''}(y, x)"
    else:
        combined = _COMBINED[op]
    return f'''\
@helper
def {name}(x):
    """The x of all threads of the block combined, the same for each of them."""
    step = WARP // 2
    while step > 0:
        y = {_exchanged("x", kind)}
        x = {kind}({combined})
        step //= 2
    parts = cuda.shared.array(32, {kind})
    thread = cuda.threadIdx.x
    cuda.syncthreads()
    if thread % WARP == 0:
        parts[thread // WARP] = x
    cuda.syncthreads()
    x = parts[0]
    for k in range(1, cuda.blockDim.x // WARP):
        y = parts[k]
        x = {kind}({combined})
    return x
'''


def _running(name: str, op: str, dtype: DType) -> str:
    kind = type_name(dtype)
    sign = {"add": "|" if dtype == BOOL else "+", "mul": "&" if dtype == BOOL else "*"}[op]
    return f'''\
@helper
def {name}(x, before):
    """The x of the threads up to this one combined, behind what was before; and those of all threads."""
    parts = cuda.shared.array(BLOCK, {kind})
    thread = cuda.threadIdx.x
    cuda.syncthreads()
    parts[thread] = x
    cuda.syncthreads()
    step = 1
    while step < cuda.blockDim.x:
        if thread >= step:
            x = {kind}(parts[thread - step] {sign} x)
        cuda.syncthreads()
        parts[thread] = x
        cuda.syncthreads()
        step *= 2
    return {kind}(before {sign} x), {kind}(before {sign} parts[cuda.blockDim.x - 1])
'''


def _exchanged(value: str, kind: str) -> str:
    carrier = _CARRIERS.get(kind)
    return f"exchanged({value}, step)" if carrier is None else f"{kind}(exchanged({carrier}({value}), step))"


def _best(name: str, op: str, dtype: DType) -> str:
    kind, sign = type_name(dtype), ">" if op == "argmax" else "<"
    nan = "    if (y != y) != (x != x):\n        return y != y\n" if dtype.kind == "f" else ""
    return f'''\
@helper
def before_{name}(x, p, y, q):
    """Whether y at position q comes before x at p: it is the better one, a nan, or the same at an earlier position."""
    if p < 0 or q < 0:
        return q >= 0
{nan}    if y {sign} x:
        return True
    if x {sign} y:
        return False
    return q < p


@helper
def {name}(x, p):
    """The best x of all threads of the block, and its position, the same for each of them; -1 is none."""
    step = WARP // 2
    while step > 0:
        y = {_exchanged("x", kind)}
        q = exchanged(p, step)
        if before_{name}(x, p, y, q):
            x = y
            p = q
        step //= 2
    parts = cuda.shared.array(32, {kind})
    places = cuda.shared.array(32, int64)
    thread = cuda.threadIdx.x
    cuda.syncthreads()
    if thread % WARP == 0:
        parts[thread // WARP] = x
        places[thread // WARP] = p
    cuda.syncthreads()
    x = parts[0]
    p = places[0]
    for k in range(1, cuda.blockDim.x // WARP):
        if before_{name}(x, p, parts[k], places[k]):
            x = parts[k]
            p = places[k]
    return x, p
'''
