"""Integer functions for generated kernels, as text: NumPy's results, from plain Python that numba compiles.

They are written once for int64 (suffix ``_i64``) and once for uint64 (``_u64``); the text for another width is the same
with that width in place of 64, which stands for nothing else in them. numba widens small integers, NumPy wraps them:
each result is converted back. Types are spelled out because numba makes float64 of int64 beside uint64.

As in `vecmath`, generated files define the decorator ``helper``, and uncompiled functions may emit NumPy's warnings.
"""

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType

import numpy as np

from graphc.codegen.vecmath_row import Key
from graphc.ops import philox


@dataclass(frozen=True)
class IntFunction:
    """The function of one width that comes from a definition for 64 bits."""

    definition: Callable[..., object]
    bits: int
    needs: tuple[Key, ...] = ()

    @property
    def name(self) -> str:
        """The name to call in generated code, such as `floor_divide_i8`."""
        return self._at_width(self.definition.__name__)

    @cached_property
    def source(self) -> str:
        """The text of the `def`, without a decorator, ending in one newline."""
        return self._at_width(inspect.getsource(self.definition).rstrip()) + "\n"

    @property
    def key(self) -> Key:
        """The key in `FUNCTIONS`: `floor_divide_i8` is `("floor_divide", "int8")`."""
        stem, _, suffix = self.name.rpartition("_")
        return stem, f"{'int' if suffix[0] == 'i' else 'uint'}{self.bits}"

    def _at_width(self, text: str) -> str:
        return text.replace("64", str(self.bits))


# signed


def floor_divide_i64(x: np.int64, y: np.int64) -> np.int64:
    # x // 0 is 0; x // -1 is -x, which wraps for the least integer, where the machine's division would trap
    divisor = np.int64(1) if y == np.int64(0) or y == np.int64(-1) else y
    quotient = -x if y == np.int64(-1) else x // divisor
    return np.int64(0) if y == np.int64(0) else np.int64(quotient)


def remainder_i64(x: np.int64, y: np.int64) -> np.int64:
    # x % 0 and x % -1 are 0, as x % 1 is
    divisor = np.int64(1) if y == np.int64(0) or y == np.int64(-1) else y
    return np.int64(x % divisor)


def pow_i64(x: np.int64, y: np.int64) -> np.int64:
    # by squaring, with wrap-around; 0 for a negative exponent
    result = np.int64(1) if y >= np.int64(0) else np.int64(0)
    base = x
    left = y
    while left > np.int64(0):
        if left & np.int64(1):
            result = np.int64(result * base)
        base = np.int64(base * base)
        left = np.int64(left >> np.int64(1))
    return result


def shift_left_i64(x: np.int64, y: np.int64) -> np.int64:
    inside = y >= np.int64(0) and y < np.int64(64)
    shifted = np.int64(x << (y if inside else np.int64(0)))
    return shifted if inside else np.int64(0)


def shift_right_i64(x: np.int64, y: np.int64) -> np.int64:
    # a shift by bits - 1 leaves copies of the sign alone
    inside = y >= np.int64(0) and y < np.int64(64)
    return np.int64(x >> (y if inside else np.int64(64 - 1)))


def abs_i64(x: np.int64) -> np.int64:
    return np.int64(-x if x < np.int64(0) else x)


def sign_i64(x: np.int64) -> np.int64:
    return np.int64(np.int64(x > np.int64(0)) - np.int64(x < np.int64(0)))


def maximum_i64(x: np.int64, y: np.int64) -> np.int64:
    return x if x > y else y


def minimum_i64(x: np.int64, y: np.int64) -> np.int64:
    return x if x < y else y


# unsigned


def floor_divide_u64(x: np.uint64, y: np.uint64) -> np.uint64:
    divisor = np.uint64(1) if y == np.uint64(0) else y
    return np.uint64(0) if y == np.uint64(0) else np.uint64(x // divisor)


def remainder_u64(x: np.uint64, y: np.uint64) -> np.uint64:
    divisor = np.uint64(1) if y == np.uint64(0) else y
    return np.uint64(x % divisor)


def pow_u64(x: np.uint64, y: np.uint64) -> np.uint64:
    result = np.uint64(1)
    base = x
    left = y
    while left > np.uint64(0):
        if left & np.uint64(1):
            result = np.uint64(result * base)
        base = np.uint64(base * base)
        left = np.uint64(left >> np.uint64(1))
    return result


def shift_left_u64(x: np.uint64, y: np.uint64) -> np.uint64:
    inside = y < np.uint64(64)
    shifted = np.uint64(x << (y if inside else np.uint64(0)))
    return shifted if inside else np.uint64(0)


def shift_right_u64(x: np.uint64, y: np.uint64) -> np.uint64:
    inside = y < np.uint64(64)
    shifted = np.uint64(x >> (y if inside else np.uint64(0)))
    return shifted if inside else np.uint64(0)


def abs_u64(x: np.uint64) -> np.uint64:
    return x


def sign_u64(x: np.uint64) -> np.uint64:
    return np.uint64(x > np.uint64(0))


def maximum_u64(x: np.uint64, y: np.uint64) -> np.uint64:
    return x if x > y else y


def minimum_u64(x: np.uint64, y: np.uint64) -> np.uint64:
    return x if x < y else y


_SIGNED = (
    *(floor_divide_i64, remainder_i64, pow_i64, shift_left_i64, shift_right_i64),
    *(abs_i64, sign_i64, maximum_i64, minimum_i64),
)
_UNSIGNED = (
    *(floor_divide_u64, remainder_u64, pow_u64, shift_left_u64, shift_right_u64),
    *(abs_u64, sign_u64, maximum_u64, minimum_u64),
)
ROWS = (
    *[IntFunction(definition, bits) for definition in (*_SIGNED, *_UNSIGNED) for bits in (8, 16, 32, 64)],
    *[IntFunction(definition, 64) for definition in philox.FUNCTIONS],
)
FUNCTIONS: Mapping[Key, IntFunction] = MappingProxyType({row.key: row for row in ROWS})


def source_for(names: Iterable[Key]) -> str:
    """The text of the named functions, each `def` preceded by a line `@helper`; the same for any order of `names`.

    The text uses the names `np` and `helper` and nothing else from outside.

    >>> print(source_for([("maximum", "int8")]), end="")
    @helper
    def maximum_i8(x: np.int8, y: np.int8) -> np.int8:
        return x if x > y else y
    """
    return "\n\n".join(f"@helper\n{FUNCTIONS[key].source}" for key in sorted(set(names)))
