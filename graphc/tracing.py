"""Python functions as graphs: called once with symbolic inputs, then compiled, once per kind of arguments."""

from __future__ import annotations

import functools
import inspect
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .errors import GradientError, GraphcError, TraceError, message, user_line
from .ir.apply import is_tensor, lift
from .ir.dims import DimLike, Shape, symbol
from .ir.dtypes import as_dtype
from .ir.graph import Graph
from .ir.leaves import input as make_input
from .ir.tensor import Tensor
from .ir.tree import Tree, flatten
from .ops.common import describe
from .step import Step, compile_graph

STATIC = (str, bytes, type(None), type)


class Traced:
    """A function that is traced and compiled at its first call with arrays; later calls run the compiled step.

    There is one step per dtype, rank and pattern of equal sizes and 1s of its array arguments, and per value of its
    string and None arguments. `steps` holds them. Called with symbolic or eager tensors, it is the plain function.
    """

    def __init__(self, function: Callable[..., Any], name: str | None = None, threads: int | None = None):
        functools.update_wrapper(self, function)
        self.function, self.threads = function, threads
        self.name = name or getattr(function, "__name__", "step")
        self.steps: dict[Any, Step] = {}
        self._lock = threading.Lock()

    def __call__(self, *args: Any, **named: Any) -> Any:
        """The function of arrays; see the class for when it is compiled."""
        tree, leaves = flatten((args, named))
        if any(is_tensor(leaf) for leaf in leaves):
            return self.function(*args, **named)
        arrays = [leaf if isinstance(leaf, STATIC) or callable(leaf) else as_array(leaf) for leaf in leaves]
        shapes = patterns([a for a in arrays if isinstance(a, np.ndarray)])
        kinds = iter(shapes)
        key = (tree, tuple((a.dtype.str, next(kinds)) if isinstance(a, np.ndarray) else ("static", a) for a in arrays))
        step = self.steps.get(key)
        if step is None:
            with self._lock:
                step = self.steps.get(key)
                if step is None:
                    step = self.steps[key] = self._compile(tree, arrays, shapes)
        return step(*[a for a in arrays if isinstance(a, np.ndarray)])

    def _compile(self, tree: Tree, arrays: Sequence[Any], shapes: Sequence[Shape]) -> Step:
        """The step for one kind of arguments."""
        specs = iter(shapes)
        names = argument_names(self.function, tree)
        symbolic = [
            make_input(n, next(specs), a.dtype) if isinstance(a, np.ndarray) else a
            for n, a in zip(names, arrays, strict=True)
        ]
        args, named = tree.build(symbolic)
        try:
            outputs = self.function(*args, **named)
        except TypeError as error:
            static = [f"{n}={a!r}"[:80] for n, a in zip(names, arrays, strict=True) if not isinstance(a, np.ndarray)]
            if isinstance(error, GraphcError) or not static:
                raise
            raise TraceError(
                message(
                    f"{self.name} failed while it was traced: {error}",
                    got=f"static arguments {', '.join(static)}",
                    at=user_line(),
                    created=False,
                    hint="strings, None, types and functions are passed on as they are; numbers and arrays are traced",
                )
            ) from error
        return compile_graph([s for s in symbolic if isinstance(s, Tensor)], outputs, None, self.name, self.threads)

    def __repr__(self) -> str:
        return f"<Traced {self.name}, {len(self.steps)} steps>"


def as_array(value: Any) -> np.ndarray:
    """An argument of a traced function as an array; `TraceError` for what is none."""
    array = np.asarray(value)
    if array.dtype.kind not in "biuf":
        raise TraceError(
            message(
                "cannot trace an argument",
                got=f"{type(value).__name__} {value!r}"[:80],
                expected="numbers, arrays, or nestings of them",
                at=user_line(),
                created=False,
            )
        )
    as_dtype(array.dtype)
    return array


def patterns(arrays: Sequence[np.ndarray]) -> list[Shape]:
    """Shapes with named dims: 1 stays 1, equal sizes get one name."""
    names: dict[int, DimLike] = {1: 1}
    result = []
    for array in arrays:
        for size in array.shape:
            if size not in names:
                names[size] = symbol(f"d{len(names) - 1}")
        result.append(tuple(names[size] for size in array.shape))
    return result


