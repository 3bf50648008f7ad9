"""The same program on small arrays, in float64: named dims get small sizes, large fixed dims shrink where they can.

A size shrinks wherever it stands: in inputs, params, constants and the shapes that ops are given. Where a size is
entangled with another by ints (a reshape of 784 to 28 x 28), it stays.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from ..errors import GraphcError, ShapeError, UserLine
from ..ir import dims
from ..ir.dims import Dim
from ..ir.evaluate import check_sizes, concrete
from ..ir.leaves import CONSTANT, DIM_VALUE, INPUT, PARAM, constant, dim_scalar
from ..ir.leaves import input as symbolic_input
from ..ir.op import Check
from ..ir.tensor import Tensor, build, tracing_origin
from ..ir.traversal import topological
from .numbers import exact

_LARGE = 3
"""Fixed sizes above this shrink to it."""
_FOUND_EXACT = 64
"""Constants of up to this many elements keep their meaning (0.1 in float32 is 1/10); larger ones their bits."""
_SHAPED = frozenset({"reshape", "broadcast_to", "iota"})


class Small(NamedTuple):
    """A program made small: each old node's new one, and what the sizes became."""

    nodes: dict[Tensor, Tensor]
    sizes: dict[str, int]


class _EntangledError(Exception):
    def __init__(self, sizes: Iterable[int]):
        super().__init__()
        self.sizes = frozenset(sizes)


def sizes_for(
    roots: Sequence[Tensor], choices: tuple[int, ...], given: Mapping[str, int] = MappingProxyType({})
) -> dict[str, int] | None:
    """A size out of `choices` for each named dim not `given`, early ones first, that the graph's checks accept."""
    order = topological(roots)
    names = list(dict.fromkeys(s for n in order for a in n.avals for d in a.shape for s in dims.symbols(d)))
    names = [n for n in names if n not in given]
    checks: dict[Check, tuple[UserLine, ...]] = {c: () for node in order for c in node.checks}
    if len(names) > 4:
        candidates: Iterable[Sequence[int]] = ([c] * len(names) for c in choices)
    else:
        turned = [choices[k % 2 :] + choices[: k % 2] for k in range(len(names))]  # neighbours differ
        candidates = itertools.product(*turned)
    for sizes in candidates:
        env = {**given, **dict(zip(names, sizes, strict=True))}
        if _fits(order, checks, env):
            return env
    return None


def _fits(order: Sequence[Tensor], checks: Mapping[Check, tuple[UserLine, ...]], env: Mapping[str, int]) -> bool:
    try:
        check_sizes(checks, env)
    except ShapeError:
        return False
    return all(dims.evaluate(d, env) >= 0 for n in order for a in n.avals for d in a.shape)


def shrink(roots: Sequence[Tensor], env: Mapping[str, int], fixed: bool = True) -> Small:
    """Rebuild `roots` with named dims as in `env` and, if `fixed`, large fixed sizes made small where that is sound.

    Params become inputs. Raises `GraphcError` where not even the named dims can be given these sizes.
    """
    order = topological(roots)
    leaves = [n for n in order if n.op in (INPUT, PARAM, CONSTANT)]
    large = {s for n in leaves for s in n.shape if isinstance(s, int) and s > _LARGE} if fixed else set()
    smaller = {size: _LARGE - k % 2 for k, size in enumerate(sorted(large))}
    while True:
        try:
            nodes = _rebuilt(order, env, smaller)
        except _EntangledError as error:
            if not error.sizes & smaller.keys():
                raise ShapeError("the graph cannot be rebuilt with small sizes") from error.__cause__
            smaller = {size: new for size, new in smaller.items() if size not in error.sizes}
            continue
        shown = {f"{old}": new for old, new in smaller.items()}
        return Small(nodes, {**env, **shown})


def _rebuilt(order: Sequence[Tensor], env: Mapping[str, int], smaller: Mapping[int, int]) -> dict[Tensor, Tensor]:
    nodes: dict[Tensor, Tensor] = {}
    for node in order:
        wanted = [tuple(_size(s, env, smaller) for s in a.shape) for a in node.avals]
        try:
            with tracing_origin(node.origin):
                new = _node(node, [nodes[i] for i in node.inputs], env, smaller)
        except GraphcError as error:
            raise _EntangledError(_sizes_at(node)) from error
        if [a.shape for a in new.avals] != wanted:
            raise _EntangledError(_sizes_at(node))
        nodes[node] = new
    return nodes


def _size(size: Any, env: Mapping[str, int], smaller: Mapping[int, int]) -> int:
    """What a size becomes: each int in an expression such as n + 784 shrinks with its axis or stays."""
    if isinstance(size, Dim):
        return dims.evaluate(size, env)
    return smaller.get(size, size)


def _sizes_at(node: Tensor) -> set[int]:
    avals = [*node.avals, *(a for i in node.inputs for a in i.avals)]
    return {s for a in avals for s in a.shape if isinstance(s, int)}


def _node(node: Tensor, inputs: list[Tensor], env: Mapping[str, int], smaller: Mapping[int, int]) -> Tensor:
    if node.op in (INPUT, PARAM):
        shape = tuple(_size(s, env, smaller) for s in node.shape)
        return symbolic_input(node.name or "x", shape, _double(node.dtype))
    if node.op is CONSTANT:
        return constant(_data(node, smaller))
    if node.op is DIM_VALUE:
        return dim_scalar(dims.evaluate(node.attrs["dim"], env), _double(node.dtype))
    attrs = {k: concrete(v, env) for k, v in node.attrs.items()}
    if node.op.name in _SHAPED:
        attrs["shape"] = tuple(_size(s, env, smaller) for s in node.attrs["shape"])
    if node.op.name == "slice":
        attrs["stop"] = tuple(
            n if start == 0 and old == size else stop
            for start, stop, old, size, n in zip(
                attrs["start"], attrs["stop"], node.attrs["stop"], node.inputs[0].shape, inputs[0].shape, strict=True
            )
        )
        if any(stop > n for stop, n in zip(attrs["stop"], inputs[0].shape, strict=True) if isinstance(n, int)):
            raise ShapeError("a slice beyond the smaller size")
    if "dtype" in attrs:
        attrs["dtype"] = _double(attrs["dtype"])
    return build(node.op, tuple(inputs), attrs)


def _double(dtype: np.dtype) -> np.dtype:
    return np.dtype("float64") if dtype == np.float32 else dtype


def _data(node: Tensor, smaller: Mapping[int, int]) -> np.ndarray:
    array = node.attrs["data"].array
    array = array[tuple(slice(0, smaller.get(n, n)) for n in array.shape)]
    if array.dtype != np.float32 or array.size > _FOUND_EXACT:
        return array.astype(_double(array.dtype))
    return np.array([float(exact(v)) for v in array.ravel()]).reshape(array.shape)
