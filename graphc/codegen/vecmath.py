"""Scalar math functions for generated kernels, as text: `FUNCTIONS` lists them, `source_for` writes them.

The functions are ordinary Python on NumPy scalars and mean the same, bit for bit, when numba compiles them. A generated
file defines the decorator before the pasted text:

    helper = njit(error_model="numpy", forceinline=True)

`error_model="numpy"` lets a division by zero give inf or nan, as NumPy does, where numba's default raises;
`forceinline=True` puts the text into the calling loop, where LLVM can vectorise it. Fast-math flags must stay off.
Uncompiled, the functions may emit NumPy's floating-point warnings: run them under `np.errstate(all="ignore")`.
"""

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from graphc.codegen import vecmath_plain
from graphc.codegen.vecmath_row import Function

Key = tuple[str, str]

FUNCTIONS: Mapping[Key, Function] = MappingProxyType({
    row.key: row for module in (vecmath_plain,) for row in module.ROWS
})  # fmt: skip

_KEY_OF_NAME: Mapping[str, Key] = MappingProxyType({row.name: key for key, row in FUNCTIONS.items()})


def needs(key: Key) -> tuple[Key, ...]:
    """The keys of the functions that `key`'s function calls, in order of first use."""
    return tuple(_KEY_OF_NAME[name] for name in FUNCTIONS[key].calls if name in _KEY_OF_NAME)


def closure(keys: Iterable[Key]) -> tuple[Key, ...]:
    """`keys` and all they need, each once, callees before callers; the same for any order of `keys`."""
    ordered: dict[Key, None] = {}
    pending = sorted(set(keys), reverse=True)
    while pending:
        key = pending[-1]
        missing = [need for need in needs(key) if need not in ordered]
        if missing and key not in ordered:
            pending.extend(reversed(missing))
        else:
            ordered[pending.pop()] = None
    return tuple(ordered)


def source_for(names: Iterable[Key]) -> str:
    """The text of the named functions and all they call, each `def` preceded by a line `@helper`.

    The text uses the names `np`, `math` and `helper` and nothing else from outside.

    >>> print(source_for([("trunc", "float64")]), end="")
    @helper
    def trunc_f64(x: np.float64) -> np.float64:
        return np.trunc(x)
    """
    return "\n\n".join(f"@helper\n{FUNCTIONS[key].source}" for key in closure(names))