def argument_names(function: Callable[..., Any], tree: Tree) -> list[str]:
    """A name per leaf of ``(args, kwargs)``: the parameter's, with a number where it is nested."""
    args, named = tree.children
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):  # builtins without a signature
        parameters = []
    names: list[str] = []
    for k, child in enumerate(args.children):
        positional = k < len(parameters) and parameters[k].kind in (
            inspect.Parameter.POSITIONAL_ONLY,
            inspect.Parameter.POSITIONAL_OR_KEYWORD,
        )
        names += _numbered(parameters[k].name if positional else f"x{k}", child)
    for label, child in zip(named.names, named.children, strict=True):
        names += _numbered(label, child)
    return names


def _numbered(name: str, tree: Tree) -> list[str]:
    return [name] if tree.kind is None else [f"{name}_{k}" for k in range(tree.size)]


def trace(function: Callable[..., Any], *args: Any, **named: Any) -> Graph:
    """The graph of `function` for arguments like these: arrays, or symbolic inputs (used as they are).

    >>> import graphc as gc
    >>> len(gc.trace(lambda x: x * x, np.ones(3)).outputs)
    1
    """
    if isinstance(function, Traced):
        function = function.function
    tree, leaves = flatten((args, named))
    arrays = [leaf if is_tensor(leaf) or isinstance(leaf, STATIC) else as_array(leaf) for leaf in leaves]
    specs = iter(patterns([a for a in arrays if isinstance(a, np.ndarray)]))
    symbolic = [
        make_input(n, next(specs), a.dtype) if isinstance(a, np.ndarray) else a
        for n, a in zip(argument_names(function, tree), arrays, strict=True)
    ]
    call_args, call_named = tree.build(symbolic)
    _, outputs = flatten(function(*call_args, **call_named))
    inputs = [s for s in symbolic if isinstance(s, Tensor)]
    return Graph(inputs, [lift(o)[0] for o in outputs], (), getattr(function, "__name__", "step"))


def derived(
    function: Callable[..., Any], argnums: Any, kind: str, derive: Callable[..., Any], extra: str | None = None
) -> Traced:
    """The function of the same arguments that computes ``derive(y, wrt)`` of the result `y` of `function`.

    argnums  which positional argument `wrt` is; several: `wrt` is a tuple of them
    kind     what is computed, as names and errors have it
    extra    the name of one more keyword argument of the new function; `derive` gets it too
    """
    numbers = (argnums,) if isinstance(argnums, int) else tuple(argnums)

    @functools.wraps(function)
    def differentiated(*args: Any, **named: Any) -> Any:
        if extra is not None and extra not in named:
            raise _missing(kind, extra)
        for k in numbers:
            if not -len(args) <= k < len(args):
                raise GradientError(
                    message(
                        "argnums out of range",
                        got=str(k),
                        expected=f"one of {len(args)} positional arguments",
                        at=user_line(),
                        created=False,
                    )
                )
        more = () if extra is None else (named.pop(extra),)
        wrt = args[numbers[0]] if isinstance(argnums, int) else tuple([args[k] for k in numbers])
        _check_floats(kind, flatten(wrt)[1])
        return derive(function(*args, **named), wrt, *more)

    return Traced(differentiated, f"{getattr(function, '__name__', 'f')}_{kind}")


def _check_floats(kind: str, leaves: Sequence[Any]) -> None:
    for leaf in leaves:
        if is_tensor(leaf) and leaf.dtype.kind != "f":
            raise GradientError(
                message(
                    f"gc.{kind} with respect to an integer argument",
                    got=describe(leaf),
                    expected="a float",
                    at=user_line(),
                    created=False,
                    hint="pass 3.0 instead of 3, and arrays as x.astype('float64')",
                )
            )


def _missing(kind: str, extra: str) -> GradientError:
    return GradientError(
        message(
            f"gc.{kind} of a function needs {extra}",
            expected=f"a call f(x, {extra}=...)",
            at=user_line(),
            created=False,
        )
    )
