"""Graphs evaluated on arrays of SymPy expressions, or of 50-digit numbers: elementwise rows by their `sympy`, the rest
by what they do with the elements of an array.

Integers stay NumPy arrays. Those that depend on symbols (positions of an order, of an extremum) have no expression:
they are taken from the reference interpreter at a point, and hold in the region around it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import UnsupportedError, message
from ..ir import dims
from ..ir.evaluate import concrete, evaluate
from ..ir.leaves import INPUT
from ..ir.tensor import Tensor
from ..ir.traversal import topological
from ..ops.guarded import sides
from .domains import BudgetError, Digits, Symbols, is_map

Domain = Symbols | Digits
_OBJECT = np.dtype(object)
_AS_NUMPY = frozenset(
    {
        "reshape",
        "broadcast_to",
        "permute_dims",
        "slice",
        "flip",
        "pad",
        "concat",
        "check_index",
        "check_size",
        "gather",
        "scatter_add",
        "scatter_set",
        "cumulative_sum",
        "cumulative_prod",
        "convolve",
        "convolve_transposed",
        "convolve_weights",
        "windows",
        "overlap",
    }
)
"""Rows whose NumPy meaning moves, adds and multiplies elements whatever these are."""
_MAX_ELEMENTS = 100_000
"""Of one node, and of products in one contraction: more would take minutes."""
_REDUCED = frozenset({"sum", "prod", "max", "min", "supremum", "first_max", "any", "all"})


def elements(array: Any, domain: Domain) -> np.ndarray:
    """An array of numbers as an array of the domain's elements."""
    array = np.asarray(array)
    if array.dtype == _OBJECT:
        return array
    result = np.empty(array.shape, object)
    for place in np.ndindex(array.shape):
        result[place] = domain.number(array[place]) if array.dtype.kind != "b" else domain.truth(array[place])
    return result


def lifted(function: Callable[..., Any], arrays: Sequence[np.ndarray]) -> np.ndarray:
    """An elementwise function of arrays of elements."""
    result = np.empty(arrays[0].shape, object)
    for place in np.ndindex(result.shape):
        result[place] = function(*[a[place] for a in arrays])
    return result


