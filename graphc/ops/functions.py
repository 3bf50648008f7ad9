"""Every public op function by name, with the other names that NumPy and PyTorch have for them.

Where spellings clash the Array API wins, then NumPy; a PyTorch spelling stands only where the name is free.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType, ModuleType
from typing import Any

from ..ir.apply import lift
from . import (
    activations,
    creation,
    cumulative,
    einsum,
    elementwise,
    exponential,
    indexing,
    joining,
    linalg,
    logic,
    movement,
    padding,
    piecewise,
    power,
    ranges,
    rearranging,
    reduction,
    rounding,
    sorting,
    special,
    statistics,
    structure,
    triangular,
    trigonometry,
)
from .movement import permute_dims, reshape

_GROUPS: dict[str, tuple[ModuleType, ...]] = {
    "arithmetic, comparison, selection": (elementwise,),
    "powers, exponentials, logarithms": (power, exponential),
    "trigonometric and hyperbolic": (trigonometry,),
    "special functions": (special,),
    "rounding, and functions smooth in pieces": (rounding, piecewise),
    "activations": (activations,),
    "logic and bits": (logic,),
    "creation": (creation, ranges),
    "diagonals and triangles": (triangular,),
    "shapes": (movement, rearranging),
    "joining, cutting, padding": (joining, padding),
    "indices and sorting": (indexing, sorting),
    "reductions and statistics": (reduction, statistics),
    "running sums and differences": (cumulative,),
    "linear algebra": (linalg, einsum),
    "a derivative of one's own": (structure,),
}
"""Where the functions stand, under the titles that a list of them has."""
_INTERNAL = frozenset({"gather", "item", "scatter_add", "scatter_set"})
_ALIASES = {
    # NumPy
    "absolute": "abs",
    "amax": "max",
    "amin": "min",
    "arccos": "acos",
    "arccosh": "acosh",
    "arcsin": "asin",
    "arcsinh": "asinh",
    "arctan": "atan",
    "arctan2": "atan2",
    "arctanh": "atanh",
    "around": "round",
    "bitwise_not": "bitwise_invert",
    "concatenate": "concat",
    "fabs": "abs",
    "fix": "trunc",
    "invert": "bitwise_invert",
    "left_shift": "bitwise_left_shift",
    "mod": "remainder",
    "power": "pow",
    "right_shift": "bitwise_right_shift",
    "rint": "round",
    "true_divide": "divide",
    # PyTorch
    "bmm": "matmul",
    "cat": "concat",
    "clamp": "clip",
    "div": "divide",
    "eq": "equal",
    "ge": "greater_equal",
    "gt": "greater",
    "le": "less_equal",
    "logsigmoid": "log_sigmoid",
    "lt": "less",
    "mm": "matmul",
    "mul": "multiply",
    "mv": "matmul",
    "ne": "not_equal",
    "neg": "negative",
    "permute": "permute_dims",
    "sub": "subtract",
    "unsqueeze": "expand_dims",
}


def transpose(x: Any, /, axes: Any = None) -> Any:
    """The axes in another order: axis k of the result is axis ``axes[k]`` of `x`; reversed where `axes` is None.

    >>> import graphc as gc
    >>> gc.transpose(gc.input("x", (2, "n", 3))).shape
    (3, n, 2)
    """
    (x,) = lift(x)
    return permute_dims(x, tuple(range(len(x.shape)))[::-1] if axes is None else axes)


def ravel(x: Any, /) -> Any:
    """All elements in C order, as a 1-d tensor.

    >>> import graphc as gc
    >>> gc.ravel(gc.input("x", ("n", 3))).shape
    (3*n,)
    """
    return reshape(x, (-1,))


def _own_functions(module: ModuleType) -> list[str]:
    """What a module offers: its ``__all__``, else the public functions defined there."""
    named = getattr(module, "__all__", None)
    if named is None:
        found = vars(module).items()
        named = [k for k, v in found if not k.startswith("_") and getattr(v, "__module__", "") == module.__name__]
    return [name for name in named if name not in _INTERNAL]


def _public() -> dict[str, Callable[..., Any]]:
    table: dict[str, Callable[..., Any]] = {"transpose": transpose, "ravel": ravel, "flatten": ravel}
    for module in (m for modules in _GROUPS.values() for m in modules):
        for name in _own_functions(module):
            if name in table:
                raise ValueError(f"two functions are called {name}")
            table[name] = getattr(module, name)
    for alias, name in _ALIASES.items():
        if alias in table:
            raise ValueError(f"the alias {alias} is taken")
        table[alias] = table[name]
    return table


PUBLIC: Mapping[str, Callable[..., Any]] = MappingProxyType(_public())
GROUPS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {title: tuple(n for m in modules for n in _own_functions(m)) for title, modules in _GROUPS.items()}
    | {"shapes": ("transpose", "ravel", *_own_functions(movement), *_own_functions(rearranging))}
)
"""Names of all functions, each under the one that it was given here, by what they are about."""
