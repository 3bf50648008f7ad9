"""Random bits: the primitive `philox`, a counter-based generator, and two that make something of its bits.

Philox4x32-10 (Salmon, Moraes, Dror, Shaw: Parallel random numbers: as easy as 1, 2, 3, SC 2011) is a keyed bijection of
128-bit counters that passes the statistical tests of TestU01. Every element of a draw has a counter, so a block of 128
random bits, of its own: there is no state, and any element may be computed anywhere, in any order, by any thread.

Each meaning is one Python function of exact or correctly rounded operations on 64-bit numbers, without branches on
data. NumPy runs it on arrays, generated kernels have its text: the bits are the same wherever a graph runs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..ir.apply import apply
from ..ir.dtypes import FLOAT64
from ..ir.expr import Call, call
from ..ir.lowering import Map, Refused
from ..ir.op import Aval, Op, Require
from .batching import batch_elementwise
from .common import elementwise_infer
from .forms import at_points, by_name

_BITS = Refused("it is about the bits of machine integers")
_BLOCK = 8192
"""Elements computed at once by NumPy: what they need stays in cache."""


def philox_u64(position: Any, high: Any, key: Any, half: Any) -> Any:
    # Philox4x32-10 of the counter (position, high): four 32-bit words a, b, c, d; half 0 is a and b, half 1 c and d.
    # Bits above the 32 of a word are junk that is cut off where the word is multiplied, and at the end.
    low, shift = np.uint64(0xFFFFFFFF), np.uint64(32)
    a, b, c, d = position, position >> shift, high, high >> shift
    k, l = key & low, key >> shift
    for _ in range(10):
        p = (a & low) * np.uint64(0xD2511F53)
        q = (c & low) * np.uint64(0xCD9E8D57)
        a, b, c, d = (q >> shift) ^ b ^ k, q, (p >> shift) ^ d ^ l, p
        k = k + np.uint64(0x9E3779B9)
        l = l + np.uint64(0xBB67AE85)
    first = a if half == np.uint64(0) else c
    second = b if half == np.uint64(0) else d
    return np.uint64(first & low | second << shift)


def multiply_high_u64(x: Any, y: Any) -> Any:
    # the upper half of the 128-bit product, from the products of 32-bit halves
    low, shift = np.uint64(0xFFFFFFFF), np.uint64(32)
    a, b, c, d = x >> shift, x & low, y >> shift, y & low
    middle = (b * d >> shift) + (a * d & low) + (b * c & low)
    return np.uint64(a * c + (a * d >> shift) + (b * c >> shift) + (middle >> shift))


def box_muller_u64(first: Any, second: Any) -> Any:
    # sqrt(-2 log u) cos(2 pi v), u = (first >> 11) + 1 and v = second >> 11 in units of 2^-53
    # log u = (e - 53) log 2 + log m, m from sqrt(1/2) to sqrt(2); log m = 2 atanh(s), minimax fit to 2^-57
    bits = np.float64((first >> np.uint64(11)) + np.uint64(1)).view(np.int64)
    e = (bits - np.int64(0x3FE6A09E667F3BCD)) >> np.int64(52)
    m = np.int64(bits - (e << np.int64(52))).view(np.float64)
    s = (m - 1.0) / (m + 1.0)
    z = s * s
    p = 0.22222211077377063 + z * (0.18182892888697738 + z * (0.15331607918548532 + z * 0.14617737345511414))
    p = 0.666666666666667 + z * (0.39999999999898506 + z * (0.285714286263714 + z * p))
    minus_log = np.float64(np.int64(53) - e) * 0.6931471805599453 - s * (2.0 + z * p)
    # cos(2 pi v) = sin(2 pi t), |t| <= 1/4, exact until here; minimax fit to 2^-61
    t = abs(np.float64(second >> np.uint64(11)) * 1.1102230246251565e-16 - 0.5) - 0.25
    w = t * t
    q = 3.8199270504679106 + w * (-0.717723580052401 + w * 0.10085633036793827)
    q = -76.7058597527985 + w * (42.05869392378521 + w * (-15.09464162050932 + w * q))
    q = 6.283185307179586 + w * (-41.341702240399755 + w * (81.60524927607341 + w * q))
    return np.sqrt(2.0 * minus_log) * (t * q)


FUNCTIONS = (philox_u64, multiply_high_u64, box_muller_u64)
"""What generated kernels have the text of: it names `np` and nothing else."""


def _blocks(function: Callable[..., Any], dtype: Any, *operands: np.ndarray, **attrs: int) -> np.ndarray:
    """A function of uint64 arrays of one shape, on blocks of their elements; a broadcast number stays one."""
    flat = [x.reshape(-1) if any(x.strides) else x.reshape(-1)[:1] for x in operands]
    out = np.empty(operands[0].shape, dtype)
    into = out.reshape(-1)
    for k in range(0, into.size, _BLOCK):
        into[k : k + _BLOCK] = function(*[x if x.size == 1 else x[k : k + _BLOCK] for x in flat], **attrs)
    return out


_COUNTERS = (
    (0, 2**64 - 1, 0x85A308D3_243F6A88, 1, 2**48),
    (0, 2**64 - 1, 0x03707344_13198A2E, 0, 7),
    (0, 2**64 - 1, 0x299F31D0_A4093822, 0, 2**32),
)
"""Those of the known answers published with the generator, and more."""

PHILOX = Op(
    "philox",
    elementwise_infer,
    lambda position, high, key, half: _blocks(philox_u64, np.uint64, position, high, key, half=half),
    Map(lambda position, high, key, half: call("philox", position, high, key, half)),
    vjp=(None, None, None),
    jvp=(None, None, None),
    batch=batch_elementwise,
    sympy=_BITS,
    samples=tuple(at_points(*_COUNTERS, dtype="uint64")._replace(attrs={"half": half}) for half in (0, 1)),
    traits=frozenset({"integer", "random"}),
)

_EDGES = (0, 1, 2**32 - 1, 2**32, 2**63, 2**64 - 1)
_PAIRS = (at_points(_EDGES * len(_EDGES), tuple(y for y in _EDGES for _ in _EDGES), dtype="uint64"),)

MULTIPLY_HIGH = Op(
    "multiply_high",
    elementwise_infer,
    lambda x, y: _blocks(multiply_high_u64, np.uint64, x, y),
    by_name("multiply_high"),
    vjp=(None, None),
    jvp=(None, None),
    batch=batch_elementwise,
    sympy=_BITS,
    samples=_PAIRS,
    traits=frozenset({"commutative", "integer"}),
)


def _float_infer(require: Require, *avals: Aval) -> Aval:
    return Aval(elementwise_infer(require, *avals).shape, FLOAT64)


BOX_MULLER = Op(
    "box_muller",
    _float_infer,
    lambda first, second: _blocks(box_muller_u64, np.float64, first, second),
    Map(lambda first, second: Call("box_muller", (first, second), FLOAT64)),
    vjp=(None, None),
    jvp=(None, None),
    batch=batch_elementwise,
    sympy=_BITS,
    samples=_PAIRS,
)


def philox(position: Any, high: Any, key: Any, half: int) -> Any:
    """64 random bits for each element: half 0 or 1 of the Philox4x32-10 block of a 128-bit counter.

    position  the lower 64 bits of the counter, uint64 as the others
    high      the upper 64 bits
    key       the two words of the key, the first in the lower 32 bits

    >>> import graphc as gc
    >>> zero = gc.constant(0, "uint64")
    >>> hex(int(philox(zero, zero, zero, 0)))
    '0xe169c58d6627e8d5'
    """
    return apply(PHILOX, position, high, key, half=half)


def multiply_high(x: Any, y: Any) -> Any:
    """The upper 64 bits of the 128-bit product of two uint64.

    >>> import graphc as gc
    >>> int(multiply_high(gc.constant(2**63, "uint64"), gc.constant(6, "uint64")))
    3
    """
    return apply(MULTIPLY_HIGH, x, y)


def box_muller(first: Any, second: Any) -> Any:
    """A normal number, float64, of 2 * 64 random bits: ``sqrt(-2 log u) cos(2 pi v)``, u in (0, 1] and v in [0, 1).

    u and v have 53 bits each, so that the result is at most 8.6. Its error is a few units in the last place.

    >>> import graphc as gc
    >>> float(box_muller(gc.constant(2**63, "uint64"), gc.constant(0, "uint64")))  # sqrt(2 log 2)
    1.1774100225154744
    """
    return apply(BOX_MULLER, first, second)


ROWS = (PHILOX, MULTIPLY_HIGH, BOX_MULLER)
