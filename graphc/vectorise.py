"""`vmap`: a function, or a graph, of one sample applied to many at once, by a transformation of the graph."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from .autodiff.batching import common_size, propagate
from .errors import ShapeError, UnsupportedError, count, message, shown, user_line
from .ir.apply import SYMBOLIC, engine_of, is_tensor, lift
from .ir.dims import DimLike, equal
from .ir.draws import one_sample
from .ir.leaves import input as make_input
from .ir.tensor import Tensor
from .ir.tree import flatten
from .ops.common import axis_index, describe
from .ops.movement import broadcast_to
from .ops.rearranging import moveaxis
from .tracing import STATIC, Traced, argument_names, returned


def vmap(f: Any, in_axes: Any = 0, out_axes: Any = 0, *, over: Mapping[Any, Any] | None = None) -> Any:
    """A function of one sample as a function of many samples; or a tensor, for many values of what it depends on.

    ``gc.vmap(f)``: the function is traced once for one sample, and its graph transformed; there is no loop. Called with
    arrays it is compiled as ``gc.compile(f)`` is; with symbolic tensors it builds nodes.

    in_axes   which axis of an argument the samples lie along: an int, None for what is the same for all samples, or a
              tuple with one of these for each positional argument, itself a nesting where the argument is one. Keyword
              arguments have axis 0
    out_axes  where the axis of samples goes in the results: an int, None for what does not depend on the sample, or a
              nesting as `f` returns it

    ``gc.vmap(y, over={x: xs})``: the tensor `y` (or a nesting) where `x` takes each of the values that lie along the
    first axis of `xs`; params and inputs that are not in `over` are the same for all.

    Composes with the derivatives, both ways, and with itself. Random numbers that `y` depends on are the same for all
    samples, unless `over` has the counter of their key; inside `f` none can be drawn. Raises `ShapeError` for numbers
    of samples that differ and for an axis that is not there, `UnsupportedError` for eager tensors and draws.

    >>> import numpy as np, graphc as gc
    >>> gc.vmap(gc.dot, in_axes=(0, None))(np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([1.0, 1.0]))
    array([3., 7.])
    >>> x, xs = gc.input("x"), gc.input("xs", ("n",))
    >>> gc.vmap(gc.grad(x**3, x), over={x: xs}).shape
    (n,)
    """
    if over is not None:
        return _over(f, over, out_axes)
    if not callable(f) or is_tensor(f):
        raise ShapeError(
            message(
                "cannot vmap",
                got=shown(f),
                expected="a function, or tensors with over={x: xs}",
                at=user_line(),
                created=False,
            )
        )

    @functools.wraps(f)
    def mapped(*args: Any, **named: Any) -> Any:
        tree, leaves = flatten((args, named))
        _refuse_eager(leaves)
        names = argument_names(f, tree)
        axes = [
            None if _is_static(leaf) else axis
            for leaf, axis in zip(leaves, _input_axes(in_axes, args, named), strict=True)
        ]
        many = {
            k: _samples_first(names[k], leaf, axis)
            for k, (leaf, axis) in enumerate(zip(leaves, axes, strict=True))
            if axis is not None
        }
        if not many:
            raise _no_samples(in_axes)
        size = common_size({names[k]: xs for k, xs in many.items()})
        ones = {k: make_input(names[k], xs.shape[1:], xs.dtype) for k, xs in many.items()}
        one_args, one_named = tree.build([ones.get(k, leaf) for k, leaf in enumerate(leaves)])
        with one_sample():
            y = returned(getattr(f, "__name__", "f"), f(*one_args, **one_named))
        return _results(y, {ones[k]: xs for k, xs in many.items()}, size, out_axes)

    return Traced(mapped, f"{getattr(f, '__name__', 'f')}_vmap")


def _over(y: Any, over: Mapping[Any, Any], out_axes: Any) -> Any:
    """The form for tensors."""
    _refuse_eager([*flatten(y)[1], *over, *over.values()])
    if not over:
        raise _no_samples(over)
    batched: dict[Tensor, Tensor] = {}
    for x, given in over.items():
        if not isinstance(x, Tensor):
            raise _no_samples(x)
        (xs,) = lift(given)
        fits = len(xs.shape) == len(x.shape) + 1 and xs.dtype == x.dtype
        if not fits or any(equal(m, n) is False for m, n in zip(xs.shape[1:], x.shape, strict=True)):
            raise ShapeError(
                message(
                    f"cannot vmap over {x.name or 'a tensor'}",
                    got=str(xs.aval),
                    expected=f"{x.aval} with one more axis in front",
                    at=user_line(),
                    created=False,
                )
            )
        batched[x] = xs
    size = common_size({x.name or f"tensor {k}": xs for k, (x, xs) in enumerate(batched.items())})
    return _results(y, batched, size, out_axes)


def _results(y: Any, batched: Mapping[Tensor, Tensor], size: DimLike, out_axes: Any) -> Any:
    """What a sample gave, for all samples, with their axis where `out_axes` has it."""
    tree, leaves = flatten(y)
    outputs = lift(*leaves)
    found = propagate(outputs, batched, size)
    results = []
    for output, axis in zip(outputs, _spread("out_axes", out_axes, y), strict=True):
        if axis is None:
            results.append(_same_for_all(output, found))
            continue
        many = found[output] if output in found else broadcast_to(output, (size, *output.shape))
        results.append(moveaxis(many, 0, axis_index(axis, len(many.shape), "vmap")))
    return tree.build(results)


def _same_for_all(output: Tensor, found: Mapping[Tensor, Tensor]) -> Tensor:
    if output in found:
        raise ShapeError(
            message(
                "out_axes is None for a result that depends on the sample",
                got=str(output.aval),
                expected="an axis",
                at=output.origin.latest or user_line(),
            )
        )
    return output


# axes


def _input_axes(in_axes: Any, args: tuple[Any, ...], named: dict[str, Any]) -> list[int | None]:
    """One axis, or None, for each leaf of ``(args, named)``."""
    if isinstance(in_axes, (tuple, list)) and len(in_axes) != len(args):
        raise _mismatch("in_axes", in_axes, f"one for each of {count(len(args), 'positional argument')}")
    axes = _spread("in_axes", tuple(in_axes) if isinstance(in_axes, list) else in_axes, args)
    return axes + _spread("in_axes", 0, named)


def _spread(what: str, spec: Any, value: Any) -> list[int | None]:
    """`spec`, which may be shorter than `value` is nested, as one axis for each of its leaves."""
    if spec is None or (hasattr(spec, "__index__") and not isinstance(spec, bool)):
        return [None if spec is None else spec.__index__()] * len(flatten(value)[1])
    if isinstance(spec, dict) and isinstance(value, dict) and set(spec) == set(value):
        return [axis for name, part in value.items() for axis in _spread(what, spec[name], part)]
    if isinstance(spec, (tuple, list)) and isinstance(value, (tuple, list)) and len(spec) == len(value):
        return [axis for s, part in zip(spec, value, strict=True) for axis in _spread(what, s, part)]
    raise _mismatch(what, spec, f"ints and None, nested as {flatten(value)[0]}")


def _mismatch(what: str, spec: Any, expected: str) -> ShapeError:
    return ShapeError(message(f"bad {what} in vmap", got=shown(spec), expected=expected, at=user_line(), created=False))


def _samples_first(name: str, leaf: Any, axis: int) -> Tensor:
    """An argument as a tensor whose first axis is that of the samples."""
    (x,) = lift(leaf)
    if not -len(x.shape) <= axis < len(x.shape):
        raise ShapeError(
            message(
                f"cannot vmap over axis {axis} of {name}",
                got=describe(x),
                expected="an argument that has it",
                at=user_line(),
                created=False,
                hint="give None in in_axes for what is the same for all samples"
                + ("" if x.shape else "; a list is one of scalars: pass np.array(x)"),
            )
        )
    return moveaxis(x, axis, 0)


def _no_samples(spec: Any) -> ShapeError:
    return ShapeError(
        message(
            "vmap over nothing",
            got=repr(spec),
            expected="an axis of some argument, or a tensor",
            at=user_line(),
            created=False,
        )
    )


# operands


def _is_static(leaf: Any) -> bool:
    return isinstance(leaf, STATIC) or (callable(leaf) and not is_tensor(leaf))


def _refuse_eager(leaves: list[Any]) -> None:
    if engine_of(*leaves) is not SYMBOLIC:
        raise UnsupportedError(
            message(
                "gc.vmap of eager tensors",
                expected="symbolic tensors, or a function called with arrays",
                at=user_line(),
                created=False,
                hint="call it with arrays (x.numpy()): it is then traced and compiled",
            )
        )