def _reduced(function: Callable[[Sequence[Any]], Any], x: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    kept = [k for k in range(x.ndim) if k not in axes]
    moved = x.transpose((*kept, *axes))
    lines = moved.reshape((*[x.shape[k] for k in kept], int(np.prod([x.shape[k] for k in axes], dtype=np.int64))))
    result = np.empty(lines.shape[:-1], object)
    for place in np.ndindex(result.shape):
        result[place] = function(list(lines[place]))
    return result


def _contracted(x: np.ndarray, y: np.ndarray, spec: str, guard: tuple[bool, bool], domain: Domain) -> np.ndarray:
    """Each element of the result by its definition; zeros of guarded operands annihilate."""
    operands, out = spec.split("->")
    a, b = operands.split(",")
    size = {**dict(zip(a, x.shape, strict=True)), **dict(zip(b, y.shape, strict=True))}
    summed = [c for c in a if c not in out]
    _check_count("a contraction", list(size.values()))
    result = np.empty([size[c] for c in out], object)
    for place in np.ndindex(result.shape):
        at = dict(zip(out, place, strict=True))
        total = domain.number(0)
        for inner in np.ndindex(*[size[c] for c in summed]):
            at.update(zip(summed, inner, strict=True))
            factors = x[tuple(at[c] for c in a)], y[tuple(at[c] for c in b)]
            if not any(annihilates and f == 0 for annihilates, f in zip(guard, factors, strict=True)):
                total = total + factors[0] * factors[1]
        result[place] = total
    return result


def _check_count(what: str, shape: Sequence[int]) -> None:
    count = math.prod(shape)
    if count > _MAX_ELEMENTS:
        raise BudgetError(f"{what} of {count} elements, more than {_MAX_ELEMENTS}")


def _recurred(a: np.ndarray, b: np.ndarray, axis: int, reverse: bool, domain: Domain) -> np.ndarray:
    lines, added = np.moveaxis(a, axis, 0), np.moveaxis(b, axis, 0)
    result = np.empty(added.shape, object)
    last = np.full(added.shape[1:], domain.number(0), object)
    for k in range(len(added) - 1, -1, -1) if reverse else range(len(added)):
        last = last * lines[k] + added[k]
        result[k] = last
    return np.moveaxis(result, 0, axis)


def run_node(node: Tensor, operands: Sequence[np.ndarray], attrs: Mapping[str, Any], domain: Domain) -> np.ndarray:
    """The elements of `node`; `UnsupportedError` where its row has no meaning on them."""
    name = node.op.name
    at = node.origin.latest
    if is_map(node.op):
        return lifted(domain.map(node.op, attrs, at), [elements(x, domain) for x in operands])
    if name in _REDUCED:
        return _reduced(domain.reduce(node.op, attrs), elements(operands[0], domain), attrs["axes"])
    if name == "contract":
        x, y = (elements(o, domain) for o in operands)
        return _contracted(x, y, attrs["spec"], sides(attrs.get("guard", "")), domain)
    if name == "recurrence":
        x, y = (elements(o, domain) for o in operands)
        return _recurred(x, y, attrs["axis"], attrs["reverse"], domain)
    if name in _AS_NUMPY:
        moved = [o if i.dtype.kind in "iu" else elements(o, domain) for o, i in zip(operands, node.inputs, strict=True)]
        return _normal(np.asarray(node.op.numpy(*moved, **attrs), object), domain)
    raise UnsupportedError(
        message(f"{name} has no meaning on expressions", got=", ".join(str(i.aval) for i in node.inputs), at=at)
    )


def _normal(array: np.ndarray, domain: Domain) -> np.ndarray:
    """Python numbers that NumPy put among the elements (fill values, identities) as elements."""
    result = array.copy()
    for place in np.ndindex(array.shape):
        if isinstance(array[place], (int, float)) and not isinstance(array[place], bool):
            result[place] = domain.number(np.asarray(array[place]))
    return result


def evaluate_elements(
    outputs: Sequence[Tensor],
    given: Mapping[Tensor, np.ndarray],
    domain: Domain,
    *,
    env: Mapping[str, int] | None = None,
    point: Mapping[Tensor, np.ndarray] | None = None,
    deadline: float = float("inf"),
) -> dict[Tensor, Any]:
    """The elements of every node below `outputs`.

    given     arrays of elements (or of numbers) for inputs, params, or nodes in between
    point     floats for the same nodes: where integers that depend on them are looked up
    deadline  on ``time.monotonic``; `BudgetError` beyond it
    """
    order = topological(outputs)
    sizes = env or {}
    results: dict[Tensor, Any] = {}
    for node in order:
        if time.monotonic() > deadline:
            raise BudgetError("no time left")
        if node in given:
            array = np.asarray(given[node])
            results[node] = elements(array, domain) if node.dtype.kind == "f" else array
            continue
        attrs = {k: concrete(v, sizes) for k, v in node.attrs.items()}
        results[node] = _value(node, [results[i] for i in node.inputs], attrs, domain, point, sizes)
    return results


def _value(node: Tensor, operands: list[Any], attrs: dict[str, Any], domain: Domain, point: Any, env: Any) -> Any:
    if node.op.name == "custom":
        return operands[: len(node.avals)]
    if node.op.name == "item":
        return operands[0][attrs["index"]]
    if node.op is INPUT:
        raise UnsupportedError(message("no value for an input", got=repr(node.name)))
    numeric = all(o.dtype != _OBJECT for o in operands)
    if numeric and (node.dtype.kind != "f" or not is_map(node.op) or node.op.name == "astype"):
        value = np.asarray(node.op.numpy(*operands, **attrs), node.dtype)
        return elements(value, domain) if node.dtype.kind == "f" else value
    _check_count(node.op.name, [dims.evaluate(s, env) for s in node.shape])
    if node.dtype.kind in "iu" and point is not None:
        return evaluate([node], point, env)[0]
    return run_node(node, operands, attrs, domain)


__all__ = ["BudgetError", "Domain", "elements", "evaluate_elements", "lifted", "run_node"]
