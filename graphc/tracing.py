"""Python functions as graphs: called once with symbolic inputs, then compiled, once per kind of arguments."""

from __future__ import annotations

import functools
import inspect
import numbers
import re
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .compilation import compile_graph
from .errors import GradientError, GraphcError, TraceError, count, line_of, message, shown, user_line
from .ir.apply import is_tensor, lift
from .ir.dims import Dim, DimLike, Shape, symbol
from .ir.draws import DrawNumbers, numbered
from .ir.dtypes import as_dtype
from .ir.graph import Graph
from .ir.leaves import UNROLLED, argument
from .ir.tensor import Tensor
from .ir.tree import Tree, flatten
from .ops.common import describe
from .ops.hints import missing_member
from .step import Step

STATIC = (str, bytes, type(None), type)

KEPT = 256
"""Dtypes and shapes of arguments for which a traced function remembers its step."""
_ATTRIBUTES = ("certificate", "graph", "passes", "plan", "text", "traced")
_OF_A_STEP = {
    name: f"each kind of arguments has a step of its own, once called: [s.{name} for s in f.steps.values()]"
    for name in (*_ATTRIBUTES, *(name for name in vars(Step) if not name.startswith("_")))
}


class Traced:
    """A function that is traced and compiled at its first call with arrays; later calls run the compiled step.

    There is one step per dtype, rank and pattern of equal sizes and 1s of its array arguments, and per value of its
    string and None arguments. `steps` holds them. A size up to 64 that the function needs in Python, since it goes
    along that axis (``a, b, c = p``, ``for row in x``), is fixed: there is then a step per value of it, too. Called
    with symbolic or eager tensors, it is the plain function.

    Raises `TraceError` for arguments that are no arrays, and where the function asks for values, or returns what is no
    tensor; else what the step raises.

    >>> import graphc as gc
    >>> f = gc.compile(lambda p, x: p[0] * x + p[1])
    >>> f(np.array([2.0, 1.0]), np.array([1.0, 2.0, 3.0])), f
    (array([3., 5., 7.]), <Traced <lambda>, 1 step>)
    """

    def __init__(
        self,
        function: Callable[..., Any],
        name: str | None = None,
        threads: int | None = None,
        check: str | None = None,
        target: str | None = None,
        device_outputs: bool = False,
    ):
        functools.update_wrapper(self, function)
        self.function, self.threads, self.check, self.target = function, threads, check, target
        self.device_outputs = device_outputs
        self.name = name or getattr(function, "__name__", "step")
        self.steps: dict[Any, Step] = {}
        self._last: dict[Any, Step] = {}  # by dtypes and shapes, for arguments that are plain arrays and floats
        self._fixed: dict[Any, tuple[str, ...]] = {}  # for a kind of arguments, the dims whose size is fixed
        self._draws = DrawNumbers()
        self._lock = threading.Lock()

    def __call__(self, *args: Any, **named: Any) -> Any:
        """The function of arrays; see the class for when it is compiled."""
        known = None if named else tuple([_seen(a) for a in args])
        step = self._last.get(known)
        if step is not None:
            return step(*args)
        tree, leaves = flatten((args, named))
        if any(is_tensor(leaf) for leaf in leaves):
            return self.function(*args, **named)
        arrays = [leaf if isinstance(leaf, STATIC) or callable(leaf) else as_array(leaf) for leaf in leaves]
        shapes = patterns([a for a in arrays if isinstance(a, np.ndarray)])
        kinds = iter(shapes)
        kind = (tree, tuple((a.dtype.str, next(kinds)) if isinstance(a, np.ndarray) else ("static", a) for a in arrays))
        step = self.steps.get(kind) or self._find(kind, tree, arrays, shapes)
        if known is not None and None not in known:
            if len(self._last) >= KEPT:
                self._last.clear()
            self._last[known] = step
        return step(*[a for a in arrays if isinstance(a, np.ndarray)])

    def _find(self, kind: Any, tree: Tree, arrays: Sequence[Any], shapes: Sequence[Shape]) -> Step:
        """The step for a kind of arguments that was not called yet, or has sizes that are fixed."""
        sizes = sizes_of(arrays, shapes)

        def key() -> Any:
            fixed = self._fixed.get(kind, ())
            return (kind, tuple([sizes[name] for name in fixed])) if fixed else kind

        step = self.steps.get(key())
        if step is not None:
            return step
        with self._lock:
            step = self.steps.get(key())
            if step is None:
                known = self._fixed.get(kind, ())
                inputs, outputs, self._fixed[kind] = traced(self.function, tree, arrays, shapes, known, self._draws)
                step = self.steps[key()] = compile_graph(
                    inputs, outputs, None, self.name, self.threads, self.check, self.target, self.device_outputs
                )
        return step

    def first_trace(self, function: Callable[..., Any], *inputs: Tensor) -> Graph:
        """The graph of `function`, which this one derives from; its random draws get the numbers they will get here."""
        return _graph_of(function, inputs, {}, self._draws)

    def __getattr__(self, name: str) -> Any:
        if hasattr(type(self), name):  # a property that failed: its own error
            return object.__getattribute__(self, name)
        raise missing_member(self, name, _OF_A_STEP)

    def __reduce__(self) -> Any:
        """By name, as functions pickle, where it has taken the place of its function; else by its function."""
        found = getattr(sys.modules.get(self.__module__), getattr(self, "__qualname__", ""), None)
        if found is self:
            return self.__qualname__
        return Traced, (self.function, self.name, self.threads, self.check, self.target, self.device_outputs)

    def __repr__(self) -> str:
        return f"<Traced {self.name}, {count(len(self.steps), 'step')}>"


