"""``np.exp(x)``, ``np.sum(x, axis=0)``, ``np.concatenate([x, y])`` on tensors: NumPy's calls brought to our functions.

Arguments are bound by NumPy's own signature; what stands at its default is dropped, the rest goes to the parameter of
the same name (or its name here). What we do not have is an error that names it, never a computation by NumPy.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from ..errors import ArgumentError, UnsupportedError, count, message, user_line
from ..ir import dims
from ..ir.naming import called
from .functions import PUBLIC
from .hints import function_hint

_RENAMED = {"a_min": "min", "a_max": "max", "ddof": "correction", "newshape": "shape"}
_SIGNATURES: dict[str, Callable[..., Any]] = {  # functions written in C: not every version of NumPy can tell
    "concatenate": lambda arrays, axis=0, out=None: None,
    "where": lambda condition, x, y: None,
    "dot": lambda a, b, out=None: None,
    "inner": lambda a, b: None,
    "empty_like": lambda prototype, dtype=None: None,
}
_MISFITS = {
    "where": "which elements it is true of depends on data, and shapes do not: gc.where(condition, x, y) chooses"
}
"""For a function with arguments that do not fit, what may have been meant."""
_QUESTIONS: dict[str, Callable[[Any], Any]] = {
    "shape": lambda x: tuple(x.shape),
    "ndim": lambda x: len(x.shape),
    "size": lambda x: dims.product(x.shape),
}
_AS_THEY_ARE: dict[str, set[str]] = {"einsum": set(), "meshgrid": {"indexing"}}
"""Functions of any number of arguments, with the keywords that ours know."""
_MODULES = ("numpy", "numpy.linalg")
_SPECIAL = {name: name for name in ("erf", "erfc", "exp2", "expm1", "log1p", "xlogy")} | {
    "expit": "sigmoid",
    "log_expit": "log_sigmoid",
    "gammaln": "lgamma",
    "psi": "digamma",
}
"""Ufuncs of `scipy.special`, which are called like NumPy's, and what they are here."""


_REDUCE = "reductions and scans are gc.sum, gc.max, gc.cumulative_sum ..."
_METHODS = {"at": "x.at[index].add(y) is x with y added there", "outer": "x[:, None] * y does that"}
"""What a method of a ufunc is here."""


def _unsupported(name: str, got: str = "", hint: str = "") -> UnsupportedError:
    written = called(user_line()) or name  # a library's function, which may have called NumPy's
    better = function_hint(written)
    if better and not hint:
        name, hint = written, better
    return UnsupportedError(
        message(
            f"{name} does not work on tensors",
            got=got,
            at=user_line(),
            created=False,
            hint=hint or "python -m graphc ops lists gc's functions",
        )
    )


def array_ufunc(self: Any, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
    """NumPy's protocol for ufuncs: ``np.exp(x)``, ``array * x``, ``scipy.special.erf(x)``."""
    name, function = _known(ufunc)
    if method != "__call__":
        raise _unsupported(f"{name}.{method}", hint=_METHODS.get(method, _REDUCE))
    if function is None:
        raise _unsupported(name)
    if kwargs.get("where", True) is True:
        kwargs.pop("where", None)
    if kwargs:
        raise _unsupported(name, f"argument {', '.join(kwargs)}", _argument_hint(kwargs))
    return function(*inputs)


def _known(ufunc: np.ufunc) -> tuple[str, Callable[..., Any] | None]:
    """What errors call a ufunc, and our function for it; a user's own ufunc has none, whatever its name is."""
    name = ufunc.__name__
    if getattr(np, name, None) is ufunc:
        return f"np.{name}", PUBLIC.get(name)
    if getattr(sys.modules.get("scipy.special"), name, None) is ufunc:
        return f"scipy.special.{name}", PUBLIC[_SPECIAL[name]] if name in _SPECIAL else None
    return f"ufunc {name!r}", None


def _argument_hint(names: Any) -> str:
    if "out" in names:
        return "tensors are values: use what the function returns, x = x + y instead of x += y on an array"
    if "where" in names:
        return "select afterwards with gc.where"
    return "leave the argument out"


def array_function(self: Any, func: Callable[..., Any], types: Any, args: tuple[Any, ...], kwargs: dict) -> Any:
    """NumPy's protocol for its other functions: ``np.sum(x, axis=0)``, ``np.concatenate([x, y])``."""
    name = func.__name__
    full = f"{'np' if func.__module__ == 'numpy' else func.__module__}.{name}"
    if name in _QUESTIONS:
        return _QUESTIONS[name](*args, **kwargs)
    function = PUBLIC.get(name)
    if function is None or func.__module__ not in _MODULES:
        raise _unsupported(full)
    if func in (np.trace, np.diagonal) and len(args[0].shape) != 2:
        hint = f"x.{name}() takes the last two axes, {full} the first two"
        raise _unsupported(full, count(len(args[0].shape), "axis", "axes"), hint)
    if name in _AS_THEY_ARE:
        others = sorted(kwargs.keys() - _AS_THEY_ARE[name])
        if others:
            raise _unsupported(full, f"argument {', '.join(others)}", _argument_hint(others))
        return function(*args, **kwargs)
    return _call(function, full, _bound(func, args, kwargs))


def _bound(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """The arguments by NumPy's names, without those that stand at their default."""
    signature = inspect.signature(_SIGNATURES.get(func.__name__, func))
    try:
        bound = signature.bind(*args, **kwargs)
    except TypeError as error:
        name = func.__name__
        raise ArgumentError(
            message(
                f"cannot call np.{name} of tensors ({error})",
                expected=f"np.{name}{signature}",
                at=user_line(),
                created=False,
                hint=_MISFITS.get(name, ""),
            )
        ) from None
    given: dict[str, Any] = {}
    for name, value in bound.arguments.items():
        parameter = signature.parameters[name]
        if parameter.kind is parameter.VAR_KEYWORD:
            given.update(value)
        elif value is not parameter.default and not _equals_default(value, parameter.default):
            given[name] = value
    return given


def _equals_default(value: Any, default: Any) -> bool:
    return isinstance(value, (str, int, bool)) and type(value) is type(default) and value == default


def _call(function: Callable[..., Any], name: str, given: dict[str, Any]) -> Any:
    """`function` with the first arguments as its positional ones and the others by name."""
    parameters = inspect.signature(function).parameters
    positional = [p for p in parameters.values() if p.kind is p.POSITIONAL_ONLY]
    names = list(given)[: len(positional)]
    named = {_RENAMED.get(k, k): v for k, v in given.items() if k not in names}
    unknown = [k for k in named if k not in parameters]
    if unknown:
        raise _unsupported(name, f"argument {', '.join(unknown)}", _argument_hint(unknown))
    return function(*[given[k] for k in names], **named)
