"""Scalar math functions for generated kernels, as text: `FUNCTIONS` lists them, `source_for` writes them.

The functions are ordinary Python on NumPy scalars and mean the same, bit for bit, when numba compiles them for a
processor that multiplies and adds in one instruction (`fused`). A generated
file defines the decorator before the pasted text:

    helper = njit(error_model="numpy", forceinline=True)

`error_model="numpy"` lets a division by zero give inf or nan, as NumPy does, where numba's default raises;
`forceinline=True` puts the text into the calling loop, where LLVM can vectorise it. Fast-math flags must stay off.
Uncompiled, the functions may emit NumPy's floating-point warnings: run them under `np.errstate(all="ignore")`.
"""

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from graphc.codegen import (
    vecmath_arc,
    vecmath_cbrt,
    vecmath_double,
    vecmath_erf,
    vecmath_exp,
    vecmath_gamma,
    vecmath_log,
    vecmath_log1p,
    vecmath_pow,
    vecmath_round,
    vecmath_trig_f32,
    vecmath_trig_f64,
)
from graphc.codegen.vecmath_row import Function, Key

_MODULES = (
    vecmath_round,
    vecmath_double,
    vecmath_exp,
    vecmath_log,
    vecmath_log1p,
    vecmath_pow,
    vecmath_cbrt,
    vecmath_trig_f32,
    vecmath_trig_f64,
    vecmath_arc,
    vecmath_erf,
    vecmath_gamma,
)

FUNCTIONS: Mapping[Key, Function] = MappingProxyType({row.key: row for module in _MODULES for row in module.ROWS})


def closure(keys: Iterable[Key]) -> tuple[Key, ...]:
    """`keys` and all they need, each once, callees before callers; the same for any order of `keys`."""
    ordered: dict[Key, None] = {}
    pending = sorted(set(keys), reverse=True)
    while pending:
        key = pending[-1]
        missing = [need for need in FUNCTIONS[key].needs if need not in ordered]
        if missing and key not in ordered:
            pending.extend(reversed(missing))
        else:
            ordered[pending.pop()] = None
    return tuple(ordered)


def source_for(names: Iterable[Key]) -> str:
    """The text of the named functions and all they call, each `def` preceded by a line `@helper`.

    The text uses the names `np`, `helper`, `fma` and `FUSED` (see `fused`) and nothing else from outside. Constant
    tables come first.

    >>> print(source_for([("trunc", "float64")]), end="")
    @helper
    def trunc_f64(x: float) -> float:
        return np.trunc(x)
    """
    rows = [FUNCTIONS[key] for key in closure(names)]
    tables = dict.fromkeys(table for row in rows for table in row.tables)
    return "\n\n".join([table.source for table in tables] + [f"@helper\n{row.source}" for row in rows])