def _seen(argument: Any) -> Any:
    """What decides the step for an argument, if it is a plain array or float; else None."""
    kind = type(argument)
    return (argument.dtype, argument.shape) if kind is np.ndarray else float if kind is float else None


def traced(
    function: Callable[..., Any],
    tree: Tree,
    arrays: Sequence[Any],
    shapes: Sequence[Shape],
    known: Sequence[str] = (),
    draws: DrawNumbers | None = None,
) -> tuple[list[Tensor], Any, tuple[str, ...]]:
    """Call `function` with symbolic inputs in place of `arrays`: the inputs, what it returns, and the fixed dims.

    Where the function goes along an axis, it is called again with the size of that axis as an int; the sizes of the
    `known` dims are ints at once. `draws` are the numbers that its random draws got before.
    """
    draws = draws or DrawNumbers()
    names = argument_names(function, tree)
    called = getattr(function, "__name__", "f")
    sizes = sizes_of(arrays, shapes)
    fixed = {name: sizes[name] for name in known if sizes[name] <= UNROLLED}
    while True:
        specs = iter([tuple([fixed.get(str(dim), dim) for dim in shape]) for shape in shapes])
        symbolic = [
            argument(n, next(specs), a.dtype, called) if isinstance(a, np.ndarray) else a
            for n, a in zip(names, arrays, strict=True)
        ]
        args, named = tree.build(symbolic)
        try:
            with numbered(draws):
                outputs = returned(called, function(*args, **named))
        except TraceError as error:
            wanted = {name: sizes.get(name, UNROLLED + 1) for name in error.sizes}
            if not wanted or max(wanted.values()) > UNROLLED:
                raise
            fixed.update(wanted)
        except (TypeError, AttributeError) as error:
            better = None if isinstance(error, GraphcError) else _explained(called, error, function, tree, arrays)
            if better is None:
                raise
            raise better from error
        else:
            return [s for s in symbolic if isinstance(s, Tensor)], outputs, tuple(fixed)


def returned(called: str, outputs: Any) -> Any:
    """What a traced function returned, which must be tensors and numbers."""
    for leaf in flatten(outputs)[1]:
        if not (is_tensor(leaf) or isinstance(leaf, (numbers.Number, Dim)) or hasattr(leaf, "__array__")):
            raise TraceError(
                message(
                    f"{called} returned what is no tensor",
                    got=shown(leaf) if leaf is None or isinstance(leaf, str) else f"a {type(leaf).__name__}",
                    expected="tensors and numbers, or lists, tuples and dicts of them",
                    at=user_line(),
                    created=False,
                    hint="a function without return gives None" if leaf is None else "",
                )
            )
    return outputs


def _explained(
    called: str, error: Exception, function: Callable[..., Any], tree: Tree, arrays: Sequence[Any]
) -> TraceError | None:
    """The error for a function that failed on a list, or on a string or None; None where it was not due to these."""
    pairs = zip(argument_names(function, tree), arrays, strict=True)
    static = [f"{n}={a!r}"[:80] for n, a in pairs if not (isinstance(a, np.ndarray) or is_tensor(a))]
    listed = [label for label, child in labelled(function, tree) if child.kind in (list, tuple)]
    if listed and re.search(r"\b(list|tuple)\b", str(error)):
        got = f"a list of scalars, each traced by itself, for {', '.join(listed)}"
        hint = f"pass np.array({listed[0]}) for a tensor; inside, gc.stack({listed[0]}) makes one of a list"
    elif static:
        got = f"static arguments {', '.join(static)}"
        hint = "strings, None, types and functions are passed on as they are; numbers and arrays are traced"
    else:
        return None
    return TraceError(
        message(f"{called} failed while it was traced: {error}", got=got, at=line_of(error), created=False, hint=hint)
    )


def as_array(value: Any) -> np.ndarray:
    """An argument of a traced function as an array; `TraceError` for what is none."""
    array = np.asarray(value)
    if isinstance(value, np.ndarray):
        as_dtype(array.dtype)
    if array.dtype.kind not in "biuf":
        raise TraceError(
            message(
                "cannot trace an argument",
                got=f"{type(value).__name__} {shown(value)}",
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


def sizes_of(arrays: Sequence[Any], shapes: Sequence[Shape]) -> dict[str, int]:
    """The sizes of the dims in `shapes`, which are those of the arrays among `arrays`."""
    actual = [a.shape for a in arrays if isinstance(a, np.ndarray)]
    pairs = [pair for shape, sizes in zip(shapes, actual, strict=True) for pair in zip(shape, sizes, strict=True)]
    return {str(dim): size for dim, size in pairs}


def argument_names(function: Callable[..., Any], tree: Tree) -> list[str]:
    """A name per leaf of ``(args, kwargs)``: the parameter's, with a number where it is nested."""
    return [name for label, child in labelled(function, tree) for name in _numbered(label, child)]


def labelled(function: Callable[..., Any], tree: Tree) -> list[tuple[str, Tree]]:
    """The arguments of a call, by the names of the parameters."""
    args, named = tree.children
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):  # builtins without a signature
        parameters = []
    found: list[tuple[str, Tree]] = []
    for k, child in enumerate(args.children):
        positional = k < len(parameters) and parameters[k].kind in (
            inspect.Parameter.POSITIONAL_ONLY,
            inspect.Parameter.POSITIONAL_OR_KEYWORD,
        )
        found.append((parameters[k].name if positional else f"x{k}", child))
    return [*found, *zip(named.names, named.children, strict=True)]


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
    return _graph_of(function, args, named, DrawNumbers())


def _graph_of(function: Callable[..., Any], args: Any, named: Any, draws: DrawNumbers) -> Graph:
    tree, leaves = flatten((args, named))
    arrays = [
        leaf if is_tensor(leaf) or isinstance(leaf, STATIC) or callable(leaf) else as_array(leaf) for leaf in leaves
    ]
    shapes = patterns([a for a in arrays if isinstance(a, np.ndarray)])
    inputs, outputs, _ = traced(function, tree, arrays, shapes, draws=draws)
    return Graph(inputs, [lift(o)[0] for o in flatten(outputs)[1]], (), getattr(function, "__name__", "step"))


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
                        expected=f"one of {count(len(args), 'positional argument')}",
                        at=user_line(),
                        created=False,
                    )
                )
        more = () if extra is None else (named.pop(extra),)
        wrt = args[numbers[0]] if isinstance(argnums, int) else tuple([args[k] for k in numbers])
        _check_floats(kind, flatten(wrt)[1])
        tree, leaves = flatten(returned(getattr(function, "__name__", "f"), function(*args, **named)))
        return derive(tree.build(lift(*leaves, beside=tuple(flatten(wrt)[1]))), wrt, *more)

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
